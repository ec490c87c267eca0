"""Quantized convolutions beside optimum-quanto: ViT's patch embedding, saved by one side and read by the other."""

import ctypes
import json
import os
import pathlib

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # other processes compute too

import pytest
import torch
from optimum.quanto import QConv2d, freeze, qtypes, quantize, requantize
from optimum.quanto.models import QuantizedTransformersModel
from safetensors.torch import load_file
from test_models import MAP, PLUGINS, TOOL, WEIGHTS, assert_close, assert_same_tensors, tool
from transformers import AutoModelForImageClassification, ViTConfig

CONV = "vit.embeddings.patch_embeddings.projection"
OTHERS = "[vit.encoder, classifier]"  # left as they are: transformers 5 has other names for their layers than checkpoints have
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
# Two and four bits: groups of 96, and, where a patch has 48 values, no groups.
PATCHES = {"grouped": 16, "small": 4}


class QuantizedModel(QuantizedTransformersModel):
    auto_class = AutoModelForImageClassification


class NamedTensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("tensor", ctypes.c_void_p)]


class Capsule:
    """What quanthost gives as DLPack, for torch.from_dlpack, which takes it over."""

    def __init__(self, pointer):
        ctypes.pythonapi.PyCapsule_New.restype = ctypes.py_object
        ctypes.pythonapi.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self.capsule = ctypes.pythonapi.PyCapsule_New(pointer, b"dltensor_versioned", None)

    def __dlpack__(self, **_):
        return self.capsule

    def __dlpack_device__(self):
        return 1, 0  # the CPU


@pytest.fixture(scope="module")
def library():
    os.environ["QUANTHOST_PLUGIN_PATH"] = PLUGINS
    loaded = ctypes.CDLL(str(pathlib.Path(TOOL).parents[1] / "lib/libquanthost.so"))
    loaded.quanthost_error_message.restype = ctypes.c_char_p
    return loaded


def our_logits(library, folder):
    error, host, model, out = (ctypes.c_void_p() for _ in range(4))

    def check(status):
        assert status == 0, library.quanthost_error_message(error).decode()

    check(library.quanthost_host_create(None, ctypes.byref(host), ctypes.byref(error)))
    check(library.quanthost_model_load(host, str(folder).encode(), None, ctypes.byref(model), ctypes.byref(error)))
    ctypes.pythonapi.PyCapsule_GetPointer.restype = ctypes.c_void_p
    ctypes.pythonapi.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = PIXELS.__dlpack__(max_version=(1, 0))
    pixels = NamedTensor(b"pixel_values", ctypes.pythonapi.PyCapsule_GetPointer(capsule, b"dltensor_versioned"))
    check(library.quanthost_model_forward(model, ctypes.byref(pixels), ctypes.c_uint64(1), ctypes.byref(out),
                                          ctypes.byref(error)))
    logits = torch.from_dlpack(Capsule(out)).clone()
    library.quanthost_model_free(model)
    library.quanthost_host_free(host)
    return logits


@torch.no_grad()
def their_logits(model):
    return model(PIXELS).logits


@pytest.fixture(scope="module", params=PATCHES)
def tiny(request, tmp_path_factory):
    torch.manual_seed(5)
    config = ViTConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=32,
                       patch_size=PATCHES[request.param], num_labels=7)
    directory = tmp_path_factory.mktemp("vit")
    AutoModelForImageClassification.from_config(config).eval().save_pretrained(directory)
    return directory


def saved_by_upstream(tiny, weights, folder):
    model = AutoModelForImageClassification.from_pretrained(tiny, dtype=torch.float32).eval()
    quantize(model, weights=qtypes["q" + weights], include=CONV)
    freeze(model)
    assert isinstance(model.get_submodule(CONV), QConv2d)
    QuantizedModel(model).save_pretrained(folder)
    return model


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_convolution_has_upstreams_bytes_and_upstream_reads_it(library, tiny, weights, tmp_path):
    theirs = saved_by_upstream(tiny, weights, tmp_path / "theirs")
    tool("quantize", tiny, tmp_path / "ours", "--method", "quanto", "--set", f"weights={weights}", "--set",
         "convolutions=true", "--set", f"modules_to_not_convert={OTHERS}", "--dtype", "float32")
    stored = load_file(tmp_path / "ours/model.safetensors")
    assert_same_tensors(stored, load_file(tmp_path / "theirs/model.safetensors"))
    assert (tmp_path / "ours" / MAP).read_text() == (tmp_path / "theirs" / MAP).read_text()
    assert CONV + ".weight._scale" in stored

    ours = our_logits(library, tmp_path / "ours")
    assert_close(ours, their_logits(theirs))
    dense = AutoModelForImageClassification.from_pretrained(tiny, dtype=torch.float32).eval()
    assert (their_logits(dense) - ours).abs().max() > 1e-5, "the quantized weight changes nothing"
    requantize(dense, stored, json.loads((tmp_path / "ours" / MAP).read_text()), device=torch.device("cpu"))
    assert_close(their_logits(dense), ours)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_convolution_that_upstream_saved_is_read_and_saved_unchanged(library, tiny, weights, tmp_path):
    theirs = saved_by_upstream(tiny, weights, tmp_path / "theirs")
    assert_close(our_logits(library, tmp_path / "theirs"), their_logits(theirs))
    tool("quantize", tmp_path / "theirs", tmp_path / "again", "--dtype", "float32")
    assert_same_tensors(load_file(tmp_path / "again/model.safetensors"),
                        load_file(tmp_path / "theirs/model.safetensors"))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_dequantized_convolution_has_upstreams_values(library, tiny, weights, tmp_path):
    theirs = saved_by_upstream(tiny, weights, tmp_path / "theirs")
    tool("dequantize", tmp_path / "theirs", tmp_path / "plain", "--dtype", "float32")
    assert not (tmp_path / "plain" / MAP).exists()
    dense = load_file(tmp_path / "plain/model.safetensors")
    assert torch.equal(dense[CONV + ".weight"], theirs.get_submodule(CONV).weight.dequantize())
    assert_close(our_logits(library, tmp_path / "plain"), their_logits(theirs))


def test_convolutions_stay_as_they_are_unless_asked_for(tiny, tmp_path):
    tool("quantize", tiny, tmp_path / "ours", "--method", "quanto", "--dtype", "float32")
    assert CONV + ".weight" in load_file(tmp_path / "ours/model.safetensors")
