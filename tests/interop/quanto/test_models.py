"""Quantized models both ways, live: what quanthost saves optimum-quanto reads, what it saves quanthost reads."""

import json
import os
import pathlib
import subprocess

import pytest
import torch
from accelerate import init_empty_weights
from optimum.quanto import QuantizedModelForCausalLM, qtypes, requantize
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, OPTConfig

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ.get("QUANTHOST_TOOL", str(ROOT / "build/bin/quanthost"))
PLUGINS = os.environ.get("QUANTHOST_PLUGIN_PATH", str(ROOT / "build/plugins"))
if not os.path.exists(TOOL):
    pytest.skip(f"{TOOL} is not built", allow_module_level=True)

MAP = "quanto_qmap.json"
WEIGHTS = ("int8", "int4", "int2", "float8")
IDS = [1, 5, 60, 2, 93, 17, 44, 8, 31, 77, 12, 3]

def tool(*arguments):
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "QUANTHOST_PLUGIN_PATH": PLUGINS})
    assert done.returncode == 0, done.stderr
    return done.stdout


def our_logits(directory, out, *options):
    tool("forward", directory, "--ids", ",".join(map(str, IDS)), "--out", out, "--dtype", "float32", *options)
    return load_file(out)["logits"]


@torch.no_grad()
def their_logits(model):
    return model(input_ids=torch.tensor([IDS])).logits.float()


def assert_close(a, b, relative=1e-5):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= relative * b.abs().max()


def assert_same_tensors(a, b):
    assert sorted(a) == sorted(b)
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape, name
        assert torch.equal(a[name].contiguous().view(-1).view(torch.uint8),
                           b[name].contiguous().view(-1).view(torch.uint8)), name


def tiny_config(kind):
    if kind == "llama":
        return LlamaConfig(vocab_size=96, hidden_size=160, intermediate_size=256, num_hidden_layers=2,
                           num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                           tie_word_embeddings=True)
    return OPTConfig(vocab_size=96, hidden_size=64, ffn_dim=192, num_hidden_layers=2, num_attention_heads=4,
                     max_position_embeddings=64, word_embed_proj_dim=64, tie_word_embeddings=False)


@pytest.fixture(scope="module", params=["llama", "opt"])
def tiny(request, tmp_path_factory):
    """A random float32 model of few layers, saved by transformers."""
    torch.manual_seed(7)
    directory = tmp_path_factory.mktemp(request.param)
    AutoModelForCausalLM.from_config(tiny_config(request.param)).eval().save_pretrained(directory)
    return directory


def upstream(directory, weights, **options):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return QuantizedModelForCausalLM.quantize(model, weights=qtypes["q" + weights], **options)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_upstream_reads_what_we_save(tiny, weights, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    tool("quantize", tiny, ours, "--method", "quanto", "--set", f"weights={weights}", "--dtype", "float32")
    logits = our_logits(ours, tmp_path / "logits.safetensors")

    assert_close(their_logits(QuantizedModelForCausalLM.from_pretrained(ours)), logits)

    with init_empty_weights():
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny)).eval()
    stored = load_file(ours / "model.safetensors")
    requantize(empty, stored, json.loads((ours / MAP).read_text()), device=torch.device("cpu"))
    empty.tie_weights()
    assert_close(their_logits(empty), logits)

    # The same layout and bytes as upstream writes for the same layers.
    upstream(tiny, weights, exclude="lm_head").save_pretrained(theirs)
    assert (ours / MAP).read_text() == (theirs / MAP).read_text()
    assert_same_tensors(stored, load_file(theirs / "model.safetensors"))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_we_read_what_upstream_saves(tiny, weights, tmp_path):
    theirs = tmp_path / "theirs"
    model = upstream(tiny, weights)
    model.save_pretrained(theirs)
    assert "quantization_config" not in json.loads((theirs / "config.json").read_text())

    logits = our_logits(theirs, tmp_path / "logits.safetensors")

    assert_close(logits, their_logits(model))

    # The map is all that says what it is; saved again by us the config says it too.
    again = tmp_path / "again"
    tool("quantize", theirs, again, "--dtype", "float32")
    assert_same_tensors(load_file(again / "model.safetensors"), load_file(theirs / "model.safetensors"))
    assert json.loads((again / MAP).read_text()) == json.loads((theirs / MAP).read_text())
    assert json.loads((again / "config.json").read_text())["quantization_config"]["weights"] == weights
