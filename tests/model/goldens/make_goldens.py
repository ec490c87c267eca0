"""Writes one folder a model variant: config.json, model.safetensors, expected.safetensors and tree.json.

Run with transformers 5.17.0 and torch 2.11.0, with the names of variants to make those alone; the C++ tests read the
folders and need no Python.
"""

import json
import pathlib
import shutil
import sys

import safetensors.torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "interop" / "model"))
import tiny_models  # noqa: E402


def expected(name, model, folder):
    arguments = tiny_models.inputs(name)
    tensors = dict(arguments, output=tiny_models.output(model, **arguments))
    if tiny_models.is_causal(name):
        ids = arguments["input_ids"][:1]
        tensors["generated"] = tiny_models.generate(model, ids)
    arguments = {key: value.bfloat16() if value.is_floating_point() else value for key, value in arguments.items()}
    tensors["output_bfloat16"] = tiny_models.output(tiny_models.load(name, folder, "bfloat16"), **arguments)
    return {key: value.contiguous().clone() for key, value in tensors.items()}


def tree(model):
    return {"modules": [[key, type(module).__name__] for key, module in model.named_modules()],
            "parameters": [key for key, _ in model.named_parameters()]}


def main():
    for name in sys.argv[1:] or tiny_models.VARIANTS:
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        model = tiny_models.make(name)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        (folder / "tree.json").write_text(json.dumps(tree(model), separators=(",", ":")) + "\n")
        safetensors.torch.save_file(expected(name, model, folder), folder / "expected.safetensors")
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{name}: {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
