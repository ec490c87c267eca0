"""Quantized activations beside optimum-quanto: scales after the same batches, and the logits of calibrated models."""

import json
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # other processes compute too

import pytest
import torch
from optimum.quanto import Calibration, QuantizedModelForCausalLM, freeze, qtypes, quantize
from optimum.quanto.tensor.activations import ActivationQBytesTensor, qbytes_ops
from safetensors.torch import load_file
from test_models import MAP, assert_same_tensors, their_logits, tiny_config, tool
from transformers import AutoModelForCausalLM

IDS = [1, 5, 60, 2, 93, 17, 44, 8, 31, 77, 12, 3]
TYPES = [("int8", "int8"), ("int8", "float8"), ("float8", "float8"), ("int4", "int8")]
SCALE_TOLERANCE = 1e-6
LOGIT_TOLERANCE = 1e-3
BATCHES = [torch.randint(0, 96, (1, 16), generator=torch.Generator().manual_seed(seed)) for seed in range(5)]


@pytest.fixture(autouse=True)
def whole_negation(monkeypatch):
    """optimum-quanto 0.2.7 negates the int8 code -128 to -128: a key or query that was clamped there keeps its sign where
    its rotation turns it. Ours turns it; so do both here, and every other bit is compared."""
    monkeypatch.setitem(qbytes_ops._QBYTESTENSOR_OP_TABLE, torch.ops.aten.neg, lambda x: torch.neg(x.dequantize()))


def test_the_negation_that_is_set_aside_is_still_wrong_upstream(monkeypatch):
    monkeypatch.undo()
    lowest = ActivationQBytesTensor.quantize(torch.tensor([[-128.0]]), qtypes["qint8"], torch.tensor(1.0))
    assert (-lowest).dequantize().item() == -128


@pytest.fixture(scope="module", params=["llama", "opt"])
def dense(request, tmp_path_factory):
    torch.manual_seed(7)
    directory = tmp_path_factory.mktemp(request.param)
    AutoModelForCausalLM.from_config(tiny_config(request.param)).eval().save_pretrained(directory)
    return directory


def theirs(dense, out, weights, activations, streamline):
    """Calibrated and saved by optimum-quanto, and the logits of the model it loads again."""
    model = AutoModelForCausalLM.from_pretrained(dense, dtype=torch.float32).eval()
    quantize(model, weights=qtypes["q" + weights], activations=qtypes["q" + activations], exclude="lm_head")
    with torch.no_grad(), Calibration(streamline=streamline):
        for batch in BATCHES:
            model(batch)
    freeze(model)
    QuantizedModelForCausalLM(model).save_pretrained(out)
    return their_logits(QuantizedModelForCausalLM.from_pretrained(out))


def our_logits(directory, out):
    tool("forward", directory, "--ids", ",".join(map(str, IDS)), "--out", out, "--dtype", "float32")
    return load_file(out)["logits"]


def assert_close(actual, expected, relative):
    assert actual.shape == expected.shape
    difference = ((actual - expected).abs().max() / expected.abs().max()).item()
    print(f"largest difference of logits {difference:.2e}")
    assert difference < relative


@pytest.mark.parametrize("streamline", [True, False], ids=["streamlined", "every_output"])
@pytest.mark.parametrize("weights,activations", TYPES)
def test_a_model_that_upstream_calibrated_gives_its_logits(dense, weights, activations, streamline, tmp_path):
    expected = theirs(dense, tmp_path / "theirs", weights, activations, streamline)
    assert_close(our_logits(tmp_path / "theirs", tmp_path / "logits.safetensors"), expected, 1e-3)
    tool("quantize", tmp_path / "theirs", tmp_path / "again", "--dtype", "float32")
    assert_same_tensors(load_file(tmp_path / "again/model.safetensors"), load_file(tmp_path / "theirs/model.safetensors"))
    assert json.loads((tmp_path / "again" / MAP).read_text()) == json.loads((tmp_path / "theirs" / MAP).read_text())


@pytest.mark.parametrize("streamline", [True, False], ids=["streamlined", "every_output"])
@pytest.mark.parametrize("weights,activations", TYPES)
def test_our_calibration_finds_upstreams_scales(dense, weights, activations, streamline, tmp_path):
    expected_logits = theirs(dense, tmp_path / "theirs", weights, activations, streamline)
    data = json.dumps([{"input_ids": batch[0].tolist()} for batch in BATCHES])
    tool("quantize", dense, tmp_path / "ours", "--dtype", "float32", "--method", "quanto",
         "--set", f"weights={weights}", "--set", f"activations={activations}", "--set", f"calibration={data}",
         "--set", f"calibration_streamline={str(streamline).lower()}")
    ours, expected = load_file(tmp_path / "ours/model.safetensors"), load_file(tmp_path / "theirs/model.safetensors")
    assert sorted(ours) == sorted(expected)
    scales = [name for name in expected if name.endswith(("input_scale", "output_scale"))]
    assert any(expected[name] != 1 for name in scales)
    worst = max(scales, key=lambda name: abs(ours[name] / expected[name] - 1).item())
    differing = [name for name in scales if abs(ours[name] / expected[name] - 1) > 1e-6]
    print(f"differing: {differing}")
    print(f"largest relative difference of {len(scales)} scales: {abs(ours[worst] / expected[worst] - 1).item():.1e}")
    for name in scales:
        assert ours[name].item() == pytest.approx(expected[name].item(), rel=SCALE_TOLERANCE), name
    assert "calibration" not in json.loads((tmp_path / "ours/config.json").read_text())["quantization_config"]
    # Saved by us, both read the same.
    reloaded = their_logits(QuantizedModelForCausalLM.from_pretrained(tmp_path / "ours"))
    assert_close(our_logits(tmp_path / "ours", tmp_path / "logits.safetensors"), reloaded, 1e-3)
    assert_close(reloaded, expected_logits, LOGIT_TOLERANCE)
