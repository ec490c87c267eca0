"""Ids and decoded text equal PyPI `tokenizers` on every sample string, for a tokenizer of each kind.

Run through ctest, or: QH_TOKENIZE_TOOL=build/tests/tokenize_tool python -m pytest tests/interop/text
"""
import json
import os
import pathlib
import subprocess

import pytest

pytest.importorskip("tokenizers")
from tokenizers import Tokenizer  # noqa: E402

import sample_strings  # noqa: E402
import sample_tokenizers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ.get("QH_TOKENIZE_TOOL", str(ROOT / "build/tests/tokenize_tool"))
REAL_MODEL = ROOT / "models/smollm2/tokenizer.json"
NAMES = ["gpt2", "roberta", "opt", "smollm2_like", "gpt_neox", "llama3", "qwen2", "gpt4o", "llama2", "mistral", "gemma2",
         "phi3", "bert", "bert_cased", "t5", "xlm_roberta", "unigram_bytes", "word_level", "openai_gpt", "prefixed_bpe"]


@pytest.fixture(scope="session")
def strings():
    result = list(sample_strings.all_strings())
    assert len(result) >= 10_000
    return result


@pytest.fixture(scope="session")
def tokenizers():
    return sample_tokenizers.build_all(sample_strings.training_corpus(), size=2000)


def run_tool(path, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([TOOL, str(path)], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def differences(tokenizer, path, strings):
    """The strings on which anything differs, with what differs. No truncation, no padding."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ours = run_tool(path, strings)
    assert len(ours) == len(strings)
    for string, mine in zip(strings, ours):
        ids = tokenizer.encode(string).ids
        theirs = {"ids": ids, "bare": tokenizer.encode(string, add_special_tokens=False).ids,
                  "text": tokenizer.decode(ids), "shown": tokenizer.decode(ids, skip_special_tokens=False)}
        if mine != theirs:
            field = next(name for name in theirs if mine[name] != theirs[name])
            yield string, field, mine[field], theirs[field]


def check(tokenizer, path, strings):
    found = list(differences(tokenizer, path, strings))
    report = "\n".join(f"{s!r}\n  {field}\n  ours   {a!r}\n  theirs {b!r}" for s, field, a, b in found[:5])
    assert not found, f"{len(found)} of {len(strings)} strings differ, e.g.\n{report}"


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_package(name, tokenizers, strings, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizers[name].save(str(path))
    check(tokenizers[name], path, strings)


def test_every_builder_is_tested(tokenizers):
    assert sorted(tokenizers) == sorted(NAMES)


@pytest.mark.skipif(not REAL_MODEL.exists(), reason="run scripts/get-smollm2 first")
def test_smollm2_equals_the_package(strings):
    check(Tokenizer.from_file(str(REAL_MODEL)), REAL_MODEL, strings)


def test_refuses_invalid_utf8(tokenizers, tmp_path):
    """A lone surrogate cannot be UTF-8; JSON escapes can spell it."""
    path = tmp_path / "tokenizer.json"
    tokenizers["gpt2"].save(str(path))
    done = subprocess.run([TOOL, str(path)], input='"\\ud800"\n', capture_output=True, text=True)
    assert done.returncode == 1 and "error:" in done.stderr
