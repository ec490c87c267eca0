#!/usr/bin/env python3
"""Encoding speed beside PyPI `tokenizers`, one thread each, the same text, in turns. Prints a Markdown table.

usage: compare.py TOKENIZE_SPEED [TOKENIZER.json …]   (without files: sample tokenizers, and models/smollm2 if there)
"""
import os

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import pathlib  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

import tokenizers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop/text"))
import sample_strings  # noqa: E402
import sample_tokenizers  # noqa: E402

REPEATS = 5


def texts():
    library = sorted(pathlib.Path(os.__file__).parent.glob("*.py"))
    code = "\n".join(p.read_text(encoding="utf-8", errors="replace") for p in library)[:3_000_000]
    prose = " ".join(sample_strings.SENTENCES[:15])
    return {"code and English": code, "15 languages": (prose + "\n") * (3_000_000 // len(prose.encode()))}


def theirs(path, text):
    begin = time.perf_counter()
    tokenizer = tokenizers.Tokenizer.from_file(path)
    load = time.perf_counter() - begin
    seconds = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        ids = len(tokenizer.encode(text).ids)
        seconds.append(time.perf_counter() - begin)
    return load, min(seconds), ids


def ours(program, path, text_path):
    lines = subprocess.run([program, path, text_path, str(REPEATS)], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    return float(rows[0][1]), min(float(r[1]) for r in rows[1:]), int(rows[1][2])


def sample_files(folder):
    """A SmolLM2-like and a Llama-like tokenizer of a realistic size, and one of each other kind."""
    corpus = [*sample_strings.training_corpus(), *sample_strings.code_lines(20_000)]
    for name in ("smollm2", "split_bpe", "llama2", "gpt2", "bert", "t5"):
        build = getattr(sample_tokenizers, name)
        tokenizer = (build(sample_tokenizers.LLAMA3, corpus, 30_000) if name == "split_bpe" else
                     build(corpus, 8_000 if name == "t5" else 30_000))
        path = f"{folder}/{ {'split_bpe': 'llama3', 'smollm2': 'smollm2_like'}.get(name, name) }.json"
        tokenizer.save(path)
        yield path
    real = ROOT / "models/smollm2/tokenizer.json"
    if real.exists():
        yield str(real)


def main():
    program = sys.argv[1]
    print(f"tokenizers {tokenizers.__version__}, best of {REPEATS}, one thread\n")
    print("| tokenizer | text | MB | ours MB/s | theirs MB/s | ratio | load ours s | load theirs s |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for path in sys.argv[2:] or sample_files(folder):
            for name, text in texts().items():
                text_path = f"{folder}/text"
                pathlib.Path(text_path).write_text(text, encoding="utf-8")
                size = len(text.encode()) / 1e6
                load_a, a, ids_a = ours(program, path, text_path)
                load_b, b, ids_b = theirs(path, text)
                same = "" if ids_a == ids_b else " (ids differ!)"
                print(f"| {pathlib.Path(path).parent.name + '/' if 'smollm2/' in path else ''}{pathlib.Path(path).stem}"
                      f" | {name} | {size:.1f} | {size / a:.1f} | {size / b:.1f} | {b / a:.1f}x{same} | {load_a:.3f} |"
                      f" {load_b:.3f} |", flush=True)


main()
