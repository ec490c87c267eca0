"""Whole models both ways beside transformers + optimum + gptqmodel: what they quantize we load and save unchanged, what we
quantize they load.

Both sides compute in float32 with weights in float16's grid; theirs through gptqmodel's "torch" kernel, whose others compile
code at first use.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import safetensors.torch
import torch
import transformers
from gptqmodel import BACKEND, GPTQModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from saved_models import assert_same_tensors, difference, quantization_config, stored  # noqa: E402

TOLERANCE = 1e-3  # largest difference of logits over the largest logit
IDS = [3, 17, 42, 5, 60, 11, 8, 29, 33, 2, 51, 7]
VOCABULARY = 64

MODELS = {
    "llama": ("LlamaConfig", "LlamaForCausalLM",
              dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                   num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                   tie_word_embeddings=False)),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel",
             dict(vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=1,
                  eos_token_id=2)),
    "opt": ("OPTConfig", "OPTForCausalLM",
            dict(vocab_size=VOCABULARY, hidden_size=64, ffn_dim=128, num_hidden_layers=2, num_attention_heads=4,
                 max_position_embeddings=64, word_embed_proj_dim=64, do_layer_norm_before=True)),
}
# model, bits, group size, act order, symmetric
CASES = [
    ("llama", 4, 32, False, True),
    ("llama", 4, 32, True, False),
    ("llama", 2, 32, False, True),
    ("llama", 3, -1, True, True),
    ("llama", 8, 64, False, False),
    ("opt", 4, 32, True, True),
    ("opt", 3, 32, False, False),
    ("gpt2", 4, 32, False, True),
    ("gpt2", 8, 32, True, False),
]


def case_name(case):
    name, bits, group_size, desc_act, sym = case
    return f"{name}-{bits}bits-g{group_size}{'-act' if desc_act else ''}{'' if sym else '-asym'}"


def command(*arguments):
    return [os.environ["QUANTHOST_TOOL"], *map(str, arguments)]


def quanthost(*arguments):
    done = subprocess.run(command(*arguments), capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command(*arguments))}\n{done.stderr}"
    return done


def refusal(*arguments):
    done = subprocess.run(command(*arguments), capture_output=True, text=True)
    assert done.returncode not in (0, -11, -6), done.stdout
    return done.stderr


def method(**settings):
    flags = ["--method", "gptq"]
    for key, value in settings.items():
        flags += ["--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
    return flags


def texts(count=16, tokens=48):
    generator = torch.Generator().manual_seed(3)
    return [" ".join(str(int(i)) for i in torch.randint(2, VOCABULARY, (tokens,), generator=generator))
            for _ in range(count)]


def save_tokenizer(folder):
    """Every number is a word and its own id."""
    tokenizer = Tokenizer(WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="0",
                                         pad_token="0").save_pretrained(folder)


def data_file(folder):
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts()))
    return path


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """The folder of a random float16 model with a tokenizer of numbers, by name."""
    folders = {}

    def make(name):
        if name in folders:
            return folders[name]
        folder = folders[name] = tmp_path_factory.mktemp("dense") / name
        config_class, model_class, config = MODELS[name]
        torch.manual_seed(7)
        model = getattr(transformers, model_class)(getattr(transformers, config_class)(**config))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.1)
        model.half().save_pretrained(folder)
        save_tokenizer(folder)
        return folder

    return make


def logits_of(model):
    with torch.inference_mode():
        return model(torch.tensor([IDS])).logits.float()


def in_transformers(folder, bits):
    config = transformers.GPTQConfig(bits=bits, backend="torch")
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, device_map="cpu", quantization_config=config).eval()


def in_gptqmodel(folder):
    """It loads in half types only; what the file holds in float16 is exact in float32."""
    return GPTQModel.load(str(folder), backend=BACKEND.TORCH, device="cpu", dtype=torch.float16).model.float().eval()


def our_logits(folder, out):
    quanthost("forward", folder, "--ids", ",".join(map(str, IDS)), "--dtype", "float32", "--out", out)
    return safetensors.torch.load_file(out)["logits"]


@pytest.fixture(scope="module", params=CASES, ids=case_name)
def theirs(request, dense, tmp_path_factory):
    """A model that optimum and gptqmodel quantized: saved by transformers, and by optimum, and its logits."""
    name, bits, group_size, desc_act, sym = request.param
    folder = tmp_path_factory.mktemp("theirs")
    config = transformers.GPTQConfig(bits=bits, group_size=group_size, desc_act=desc_act, sym=sym, dataset=texts(),
                                     tokenizer=str(dense(name)), backend="torch")
    model = transformers.AutoModelForCausalLM.from_pretrained(dense(name), quantization_config=config,
                                                              dtype=torch.float32, device_map="cpu").eval()
    logits = logits_of(model)
    model.save_pretrained(folder / "transformers")
    model.hf_quantizer.optimum_quantizer.save(model, str(folder / "optimum"))
    return SimpleNamespace(transformers=folder / "transformers", optimum=folder / "optimum", logits=logits, sym=sym,
                           name=name, bits=bits)


def test_what_transformers_saves_we_load_and_save_unchanged(theirs, tmp_path):
    assert difference(our_logits(theirs.transformers, tmp_path / "logits.safetensors"), theirs.logits) < TOLERANCE
    again = tmp_path / "again"
    done = quanthost("quantize", theirs.transformers, again)
    assert "checkpoint_format" not in done.stderr
    assert_same_tensors(again, theirs.transformers)
    assert quantization_config(again) == quantization_config(theirs.transformers)


def test_what_optimum_saves_we_load_whatever_its_label_says(theirs, tmp_path):
    """GPTQQuantizer.save converts symmetric zeros to v1, and its config.json still says v2."""
    assert difference(our_logits(theirs.optimum, tmp_path / "logits.safetensors"), theirs.logits) < TOLERANCE
    again = tmp_path / "again"
    done = quanthost("quantize", theirs.optimum, again)
    assert_same_tensors(again, theirs.optimum)
    assert ("zeros of its layers are gptq" in done.stderr) == theirs.sym
    assert quantization_config(again)["checkpoint_format"] == ("gptq" if theirs.sym else "gptq_v2")


def test_convert_gives_the_bytes_that_gptqmodel_converts_to(theirs, tmp_path):
    """transformers saves the second format; for GPTQQuantizer.save gptqmodel converted it to the first."""
    if not theirs.sym:
        pytest.skip("gptqmodel converts symmetric zeros only")
    for source, target, format in ((theirs.transformers, theirs.optimum, "gptq"),
                                   (theirs.optimum, theirs.transformers, "gptq_v2")):
        out = tmp_path / format
        quanthost("convert", source, out, "--format", format)
        assert_same_tensors(out, target)
        assert quantization_config(out)["checkpoint_format"] == format
        if theirs.name != "gpt2":  # transformers 5.17 cannot load one that gptqmodel quantized
            assert difference(logits_of(in_transformers(out, theirs.bits)), theirs.logits) < TOLERANCE
    assert stored(tmp_path / "gptq") != stored(tmp_path / "gptq_v2")


@pytest.mark.parametrize("case", CASES, ids=case_name)
@pytest.mark.parametrize("format", ["gptq", "gptq_v2"])
def test_what_we_quantize_they_load(case, format, dense, tmp_path):
    name, bits, group_size, desc_act, sym = case
    if format == "gptq" and not sym:
        pytest.skip("gptqmodel refuses asymmetric files of the first format that are not its own")
    ours = tmp_path / "ours"
    quanthost("quantize", dense(name), ours,
              *method(bits=bits, group_size=group_size, desc_act=desc_act, sym=sym, format=format,
                      dataset=data_file(tmp_path), model_seqlen=48, nsamples=16))
    logits = our_logits(ours, tmp_path / "logits.safetensors")
    assert difference(logits, logits_of(in_gptqmodel(ours))) < TOLERANCE
    if name != "gpt2":  # transformers 5.17 cannot load a GPT-2 that gptqmodel quantized, its own included
        assert difference(logits, logits_of(in_transformers(ours, bits))) < TOLERANCE
    again = tmp_path / "again"
    quanthost("quantize", ours, again)
    assert_same_tensors(again, ours)
    for file in ("quantize_config.json", "gptq_report.json"):
        assert (again / file).read_text() == (ours / file).read_text()
    assert quantization_config(again) == quantization_config(ours)


def test_convert_goes_from_every_format_to_every_other_byte_for_byte(dense, tmp_path):
    settings = dict(bits=3, group_size=32, desc_act=True, sym=False, dataset=data_file(tmp_path), model_seqlen=48)
    formats = ["gptq", "gptq_v2", "gptq_p"]
    for format in formats:
        quanthost("quantize", dense("llama"), tmp_path / format, *method(format=format, **settings))
    for source in formats:
        for target in formats:
            out = tmp_path / f"{source}-as-{target}"
            quanthost("convert", tmp_path / source, out, "--format", target)
            assert_same_tensors(out, tmp_path / target)
            assert quantization_config(out)["checkpoint_format"] == target
            assert json.loads((out / "quantize_config.json").read_text())["checkpoint_format"] == target
    assert "is not quantized" in refusal("convert", dense("llama"), tmp_path / "no", "--format", "gptq_v2")
    assert "is a model folder already" in refusal("convert", tmp_path / "gptq", tmp_path / "no")


def test_gptaq_goes_on_from_its_journal_and_gptqmodel_loads_what_it_makes(dense, tmp_path):
    settings = dict(bits=3, group_size=32, dataset=data_file(tmp_path), model_seqlen=48, nsamples=16)
    journal = tmp_path / "journal"
    quanthost("quantize", dense("llama"), tmp_path / "whole", *method(**settings, gptaq=True, journal=journal))
    (last,) = journal.glob("block.1*")
    last.unlink()  # as a run leaves it that ends in the second of two blocks
    quanthost("quantize", dense("llama"), tmp_path / "resumed", *method(**settings, gptaq=True, journal=journal))
    assert stored(tmp_path / "resumed") == stored(tmp_path / "whole")
    quanthost("quantize", dense("llama"), tmp_path / "plain", *method(**settings, act_group_aware=False))
    assert stored(tmp_path / "plain") != stored(tmp_path / "whole")
    logits = our_logits(tmp_path / "whole", tmp_path / "logits.safetensors")
    assert difference(logits, logits_of(in_gptqmodel(tmp_path / "whole"))) < TOLERANCE
    assert quantization_config(tmp_path / "whole")["meta"]["gptaq"] == {"alpha": 0.25, "device": "auto"}


def test_a_vision_model_is_refused(tmp_path):
    config = transformers.ViTConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                                    image_size=16, patch_size=4)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    message = refusal("quantize", tmp_path / "vit", tmp_path / "out", *method(dataset=data_file(tmp_path)))
    assert "only pure text models can be quantized with GPTQ" in message
    assert not (tmp_path / "out").exists()


def test_a_run_killed_anywhere_goes_on_to_the_same_bytes(tmp_path):
    """Twenty kills at random moments, each followed by a run that goes on; now and then several kills in a row."""
    torch.manual_seed(11)
    config = transformers.LlamaConfig(vocab_size=VOCABULARY, hidden_size=128, intermediate_size=256,
                                      num_hidden_layers=8, num_attention_heads=4, max_position_embeddings=64,
                                      tie_word_embeddings=False)
    dense = tmp_path / "dense"
    transformers.LlamaForCausalLM(config).half().save_pretrained(dense)
    save_tokenizer(dense)
    settings = dict(bits=4, group_size=32, dataset=data_file(tmp_path), model_seqlen=48)
    began = time.monotonic()
    quanthost("quantize", dense, tmp_path / "whole", *method(**settings, journal=tmp_path / "journal"))
    seconds = time.monotonic() - began
    whole = stored(tmp_path / "whole")
    moments = random.Random(17)
    killed = resumed = 0
    for attempt in range(100):
        shutil.rmtree(tmp_path / "journal", ignore_errors=True)
        for _ in range(1 + attempt % 3):
            run = subprocess.Popen(command("quantize", dense, tmp_path / "out",
                                           *method(**settings, journal=tmp_path / "journal")),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                run.wait(timeout=moments.uniform(0.1, 1.0) * seconds)
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
                killed += 1
                resumed += any((tmp_path / "journal").glob("block*"))
        if not (tmp_path / "out").exists():
            quanthost("quantize", dense, tmp_path / "out", *method(**settings, journal=tmp_path / "journal"))
        assert stored(tmp_path / "out") == whole
        shutil.rmtree(tmp_path / "out")
        if killed >= 20 and resumed >= 5:
            break
    assert killed >= 20
    assert resumed >= 5, "too few kills came between two blocks"
