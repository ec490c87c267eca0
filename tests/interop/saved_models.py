"""What tests of whole models compare: saved tensors to the byte, configs, and logits."""

import json

from safetensors import safe_open
import torch


def difference(actual, expected):
    """The largest difference over the largest value."""
    assert actual.shape == expected.shape
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def stored(folder):
    """Every tensor as its type, shape and bytes."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for key in file.keys():
                tensor = file.get_tensor(key)
                raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
                tensors[key] = (tensor.dtype, tuple(tensor.shape), raw)
    return tensors


def assert_same_tensors(actual, expected):
    actual, expected = stored(actual), stored(expected)
    assert actual.keys() == expected.keys()
    assert [key for key in expected if actual[key] != expected[key]] == []


def quantization_config(folder):
    return json.loads((folder / "config.json").read_text())["quantization_config"]
