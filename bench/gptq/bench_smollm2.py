"""SmolLM2 quantized by quanthost, by gptqmodel and by rounding to nearest, from the same samples with the same options:
perplexity, seconds a block, load time, and the weighted error of each layer.

    .venv-gptq/bin/python bench/gptq/bench_smollm2.py OUT [--build build] [--model models/smollm2] [--configs 4:64,4:128,3:64]
        [--text FILE] [--samples 128] [--length 512] [--held-out 20000] [--desc-act] [--damp 0.05] [--threads n]
        [--dtype bfloat16|float16|float32] [--blocks n]

OUT keeps what was quantized, so that a stopped run goes on; times are of the run that quantized. Calibration samples are the
first tokens of the text, perplexity is of its last ones. Without --text the text is the language reference that Python's own
help() shows, each paragraph once. A model's perplexity is what `quanthost ppl` gives in float32 with windows of `length`.
Both sides calibrate in --dtype; bfloat16 is the checkpoint's own and what gptqmodel chooses on the CPU by itself, float16 is
what quanthost takes where no type is asked for. --blocks cuts the model after so many blocks, for times alone: seconds a
block are what they are in the whole model.
The weighted error of a layer is the sum of squares of its missed outputs over that of its outputs, for inputs of the dense
model on some of the samples; it is computed alike for all three.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # by itself it fails on machines of two cores
ROOT = Path(__file__).resolve().parents[2]

from smollm2_errors import LayerErrors, dense_of_checkpoint, is_quantized
from smollm2_inputs import cut_model, prepare_data
from smollm2_sides import (answer_isolated, folder_of, isolated, load_seconds, made, perplexity, quantize_nearest,
                           quantize_ours)


def print_layers(errors):
    sides = list(errors)
    print("  weighted error   " + "".join(f"{side:>12s}" for side in sides))
    for name in errors["nearest"]:
        print(f"  {name:40s} " + "".join(f"{errors[side][name]:12.3e}" for side in sides))
    for side in sides:
        values = list(errors[side].values())
        smaller = sum(errors[side][name] < errors["nearest"][name] for name in errors[side])
        print(f"  {side}: mean {sum(values) / len(values):.4e}, smaller than nearest's in {smaller} of {len(values)} layers")


def compare(args, errors, bits, group_size, blocks):
    print(f"\n== {bits} bits, groups of {group_size}{', desc_act' if args.desc_act else ''} ==", flush=True)
    sides = {"ours": quantize_ours, "gptqmodel": isolated, "nearest": quantize_nearest}
    of_layers, found = {}, {}
    for side, quantize in sides.items():
        folder, figures = made(args, side, bits, group_size, quantize)
        if figures is None:
            print(f"  {side}: failed; see {folder.with_suffix('.log')}", flush=True)
            continue
        found[side] = perplexity(args, folder)
        seconds = figures.get("quantize", figures.get("seconds"))
        print(f"  {side}: perplexity {found[side]:.5f}" + (f", {seconds / blocks:.2f} s a block ({figures})" if seconds else ""),
              flush=True)
        if side == "nearest":
            import safetensors.torch
            tensors = safetensors.torch.load_file(folder / "model.safetensors")
            of_layers[side] = errors.of({name[:-len(".weight")]: t for name, t in tensors.items() if is_quantized(name)})
        else:
            of_layers[side] = errors.of(dense_of_checkpoint(args, folder))
    print_layers(of_layers)
    if "gptqmodel" in found:
        print(f"  ours / gptqmodel: {found['ours'] / found['gptqmodel']:.5f} (goal <= 1.005)")
    print(f"  ours / nearest:   {found['ours'] / found['nearest']:.5f} (goal < 1)", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2")
    parser.add_argument("--configs", default="4:64,4:128,3:64")
    parser.add_argument("--text")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--held-out", type=int, default=20000)
    parser.add_argument("--desc-act", action="store_true")
    parser.add_argument("--damp", type=float, default=0.05)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--only-theirs", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.out, args.build, args.model = args.out.resolve(), args.build.resolve(), args.model.resolve()
    if args.blocks:
        args.model = args.out / f"first-{args.blocks}-blocks" if args.only_theirs else cut_model(args)
    if args.only_theirs:
        answer_isolated(args)
    rows = prepare_data(args)
    blocks = json.loads((args.model / "config.json").read_text())["num_hidden_layers"]
    print(f"dense: perplexity {perplexity(args, args.model):.5f}", flush=True)
    errors = LayerErrors(args, rows)
    for config in args.configs.split(","):
        bits, group_size = map(int, config.split(":"))
        compare(args, errors, bits, group_size, blocks)
    bits, group_size = map(int, args.configs.split(",")[0].split(":"))
    ours, theirs = load_seconds(args, folder_of(args, "ours", bits, group_size))
    print(f"\nload of ours, {bits} bits, groups of {group_size}: quanthost {ours:.2f} s (process and all), gptqmodel "
          f"{theirs:.2f} s: {theirs / ours:.2f}x")


if __name__ == "__main__":
    main()
