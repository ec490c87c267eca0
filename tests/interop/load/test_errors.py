"""Errors in a quantization's configuration, raised live by transformers and by quanthost: the same kind, the same option named."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GPTQConfig, QuantoConfig
from transformers.quantizers.auto import AutoQuantizationConfig

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ.get("QUANTHOST_TOOL", str(ROOT / "build/bin/quanthost"))
MODEL = ROOT / "tests/model/goldens/llama"
KINDS = (ValueError, TypeError, AttributeError, ImportError, RuntimeError)


def ours(*arguments, model=MODEL):
    """The error that `plan` ends with: its kind and its text."""
    done = subprocess.run([TOOL, "plan", str(model), "--json", *arguments], capture_output=True, text=True)
    document = json.loads(done.stdout)
    assert "error" in document, "nothing was refused"
    return document["error"]["kind"], document["error"]["message"] + " " + document["error"]["hint"]


def quantizing(method, options, folder):
    file = folder / "quant.yaml"
    file.write_text(json.dumps({"method": method, **options}))
    return ours("--quant", str(file))


def raised(body):
    with pytest.raises(KINDS) as caught:
        body()
    return next(kind.__name__ for kind in KINDS if isinstance(caught.value, kind))


BNB = [{"load_in_4bit": True, "load_in_8bit": True}, {"load_in_4bit": 1}, {"llm_int8_threshold": 6},
       {"llm_int8_threshold": "six"}, {"bnb_4bit_use_double_quant": 1.5}, {"llm_int8_skip_modules": "lm_head"},
       {"bnb_4bit_quant_type": 4}, {"bnb_4bit_compute_dtype": "float17"}, {"bnb_4bit_compute_dtype": 3},
       {"bnb_4bit_quant_storage": "int64"}, {"bnb_4bit_quant_storage": 3}, {"llm_int8_enable_fp32_cpu_offload": 1},
       {"llm_int8_has_fp16_weight": "yes"}]
QUANTO = [{"weights": "int3"}, {"weights": None}, {"weights": "qint8"}, {"weights": 8}, {"activations": "int4"},
          {"activations": 8}]
GPTQ = [{"bits": 5}, {"bits": "4"}, {"bits": 4.5}, {"group_size": 0}, {"group_size": -2}, {"damp_percent": 1.0},
        {"damp_percent": 0.0}, {"damp_percent": -0.5}, {"dataset": 7}]


def named(options):
    return ",".join(f"{key}={value}" for key, value in options.items())


@pytest.mark.parametrize("options", BNB, ids=named)
def test_options_of_bitsandbytes(options, tmp_path):
    kind, text = quantizing("bitsandbytes_4bit", options, tmp_path)
    assert kind == raised(lambda: BitsAndBytesConfig(**options)), text
    assert list(options)[-1] in text


@pytest.mark.parametrize("options", QUANTO, ids=named)
def test_options_of_quanto(options, tmp_path):
    kind, text = quantizing("quanto", options, tmp_path)
    assert kind == raised(lambda: QuantoConfig(**options)), text
    assert list(options)[-1] in text


@pytest.mark.parametrize("options", GPTQ, ids=named)
def test_options_of_gptq(options, tmp_path):
    kind, text = quantizing("gptq", {"dataset": ["some text"], **options}, tmp_path)
    assert kind == raised(lambda: GPTQConfig(**{"bits": 4, **options})), text
    assert list(options)[-1] in text


@pytest.mark.parametrize("stored", [{"quant_method": "aqlm9"}, {"weights": "int8"},
                                    {"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_threshold": 6},
                                    {"quant_method": "quanto", "weights": "int3"}, {"quant_method": "gptq", "bits": 5}],
                         ids=named)
def test_a_checkpoints_own_configuration(stored, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = stored
    (model / "config.json").write_text(json.dumps(config))
    kind, text = ours(model=model)
    assert kind == raised(lambda: AutoQuantizationConfig.from_dict(dict(stored))), text
    assert str(list(stored.values())[-1]) in text or "quant_method" in text


def load_there(**arguments):
    return lambda: AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, **arguments)


def test_a_negative_device():
    kind, text = ours("--device-map", "-1")
    assert kind == raised(load_there(device_map=-1)), text


def test_activations_without_calibration():
    kind, text = ours("--method", "quanto", "--set", "activations=int8")
    assert kind == raised(load_there(quantization_config=QuantoConfig(activations="int8"))), text
    assert "activations" in text


def test_another_method_than_the_checkpoints(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "quanto", "weights": "int8"}
    (model / "config.json").write_text(json.dumps(config))
    kind, text = ours("--method", "bitsandbytes_4bit", model=model)
    assert kind == raised(lambda: AutoModelForCausalLM.from_pretrained(
        model, quantization_config=BitsAndBytesConfig(load_in_4bit=True))), text
    assert "quanto" in text and "bitsandbytes_4bit" in text
