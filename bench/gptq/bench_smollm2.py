"""SmolLM2 quantized by quanthost, by gptqmodel and by rounding to nearest, from the same samples with the same options:
perplexity, seconds a block, load time, and the weighted error of each layer.

    .venv-gptq/bin/python bench/gptq/bench_smollm2.py OUT [--build build] [--model models/smollm2] [--configs 4:64,4:128,3:64]
        [--text FILE] [--samples 128] [--length 512] [--held-out 20000] [--desc-act] [--damp 0.05] [--threads n]
        [--dtype bfloat16|float32] [--blocks n]

OUT keeps what was quantized, so that a stopped run goes on; times are of the run that quantized. Calibration samples are the
first tokens of the text, perplexity is of its last ones. Without --text the text is the language reference that Python's own
help() shows, each paragraph once. A model's perplexity is what `quanthost ppl` gives in float32 with windows of `length`.
Both sides calibrate in --dtype; bfloat16 is the checkpoint's own and what gptqmodel chooses on the CPU by itself. --blocks
cuts the model after so many blocks, for times alone: seconds a block are what they are in the whole model.
The weighted error of a layer is the sum of squares of its missed outputs over that of its outputs, for inputs of the dense
model on some of the samples; it is computed alike for all three.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # by itself it fails on machines of two cores
ROOT = Path(__file__).resolve().parents[2]
ERROR_SAMPLES = 16  # of the weighted error


def reference_text():
    from pydoc_data.topics import topics

    paragraphs = dict.fromkeys(p for name in sorted(topics) for p in topics[name].split("\n\n") if p.strip())
    return "\n\n".join(paragraphs)


def prepare_data(args):
    """Writes samples.jsonl and held-out.txt; no token is in both."""
    from tokenizers import Tokenizer

    text = Path(args.text).read_text() if args.text else reference_text()
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    encoding = tokenizer.encode(text, add_special_tokens=False)
    count = args.samples * args.length
    if len(encoding.ids) < count + args.held_out:
        sys.exit(f"the text has {len(encoding.ids)} tokens; needed are {count} to calibrate and {args.held_out} held out")
    rows = [encoding.ids[i:i + args.length] for i in range(0, count, args.length)]
    (args.out / "samples.jsonl").write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows))
    held_out = text[encoding.offsets[-args.held_out][0]:]
    (args.out / "held-out.txt").write_text(held_out)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    print(f"text: {args.text or 'help() of Python ' + sys.version.split()[0]}, sha256 {digest}, {len(encoding.ids)} tokens; "
          f"{args.samples} samples of {args.length}, {args.held_out} held out", flush=True)
    return rows


def quanthost(args, *arguments):
    done = subprocess.run([args.build / "bin/quanthost", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"quanthost {' '.join(map(str, arguments))}\n{done.stderr}{done.stdout}")
    return done.stdout


def perplexity(args, folder):
    kept = args.out / f"{folder.name}.ppl.json"
    if folder == args.model:
        kept = args.out / f"dense{args.blocks or ''}.ppl.json"
    if not kept.exists():
        answer = quanthost(args, "ppl", folder, args.out / "held-out.txt", "--window", args.length, "--dtype", "float32",
                           "--threads", args.threads, "--json")
        kept.write_text(answer)
    return json.loads(kept.read_text())["perplexity"]


def quantize_ours(args, bits, group_size, out):
    began = time.monotonic()
    quanthost(args, "quantize", args.model, out, "--method", "gptq", "--dtype", args.dtype, "--threads", args.threads,
              *(f"--set={key}={value}" for key, value in dict(
                  bits=bits, group_size=group_size, damp_percent=args.damp, desc_act=str(args.desc_act).lower(),
                  act_group_aware=str(not args.desc_act).lower(), dataset=args.out / "samples.jsonl",
                  model_seqlen=args.length, nsamples=args.samples).items()))
    return {"seconds": time.monotonic() - began}


def quantize_theirs(args, bits, group_size, out):
    import torch
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig

    torch.set_num_threads(args.threads)
    rows = [json.loads(line)["input_ids"] for line in (args.out / "samples.jsonl").read_text().splitlines()]
    samples = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows]
    config = QuantizeConfig(bits=bits, group_size=group_size, damp_percent=args.damp, damp_auto_increment=0.01,
                            desc_act=args.desc_act, act_group_aware=not args.desc_act, sym=True, offload_to_disk=False)
    began = time.monotonic()
    model = GPTQModel.load(str(args.model), config, device="cpu", dtype=getattr(torch, args.dtype))
    loaded = time.monotonic()
    model.quantize(samples, batch_size=1, backend=BACKEND.TORCH)
    quantized = time.monotonic()
    model.save(str(out))
    return {"seconds": time.monotonic() - began, "load": loaded - began, "quantize": quantized - loaded,
            "save": time.monotonic() - quantized}


def isolated(args, bits, group_size, out):
    """gptqmodel in a process of its own: its threads and memory end with it."""
    result = args.out / "theirs.json"
    result.unlink(missing_ok=True)
    with open(out.with_suffix(".log"), "w") as log:
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only-theirs", f"{bits}:{group_size}"], stdout=log,
                              stderr=subprocess.STDOUT)
    if done.returncode != 0 or not result.exists():
        return None
    return json.loads(result.read_text())


def load_seconds(args, folder):
    """Least of three loads by each side, process start and imports not counted for gptqmodel."""
    import torch
    from gptqmodel import BACKEND, GPTQModel

    ours = theirs = float("inf")
    for _ in range(3):
        began = time.monotonic()
        quanthost(args, "load", folder, "--threads", args.threads)
        ours = min(ours, time.monotonic() - began)
        began = time.monotonic()
        GPTQModel.load(str(folder), backend=BACKEND.TORCH, device="cpu", dtype=torch.float16)
        theirs = min(theirs, time.monotonic() - began)
    return ours, theirs


def rounded(weight, bits, group_size):
    """Round to nearest on the grid that GPTQ's symmetric layers have; scales in float16."""
    import torch

    rows, columns = weight.shape
    result = torch.empty_like(weight)
    for first in range(0, columns, group_size):
        group = weight[:, first:first + group_size]
        low, high = group.amin(1).clamp(max=0), group.amax(1).clamp(min=0)
        span = torch.maximum(-low, high)
        low = torch.where(low < 0, -span, low)
        scale = ((span - low) / (2**bits - 1)).half().float().clamp(min=2.0**-24)[:, None]
        middle = 2 ** (bits - 1)
        codes = (torch.round(group / scale) + middle).clamp(0, 2**bits - 1)
        result[:, first:first + group_size] = (codes - middle) * scale
    return result


def dense_tensors(args):
    import safetensors.torch

    tensors = safetensors.torch.load_file(args.model / "model.safetensors")
    return {name: tensor.float() for name, tensor in tensors.items()}


def is_quantized(name):
    return ".layers." in name and name.endswith("proj.weight")


def quantize_nearest(args, bits, group_size, out):
    import safetensors.torch

    tensors = dense_tensors(args)
    for name in filter(is_quantized, tensors):
        tensors[name] = rounded(tensors[name], bits, group_size)
    out.mkdir()
    safetensors.torch.save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    for file in args.model.iterdir():
        if file.suffix == ".json":
            shutil.copy(file, out)
    return {}


class LayerErrors:
    """tr(D H Dᵀ) / tr(W H Wᵀ) with H of the dense model's inputs."""

    def __init__(self, args, rows):
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
        self.hessians, handles = {}, []
        for name, module in model.named_modules():
            if not is_quantized(name + ".weight"):
                continue

            def add(_, inputs, name=name):
                x = inputs[0].flatten(0, 1)
                self.hessians[name] = self.hessians.get(name, 0) + x.T @ x

            handles.append(module.register_forward_pre_hook(add))
        with torch.inference_mode():
            for row in rows[:ERROR_SAMPLES]:
                model.model(torch.tensor([row]))
        self.weights = {name: module.weight.detach() for name, module in model.named_modules() if name in self.hessians}

    def of(self, quantized):
        errors = {}
        for name, weight in self.weights.items():
            values = quantized[name][:, :weight.shape[1]]  # some tools fill up a short last group
            missed, h = weight - values, self.hessians[name]
            errors[name] = (((missed @ h) * missed).sum() / ((weight @ h) * weight).sum()).item()
        return errors


def dense_of_checkpoint(args, folder):
    """The values of a quantized checkpoint: its layers unpacked by the format's definition."""
    import safetensors.torch
    import torch

    bits = json.loads((folder / "config.json").read_text())["quantization_config"]["bits"]
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    values = {}
    for key in stored:
        if not key.endswith(".qweight"):
            continue
        name = key[:-len(".qweight")]
        codes = unpacked(stored[key].T, bits)[:, :stored[name + ".g_idx"].numel()]
        scales = stored[name + ".scales"].float().T
        zeros = unpacked(stored[name + ".qzeros"], bits)[:, :codes.shape[0]].T + 1  # the first format stores one less
        groups = stored[name + ".g_idx"].long()
        values[name] = scales[:, groups] * (codes - zeros[:, groups]).float()
    assert values, folder
    return values


def unpacked(words, bits):
    """Codes of each row of words, which are a stream of bits from the lowest on."""
    import torch

    unsigned = words.long() & 0xFFFFFFFF
    stream = (unsigned[..., None] >> torch.arange(32)) & 1
    stream = stream.flatten(1)
    stream = stream[:, :stream.shape[1] // bits * bits].unflatten(1, (-1, bits))
    return (stream << torch.arange(bits)).sum(-1)


def cut_model(args):
    """The first blocks of the model as a model of its own."""
    import safetensors.torch

    folder = args.out / f"first-{args.blocks}-blocks"
    folder.mkdir(exist_ok=True)
    for file in args.model.iterdir():
        if file.suffix == ".json":
            shutil.copy(file, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": args.blocks}))
    tensors = safetensors.torch.load_file(args.model / "model.safetensors")

    def is_kept(name):
        return ".layers." not in name or int(name.split(".layers.")[1].split(".")[0]) < args.blocks

    safetensors.torch.save_file({name: tensor for name, tensor in tensors.items() if is_kept(name)},
                                folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def folder_of(args, side, bits, group_size):
    blocks = f"-{args.blocks}blocks" if args.blocks else ""
    return args.out / f"{side}-{bits}bit-g{group_size}{'-act' if args.desc_act else ''}-{args.dtype}{blocks}"


def made(args, side, bits, group_size, quantize):
    out = folder_of(args, side, bits, group_size)
    kept = args.out / f"{out.name}.json"
    if not kept.exists():
        shutil.rmtree(out, ignore_errors=True)
        figures = quantize(args, bits, group_size, out)
        if figures is None:
            return out, None
        kept.write_text(json.dumps(figures))
    return out, json.loads(kept.read_text())


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
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--only-theirs", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.out, args.build, args.model = args.out.resolve(), args.build.resolve(), args.model.resolve()
    if args.blocks:
        args.model = args.out / f"first-{args.blocks}-blocks" if args.only_theirs else cut_model(args)
    if args.only_theirs:
        os.chdir(args.out)  # gptqmodel writes logs into the working directory
        bits, group_size = map(int, args.only_theirs.split(":"))
        folder = folder_of(args, "gptqmodel", bits, group_size)
        (args.out / "theirs.json").write_text(json.dumps(quantize_theirs(args, bits, group_size, folder)))
        os._exit(0)  # gptqmodel's pools keep a process alive
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
