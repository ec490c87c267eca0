#!/usr/bin/env python3
"""Writes the seeds: a tiny tokenizer of each kind with a text behind a NUL byte, and the sample chat templates."""
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "interop/text"))
import sample_chats  # noqa: E402

TEXT = "Hello, 12 wörld!  <s>a</s>\n👩‍👧 ab \U0001f600"
LETTERS = {c: i for i, c in enumerate("▁abdehlorwĠĊ<>/s.!,12")}
BPE = {"type": "BPE", "vocab": {**LETTERS, "▁a": 30, "he": 31, "ll": 32, "hell": 33, "Ġw": 34, "<unk>": 35, "<0x0A>": 36},
       "merges": ["▁ a", "h e", "l l", "he ll", "Ġ w"], "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
META = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
ADDED = [{"id": 40, "content": "<s>", "special": True, "lstrip": True, "rstrip": True},
         {"id": 41, "content": "Hello", "single_word": True, "normalized": True}]
TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                     {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [40], "tokens": ["<s>"]}}}


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(kind, *parts):
    return {"type": "Sequence", kind: list(parts)}


TOKENIZERS = [
    {"model": BPE, "pre_tokenizer": BYTE_LEVEL, "decoder": BYTE_LEVEL, "added_tokens": ADDED, "post_processor": TEMPLATE},
    {"model": {**BPE, "merges": [["h", "e"]], "ignore_merges": True, "end_of_word_suffix": "</w>",
               "continuing_subword_prefix": ""}, "decoder": {"type": "BPEDecoder", "suffix": "</w>"}},
    {"model": BPE, "normalizer": sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, {
        "type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
     "decoder": sequence("decoders", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                         {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})},
    {"model": BPE, "pre_tokenizer": sequence("pretokenizers", META, {"type": "Digits", "individual_digits": True}),
     "decoder": META, "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}},
    {"model": {"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
               "vocab": {"a": 0, "hel": 1, "##lo": 2, "!": 3}},
     "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                    "lowercase": True}, "pre_tokenizer": {"type": "BertPreTokenizer"},
     "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
     "post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}},
    {"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": True,
               "vocab": [["<unk>", 0.0], ["▁", -1.0], ["a", -2.0], ["ab", -2.5], ["<0x0A>", -9.0]]},
     "normalizer": sequence("normalizers", {"type": "Nmt"}, {"type": "NFKC"}, {"type": "Strip", "strip_left": True,
                                                                               "strip_right": True}),
     "pre_tokenizer": sequence("pretokenizers", {"type": "WhitespaceSplit"}, META)},
    {"model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, "hello": 1}},
     "normalizer": sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}),
     "pre_tokenizer": sequence("pretokenizers", {"type": "Whitespace"}, {"type": "Punctuation", "behavior": "Contiguous"})},
    {"model": BPE, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "CAAAAAAEAAAAAAAAYQBiAA=="}},
] + [{"model": BPE, "pre_tokenizer": split({"Regex": pattern}, behavior, invert)}
     for pattern, behavior, invert in [
         (r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}+|\s+(?!\S)|\s*", "Isolated", False),
         (r"\w+\b|\h|[\s\w]", "MergedWithNext", True), (r"\p{Han}|(?m:.)", "MergedWithPrevious", False),
         (r"^a*$", "Removed", False), (r"[[:alpha:]]++", "Contiguous", True)]]


def write(folder, data):
    path = HERE / "corpus" / folder / hashlib.sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


for tokenizer in TOKENIZERS:
    document = json.dumps({"version": "1.0", **tokenizer}, ensure_ascii=False)
    write("tokenizer", document.encode() + b"\0" + TEXT.encode())
deep = '{"type":"Sequence","normalizers":[' * 5000
write("tokenizer", b'{"version":"1.0","model":{"type":"WordLevel","unk_token":"a","vocab":{"a":0}},"normalizer":' + deep.encode())
closed = '{"type":"Sequence","normalizers":[' * 5000 + "]}" * 5000
write("tokenizer", b'{"version":"1.0","model":{"type":"WordLevel","unk_token":"a","vocab":{"a":0}},"normalizer":'
      + closed.encode() + b"}")
for template in sample_chats.TEMPLATES.values():
    write("chat_template", template.encode())
for template in ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "{{ " + "(" * 5000,
                 "{% if a %}" * 5000, "{{ 1" + "+1" * 50000 + " }}", "{{ - - - " * 1000, "{{ x.y.z() | trim is none }}"):
    write("chat_template", template.encode())
