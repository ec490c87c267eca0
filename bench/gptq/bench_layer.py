"""One layer beside gptqmodel in one process: forward products, packing and solver; prints milliseconds and ratios.

    .venv-gptq/bin/python bench/gptq/bench_layer.py [--build build] [--only forward|pack|solver] [--threads n] [--cpu-time]

Runs alternate between the two, and each figure is the best of its runs: a machine shared with others only adds time. Forward
products are held beside gptqmodel's TorchCpuAvx512Linear where the CPU has AVX512-BF16, which compiles itself at first use
and repacks the weight; ours read the checkpoint's own layout. Each is called as its users call it: theirs as a module of
Python, ours through its C function with the arguments ready. --cpu-time counts the processor time of one thread instead of
the wall's: for machines that are busy otherwise (not for the solver and packing, which have threads of their own).
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../.."
sys.path.insert(0, ROOT + "/tests/interop/gptq")


clock = time.perf_counter


def once(call):
    start = clock()
    call()
    return (clock() - start) * 1e3


def compare(name, ours, theirs, goal, rounds):
    ours(), theirs()
    a = b = float("inf")
    for _ in range(rounds):
        a, b = min(a, once(ours)), min(b, once(theirs))
    print(f"{name:42s} ours {a:9.3f} ms   gptqmodel {b:9.3f} ms   {b / a:6.2f}x   (goal {goal})", flush=True)


def random_layer(inputs, outputs, group_size=128):
    import torch
    from test_packing import Codes

    torch.manual_seed(0)
    return Codes(4, inputs, outputs, group_size, shuffled=False, smallest_zero=1)


def upstream_kernel(layer):
    """gptqmodel's fastest layer for this CPU with the same tensors."""
    import torch
    from gptqmodel.nn_modules.qlinear.torch_aten_kernel import TorchAtenLinear
    from gptqmodel.nn_modules.qlinear.torch_cpu_avx512 import TorchCpuAvx512Linear
    from gptqmodel.quantization.config import FORMAT

    usable, _ = TorchCpuAvx512Linear.validate_once()
    kind = TorchCpuAvx512Linear if usable else TorchAtenLinear
    packed = layer.packed_upstream()
    inputs, outputs = layer.codes.shape
    linear = kind(bits=4, group_size=layer.group_size, sym=False, desc_act=False, in_features=inputs, out_features=outputs,
                  bias=False, format=FORMAT.GPTQ_V2)
    for name in ("qweight", "qzeros", "scales", "g_idx"):
        linear.register_buffer(name, getattr(packed, name))
    linear.qzero_format(format=2)
    linear.post_init()
    return linear.eval(), kind.__name__


def bench_forward(package, dtype):
    import algorithm
    import gptq_package
    import torch

    for inputs, outputs in ((4096, 4096), (4096, 11008)):
        layer = random_layer(inputs, outputs)
        linear, kernel = upstream_kernel(layer)
        qweight, qzeros = algorithm.pack(layer.codes, layer.zeros, 4)
        weight = gptq_package.weight(qweight, qzeros, layer.scales.half(), layer.g_idx, 4)
        for batch, goal, rounds in ((1, "1x", 200), (16, "2x", 100), (128, "1.2x", 40)):
            x = torch.randn(batch, inputs).to(dtype)
            out = torch.empty(batch, outputs, dtype=dtype)
            expected = linear(x.bfloat16()).float()
            ours = package.forward_call(weight, x, out)
            ours()
            found = out.float()
            assert (found - expected).abs().max() < 0.03 * expected.abs().max(), "the two do not compute the same"
            compare(f"forward {dtype} {inputs}x{outputs} batch {batch}".replace("torch.", ""),
                    ours, lambda: linear(x.bfloat16()), goal + f", {kernel}",
                    rounds)


def bench_pack():
    import algorithm
    import upstream

    layer = random_layer(4096, 4096)
    dense = upstream.linear(layer.dense().T.contiguous())
    scales, zeros = layer.scales.T.contiguous(), layer.zeros.T.float().contiguous()
    compare("pack 4096x4096", lambda: algorithm.pack(layer.codes, layer.zeros, 4),
            lambda: layer.empty_linear(False).pack(dense, scales, zeros, layer.g_idx), "-", 4)


def bench_solver():
    import algorithm
    import torch
    import upstream

    for columns, rows in ((576, 1536), (1536, 576), (2048, 2048)):
        weight = torch.randn(rows, columns) * 0.05
        batch = torch.randn(1, 4 * columns, columns)
        options = algorithm.Options(bits=4, symmetric=1, damp_percent=0.01, damp_increment=0.01, group_size=128)
        shape = f"{columns} -> {rows}"
        hessian = algorithm.Hessian(columns)
        hessian.add(batch)

        def solved():
            gptq = upstream.solver(weight, [batch], options)
            return once(gptq.quantize)

        a = b = float("inf")
        for _ in range(3):
            a, b = min(a, once(lambda: hessian.quantize(weight, options))), min(b, solved())
        print(f"{'solver ' + shape:42s} ours {a:9.3f} ms   gptqmodel {b:9.3f} ms   {b / a:6.2f}x   (goal 4x)", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=ROOT + "/build")
    parser.add_argument("--only", choices=["forward", "pack", "solver"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--cpu-time", action="store_true")
    args = parser.parse_args()
    if args.cpu_time:
        global clock
        args.threads, clock = 1, time.thread_time
    build = os.path.abspath(args.build)
    os.environ["QUANTHOST_TOOL"] = build + "/lib/libgptq_interop.so"
    import gptq_package
    import torch

    torch.set_num_threads(args.threads)
    package = gptq_package.Package(build + "/plugins/qh_gptq_cpu.so", threads=args.threads)
    package.use_native(build + "/lib/libbnb4_bench_threads.so")
    print(f"{args.threads} threads, torch {torch.__version__}")
    with torch.inference_mode():
        if args.only in (None, "forward"):
            bench_forward(package, getattr(torch, args.dtype))
        if args.only in (None, "pack"):
            bench_pack()
        if args.only in (None, "solver"):
            bench_solver()


if __name__ == "__main__":
    main()
