"""Quantized while it is loaded, beside transformers' own quantizer for quanto: the element types that a model gets, and every
byte of it."""

import json
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # other processes compute too

import pytest
import torch
from safetensors.torch import load_file
from test_models import assert_same_tensors, tiny_config, tool
from transformers import AutoModelForCausalLM, QuantoConfig

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@pytest.fixture(scope="module", params=TYPES)
def stored(request, tmp_path_factory):
    """A tiny model as a checkpoint of this type."""
    torch.manual_seed(7)
    directory = tmp_path_factory.mktemp(request.param)
    AutoModelForCausalLM.from_config(tiny_config("opt")).to(TYPES[request.param]).save_pretrained(directory)
    assert json.loads((directory / "config.json").read_text())["dtype"] == request.param
    return directory


def theirs(directory, weights, **options):
    model = AutoModelForCausalLM.from_pretrained(directory, quantization_config=QuantoConfig(weights=weights), **options)
    assert model.hf_quantizer.quantization_config.quant_method == "quanto"
    return without_scales_of_activations(model.state_dict())


def ours(directory, weights, out, *options):
    tool("quantize", directory, out, "--method", "quanto", "--set", f"weights={weights}", *options)
    return without_scales_of_activations(load_file(out / "model.safetensors"))


def without_scales_of_activations(tensors):
    """transformers' loader leaves the ones that nobody calibrated in float32; ours has them in the weight's type, as
    optimum-quanto saves them."""
    assert all(tensors[name] == 1 for name in tensors if name.endswith(("input_scale", "output_scale")))
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(("input_scale", "output_scale"))}


def assert_is_quantized(tensors, dtype):
    assert any(name.endswith("weight._scale") for name in tensors)
    assert {tensor.dtype for name, tensor in tensors.items() if "_data" not in name} == {dtype}


@pytest.mark.parametrize("weights", ("int8", "int4", "int2", "float8"))
def test_a_model_keeps_the_type_that_it_is_stored_in(stored, weights, tmp_path):
    expected = theirs(stored, weights)
    assert_is_quantized(expected, TYPES[json.loads((stored / "config.json").read_text())["dtype"]])
    assert_same_tensors(ours(stored, weights, tmp_path / "ours"), expected)


def test_auto_and_none_are_that_type(stored, tmp_path):
    tensors = ours(stored, "int8", tmp_path / "ours", "--dtype", "auto")
    for dtype in ("auto", None):
        assert_same_tensors(tensors, theirs(stored, "int8", dtype=dtype))


@pytest.mark.parametrize("dtype", TYPES)
def test_a_type_that_is_asked_for_is_taken(stored, dtype, tmp_path):
    expected = theirs(stored, "int8", dtype=dtype)
    assert_is_quantized(expected, TYPES[dtype])
    assert_same_tensors(ours(stored, "int8", tmp_path / "ours", "--dtype", dtype), expected)


def test_a_config_without_a_type_leaves_that_of_the_tensors(stored, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in stored.iterdir():
        (bare / file.name).write_bytes(file.read_bytes())
    config = json.loads((bare / "config.json").read_text())
    del config["dtype"]
    (bare / "config.json").write_text(json.dumps(config))
    assert_same_tensors(ours(bare, "int8", tmp_path / "ours"), theirs(bare, "int8"))
