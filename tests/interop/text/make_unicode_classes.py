"""Writes host/text/unicode_classes.inc: the character classes as PyPI `tokenizers` has them.

The package mixes several versions of Unicode (its crates' tables and Rust's), so its classes are no version's classes.
They are read off its own behaviour, one code point at a time. Run: python make_unicode_classes.py
"""
import ctypes
import ctypes.util
import pathlib

import tokenizers
from tokenizers import normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parents[3] / "host/text/unicode_classes.inc"
CODE_POINTS = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]

utf8proc = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
utf8proc.utf8proc_map.restype = ctypes.c_ssize_t
utf8proc.utf8proc_version.restype = ctypes.c_char_p
STABLE, COMPAT, COMPOSE, DECOMPOSE = 1 << 1, 1 << 2, 1 << 3, 1 << 4
FORMS = [(normalizers.NFC(), STABLE | COMPOSE), (normalizers.NFD(), STABLE | DECOMPOSE),
         (normalizers.NFKC(), STABLE | COMPAT | COMPOSE), (normalizers.NFKD(), STABLE | COMPAT | DECOMPOSE)]


def utf8proc_form(text, options):
    data = text.encode()
    result = ctypes.c_char_p()
    size = utf8proc.utf8proc_map(data, ctypes.c_ssize_t(len(data)), ctypes.byref(result), ctypes.c_int(options))
    return ctypes.string_at(result, size).decode()


def is_opaque(c):
    """utf8proc would change the character, or reorder marks around it, where the package does not know it."""
    if c < 0x300:
        return False
    probe = f"a{chr(c)}\u0334"  # U+0334 has the lowest combining class
    return any(theirs.normalize_str(text) != utf8proc_form(text, ours)
               for theirs, ours in FORMS for text in (chr(c), probe))


space = pre_tokenizers.WhitespaceSplit()
digits = pre_tokenizers.Digits(individual_digits=True)
punctuation = pre_tokenizers.Punctuation()
words = pre_tokenizers.Whitespace()
options = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
clean = normalizers.BertNormalizer(**{**options, "clean_text": True})
bert_accents = normalizers.BertNormalizer(**{**options, "strip_accents": True})
accents = normalizers.StripAccents()

CLASSES = {
    "kWhitespace": lambda c: not space.pre_tokenize_str(chr(c)),
    "kNumeric": lambda c: len(digits.pre_tokenize_str(f"a{chr(c)}a")) == 3,
    "kPunctuation": lambda c: len(punctuation.pre_tokenize_str(f"a{chr(c)}a")) == 3,
    "kWord": lambda c: len(words.pre_tokenize_str(f"a{chr(c)}a")) == 1,
    "kControl": lambda c: clean.normalize_str(chr(c)) == "" and c != 0xFFFD,
    "kNonspacingMark": lambda c: bert_accents.normalize_str(chr(c)) == "",
    "kMark": lambda c: accents.normalize_str(chr(c)) == "",
    "kOpaque": is_opaque,
}


def ranges(test):
    found = []
    for c in CODE_POINTS:
        if test(c):
            if found and found[-1][1] == c - 1:
                found[-1][1] = c
            else:
                found.append([c, c])
    return found


def rows(name, members):
    lines, line = [f"constexpr Range {name}[] = {{"], "   "
    for first, last in members:
        entry = f" {{0x{first:X}, 0x{last:X}}},"
        if len(line) + len(entry) > 100:
            lines.append(line)
            line = "   "
        line += entry
    return lines + [line, "};"]


lines = [f"// Character classes of PyPI tokenizers {tokenizers.__version__} (kOpaque: against utf8proc "
         f"{utf8proc.utf8proc_version().decode()}).", "// Written by tests/interop/text/make_unicode_classes.py."]
for name, test in CLASSES.items():
    lines += rows(name, ranges(test))
OUT.write_text("\n".join(lines) + "\n")
