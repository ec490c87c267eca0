"""Loads of one checkpoint, warm: here, in transformers and with Python safetensors, in turns, in one run.

    python bench/load/make_checkpoint.py /tmp/llama4g
    python bench/load/bench_load.py /tmp/llama4g [--rounds 5] [--threads 2] [--method absmax8 …]

Prints GB/s (of the checkpoint's bytes) of each, ratios to the peers, and peak memory above the model. Every
load has a process of its own; seconds are those inside the process, from a path to a model that can run,
without starting the program and its libraries. Medians of the rounds. A round's figure is the
fastest of four loads in a row: a virtual machine that returned its free memory to its host gets it back at about
1 GB/s, only the first loads pay that, and it is not what is compared.

Two comparisons, each of like with like:
- mapped: a plain load uses tensors where they lie in the files, here as in transformers and safetensors.
- read: every byte is in memory afterwards. Here that is --no-mmap; the peers touch a value of each page.
What the plugin interface costs is told on the second: `passthrough` is a quantizer that keeps weights as they
are, so every linear layer goes through every slot; beside it, the same --no-mmap load without a quantizer
copies the same bytes. On a mapped load the interface would be compared with not reading at all.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

TRANSFORMERS = """
import sys, time, json, resource, torch, transformers
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(int(sys.argv[2]))
from transformers import AutoModelForCausalLM
from transformers.models.llama import modeling_llama  # not on the clock
start = time.perf_counter()
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=sys.argv[3])
loaded = time.perf_counter() - start
touched = sum(float(p.view(torch.int16).flatten()[::2048].sum()) for p in model.parameters())
print(json.dumps({"seconds": loaded, "touched_seconds": time.perf_counter() - start,
                  "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""

SAFETENSORS = """
import sys, time, json, glob, torch
from safetensors.torch import load_file
start = time.perf_counter()
tensors = {}
for file in sorted(glob.glob(sys.argv[1] + "/*.safetensors")):
    tensors |= load_file(file)
loaded = time.perf_counter() - start
touched = sum(float(t.view(torch.int16).flatten()[::2048].sum()) for t in tensors.values())
print(json.dumps({"seconds": loaded, "touched_seconds": time.perf_counter() - start}))
"""


def output_of(command, environment):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr}")
    return json.loads(done.stdout[done.stdout.index("{"):])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--max-queue", default="256MiB")
    parser.add_argument("--method", action="append", default=[], help="quantize on load too")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    args = parser.parse_args()
    environment = dict(os.environ, OMP_WAIT_POLICY="passive", HF_HUB_OFFLINE="1",
                       QUANTHOST_PLUGIN_PATH=f"{args.build}/plugins:{args.build}/bench/load")
    size = sum(file.stat().st_size for file in args.model.glob("*.safetensors"))
    for file in args.model.glob("*.safetensors"):  # warm: in the page cache from the first round on
        with open(file, "rb") as opened:
            while opened.read(1 << 24):
                pass

    def here(*more):
        return [args.build / "bin/quanthost", "load", args.model, "--json", "--dtype", args.dtype,
                "--threads", str(args.threads), "--max-queue", args.max_queue, *more]

    python = [sys.executable, "-c"]
    contenders = {"quanthost": here(), "quanthost --no-mmap": here("--no-mmap"),
                  "quanthost passthrough": here("--no-mmap", "--method", "passthrough"),
                  "transformers": python + [TRANSFORMERS, str(args.model), str(args.threads), args.dtype],
                  "safetensors": python + [SAFETENSORS, str(args.model)]}
    for method in args.method:
        contenders[f"quanthost {method}"] = here("--method", method)
    runs = {name: [] for name in contenders}
    for _ in range(args.rounds):
        for name, command in contenders.items():
            runs[name].append(min((output_of(command, environment) for _ in range(4)), key=lambda run: run["seconds"]))

    def seconds(name):
        """Of each round: from a path to a model, planning included."""
        return [run["seconds"] + run.get("seconds_planning", 0) for run in runs[name]]

    def touched(name):
        return [run["touched_seconds"] for run in runs[name]]

    def ratio(slower, faster):
        """The median of the rounds' own ratios: what is beside each other ran one after the other."""
        return statistics.median(a / b for a, b in zip(slower, faster))

    def line(name, figures, note=""):
        middle = statistics.median(figures)
        print(f"  {name:28} {middle:7.3f} s {size / middle / 1e9:8.2f} GB/s{note}")

    print(f"{args.model}: {size / 1e9:.2f} GB, {args.threads} threads, medians of {args.rounds} rounds, "
          f"load average {os.getloadavg()[0]:.1f}")
    print("mapped:")
    for name in ("quanthost", "transformers", "safetensors"):
        line(name, seconds(name))
    print("read:")
    line("quanthost --no-mmap", seconds("quanthost --no-mmap"))
    for name in ("transformers", "safetensors"):
        line(name, touched(name))
    print("quantize-on-load:")
    for name in contenders:
        if name.startswith("quanthost"):
            above = statistics.median(run["peak_rss_bytes"] - run["model_bytes"] for run in runs[name])
            line(name, seconds(name), f"   peak {above / 2**20:.0f} MiB above the model")
    mapped, copied = seconds("quanthost"), seconds("quanthost --no-mmap")
    cost = ratio(seconds("quanthost passthrough"), copied)
    print(f"mapped load: {ratio(seconds('transformers'), mapped):.2f}x transformers (goal 4), "
          f"{ratio(seconds('safetensors'), mapped):.2f}x safetensors")
    print(f"read load:   {ratio(touched('transformers'), copied):.2f}x transformers, "
          f"{ratio(touched('safetensors'), copied):.2f}x safetensors")
    print(f"a trivial plugin: {100 * (cost - 1):+.1f} % over the same copying load without one (goal: at most +5 %)")


if __name__ == "__main__":
    main()
