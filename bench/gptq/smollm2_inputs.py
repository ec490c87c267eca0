"""What bench_smollm2.py quantizes with: the text, the samples cut from it, and the model or its first blocks."""

import hashlib
import json
import shutil
import sys
from pathlib import Path


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
