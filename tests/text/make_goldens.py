#!/usr/bin/env python3
"""Writes tests/text/golden/*.json: small tokenizers trained with PyPI `tokenizers`, and what it makes of some texts.

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
TOKENIZERS = {
    "gpt2": build.gpt2(CORPUS, 320), "roberta": build.roberta(CORPUS, 320), "smollm2_like": build.smollm2(CORPUS, 320),
    "gpt_neox": build.gpt_neox(CORPUS, 320),
    "llama3": build.split_bpe(build.LLAMA3, CORPUS, 320, ignore_merges=True),
    "llama2": build.llama2(CORPUS, 560), "mistral": build.mistral(CORPUS, 560), "gemma2": build.gemma2(CORPUS, 560),
    "bert": build.bert(CORPUS, 350), "t5": build.t5(LATIN, 200), "unigram_bytes": build.unigram_bytes(LATIN, 200),
    "word_level": build.word_level(CORPUS, 150), "openai_gpt": build.openai_gpt(CORPUS, 350),
    "prefixed_bpe": build.prefixed_bpe(CORPUS, 350),
}


def case(tokenizer, text, partner):
    ids = tokenizer.encode(text).ids
    return {"text": text, "ids": ids, "bare": tokenizer.encode(text, add_special_tokens=False).ids,
            "pair": tokenizer.encode(text, partner).ids, "partner": partner, "decoded": tokenizer.decode(ids),
            "shown": tokenizer.decode(ids, skip_special_tokens=False)}


for name, tokenizer in TOKENIZERS.items():
    texts = sample_strings.SENTENCES
    golden = {"made_with": f"tokenizers {tokenizers.__version__}", "tokenizer": json.loads(tokenizer.to_str()),
              "cases": [case(tokenizer, text, texts[i - 1]) for i, text in enumerate(texts)]}
    lines = json.dumps(golden, ensure_ascii=True, separators=(",", ":")).replace('{"text":', '\n{"text":')
    (HERE / "golden" / f"{name}.json").write_text(lines + "\n")
