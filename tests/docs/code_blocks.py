#!/usr/bin/env python3
"""Builds the programs that the pages show, as they stand there, against an installed SDK and library, and runs them.

    tests/docs/code_blocks.py --build build --cmake cmake
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from console_blocks import pattern_of  # noqa: E402: a neighbour of this file

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MODEL = SOURCE / "models/smollm2"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (SOURCE / page).read_text(encoding="utf-8"), re.DOTALL)


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n-- exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def setting(build_folder, name):
    return re.search(rf"^{name}:\w+=(.*)$", (build_folder / "CMakeCache.txt").read_text(), re.MULTILINE)[1]


def build(cmake, folder, prefix):
    run(cmake, "-S", folder, "-B", folder / "build", "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={prefix}")
    return run(cmake, "--build", folder / "build")


def kernels(cmake, folder, prefix):
    """docs/kernels.md: a kernel, and a program around the lines that run it on the emulator."""
    kernel, launch = blocks("docs/kernels.md", "cpp")[:2]
    (folder / "scale.cu").write_text(kernel)
    (folder / "CMakeLists.txt").write_text(
        blocks("docs/kernels.md", "cmake")[0] +
        "add_executable(run run.cpp)\ntarget_link_libraries(run PRIVATE quanthost::sdk ${CMAKE_DL_LIBS})\n")
    (folder / "run.cpp").write_text("""
#include <dlfcn.h>
#include <quanthost/kernel/emulated_stream.h>
int main(int, char** argv) {
  void* library = dlopen(argv[1], RTLD_NOW);
  if (!library) return 1;
  auto* scale_on_device = reinterpret_cast<int (*)(void*, float*, float, int)>(dlsym(library, "scale_on_device"));
  constexpr int count = 1000;
  float data[count];
  for (int i = 0; i < count; ++i) data[i] = static_cast<float>(i);
""" + launch + """
  for (int i = 0; i < count; ++i) if (data[i] != 2.0f * static_cast<float>(i)) return 2;
  return 0;
}
""")
    build(cmake, folder, prefix)
    found = list((folder / "build").rglob("scale_emulated.so"))
    if len(found) != 1:
        sys.exit(f"docs/kernels.md promises scale_emulated.so; built were {[f.name for f in (folder / 'build').rglob('*.so')]}")
    run(folder / "build/run", found[0])


def programs(page):
    """[(language, program, the lines that it prints)]: blocks with a main, each with the text block that follows it."""
    found = re.findall(r"```(cpp|c)\n((?:(?!```).)*?int main.*?)```(?:(?!```).)*?```text\n(.*?)```",
                       (SOURCE / page).read_text(encoding="utf-8"), re.DOTALL)
    return [(language, program, expected.splitlines()) for language, program, expected in found]


def embedding(cmake, folder, prefix, build_folder):
    """docs/embedding.md: applications in C++ and C, and what they print."""
    shown = programs("docs/embedding.md")
    lists = "cmake_minimum_required(VERSION 3.25)\nproject(app LANGUAGES C CXX)\nset(CMAKE_C_STANDARD 99)\n"
    for number, (language, program, _) in enumerate(shown):
        (folder / f"app{number}.{language}").write_text(program)
        lists += blocks("docs/embedding.md", "cmake")[0].replace("app.cpp", f"app{number}.{language}").replace(
            "(app ", f"(app{number} ")
    (folder / "CMakeLists.txt").write_text(lists)
    build(cmake, folder, prefix)
    if len(shown) != 3:
        sys.exit(f"docs/embedding.md shows 3 programs, found were {len(shown)}")
    if not (MODEL / "config.json").exists():
        return print("the applications were built, not run: models/smollm2 is not here (scripts/get-smollm2)")
    (prefix / "lib/quanthost").mkdir(parents=True, exist_ok=True)
    (prefix / "lib/quanthost/libtorch").symlink_to(setting(build_folder, "QUANTHOST_TORCH_DIR"))
    for number, (_, _, expected) in enumerate(shown):
        said = run(folder / f"build/app{number}", MODEL, folder / "out",
                   env={**os.environ, "QUANTHOST_PLUGIN_PATH": str(build_folder / "plugins"), "OMP_WAIT_POLICY": "passive"})
        wanted = pattern_of(expected)
        if not re.search(wanted.pattern.removesuffix(r"\Z"), said if said.endswith("\n") else said + "\n"):
            sys.exit(f"docs/embedding.md: program {number} was to print\n{chr(10).join(expected)}\nand printed\n{said}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("--cmake", default="cmake")
    arguments = parser.parse_args()
    if not (arguments.build / "lib/libquanthost.so").exists():
        print("left out: the build has no libquanthost.so")
        return 77
    with tempfile.TemporaryDirectory(prefix="quanthost-docs-") as scratch:
        scratch = pathlib.Path(scratch)
        prefix = scratch / "installed"
        for component in ("sdk", "host"):
            run(arguments.cmake, "--install", arguments.build, "--component", component, "--prefix", prefix)
        for page in ("kernels", "embedding"):
            (scratch / page).mkdir()
        kernels(arguments.cmake, scratch / "kernels", prefix)
        embedding(arguments.cmake, scratch / "embedding", prefix, arguments.build.resolve())
    print("the programs of docs/kernels.md and docs/embedding.md build and run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
