"""What it is worth to let OpenMP's waiting threads spin: load, prefill and decode with each policy, medians of processes that
take turns. 1000 spins is what the quanthost command sets; ratios are to sleeping at once.

    python bench/model/bench_wait_policy.py MODEL [--build build] [--threads 2] [--beside 2]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLICIES = {
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "1000 spins": {"GOMP_SPINCOUNT": "1000"},
    "10000 spins": {"GOMP_SPINCOUNT": "10000"},
    "OpenMP's default": {},
}
KEYS = ("load_s", "prefill_tokens_per_s", "decode_tokens_per_s")


def measure(options, dtype, policy):
    request = {"task": "bench", "model": options.model, "dtype": dtype, "threads": options.threads, "runs": 3,
               "count": options.decode, "ids": [[(7 * place) % 4000 + 20 for place in range(options.prefill)]]}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    try:
        done = subprocess.run([options.build / "bin/model_probe"], input=json.dumps(request), text=True, check=True,
                              stdout=subprocess.PIPE, env=environment | policy, timeout=options.limit)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prefill", type=int, default=128)
    parser.add_argument("--decode", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60, help="seconds after which a process is given up")
    parser.add_argument("--beside", type=int, default=0, help="so many other processes compute meanwhile")
    options = parser.parse_args()
    others = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(options.beside)]
    try:
        for dtype in ("bfloat16", "float32"):
            seen = {name: [] for name in POLICIES}
            for _ in range(options.rounds):
                for name, policy in POLICIES.items():
                    seen[name].append(measure(options, dtype, policy))
            base = None
            for name, results in seen.items():
                if None in results:
                    print(f"{dtype:9} {name:17} not done after {options.limit:.0f} s")
                    continue
                medians = {key: statistics.median(result[key] for result in results) for key in KEYS}
                base = base or medians
                print(f"{dtype:9} {name:17} " + "  ".join(f"{key} {medians[key]:8.3f} ({medians[key] / base[key]:.2f})" for key in KEYS))
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    main()
