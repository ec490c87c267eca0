"""The inputs of layers that calibration shows a quantizer, compared live with hooks in transformers while optimum's own
functions find the blocks and layers, prepare the data and run the model block by block."""

import json
import os
import pathlib
import subprocess
import sys

import numpy
import pytest
import torch
from optimum.gptq.data import prepare_dataset
from optimum.gptq.utils import get_block_name_with_pattern, get_layers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/interop/model"))
import tiny_models  # noqa: E402

TOOL = os.environ.get("QUANTHOST_TOOL", str(ROOT / "build/bin/quanthost"))
PLUGINS = os.environ.get("QUANTHOST_PLUGIN_PATH", str(ROOT / "build/tests/load_plugins"))
TEXT = ROOT / "tests/interop/bnb4/public_domain.txt"
FAMILIES = ("llama", "llama_tied_bias", "llama_dynamic", "mistral", "mixtral", "qwen2", "qwen3", "gemma2", "phi3",
            "gpt_neox", "gpt_neox_serial", "gpt2", "opt", "opt_post_norm", "llama_bare")
PAD = 0


def calibrate(folder, out, **options):
    """Runs the test's plugin. Gives the inputs it was shown, by layer and batch, and its log."""
    dump = out / "dump"
    dump.mkdir(parents=True)
    options = {"method": "calibrating", "log": str(out / "log"), "dump": str(dump), **options}
    quant = out / "quant.yaml"
    quant.write_text(json.dumps(options))
    done = subprocess.run([TOOL, "load", str(folder), "--quant", str(quant), "--dtype", "float32"],
                          capture_output=True, text=True, env={**os.environ, "QUANTHOST_PLUGIN_PATH": PLUGINS})
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    inputs = {}
    for file in dump.iterdir():
        layer, batch = file.name.removesuffix(".f32").rsplit(".", 1)
        inputs[layer, int(batch)] = torch.from_numpy(numpy.fromfile(file, dtype=numpy.float32))
    return inputs, (out / "log").read_text().splitlines()


def rounded(weight):
    return torch.round(weight * 16) / 16


@torch.no_grad()
def reference(model, samples, batch_size, only=""):
    """As optimum 2.3's quantize_model goes through a model without cached outputs, with rounding in the place of GPTQ.
    Two of its slips are left out: it gives every block the mask of the first one, though sliding windows alternate, and
    it forgets what a block is given by position, which in GPT-2 is the mask."""
    model.config.use_cache = False
    prefix = get_block_name_with_pattern(model)
    examples = [{key: [value] for key, value in sample.items()} for sample in samples]
    batches = prepare_dataset(examples, batch_size=batch_size, pad_token_id=PAD)
    inputs, order = {}, []
    for index, block in enumerate(model.get_submodule(prefix)):
        hidden, others = [], []

        def store(_, args, kwargs):
            rest = args
            if "hidden_states" in kwargs:
                hidden.append(kwargs.pop("hidden_states"))
            else:
                hidden.append(args[0])
                rest = args[1:]
            others.append((rest, kwargs))
            raise ValueError

        handle = block.register_forward_pre_hook(store, with_kwargs=True)
        for batch in batches:
            with pytest.raises(ValueError):
                model(**batch)
        handle.remove()
        for name, layer in get_layers(block).items():
            full = f"{prefix}.{index}.{name}"
            if only not in full:
                continue
            order.append(full)

            def keep(_, args, full=full):
                inputs[full, keep.batch] = args[0].reshape(-1, args[0].shape[-1]).clone()

            handle = layer.register_forward_pre_hook(keep)
            for keep.batch in range(len(batches)):
                rest, kwargs = others[keep.batch]
                block(hidden[keep.batch], *rest, **kwargs)
            handle.remove()
            layer.weight.copy_(rounded(layer.weight))
    return inputs, order


@torch.no_grad()
def cached_reference(model, samples, batch_size):
    """As optimum does it by default: what the first block is given beside the hidden states serves all blocks, and a block's
    outputs are the next one's inputs."""
    model.config.use_cache = False
    prefix = get_block_name_with_pattern(model)
    blocks = model.get_submodule(prefix)
    hidden, others, inputs = [], [], {}

    def store(_, args, kwargs):
        hidden.append(kwargs.pop("hidden_states") if "hidden_states" in kwargs else args[0])
        others.append(kwargs)
        raise ValueError

    handle = blocks[0].register_forward_pre_hook(store, with_kwargs=True)
    for batch in prepare_dataset([{key: [value] for key, value in sample.items()} for sample in samples],
                                 batch_size=batch_size, pad_token_id=PAD):
        with pytest.raises(ValueError):
            model(**batch)
    handle.remove()
    for index, block in enumerate(blocks):
        for name, layer in get_layers(block).items():
            def keep(_, args, full=f"{prefix}.{index}.{name}"):
                inputs[full, keep.batch] = args[0].reshape(-1, args[0].shape[-1]).clone()

            handle = layer.register_forward_pre_hook(keep)
            for keep.batch, kwargs in enumerate(others):
                block(hidden[keep.batch], **kwargs)
            handle.remove()
            layer.weight.copy_(rounded(layer.weight))
        outputs = [block(states, **kwargs) for states, kwargs in zip(hidden, others)]
        hidden = [output if torch.is_tensor(output) else output[0] for output in outputs]
    return inputs


def samples_of(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(2, 64, (length,), generator=generator).tolist() for length in lengths]
    return [{"input_ids": row, "attention_mask": [1] * len(row)} for row in ids]


def assert_same(ours, theirs):
    assert sorted(ours) == sorted(theirs)
    for key, wanted in theirs.items():
        got = ours[key].view(wanted.shape)
        worst = (got - wanted).abs().max() / wanted.abs().max()
        assert worst <= 1e-5, f"{key}: {worst}"


def saved(name, folder):
    model = tiny_models.make(name)
    model.save_pretrained(folder)
    return tiny_models.load(name, folder, torch.float32)


@pytest.mark.parametrize("batch_size", (1, 3))
@pytest.mark.parametrize("name", FAMILIES)
def test_layers_are_shown_the_inputs_that_hooks_see_in_transformers(name, batch_size, tmp_path):
    model = saved(name, tmp_path / "model")
    # Dynamic frequencies depend on the samples before, and this reference shows them to the model once a block: here all
    # have one length.
    samples = samples_of((12, 12, 12, 12) if "dynamic" in name else (12, 7, 12, 9))
    only = "self_attn" if name == "mixtral" else ""  # transformers keeps the experts in one tensor
    ours, log = calibrate(tmp_path / "model", tmp_path / "out", dataset=samples, batch_size=batch_size,
                          pad_token_id=PAD, only=only)
    theirs, order = reference(model, samples, batch_size, only)
    assert [line.split()[1] for line in log if line.startswith("quantized ")] == order
    assert_same(ours, theirs)


@pytest.mark.parametrize("batch_size", (1, 3))
def test_dynamic_frequencies_follow_the_samples_before(batch_size, tmp_path):
    model = saved("llama_dynamic", tmp_path / "model")  # trained for 8 positions
    samples = samples_of((12, 7, 16, 10, 9, 5, 9, 20, 11, 8, 7, 3))
    ours, _ = calibrate(tmp_path / "model", tmp_path / "out", dataset=samples, batch_size=batch_size, pad_token_id=PAD)
    assert_same(ours, cached_reference(model, samples, batch_size))


def small_tokenizer(folder):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    lines = TEXT.read_text().splitlines()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=64, special_tokens=["<pad>", "<unk>"]))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    return tokenizer


def test_a_list_of_strings_is_encoded_sample_by_sample(tmp_path):
    model = saved("llama", tmp_path / "model")
    tokenizer = small_tokenizer(tmp_path / "model")
    texts = TEXT.read_text().splitlines()[:3]
    texts = [text for text in texts if text] + ["and a short one"]
    ours, _ = calibrate(tmp_path / "model", tmp_path / "out", dataset=texts)
    ids = [tokenizer.encode(text).ids for text in texts]
    theirs, _ = reference(model, [{"input_ids": row, "attention_mask": [1] * len(row)} for row in ids], 1)
    assert_same(ours, theirs)


@pytest.mark.parametrize("kind", ("txt", "jsonl"))
def test_a_file_is_cut_into_samples_of_one_length(kind, tmp_path):
    model = saved("llama", tmp_path / "model")
    tokenizer = small_tokenizer(tmp_path / "elsewhere")
    text = TEXT.read_text()
    data = tmp_path / f"data.{kind}"
    if kind == "txt":
        data.write_text(text)
        ids = tokenizer.encode(text).ids
    else:
        lines = [line for line in text.splitlines() if line]
        data.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
        ids = [token for line in lines for token in tokenizer.encode(line).ids]
    samples = [ids[start:start + 10] for start in range(0, 40, 10)]
    ours, _ = calibrate(tmp_path / "model", tmp_path / "out", dataset=str(data), seqlen=10, samples=4,
                        tokenizer=str(tmp_path / "elsewhere"))
    theirs, _ = reference(model, [{"input_ids": row, "attention_mask": [1] * len(row)} for row in samples], 1)
    assert_same(ours, theirs)


def test_a_vision_model_is_refused(tmp_path):
    tiny_models.make("vit").save_pretrained(tmp_path / "model")
    with pytest.raises(RuntimeError, match="only text models"):
        calibrate(tmp_path / "model", tmp_path / "out", dataset=[{"input_ids": [1]}])


def test_a_list_of_blocks_that_optimum_does_not_find_has_to_be_named(tmp_path):
    model = saved("bert", tmp_path / "model")
    with pytest.raises(ValueError):
        get_block_name_with_pattern(model)
    samples = samples_of((6, 4))
    with pytest.raises(RuntimeError, match="block_name_to_quantize"):
        calibrate(tmp_path / "model", tmp_path / "refused", dataset=samples)
    ours, _ = calibrate(tmp_path / "model", tmp_path / "out", dataset=samples, block="bert.encoder.layer")
    assert any(layer.startswith("bert.encoder.layer.1.") for layer, _ in ours)


def test_a_path_is_taken_from_the_current_directory(tmp_path):
    saved("llama", tmp_path / "model")
    small_tokenizer(tmp_path / "model")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/data.txt").write_text(TEXT.read_text())
    done = subprocess.run([TOOL, "load", "../model", "--method", "calibrating", "--set", "dataset=data.txt",
                           "--set", "seqlen=8", "--set", "samples=2", "--set", "log=log", "--dtype", "float32"],
                          cwd=tmp_path / "work", capture_output=True, text=True,
                          env={**os.environ, "QUANTHOST_PLUGIN_PATH": PLUGINS})
    assert done.returncode == 0, done.stderr
    assert "advance 1" in (tmp_path / "work/log").read_text()
