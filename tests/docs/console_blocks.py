#!/usr/bin/env python3
"""Runs the commands of the documentation: every line that begins with "$ " in a fenced block marked `console`.

    tests/docs/console_blocks.py --build build README.md docs/loading.md

The blocks of one page run in their order, in one copy of what a checkout offers (build/, models/, examples/, sdk/, docs/), with a home of their
own and build/bin on the PATH. A command must succeed; the lines below it are compared with what it prints: `…` stands for any
text, a line of `…` alone for any lines. A block after `<!-- not run: reason -->` is left out, and the reason is printed.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]*?) -->\n)?```console\n(?P<body>.*?)```", re.DOTALL)


def commands_of(body):
    """[(command, expected lines)] of one block; a line that ends in a backslash goes on."""
    out = []
    for line in body.splitlines():
        if line.startswith("$ "):
            out.append([line[2:], []])
        elif out and out[-1][0].endswith("\\") and not out[-1][1]:
            out[-1][0] += "\n" + line
        else:
            out[-1][1].append(line)
    return out


def pattern_of(lines):
    parts = []
    for line in lines:
        if line.strip() == "…":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(".*".join(re.escape(part.rstrip()) for part in line.split("…")) + r"[ ]*\n")
    return re.compile("".join(parts) + r"\Z" if parts else "")


def checkout(root, build):
    """A folder that looks like a built checkout, where commands may write."""
    for name in ("models", "examples", "sdk", "docs", "scripts", ".venv"):
        if (SOURCE / name).exists():
            (root / name).symlink_to(SOURCE / name)
    (root / "build").symlink_to(build)


def run_page(page, build):
    failed = 0
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="quanthost-docs-") as folder:
        root = pathlib.Path(folder)
        checkout(root, build)
        (root / "home").mkdir()
        environment = {"PATH": f"{build}/bin:{os.environ['PATH']}", "HOME": str(root / "home"), "LC_ALL": "C.UTF-8",
                       "QUANTHOST_PLUGIN_PATH": f"{build}/plugins", "QUANTHOST_PLUGIN_SYSTEM_PATH": "/nonexistent"}
        exports = ""
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            if block["reason"]:
                print(f"{page.name}:{line}: not run: {block['reason']}")
                continue
            for command, expected in commands_of(block["body"]):
                done = subprocess.run(["bash", "-c", f"{exports}\n{command}"], cwd=root, env=environment, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
                if command.startswith("export "):
                    exports += command + "\n"
                shown = done.stdout if done.stdout.endswith("\n") or not done.stdout else done.stdout + "\n"
                if done.returncode == 0 and pattern_of(expected).match(shown):
                    continue
                failed += 1
                print(f"{page.name}:{line}: $ {command}\n-- exit code {done.returncode}, it printed:\n{shown}-- the page shows:")
                print("\n".join(expected))
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("pages", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    if not (SOURCE / "models/smollm2/config.json").exists() or not (arguments.build / "lib/libquanthost.so").exists():
        print("left out: the pages load models/smollm2 (scripts/get-smollm2), with a build that has LibTorch")
        return 77
    failed = sum(run_page(page.resolve(), arguments.build.resolve()) for page in arguments.pages)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
