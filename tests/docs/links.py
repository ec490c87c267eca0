#!/usr/bin/env python3
"""Every relative link of the documentation leads to a file that exists."""
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def main():
    broken = []
    for page in [*SOURCE.glob("*.md"), *(SOURCE / "docs").glob("*.md"), *SOURCE.glob("[!.b]*/**/README.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)  # code has brackets of its own
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(SOURCE)}: {target}")
    print(*broken, sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
