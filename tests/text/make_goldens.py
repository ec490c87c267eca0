#!/usr/bin/env python3
"""Writes tests/text/golden/*.json: small tokenizers trained with PyPI `tokenizers`, and what it makes of the texts in texts.json,
one case a text. Training is not deterministic, so a tokenizer that is there is kept: remove its file to train it anew.

usage: .venv/bin/python tests/text/make_goldens.py     (tokenizers 0.23.3; the version is written into each file)
"""
import json
import pathlib
import sys

import tokenizers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop/text"))
import sample_strings  # noqa: E402
import sample_tokenizers as build  # noqa: E402

CORPUS = sample_strings.SENTENCES * 3
LATIN = sample_strings.SENTENCES[:4] * 5  # Unigram needs every character of its corpus in the vocabulary
TRAINED = {
    "gpt2": lambda: build.gpt2(CORPUS, 320), "roberta": lambda: build.roberta(CORPUS, 320),
    "smollm2_like": lambda: build.smollm2(CORPUS, 320),
    "gpt_neox": lambda: build.gpt_neox(CORPUS, 320),
    "llama3": lambda: build.split_bpe(build.LLAMA3, CORPUS, 320, ignore_merges=True),
    "llama2": lambda: build.llama2(CORPUS, 560), "mistral": lambda: build.mistral(CORPUS, 560), "gemma2": lambda: build.gemma2(CORPUS, 560),
    "bert": lambda: build.bert(CORPUS, 350), "t5": lambda: build.t5(LATIN, 200), "unigram_bytes": lambda: build.unigram_bytes(LATIN, 200),
    "word_level": lambda: build.word_level(CORPUS, 150), "openai_gpt": lambda: build.openai_gpt(CORPUS, 350),
    "prefixed_bpe": lambda: build.prefixed_bpe(CORPUS, 350),
}


def tokenizer_of(name):
    path = HERE / "golden" / f"{name}.json"
    if path.exists():
        return tokenizers.Tokenizer.from_str(json.dumps(json.loads(path.read_text())["tokenizer"]))
    return TRAINED[name]()


def case(tokenizer, texts, i):
    """What can be told from another field is left out: the golden test knows what it then is."""
    text, ids = texts[i], tokenizer.encode(texts[i]).ids
    case = {"ids": ids}
    bare = tokenizer.encode(text, add_special_tokens=False).ids
    if bare != ids:
        case["bare"] = bare
    if i % 5 == 0:
        case["pair"] = tokenizer.encode(text, texts[i - 1]).ids
    decoded, shown = tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=False)
    if decoded != text:
        case["decoded"] = decoded
    if shown != decoded:
        case["shown"] = shown
    return case


def write(name, value):
    lines = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace('{"ids":', '\n{"ids":')
    (HERE / "golden" / f"{name}.json").write_text(lines + "\n")


texts = sample_strings.SENTENCES
write("texts", texts)
for name in TRAINED:
    tokenizer = tokenizer_of(name)
    write(name, {"made_with": f"tokenizers {tokenizers.__version__}", "tokenizer": json.loads(tokenizer.to_str()),
                 "cases": [case(tokenizer, texts, i) for i in range(len(texts))]})
