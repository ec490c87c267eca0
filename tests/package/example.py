"""Builds one example against the installed package alone, in a folder far from this tree, and runs it."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--source", type=pathlib.Path, required=True)
parser.add_argument("--prefix", type=pathlib.Path, required=True)
parser.add_argument("--torch", type=pathlib.Path, required=True)
parser.add_argument("--model", type=pathlib.Path, required=True, help="a model folder with a tokenizer")
parser.add_argument("--cmake", default="cmake")
parser.add_argument("example")
args = parser.parse_args()


def run(*command, **options):
    print("$", *command, flush=True)
    return subprocess.run([str(word) for word in command], check=True, cwd="/", **options)


# Nothing of this machine's user, and no plugin path: what is used must be found beside the installed library.
def clean_environment(home):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("QUANTHOST_", "XDG_", "LIBTORCH"))}
    return {**kept, "HOME": str(home), "OMP_WAIT_POLICY": "passive"}


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    project, build = folder / "project", folder / "build"
    shutil.copytree(args.source / "examples" / args.example, project)
    environment = clean_environment(folder)
    program = args.example.replace("-", "_")
    run(args.cmake, "-S", project, "-B", build, f"-DCMAKE_PREFIX_PATH={args.prefix}", f"-DQUANTHOST_TORCH_DIR={args.torch}",
        "-DCMAKE_BUILD_TYPE=Release", stdout=subprocess.DEVNULL, env=environment)
    run(args.cmake, "--build", build, env=environment)
    if (project / "plugin.yaml").exists():
        run(args.prefix / "bin" / "quanthost", "validate", build / f"{program}.so", env=environment)
        sys.exit(0)
    saved = folder / "saved"
    argument = saved if args.example == "own-model" else args.model
    done = run(build / program, argument, stdout=subprocess.PIPE, text=True, env=environment)
    print(done.stdout)
    if not done.stdout.strip():
        sys.exit(f"{program} printed nothing")
    if args.example == "own-model":
        written = {file.name for file in saved.iterdir()}
        if not {"model.safetensors", "config.json"} <= written or "quantized: down" not in done.stdout:
            sys.exit(f"own_model quantized or saved less than it should: {written}")
        sys.exit(0)
    if "smollm2" in str(args.model) and "Paris" not in done.stdout:
        sys.exit("the answer has no Paris in it")
    failed = subprocess.run([build / program, "/no/such/model"], capture_output=True, text=True, env=environment)
    if failed.returncode != 1 or "what to do:" not in failed.stderr:
        sys.exit(f"a wrong path: exit {failed.returncode}, stderr: {failed.stderr}")
