"""Whole models beside transformers + bitsandbytes: checkpoints both ways, and SmolLM2's perplexity and greedy tokens.

Both sides compute in float32. Where the CPU has AVX512-BF16, bitsandbytes would repack its weights at the first forward in
eval mode and round their scales to bfloat16; its layers are therefore kept in training mode, which does not.
"""

import json
import os
import pathlib
import subprocess
import sys
from types import SimpleNamespace

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # other processes compute too

import bitsandbytes
import pytest
import safetensors.torch
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from saved_models import assert_same_tensors, difference, quantization_config  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
SMOLLM2 = pathlib.Path(os.environ.get("QUANTHOST_SMOLLM2", ROOT / "models/smollm2"))
TEXT = pathlib.Path(__file__).parent / "public_domain.txt"
IDS = [3, 17, 42, 5, 60, 11, 8, 29, 33, 2, 51, 7]
TOLERANCE = 2e-5  # largest difference of logits over the largest logit, in float32

# Rows of 64: where blocks do not end with rows, bitsandbytes' AVX-512 dequantize is wrong.
MODELS = {
    "llama": ("LlamaConfig", "LlamaForCausalLM",
              dict(vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                   num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False)),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel",
             dict(vocab_size=64, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)),
    "opt": ("OPTConfig", "OPTForCausalLM",
            dict(vocab_size=64, hidden_size=64, ffn_dim=128, num_hidden_layers=2, num_attention_heads=4,
                 max_position_embeddings=64, word_embed_proj_dim=64, do_layer_norm_before=True)),
}
OPTIONS = {
    "nf4": dict(bnb_4bit_quant_type="nf4"),
    "fp4": dict(bnb_4bit_quant_type="fp4"),
    "nf4_double": dict(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "fp4_double": dict(bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=True),
    "nf4_in_bfloat16": dict(bnb_4bit_quant_type="nf4", bnb_4bit_quant_storage="bfloat16"),
}
CASES = (
    [("llama", options, "bfloat16") for options in OPTIONS]
    + [("llama", "nf4", "float16"), ("llama", "nf4_double", "float32")]
    + [("gpt2", "nf4", "bfloat16"), ("gpt2", "fp4_double", "float16"), ("gpt2", "nf4_in_bfloat16", "float32")]
    + [("opt", "nf4_double", "bfloat16"), ("opt", "fp4", "float16")]
)


def quanthost(*arguments):
    command = [os.environ["QUANTHOST_TOOL"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout


def method(options):
    flags = ["--method", "bitsandbytes_4bit"]
    for key, value in OPTIONS[options].items():
        flags += ["--set", f"{key}={str(value).lower()}"]
    return flags


def dense_checkpoint(name, dtype, folder):
    config_class, model_class, config = MODELS[name]
    torch.manual_seed(7)
    model = getattr(transformers, model_class)(getattr(transformers, config_class)(**config))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def in_transformers(folder, dtype, **arguments):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="eager", **arguments).eval()
    layers = [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert layers, "transformers made no 4-bit layer"
    for layer in layers:
        layer.training = True  # see above
    return model


def their_logits(folder):
    with torch.inference_mode():
        return in_transformers(folder, "float32")(torch.tensor([IDS])).logits


def our_logits(folder, out):
    quanthost("forward", folder, "--ids", ",".join(map(str, IDS)), "--dtype", "float32", "--out", out)
    return safetensors.torch.load_file(out)["logits"]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request, tmp_path_factory):
    """A dense checkpoint, what transformers + bitsandbytes make of it, and the logits of that."""
    name, options, dtype = request.param
    folder = tmp_path_factory.mktemp("case")
    dense = dense_checkpoint(name, dtype, folder / "dense")
    config = transformers.BitsAndBytesConfig(load_in_4bit=True, **OPTIONS[options])
    in_transformers(dense, dtype, quantization_config=config).save_pretrained(folder / "theirs")
    return SimpleNamespace(options=options, dense=dense, theirs=folder / "theirs",
                           logits=their_logits(folder / "theirs"))


def test_what_we_save_transformers_loads(case, tmp_path):
    ours = tmp_path / "ours"
    quanthost("quantize", case.dense, ours, *method(case.options))
    assert_same_tensors(ours, case.theirs)
    assert quantization_config(ours) == quantization_config(case.theirs)
    assert torch.equal(their_logits(ours), case.logits)
    assert difference(our_logits(ours, tmp_path / "logits.safetensors"), case.logits) < TOLERANCE


def test_what_transformers_saves_we_load_and_save_unchanged(case, tmp_path):
    assert difference(our_logits(case.theirs, tmp_path / "logits.safetensors"), case.logits) < TOLERANCE
    again = tmp_path / "again"
    quanthost("quantize", case.theirs, again)
    assert_same_tensors(again, case.theirs)
    assert quantization_config(again) == quantization_config(case.theirs)


@pytest.fixture(scope="module")
def smollm2():
    if not (SMOLLM2 / "model.safetensors").exists():
        pytest.skip("no models/smollm2, and QUANTHOST_SMOLLM2 names none")
    config = transformers.BitsAndBytesConfig(load_in_4bit=True, **OPTIONS["nf4"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(SMOLLM2)
    return in_transformers(SMOLLM2, "float32", quantization_config=config), tokenizer


def test_smollm2_perplexity_is_theirs_within_a_thousandth(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer(TEXT.read_text(), return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = model(ids, labels=ids).loss.exp().item()
    answer = json.loads(quanthost("ppl", SMOLLM2, TEXT, "--dtype", "float32", "--json", *method("nf4")))
    print(f"perplexity of {ids.shape[1]} tokens: ours {answer['perplexity']}, theirs {expected}")
    assert answer["perplexity"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("prompt", ["Once upon a time", "The capital of France is", "def fibonacci(n):",
                                    "Water boils at a temperature of"])
def test_smollm2_generates_the_tokens_that_transformers_generates(smollm2, prompt):
    model, tokenizer = smollm2
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=64)
    answer = json.loads(quanthost("run", SMOLLM2, "-p", prompt, "-n", 64, "--greedy", "--dtype", "float32", "--json",
                                  *method("nf4")))
    assert answer["tokens"] == expected[0, ids.shape[1]:].tolist()
