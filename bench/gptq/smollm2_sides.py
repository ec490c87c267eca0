"""The three ways in which bench_smollm2.py quantizes a model, and what is measured of their results."""

import json
import os
import shutil
import subprocess
import sys
import time

from smollm2_errors import dense_tensors, is_quantized, rounded


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


def folder_of(args, side, bits, group_size):
    blocks = f"-{args.blocks}blocks" if args.blocks else ""
    return args.out / f"{side}-{bits}bit-g{group_size}{'-act' if args.desc_act else ''}-{args.dtype}{blocks}"


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
        done = subprocess.run([sys.executable, *sys.argv, "--only-theirs", f"{bits}:{group_size}"], stdout=log,
                              stderr=subprocess.STDOUT)
    if done.returncode != 0 or not result.exists():
        return None
    return json.loads(result.read_text())


def answer_isolated(args):
    """What the process of isolated() does; it does not return."""
    os.chdir(args.out)  # gptqmodel writes logs into the working directory
    bits, group_size = map(int, args.only_theirs.split(":"))
    folder = folder_of(args, "gptqmodel", bits, group_size)
    (args.out / "theirs.json").write_text(json.dumps(quantize_theirs(args, bits, group_size, folder)))
    os._exit(0)  # gptqmodel's pools keep a process alive


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
