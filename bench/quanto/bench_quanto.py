#!/usr/bin/env python3
"""quanthost's quanto kernels beside optimum-quanto, alternating in one process; prints times and ratios.

  python bench/quanto/bench_quanto.py build/plugins/qh_quanto_cpu.so build/lib/libquanto_bench_exec.so [only]
"""

import argparse
import os
import statistics
import sys
import time

import torch
from optimum.quanto import AbsmaxOptimizer, MaxOptimizer, QLinear, qtypes

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tests/interop/quanto"))
import quanto_package  # noqa: E402


BEST = False
CLOCK = time.perf_counter


def timed(call, seconds):
    """Median of single calls (the best one with --best, for a machine that others use too), in milliseconds."""
    call()
    times, until = [], time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < until and len(times) < 200):
        start = CLOCK()
        call()
        times.append((CLOCK() - start) * 1e3)
    return min(times) if BEST else statistics.median(times)


def beside(name, theirs, ours, flop=0, size=0, seconds=0.4):
    # Each gets its turn twice, so that a drift of the machine hits both.
    t = [timed(theirs, seconds), 0]
    o = [timed(ours, seconds), 0]
    t[1], o[1] = timed(theirs, seconds), timed(ours, seconds)
    a, b = min(t), min(o)
    rate = f"{flop / b / 1e6:8.1f} GFLOP/s {size / b / 1e6:7.2f} GB/s" if flop else f"{size / b / 1e6:7.2f} GB/s"
    print(f"{name:48s} optimum-quanto {a:9.3f} ms   quanthost {b:8.3f} ms   {a / b:7.2f}x   {rate}", flush=True)


def read_bandwidth():
    """GB/s that a plain sum over 1 GiB reaches here."""
    x = torch.ones(1 << 28, dtype=torch.float32)
    return x.numel() * 4 / timed(lambda: x.sum(), 0.5) / 1e6


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("package")
    args.add_argument("exec_library")
    args.add_argument("only", nargs="?", default="")
    args.add_argument("--threads", type=int, default=0)
    args.add_argument("--best", action="store_true", help="best instead of median times")
    args.add_argument("--cpu-time", action="store_true", help="processor time of one thread: for busy machines")
    args = args.parse_args()
    global BEST, CLOCK
    BEST = args.best or args.cpu_time
    if args.cpu_time:
        CLOCK, args.threads = time.thread_time, 1
    if args.threads:
        torch.set_num_threads(args.threads)
    package = quanto_package.QuantoPackage(args.package, args.exec_library)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, read bandwidth {read_bandwidth():.1f} GB/s")
    for inputs, outputs in ((4096, 4096), (4096, 11008)):
        dense = torch.randn(outputs, inputs, dtype=torch.bfloat16)
        for name in ("qint8", "qint4", "qint2", "qfloat8_e4m3fn"):
            if args.only not in f"{name} {outputs}":
                continue
            linear = torch.nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16)
            linear.weight.data = dense
            group = 128 if quanto_package.BITS[quanto_package.QTYPES[name]] < 8 else None

            def freeze():
                layer = QLinear.from_module(linear, weights=qtypes[name])
                layer.freeze()
                return layer

            frozen = freeze()
            ours = package.quantize(dense, name, group_size=group)
            size = dense.numel() * 2
            beside(f"quantize {name} {inputs}x{outputs} bf16", freeze,
                   lambda: package.quantize(dense, name, group_size=group), size=size, seconds=1.0)
            for batch in (1, 16, 128):
                x = torch.randn(batch, inputs, dtype=torch.bfloat16)
                with torch.no_grad():
                    beside(f"linear {name} {inputs}x{outputs} batch {batch}", lambda: frozen(x),
                           package.linear_call(x, ours), flop=2 * batch * dense.numel(),
                           size=ours.data.numel())


if __name__ == "__main__":
    main()
