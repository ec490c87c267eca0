"""Makes the packages and looks into them: which there are, what they hold and need, and that the portable archive runs where it
is unpacked."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--build", type=pathlib.Path, required=True)
parser.add_argument("--cpack", default="cpack")
args = parser.parse_args()
if not shutil.which("dpkg-shlibdeps"):
    print("skipped: dpkg-dev is not installed")
    sys.exit(77)
failures = []


def check(fact, what):
    if not fact:
        failures.append(what)


def output(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


def field(deb, name):
    return output("dpkg-deb", "-f", deb, name).strip()


def look_into_debs(folder):
    owners = {}
    debs = {field(deb, "Package"): deb for deb in folder.glob("*.deb")}
    backends = {f"quanthost-plugin-{backend}" for backend in ("bnb4", "quanto", "gptq")}
    check(set(debs) == {"quanthost", "quanthost-host", "quanthost-sdk"} | backends, f"the packages are {sorted(debs)}")
    for name, deb in debs.items():
        print(f"{deb.name}: depends on {field(deb, 'Depends') or 'nothing'}")
        check((field(deb, "Architecture") == "all") == (name == "quanthost-sdk"), f"{name} is for {field(deb, 'Architecture')}")
        check("torch" not in field(deb, "Depends"), f"{name} depends on a LibTorch package, which Debian has not")
        for line in output("dpkg-deb", "-c", deb).splitlines():
            mode, path = line.split(maxsplit=5)[0], line.split(maxsplit=5)[5]
            if mode.startswith("d"):
                continue
            check(path not in owners, f"{path} is in {name} and in {owners.get(path)}")
            owners[path] = name
            check(path.startswith("./usr/"), f"{name} installs {path}")
            check("_emulated" not in path, f"{name} installs the emulated kernels {path}")
    check("quanthost-host" in field(debs["quanthost"], "Depends"), "the command does not depend on the host")
    check("libyaml-cpp" in field(debs["quanthost-host"], "Depends"), "quanthost-host forgets the libraries it needs")
    for path, owner in {"./usr/bin/quanthost": "quanthost", "./usr/lib/libquanthost.so.0": "quanthost-host",
                        "./usr/include/quanthost/abi.h": "quanthost-sdk", "./usr/include/quanthost/quanthost.h": "quanthost-host",
                        "./usr/lib/quanthost/plugins/qh_bnb4.so": "quanthost-plugin-bnb4",
                        "./usr/lib/quanthost/plugins/gptq.so": "quanthost-plugin-gptq"}.items():
        found = [key for key in owners if key.split(" -> ")[0] == path]
        check(found and owners[found[0]] == owner, f"{path} is not in {owner}")


def try_archive(archive, folder):
    subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
    (top,) = folder.iterdir()
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    listing = output(top / "bin/quanthost", "plugins", "list", cwd="/", env=environment)
    check("org.quanthost.bnb4" in listing, f"the unpacked command lists: {listing}")
    for line in output("ldd", top / "bin/quanthost").splitlines():
        library = line.split()[0]
        if any(library.startswith(own) for own in ("libyaml-cpp", "libspdlog", "libfmt", "libsodium")):
            check(str(top) in line, f"{library} is not the archive's own: {line}")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for generator in ("TGZ", "DEB"):
        output(args.cpack, "-G", generator, "--config", args.build.resolve() / "CPackConfig.cmake", "-B", folder / generator, cwd=folder)
    look_into_debs(folder / "DEB")
    (folder / "unpacked").mkdir()
    (archive,) = (folder / "TGZ").glob("*.tar.gz")
    try_archive(archive, folder / "unpacked")
for failure in failures:
    print(f"FAIL {failure}")
sys.exit(bool(failures))
