"""Builds one sample or the template against the installed SDK alone, in a folder far from this tree, and validates it."""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--source", type=pathlib.Path, required=True)
parser.add_argument("--build", type=pathlib.Path, required=True)
parser.add_argument("--cmake", default="cmake")
parser.add_argument("project")
args = parser.parse_args()

quanthost = args.build / "bin" / "quanthost"


def run(*command, **options):
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True, **options)


if args.project == "absmax8-rust" and not shutil.which("rustc"):
    print("skipped: rustc was not found")
    sys.exit(77)

with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    prefix, project = folder / "prefix", folder / "project"
    run(args.cmake, "--install", args.build, "--component", "sdk", "--prefix", prefix, stdout=subprocess.DEVNULL)
    if args.project == "template":
        name = "my_method"
        run(quanthost, "plugins", "new", name, "--directory", project)
    else:
        name = args.project.replace("-", "_")
        shutil.copytree(args.source / "examples" / "plugins" / args.project, project)
    # From "/", so that nothing is found by a relative path.
    run(args.cmake, "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}", cwd="/", stdout=subprocess.DEVNULL)
    run(args.cmake, "--build", project / "build", cwd="/")
    plugin = project / "build" / f"{name}.so"
    dynamic = subprocess.run(["readelf", "-dW", plugin], check=True, capture_output=True, text=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line]
    foreign = [lib for lib in needed if not lib.startswith(("libc.", "libm.", "libstdc++.", "libgcc_s.", "ld-linux"))]
    if foreign:
        sys.exit(f"{plugin.name} needs {foreign}")
    run(quanthost, "validate", plugin, cwd="/")
