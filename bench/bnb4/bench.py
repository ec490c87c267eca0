"""Our CPU kernels beside bitsandbytes in one process, on the same tensors; prints milliseconds and ratios.

    python bench/bnb4/bench.py [--build build] [--quick] [--cpu-time]

Rows alternate between the two, and each figure is the best of its runs: a machine shared with others only adds time.
Dequantizing is measured into a buffer that is kept; bitsandbytes allocates its result, so run this once as it is and once
with MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592, which keeps the C library from returning it.
--cpu-time counts the processor time of one thread instead of the wall's: for machines that are busy otherwise.
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../.."
sys.path.insert(0, ROOT + "/tests/interop/bnb4")

import bitsandbytes as bnb
import bitsandbytes.functional as F
import torch
from kernel_package import Package


clock = time.perf_counter


def once(call):
    start = clock()
    call()
    return (clock() - start) * 1e3


def compare(name, ours, theirs, goal, rounds=9):
    """Best times of alternating runs; the first of each is not counted."""
    ours(), theirs()
    a = b = float("inf")
    for _ in range(rounds):
        a, b = min(a, once(ours)), min(b, once(theirs))
    print(f"{name:38s} ours {a:9.3f} ms   bitsandbytes {b:9.3f} ms   {b / a:7.2f}x   (goal {goal}x)", flush=True)


def layer_of(dense):
    layer = bnb.nn.Linear4bit(dense.shape[1], dense.shape[0], bias=False, compute_dtype=torch.bfloat16,
                              compress_statistics=False, quant_type="nf4")
    layer.weight = bnb.nn.Params4bit(dense.clone(), quant_type="nf4", compress_statistics=False)
    return layer.to("cpu").eval()


def bench_shape(package, columns, rows, quick):
    torch.manual_seed(0)
    dense = (torch.randn(rows, columns) * 0.02).bfloat16()
    shape = f"{columns}x{rows}"
    compare(f"quantize bf16 {shape}", lambda: package.quantize(dense, 64, "nf4"),
            lambda: F.quantize_4bit(dense, quant_type="nf4"), 20, rounds=2)
    packed, absmax = package.quantize(dense, 64, "nf4")
    weight = package.weight(packed, dense.shape, 64, "nf4", absmax=absmax)
    theirs, state = F.quantize_4bit(dense, quant_type="nf4")
    assert torch.equal(theirs.flatten(), packed)
    buffer = torch.empty_like(dense)
    compare(f"dequantize to bf16 {shape}", lambda: package.dequantize(weight, torch.bfloat16, buffer),
            lambda: F.dequantize_4bit(theirs, state), 1.2)
    del buffer
    layer = layer_of(dense)
    x = torch.randn(1, columns).bfloat16()
    out = torch.empty(1, rows, dtype=torch.bfloat16)
    first_ours = once(lambda: package.forward(weight, x, torch.bfloat16, out=out))
    first_theirs = once(lambda: layer(x))
    print(f"{'first forward ' + shape:38s} ours {first_ours:9.3f} ms   bitsandbytes {first_theirs:9.3f} ms   "
          f"{first_theirs / first_ours:7.2f}x   (goal 20x; theirs repacks the weight and rounds its scales)")
    for batch, goal in ((1, 1.1), (4, "-"), (16, 1.2), (128, 1.2)) if not quick else ((1, 1.1), (16, 1.2)):
        x = torch.randn(batch, columns).bfloat16()
        out = torch.empty(batch, rows, dtype=torch.bfloat16)
        compare(f"forward bf16 {shape} batch {batch}", lambda: package.forward(weight, x, torch.bfloat16, out=out),
                lambda: layer(x), goal, rounds=40 if batch < 16 else 9)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=ROOT + "/build")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cpu-time", action="store_true")
    args = parser.parse_args()
    threads = 1 if args.cpu_time else os.cpu_count()
    if args.cpu_time:
        global clock
        clock = time.thread_time
    torch.set_num_threads(threads)
    package = Package(args.build + "/plugins/qh_bnb4_cpu.so", threads=threads)
    package.use_native(args.build + "/lib/libbnb4_bench_threads.so")
    print(f"{threads} threads, bitsandbytes {bnb.__version__}, torch {torch.__version__}")
    with torch.inference_mode():
        for columns, rows in ((4096, 4096), (4096, 11008)):
            bench_shape(package, columns, rows, args.quick)


if __name__ == "__main__":
    main()
