"""SmolLM2 beside transformers on the same checkpoint: logits and perplexity, in float32 and bfloat16."""

import json
import os
import pathlib
import subprocess

import numpy
import pytest
import safetensors.torch
import torch
import transformers
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODEL = ROOT / "models/smollm2"
TEXT = ROOT / "tests/interop/bnb4/public_domain.txt"

pytestmark = pytest.mark.skipif(not (MODEL / "config.json").exists(), reason="run scripts/get-smollm2 first")


def probe(request):
    done = subprocess.run([os.environ["QUANTHOST_TOOL"]], input=json.dumps(dict(request, model=str(MODEL))),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# In bfloat16 another library's rounding would show as 1e-2; the same steps in the same order give the same bits.
@pytest.mark.parametrize("dtype,tolerance", [("float32", 1e-4), ("bfloat16", 1e-3)])
def test_logits_and_perplexity(dtype, tolerance, tmp_path):
    ids = Tokenizer.from_file(str(MODEL / "tokenizer.json")).encode(TEXT.read_text()).ids
    assert len(ids) > 200
    safetensors.torch.save_file({"input_ids": torch.tensor([ids])}, tmp_path / "in.safetensors")
    answer = probe(dict(task="forward", dtype=dtype, inputs=str(tmp_path / "in.safetensors"), out=str(tmp_path / "out")))
    ours = torch.from_numpy(numpy.fromfile(tmp_path / "out", dtype=numpy.float32)).view(answer["shape"])
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=getattr(torch, dtype)).eval()
    with torch.inference_mode():
        theirs = model(torch.tensor([ids])).logits.float()
    assert ((ours - theirs).abs().max() / theirs.abs().max()).item() < tolerance
    expected = torch.nn.functional.cross_entropy(theirs[0, :-1].double(), torch.tensor(ids[1:])).exp().item()
    measured = probe(dict(task="perplexity", dtype=dtype, ids=ids, window=len(ids), stride=len(ids)))
    assert measured["tokens"] == len(ids) - 1
    assert measured["perplexity"] == pytest.approx(expected, rel=1e-3)
    print(f"{dtype}: perplexity {measured['perplexity']:.5f}, transformers {expected:.5f}")
