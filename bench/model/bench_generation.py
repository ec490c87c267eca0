"""Prefill and decode of one checkpoint, here and in transformers, in one run; prints both and their ratio.

    python bench/model/bench_generation.py MODEL [--probe build/bin/model_probe] [--threads 2]
"""

import argparse
import json
import pathlib
import subprocess
import time

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]


def ours(probe, request):
    done = subprocess.run([probe], input=json.dumps(request), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def theirs(model_dir, dtype, ids, count, runs):
    start = time.perf_counter()
    model = transformers.AutoModelForCausalLM.from_pretrained(model_dir, dtype=dtype).eval()
    result = {"load_s": time.perf_counter() - start, "prefill_tokens_per_s": 0.0, "decode_tokens_per_s": 0.0}
    prompt = torch.tensor(ids)
    with torch.inference_mode():
        for _ in range(runs):
            start = time.perf_counter()
            out = model(prompt, use_cache=True, logits_to_keep=1)
            prefilled = time.perf_counter()
            for _ in range(count):
                token = out.logits[:, -1:].argmax(-1)
                out = model(token, past_key_values=out.past_key_values, use_cache=True)
            end = time.perf_counter()
            result["prefill_tokens_per_s"] = max(result["prefill_tokens_per_s"], prompt.numel() / (prefilled - start))
            result["decode_tokens_per_s"] = max(result["decode_tokens_per_s"], count / (end - prefilled))
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--probe", default=ROOT / "build/bin/model_probe")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ids = [[(7 * place) % 4000 + 20 for place in range(options.prefill)]]
    for dtype in ("bfloat16", "float32"):
        peer = theirs(options.model, dtype, ids, options.decode, options.runs)
        here = ours(options.probe, dict(task="bench", model=options.model, dtype=dtype, ids=ids, count=options.decode,
                                        runs=options.runs, threads=options.threads))
        for key in ("load_s", "prefill_tokens_per_s", "decode_tokens_per_s"):
            ratio = peer[key] / here[key] if key == "load_s" else here[key] / peer[key]
            print(f"{dtype:9} {key:22} here {here[key]:9.3f}  transformers {peer[key]:9.3f}  {ratio:5.2f}x better")


if __name__ == "__main__":
    main()
