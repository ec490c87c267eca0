#!/usr/bin/env python3
"""Typical mistakes, and the screens that answer them. Each screen is kept in tests/cli/mistakes/NAME.txt.

    tests/cli/mistakes.py --build build              compare
    tests/cli/mistakes.py --build build --record     write the screens anew; read the diff before you commit it
    tests/cli/mistakes.py --build build --only NAME  one of them, printed

Besides being as recorded, every screen must say what failed and what to do, and end with a documented exit code. Mistakes
that need a model are left out, with a line that says so, where the build has no libquanthost.so (the sanitizer build).
"""
import argparse
import concurrent.futures
import ctypes
import difflib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SCREENS = pathlib.Path(__file__).resolve().parent / "mistakes"
EXIT_CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 130}


class Scene:
    """A folder of its own for each mistake: a good model, plugins, a home."""

    def __init__(self, root, build):
        self.root, self.build = root, build
        for name in ("home", "plugins", "work"):
            (root / name).mkdir()
        self.work = root / "work"

    def plugin(self, name):
        for folder in ("plugins", "tests/cli_plugins", "tests/hostile_plugins"):
            if (self.build / folder / f"{name}.so").exists():
                shutil.copy(self.build / folder / f"{name}.so", self.root / "plugins")
                return self.root / "plugins" / f"{name}.so"
        raise FileNotFoundError(name)

    def model(self, name="model"):
        to = self.work / name
        to.mkdir()
        for file in ("config.json", "model.safetensors"):
            shutil.copy(SOURCE / "tests/model/goldens/llama" / file, to)
        return to

    def config(self, model, **changes):
        path = model / "config.json"
        content = json.loads(path.read_text())
        content.update(changes)
        path.write_text(json.dumps(content))

    def settings(self, text):
        folder = self.root / "home/.config/quanthost"
        folder.mkdir(parents=True)
        (folder / "quanthost.yaml").write_text(text)

    def environment(self):
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.root / "home"), "LC_ALL": "C.UTF-8",
            "QUANTHOST_PLUGIN_PATH": str(self.root / "plugins"), "QUANTHOST_PLUGIN_SYSTEM_PATH": "/nonexistent",
            "OMP_NUM_THREADS": "1", "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", ""),
        }


# A mistake is a function that prepares the scene and returns the arguments (and what to add to the environment).
MISTAKES = {}
NEEDS_MODEL = set()


def mistake(function=None, *, model=False):
    def add(f):
        name = f.__name__.replace("_", "-")
        MISTAKES[name] = f
        if model:
            NEEDS_MODEL.add(name)
        return f
    return add(function) if function else add


# --- the command line ---------------------------------------------------------------------------------------------------

@mistake
def typo_in_a_verb(s):
    return ["quantise", "model", "out"]

@mistake
def typo_in_an_option(s):
    return ["plugins", "list", "--jsn"]

@mistake
def verb_of_another_verb(s):
    return ["plugins", "doctor"]

@mistake
def value_that_is_not_a_choice(s):
    return ["--color", "sometimes", "plugins", "list"]

@mistake
def argument_left_out(s):
    return ["plugins", "inspect"]

@mistake(model=True)
def number_that_is_none(s):
    s.model()
    return ["load", "model", "--threads", "many"]

@mistake(model=True)
def prompt_left_out(s):
    s.model()
    return ["run", "model"]

# --- settings -------------------------------------------------------------------------------------------------------------

@mistake
def typo_in_a_setting(s):
    s.settings("color: never\nthread: 4\n")
    return ["plugins", "list"]

@mistake
def setting_of_the_wrong_kind(s):
    s.settings("plugin_path: plugins\n")
    return ["plugins", "list"]

@mistake
def settings_that_are_no_yaml(s):
    s.settings("color: [never\n")
    return ["plugins", "list"]

@mistake
def variable_with_a_bad_value(s):
    return ["plugins", "list"], {"QUANTHOST_PROBE_LIMIT": "soon"}

@mistake
def settings_file_that_does_not_exist(s):
    return ["--config", "missing.yaml", "plugins", "list"]

# --- plugins --------------------------------------------------------------------------------------------------------------

@mistake
def no_plugins_at_all(s):
    return ["plugins", "list"]

@mistake
def typo_in_a_plugin(s):
    s.plugin("absmax8")
    return ["plugins", "why", "org.example.absmaks8"]

@mistake
def file_that_is_no_plugin(s):
    (s.root / "plugins/notes.so").write_text("these are notes\n")
    return ["plugins", "why", str(s.root / "plugins/notes.so")]

@mistake
def damaged_plugin(s):
    path = s.plugin("absmax8")
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 3])
    return ["plugins", "why", str(path)]

@mistake
def plugin_that_anybody_can_write(s):
    s.plugin("absmax8").chmod(0o666)
    return ["plugins", "why", "org.example.absmax8"]

@mistake
def plugin_that_is_blocked(s):
    s.plugin("absmax8")
    subprocess.run([s.build / "bin/quanthost", "plugins", "trust", "block", "org.example.absmax8"],
                   env=s.environment(), check=True, capture_output=True)
    return ["plugins", "why", "org.example.absmax8"]

@mistake
def plugin_that_crashes(s):
    s.plugin("segfaults")
    subprocess.run([s.build / "bin/quanthost", "plugins", "list", "--probe"], env=s.environment(), capture_output=True)
    return ["plugins", "why", str(s.root / "plugins/segfaults.so")]

@mistake
def kernels_left_out(s):
    s.plugin("quantizer")
    return ["plugins", "deps"]

@mistake
def project_name_with_a_dash(s):
    return ["plugins", "new", "my-method"]

@mistake
def project_that_exists(s):
    (s.work / "mymethod").mkdir()
    return ["plugins", "new", "mymethod"]

# --- models ---------------------------------------------------------------------------------------------------------------

@mistake(model=True)
def wrong_path(s):
    return ["load", "modle"]

@mistake(model=True)
def folder_without_a_config(s):
    (s.model() / "config.json").unlink()
    return ["load", "model"]

@mistake(model=True)
def gguf_file_instead_of_a_folder(s):
    (s.work / "model.gguf").write_bytes(b"GGUF")
    return ["load", "model.gguf"]

@mistake(model=True)
def config_that_is_no_json(s):
    (s.model() / "config.json").write_text('{"model_type": "llama",}')
    return ["load", "model"]

@mistake(model=True)
def architecture_that_is_unknown(s):
    s.config(s.model(), model_type="mamba", architectures=["MambaForCausalLM"])
    return ["load", "model"]

@mistake(model=True)
def weights_that_are_missing(s):
    (s.model() / "model.safetensors").unlink()
    return ["load", "model"]

@mistake(model=True)
def download_that_broke_off(s):
    path = s.model() / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-2000])
    return ["load", "model"]

@mistake(model=True)
def header_that_is_damaged(s):
    path = s.model() / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + path.read_bytes()[8:])
    return ["load", "model"]

@mistake(model=True)
def tensor_of_another_shape(s):
    s.config(s.model(), intermediate_size=64)
    return ["load", "model"]

@mistake(model=True)
def tokenizer_left_out(s):
    s.model()
    return ["run", "model", "-p", "Hi"]

# --- methods and devices --------------------------------------------------------------------------------------------------

@mistake(model=True)
def typo_in_a_method(s):
    s.model(), s.plugin("absmax8")
    return ["load", "model", "--method", "absmaks8"]

@mistake(model=True)
def typo_in_a_key(s):
    s.model(), s.plugin("absmax8")
    return ["load", "model", "--method", "absmax8", "--set", "modules_to_not_konvert=lm_head"]

@mistake(model=True)
def checkpoint_of_a_missing_plugin(s):
    s.config(s.model(), quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    return ["load", "model"]

@mistake(model=True)
def wrong_dtype(s):
    s.model()
    return ["load", "model", "--dtype", "float17"]

@mistake(model=True)
def no_gpu(s):
    s.model()
    return ["load", "model", "--device-map", "cuda:0"], {"CUDA_VISIBLE_DEVICES": ""}

@mistake(model=True)
def memory_limit_that_is_none(s):
    s.model()
    return ["load", "model", "--device-map", "auto", "--max-memory", "cpu=lots"]

@mistake(model=True)
def quantize_without_a_method(s):
    s.model()
    return ["quantize", "model", "out"]

@mistake(model=True)
def output_folder_that_holds_other_files(s):
    s.model(), s.plugin("absmax8")
    (s.work / "out").mkdir()
    (s.work / "out/thesis.tex").write_text("years of work")
    return ["quantize", "model", "out", "--method", "absmax8"]

@mistake(model=True)
def full_disk(s):
    s.model(), s.plugin("absmax8")
    shim = s.build / "tests/libfull_disk.so"
    return ["quantize", "model", "out", "--method", "absmax8"], {"LD_PRELOAD": str(shim)}

@mistake(model=True)
def method_that_nobody_has(s):
    s.model(), s.plugin("absmax8")
    return ["load", "model", "--method", "nf4"]

@mistake(model=True)
def setting_without_a_method(s):
    s.model()
    return ["load", "model", "--set", "bits=4"]

@mistake(model=True)
def method_twice(s):
    s.model(), s.plugin("absmax8")
    (s.work / "quant.yaml").write_text("method: absmax8\n")
    return ["load", "model", "--method", "absmax8", "--quant", "quant.yaml"]

@mistake(model=True)
def device_map_that_is_no_json(s):
    s.model()
    return ["load", "model", "--device-map", "{"]

@mistake(model=True)
def quantized_twice(s):
    s.model(), s.plugin("absmax8")
    subprocess.run([s.build / "bin/quanthost", "quantize", "model", "quantized", "--method", "absmax8"], env=s.environment(),
                   cwd=s.work, check=True, stdout=subprocess.DEVNULL)
    return ["quantize", "quantized", "out", "--method", "absmax8"]

@mistake(model=True)
def dequantize_of_a_dense_model(s):
    s.model()
    return ["dequantize", "model", "out"]

@mistake
def value_left_out(s):
    return ["plugins", "list", "--color"]

@mistake
def help_of_a_verb_that_is_none(s):
    return ["help", "quantise"]

@mistake
def plugin_to_validate_left_out(s):
    return ["validate", "mine.so"]

@mistake
def plugin_path_that_is_none(s):
    return ["--plugin-path", "plugns", "plugins", "why", "org.example.absmax8"]

@mistake
def report_of_a_file_that_tells_nothing(s):
    (s.work / "notes.json").write_text("{}")
    return ["report", "notes.json"]


def normalized(text, scene):
    text = text.replace(str(scene.root), "$SCENE").replace(str(scene.build), "$BUILD")
    text = re.sub(r"uid \d+", "uid $UID", text)
    text = re.sub(r"\.quanthost-spool-\w+", ".quanthost-spool-$RANDOM", text)
    text = re.sub(r"quanthost-new-[0-9a-f]+", "quanthost-new-$RANDOM", text)
    text = re.sub(r"\d+ bytes at offset \d+ are needed, the file has \d+",
                  "$N bytes at offset $N are needed, the file has $N", text)  # the file is this build's own
    text = re.sub(r"0x[0-9a-f]{6,}", "0x$ADDRESS", text)
    return re.sub(r"until \S+ \S+", "until $TIME", text)


def screen_of(name, build):
    with tempfile.TemporaryDirectory(prefix="quanthost-mistake-") as folder:
        scene = Scene(pathlib.Path(folder).resolve(), build)
        made = MISTAKES[name](scene)
        arguments, extra = made if isinstance(made, tuple) else (made, {})
        done = subprocess.run([build / "bin/quanthost", *arguments], env=scene.environment() | extra, cwd=scene.work,
                              capture_output=True, text=True, timeout=120)
        shown = normalized(" ".join(map(str, arguments)), scene)
        text = f"$ quanthost {shown}\n{done.stdout}{done.stderr}[exit code {done.returncode}]\n"
        return normalized(text, scene), done.returncode


def has_driver():
    try:
        return bool(ctypes.CDLL("libcuda.so.1"))
    except OSError:
        return False


def faults_of(name, screen, code):
    """What every screen must be, whatever it says."""
    out = []
    body = screen.split("\n", 1)[1]
    if code not in EXIT_CODES:
        out.append(f"exit code {code} is not documented")
    if code == 0 and name != "no-plugins-at-all":
        out.append("the mistake went unnoticed")
    if re.search(r"terminate called|what\(\)|core dumped|AddressSanitizer|InternalError", body):
        out.append("the program broke instead of answering")
    if code != 0 and name != "kernels-left-out" and not re.search(r"hint: \S|fix: \S", body):
        out.append("it does not say what to do")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    names = [arguments.only] if arguments.only else list(MISTAKES)
    if not (build / "lib/libquanthost.so").exists():
        skipped = [name for name in names if name in NEEDS_MODEL]
        names = [name for name in names if name not in NEEDS_MODEL]
        print(f"left out, since they need libquanthost.so: {len(skipped)} mistakes with models")
    if "no-gpu" in names and has_driver():
        print("left out, since this machine has a driver: no-gpu")
        names.remove("no-gpu")
    if not (build / "tests/libfull_disk.so").exists() and "full-disk" in names:
        print("left out, since a sanitizer's library must come first: full-disk")
        names.remove("full-disk")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        screens = list(pool.map(lambda name: screen_of(name, build), names))
    for name, (screen, code) in zip(names, screens):
        path = SCREENS / f"{name}.txt"
        faults = faults_of(name, screen, code)
        if arguments.only:
            print(screen)
        if arguments.record:
            path.write_text(screen)
        elif not path.exists():
            faults.append(f"{path} does not exist; record it with --record")
        elif path.read_text() != screen:
            faults.append("".join(difflib.unified_diff(path.read_text().splitlines(True), screen.splitlines(True),
                                                       "recorded", "now")))
        if faults:
            failed += 1
            print(f"{name}:", *faults, sep="\n  ")
    if arguments.record and not arguments.only:
        for path in SCREENS.glob("*.txt"):
            if path.stem not in MISTAKES:
                path.unlink()
    print(f"{len(names)} mistakes, {failed} not as they should be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
