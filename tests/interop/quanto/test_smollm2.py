"""SmolLM2's perplexity in each type beside optimum-quanto's quantize() and freeze(), both in float32."""

import json
import math
import os
import pathlib
import subprocess

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # other processes compute too

import pytest
import torch
from optimum.quanto import freeze, qtypes, quantize
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[3]
SMOLLM2 = pathlib.Path(os.environ.get("QUANTHOST_SMOLLM2", ROOT / "models/smollm2"))
TEXT = ROOT / "tests/interop/bnb4/public_domain.txt"
# int2 leaves nothing of this model: its perplexity is beyond 10^5, where a last digit of a weight is seen.
TOLERANCE = {"int8": 1e-3, "float8": 1e-3, "int4": 1e-3, "int2": 1e-2}

if not (SMOLLM2 / "model.safetensors").exists():
    pytest.skip("no models/smollm2, and QUANTHOST_SMOLLM2 names none", allow_module_level=True)


def ours(weights):
    command = [os.environ["QUANTHOST_TOOL"], "ppl", SMOLLM2, TEXT, "--dtype", "float32", "--json",
               "--method", "quanto", "--set", f"weights={weights}"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["perplexity"]


@torch.no_grad()
def theirs(weights):
    model = AutoModelForCausalLM.from_pretrained(SMOLLM2, dtype=torch.float32).eval()
    quantize(model, weights=qtypes["q" + weights], exclude="lm_head")
    freeze(model)
    ids = AutoTokenizer.from_pretrained(SMOLLM2)(TEXT.read_text(), return_tensors="pt").input_ids
    return math.exp(model(ids, labels=ids).loss.item())


@pytest.mark.parametrize("weights", TOLERANCE)
def test_perplexity_is_upstreams(weights):
    expected, actual = theirs(weights), ours(weights)
    print(f"{weights}: ours {actual}, theirs {expected}")
    assert actual == pytest.approx(expected, rel=TOLERANCE[weights])
