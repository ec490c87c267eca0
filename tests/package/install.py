"""Installs every component into one prefix for the tests of this folder, moves it, and checks that it works where it lies."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--build", type=pathlib.Path, required=True)
parser.add_argument("--prefix", type=pathlib.Path, required=True)
parser.add_argument("--cmake", default="cmake")
args = parser.parse_args()

first = args.prefix.with_name("installed-first")
for folder in (first, args.prefix):
    shutil.rmtree(folder, ignore_errors=True)
for component in ("sdk", "host", "cli", "plugins"):
    subprocess.run([args.cmake, "--install", args.build, "--component", component, "--prefix", first], check=True,
                   stdout=subprocess.DEVNULL)
first.rename(args.prefix)  # relocatable: nothing may remember where it was installed

home = args.prefix.with_name("home")
shutil.rmtree(home, ignore_errors=True)
home.mkdir()
environment = {key: value for key, value in os.environ.items() if not key.startswith(("QUANTHOST_", "XDG_"))}
environment["HOME"] = str(home)


def output(*command):
    print("$", *command, flush=True)
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, cwd="/",
                          env=environment).stdout


listing = output(args.prefix / "bin" / "quanthost", "plugins", "list")
print(listing)
for plugin in ("org.quanthost.bnb4 ", "org.quanthost.quanto ", "org.quanthost.gptq "):
    if plugin not in listing:
        sys.exit(f"the installed command does not find the installed plugin {plugin}")
if "emulated" in listing:
    sys.exit("emulated kernels are for tests and must not be installed")
for file in args.prefix.rglob("*"):
    if file.is_symlink() or not file.is_file():
        continue
    if str(first) in (text := file.read_bytes()).decode("latin-1"):
        sys.exit(f"{file} remembers where it was installed")
    if text[:4] == b"\x7fELF":
        dynamic = subprocess.run(["readelf", "-dW", file], check=True, capture_output=True, text=True).stdout
        for line in dynamic.splitlines():
            if "RPATH" in line or "RUNPATH" in line:
                entries = line.split("[")[1].rstrip("]").split(":")
                if wrong := [entry for entry in entries if not entry.startswith("$ORIGIN")]:
                    sys.exit(f"{file}: looks for libraries in {wrong}")
