#!/usr/bin/env python3
"""docs/json.md against what the verbs print: every field that comes is told of, and every field that is told of comes.

    tests/cli/json_fields.py BUILD
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv[1]).resolve()
MODEL = SOURCE / "tests/model/goldens/llama"
TINY = BUILD / "tests/api/tiny_model"  # with a tokenizer

# Those of the second list need libquanthost.so. Each in a folder that the ones before it have written into.
VERBS = [
    [], ["doctor"], ["env"], ["devices"], ["config", "show"], ["config", "path"], ["config", "template"], ["completion", "bash"],
    ["man", "version"], ["version"], ["methods"], ["plugins", "list"], ["plugins", "inspect", "org.example.absmax8"],
    ["plugins", "why", "org.example.absmax8"], ["plugins", "retry", "org.example.absmax8"], ["plugins", "deps"],
    ["plugins", "deps", "--why", "accelerate"], ["plugins", "paths"], ["plugins", "trust", "show"],
    ["plugins", "trust", "block", "org.example.other"], ["plugins", "new", "mine"], ["validate", "--list"],
    ["validate", "plugins/absmax8.so", "--only", "one-symbol"],
]
MODEL_VERBS = [
    ["load", MODEL, "--method", "absmax8"], ["plan", MODEL], ["plan", MODEL, "--why", "model.norm.weight"], ["estimate", MODEL],
    ["quantize", MODEL, "quantized", "--method", "absmax8"], ["dequantize", "quantized", "dense"], ["inspect", MODEL],
    ["check", MODEL], ["forward", MODEL, "--ids", "1,2", "--out", "out.safetensors"], ["ppl", TINY, "text.txt", "--window", "8"],
    ["run", TINY, "-p", "hello", "-n", "2"], ["tokenize", TINY, "--text", "hello"], ["report", MODEL, "-o", "page.html"],
    ["bench", MODEL, "--method", "absmax8", "--prompt-tokens", "2", "--new-tokens", "2", "--repeat", "1", "--layers"],
]
# Not run here: a GGUF file and a GPTQ checkpoint are needed.
ELSEWHERE = {"quanthost.convert"}


def documented():
    """{schema: {path: may be missing}}"""
    out, fields = {}, None
    for line in (SOURCE / "docs/json.md").read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"### `(quanthost\..*)`", line):
            fields = out.setdefault(heading.group(1), {})
        elif fields is not None and (row := re.fullmatch(r"\| (`.*`) \| (.*) \|", line)):
            for path in re.findall(r"`([^`]+)`", row.group(1)):
                fields[path] = "*(may be missing)*" in row.group(2)
    return out


def paths(value, known, at=""):
    """The fields of a document down to those that are told of as a whole; [] stands for any entry of a list."""
    if at in known:
        yield at
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from paths(below, known, f"{at}.{key}" if at else key)
    elif isinstance(value, list) and any(path.startswith(at + "[]") for path in known):
        yield at + "[]"
        for entry in value:
            yield from paths(entry, known, at + "[]")
    else:
        yield at


def faults(name, document, known):
    document = {key: value for key, value in document.items() if key not in ("schema", "schema_version")}
    found = set(paths(document, known))
    containers = {path for path in found if path.endswith("[]")}
    told = {path for path in found - containers if path in known}
    for path in sorted(found - containers - told):
        yield f"{name}: {path} comes and is not in docs/json.md"
    for path, optional in known.items():
        lists = [path[: m.start()] for m in re.finditer(r"\[\]", path)]
        empty = any(not list_has_entries(document, each) for each in lists)
        if not optional and not empty and path not in found:
            yield f"{name}: {path} is in docs/json.md and does not come"


def list_has_entries(value, path):
    for key in path.replace("[]", ".[]").split("."):
        if key == "[]":
            if not value:
                return False
            value = value[0]
        else:
            value = value.get(key, []) if isinstance(value, dict) else []
    return bool(value)


def run(arguments, root):
    environment = {"PATH": os.environ["PATH"], "HOME": str(root / "home"), "QUANTHOST_PLUGIN_PATH": str(root / "plugins"),
                   "QUANTHOST_PLUGIN_SYSTEM_PATH": "/nonexistent", "LC_ALL": "C.UTF-8"}
    done = subprocess.run([BUILD / "bin/quanthost", *map(str, arguments), "--json"], env=environment, cwd=root, text=True,
                          capture_output=True, timeout=120)
    try:
        return json.loads(done.stdout)
    except ValueError:
        sys.exit(f"quanthost {' '.join(map(str, arguments))}: no JSON document: {done.stdout[:500]}{done.stderr[:500]}")


def main():
    told, seen, bad = documented(), set(), []
    verbs = VERBS + (MODEL_VERBS if (BUILD / "lib/libquanthost.so").exists() else [])
    with tempfile.TemporaryDirectory(prefix="quanthost-json-") as folder:
        root = pathlib.Path(folder).resolve()
        (root / "plugins").mkdir()
        (root / "home").mkdir()
        shutil.copy(BUILD / "plugins/absmax8.so", root / "plugins")
        (root / "text.txt").write_text("hello hello hello hello")
        for arguments in verbs:
            document = run(arguments, root)
            name = document.get("schema", f"the error of {arguments}")
            seen.add(name)
            bad += [f"{name}: it is not in docs/json.md"] if name not in told else faults(name, document, told[name])
    if verbs is not VERBS and len(verbs) > len(VERBS):
        bad += [f"{name}: is in docs/json.md, and no verb here prints it" for name in set(told) - seen - ELSEWHERE]
    print("\n".join(bad) or f"{len(seen)} documents are as docs/json.md says")
    return 1 if bad else 0


sys.exit(main())
