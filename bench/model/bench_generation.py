"""One checkpoint, here and in transformers, in one run: from process start to the first logits with the peak memory,
then prefill and decode in a process that runs on. Prints both sides and their ratio.

A decode step reads every weight once, so no side can pass the machine's read bandwidth over the bytes of the weights: it is
measured in the same run, and decode is shown as a share of it.

    python bench/model/bench_generation.py MODEL [--build build] [--threads 2]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def ours(probe, request):
    # Waiting threads spin as long as the command lets them: bench_wait_policy.py compares.
    done = subprocess.run([probe], input=json.dumps(request), capture_output=True, text=True,
                          env={"GOMP_SPINCOUNT": "1000", **os.environ})
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


FIRST_LOGITS = """
import sys, torch, transformers
torch.set_num_threads(int(sys.argv[3]))
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=sys.argv[2]).eval()
with torch.inference_mode():
    print(model(torch.tensor([[1, 2, 3]])).logits[0, -1, 0].item())
"""


def process(command):
    """Wall seconds and peak resident MiB of one process."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {child.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def weight_bytes(options, dtype):
    """Of a bfloat16 checkpoint held in `dtype`."""
    stored = sum(file.stat().st_size for file in pathlib.Path(options.model).glob("*.safetensors"))
    return stored * (2 if dtype == "float32" else 1)


READ = """
import sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
matrix = torch.ones(4096, 32768)  # 512 MiB: no cache holds it
vector = torch.ones(32768)
best = 0.0
with torch.inference_mode():
    for _ in range(10):
        for read in (lambda: matrix.sum(), lambda: matrix.mv(vector)):
            start = time.perf_counter()
            read()
            best = max(best, matrix.nbytes / (time.perf_counter() - start))
print(best)
"""


def read_bandwidth(threads):
    """Bytes a second that `threads` threads read from memory: the better of a sum and a matrix-vector product."""
    return float(subprocess.run([sys.executable, "-c", READ, str(threads)], capture_output=True, text=True, check=True,
                                env={"GOMP_SPINCOUNT": "1000", **os.environ}).stdout)


def first_logits(options, dtype):
    """The best of several runs of each side; the files are in the page cache from the first one on."""
    weights = weight_bytes(options, dtype) / 2**20
    with tempfile.TemporaryDirectory() as folder:
        here = [options.build / "bin/quanthost", "forward", options.model, "--ids", "1,2,3", "--dtype", dtype,
                "--threads", str(options.threads), "--out", folder + "/logits.safetensors"]
        peer = [sys.executable, "-c", FIRST_LOGITS, options.model, dtype, str(options.threads)]
        ours, memory = (min(values) for values in zip(*(process(here) for _ in range(options.runs + 1))))
        other, other_memory = (min(values) for values in zip(*(process(peer) for _ in range(options.runs))))
    print(f"{dtype:9} {'start to logits, s':22} here {ours:9.3f}  transformers {other:9.3f}  {other / ours:5.2f}x better")
    print(f"{dtype:9} {'peak memory, MiB':22} here {memory:9.0f}  transformers {other_memory:9.0f}  "
          f"here the weights ({weights:.0f}, in this type) + {memory - weights:.0f}")


def theirs(model_dir, dtype, ids, count, runs, threads):
    import torch  # only now: a process counts the memory of the one that started it as its own peak
    import transformers
    torch.set_num_threads(threads)
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
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for dtype in ("bfloat16", "float32"):
        first_logits(options, dtype)
    bandwidth = read_bandwidth(options.threads)
    print(f"memory    read by {options.threads} threads, GB/s {bandwidth / 1e9:9.1f}")
    ids = [[(7 * place) % 4000 + 20 for place in range(options.prefill)]]
    for dtype in ("bfloat16", "float32"):
        peer = theirs(options.model, dtype, ids, options.decode, options.runs, options.threads)
        here = ours(options.build / "bin/model_probe",
                    dict(task="bench", model=options.model, dtype=dtype, ids=ids, count=options.decode, runs=options.runs,
                         threads=options.threads))
        for key in ("load_s", "prefill_tokens_per_s", "decode_tokens_per_s"):
            ratio = peer[key] / here[key] if key == "load_s" else here[key] / peer[key]
            print(f"{dtype:9} {key:22} here {here[key]:9.3f}  transformers {peer[key]:9.3f}  {ratio:5.2f}x better")
        most = bandwidth / weight_bytes(options, dtype)
        most_here = bandwidth / weight_bytes(options, "bfloat16")  # matrices stay as they are stored
        here, peer = here["decode_tokens_per_s"], peer["decode_tokens_per_s"]
        print(f"{dtype:9} {'of the read bandwidth':22} here {here / most_here:9.0%}  transformers {peer / most:9.0%}  "
              f"the most is {most_here:.1f} tokens/s here, {most:.1f} with the weights in this type")


if __name__ == "__main__":
    main()
