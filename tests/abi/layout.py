"""The memory layout of the ABI as text: one line for each field, made by the compiler from the headers. The function tables
of kernel packages (packages/*.h) are part of it.

    layout.py print  --include DIR                        what the headers say now
    layout.py check  --include DIR --recorded FILE …      fails when a recorded line is gone or changed
    layout.py record --include DIR --recorded FILE …      adds to the record; what it holds stays

With --library the same for quanthost.h, the C face of libquanthost.so, whose version is its SOVERSION.

A recorded field may never move, change its size or disappear; new fields and structs may come. The version of the ABI that
the record was made for has to have an entry in the changelog.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

# Several plain fields, as in `int64_t a, b;`, do not occur in the headers: one field a line keeps them readable.
STRUCT = re.compile(r"typedef struct ((?:qh|quanthost)_\w+) \{(.*?)\n\} \w+;", re.S)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
FUNCTION_POINTER = re.compile(r"\(\*(\w+)\)\s*\(")
PLAIN_FIELD = re.compile(r"(\w+)\s*(?:\[\w+\])?$")
DEFINE = re.compile(r"#define (QH_\w+) (\d+u?|\"[^\"]*\")")
CALLBACK = re.compile(r"typedef (\w+ \(\*qh_\w+\)\([^;{}]*\));")  # types of functions that are handed over
SIGNATURE = re.compile(r"(?:QUANTHOST_API |typedef )(\w[^;{}]*\([^;{}]*\));")  # functions, and types of callbacks
ENUM = re.compile(r"enum \{(.*?)\}", re.S)


def fields_of(body):
    for statement in COMMENT.sub("", body).split(";"):
        statement = " ".join(statement.split())
        if not statement:
            continue
        match = FUNCTION_POINTER.search(statement) or PLAIN_FIELD.search(statement)
        if not match:
            raise SystemExit(f"layout.py: cannot read the field: {statement}")
        yield match.group(1), statement


def read_headers(include, library=None):
    text = ""
    folder = include / "quanthost"
    plugin_headers = sorted((folder / "abi").glob("*.h")) + sorted((folder / "packages").glob("*.h"))
    for header in [folder / "quanthost.h"] if library else plugin_headers:
        text += COMMENT.sub("", header.read_text())
    return text


def may_not_grow(name, body, structs):
    """Value types have no size field, and what lies within another struct would move its later fields."""
    inside_another = any(re.search(rf"^\s*{name} \w+", COMMENT.sub("", other), re.M) for _, other in structs)
    return "struct_size" not in body or inside_another


def layout(include, compiler, library=None):
    text = read_headers(include, library)
    headers = ["quanthost.h"] if library else [
        "abi.h", *(f"{folder}/{p.name}" for folder in ("abi", "packages") for p in sorted((include / "quanthost" / folder).glob("*.h")))]
    program = [*(f"#include <quanthost/{name}>" for name in headers), "#include <stddef.h>", "#include <stdio.h>", "int main(void) {"]
    structs = STRUCT.findall(text)
    for name, body in structs:
        program.append(f'printf("struct {name} align %zu\\n", _Alignof({name}));')
        if may_not_grow(name, body, structs):
            program.append(f'printf("struct {name} size %zu, for ever\\n", sizeof({name}));')
        for field, declaration in fields_of(body):
            declaration = declaration.replace('"', "'")
            program.append(
                f'printf("{name}.{field} at %zu size %zu: {declaration}\\n", offsetof({name}, {field}), '
                f"sizeof((({name}*)0)->{field}));"
            )
    for body in ENUM.findall(text):
        for entry in body.split(","):
            constant = entry.split("=")[0].strip()
            if constant:
                program.append(f'printf("constant {constant} = %d\\n", (int){constant});')
    for constant, value in DEFINE.findall(text):
        if not constant.startswith("QH_ABI_"):
            program.append(f'printf("define {constant} = %s\\n", {escaped(value)});')
    for signature in SIGNATURE.findall(text) if library else CALLBACK.findall(text):
        program.append(f'printf("signature {" ".join(signature.split())}\\n");')
    program += ["return 0;", "}"]
    with tempfile.TemporaryDirectory() as folder:
        source, binary = pathlib.Path(folder, "layout.c"), pathlib.Path(folder, "layout")
        source.write_text("\n".join(program))
        subprocess.run([compiler, "-std=c11", f"-I{include}", source, "-o", binary], check=True)
        return subprocess.run([binary], check=True, capture_output=True, text=True).stdout.splitlines()


def escaped(value):
    return '"' + value.replace('"', '\\"') + '"'


def abi_version(include):
    text = (include / "quanthost/abi/base.h").read_text()
    return ".".join(re.search(rf"#define QH_ABI_{part} (\d+)", text).group(1) for part in ("MAJOR", "MINOR"))


def problems(now, recorded):
    """Recorded lines that today's headers no longer fulfil."""
    current = set(now)
    return [line for line in recorded if line and not line.startswith("#") and line not in current]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["print", "check", "record"])
    parser.add_argument("--include", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("--recorded", type=pathlib.Path)
    parser.add_argument("--changelog", type=pathlib.Path)
    parser.add_argument("--library", metavar="SOVERSION", help="quanthost.h instead of the plugin ABI")
    args = parser.parse_args()

    now, version = layout(args.include, args.compiler, args.library), args.library or abi_version(args.include)
    if args.action == "print":
        print("\n".join(now))
        return 0
    header = f"# Layout of {'libquanthost.so' if args.library else 'plugin ABI'} {version}. Written by tests/abi/layout.py record."
    if args.changelog and f"## {version}" not in args.changelog.read_text():
        print(f"{args.changelog} has no entry for ABI {version}")
        return 1
    if args.action == "record":
        old = args.recorded.read_text().splitlines() if args.recorded.exists() else []
        lost = problems(now, old)
        if lost:
            print("The layout may only grow. These lines are gone:\n  " + "\n  ".join(lost))
            return 1
        args.recorded.write_text("\n".join([header, *now]) + "\n")
        return 0
    recorded = args.recorded.read_text().splitlines()
    if recorded[0] != header:
        print(f"the record was made for another version: {recorded[0]}\nrun layout.py record and add a changelog entry")
        return 1
    lost = problems(now, recorded)
    if lost:
        print("These parts of the ABI moved, changed or disappeared:\n  " + "\n  ".join(lost))
        return 1
    added = len(now) - (len(recorded) - 1)
    print(f"{len(recorded) - 1} recorded lines of ABI {version} hold; {added} were added since")
    return 0


if __name__ == "__main__":
    sys.exit(main())
