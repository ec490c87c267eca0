#!/usr/bin/env python3
"""The verbs about this machine and the command itself: doctor, env, config, completion, man, help.

    tests/cli/verbs.py BUILD [unittest arguments]
"""
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path()
SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXIT_CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 130}


class Place(unittest.TestCase):
    """Each test has a home and a plugin directory of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="quanthost-verbs-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.plugins = self.root / "plugins"
        self.plugins.mkdir()
        (self.root / "home").mkdir()

    def run_quanthost(self, *arguments, **environment):
        base = {"PATH": os.environ["PATH"], "HOME": str(self.root / "home"), "QUANTHOST_PLUGIN_PATH": str(self.plugins),
                "QUANTHOST_PLUGIN_SYSTEM_PATH": "/nonexistent", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([BUILD / "bin/quanthost", *arguments], env=base | environment, cwd=self.root, text=True,
                              capture_output=True, timeout=120)
        self.assertIn(done.returncode, EXIT_CODES, done.stderr)
        return done

    def json_of(self, *arguments, **environment):
        return json.loads(self.run_quanthost(*arguments, "--json", **environment).stdout)

    def drop(self, name="absmax8"):
        shutil.copy(BUILD / f"plugins/{name}.so", self.plugins)

    def settings(self, text):
        folder = self.root / "home/.config/quanthost"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "quanthost.yaml").write_text(text)
        return folder / "quanthost.yaml"


class Doctor(Place):
    def test_fails_without_plugins_and_says_what_to_do(self):
        done = self.run_quanthost("doctor")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"FAIL  plugins +no plugin was found\n +fix: copy a plugin's \.so")
        self.assertRegex(done.stdout.splitlines()[-1], r"^Something is in the way: 1 failure")

    def test_is_content_with_a_plugin_that_works(self):
        self.drop()
        done = self.run_quanthost("doctor")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"OK    plugin +org\.example\.absmax8 1\.0\.0, opened in isolation")
        self.assertTrue(done.stdout.splitlines()[-1].startswith("quanthost works here"))

    def test_every_line_that_is_not_ok_has_a_fix(self):
        (self.plugins / "notes.so").write_text("no plugin")
        document = self.json_of("doctor")
        self.assertEqual(document["schema"], "quanthost.doctor")
        states = {check["state"] for check in document["checks"]}
        self.assertTrue(states <= {"ok", "warn", "fail"})
        for check in document["checks"]:
            self.assertEqual(check["state"] == "ok", check["fix"] == "", check)
        self.assertTrue(any("notes" in check["found"] for check in document["checks"]))

    def test_quiet_leaves_out_what_is_ok(self):
        self.drop()
        self.assertNotIn("OK  ", self.run_quanthost("doctor", "--quiet").stdout)

    def test_reports_settings_that_cannot_be_read(self):
        self.drop()
        self.settings("thread: 4\n")
        done = self.run_quanthost("doctor")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"FAIL  settings .*quanthost\.yaml:1: 'thread' is not a setting")


class Check(Place):
    """Files are held against the hash that their download noted."""

    def setUp(self):
        super().setUp()
        if not (BUILD / "lib/libquanthost.so").exists():
            self.skipTest("built without LibTorch")
        self.model = self.root / "model"
        shutil.copytree(SOURCE / "tests/model/goldens/llama", self.model)
        self.tensors = self.model / "model.safetensors"
        note = self.model / ".cache/huggingface/download/model.safetensors.metadata"
        note.parent.mkdir(parents=True)
        note.write_text(f"{'1' * 40}\n{hashlib.sha256(self.tensors.read_bytes()).hexdigest()}\n1700000000.0\n")

    def test_finds_a_single_bit_that_flipped(self):
        sound = self.json_of("check", "model")
        self.assertEqual((sound["sound"], sound["files_with_known_hash"]), (True, 1))
        content = bytearray(self.tensors.read_bytes())
        content[-100] ^= 1
        self.tensors.write_bytes(content)
        done = self.run_quanthost("check", "model")
        self.assertEqual(done.returncode, 7)
        self.assertRegex(done.stdout, "model.safetensors: its SHA-256 is .* its bytes have changed")

    def test_has_nothing_to_say_of_a_file_without_a_hash(self):
        shutil.rmtree(self.model / ".cache")
        self.assertEqual(self.json_of("check", "model")["files_with_known_hash"], 0)


class Quantize(Place):
    """The JSON of a quantized model tells of each layer, and a report shows it."""

    def setUp(self):
        super().setUp()
        if not (BUILD / "lib/libquanthost.so").exists():
            self.skipTest("built without LibTorch")
        self.model = SOURCE / "tests/model/goldens/llama"

    def quantized_layers(self, *arguments):
        document = self.json_of("quantize", str(self.model), "out", *arguments)
        (self.root / "quantize.json").write_text(json.dumps(document))
        report = self.json_of("report", "quantize.json", "-o", "page.html")
        self.assertEqual(report["layers"], len(document["layers"]))
        return [layer for layer in document["layers"] if layer["quantized"]], (self.root / "page.html").read_text()

    def test_tells_the_size_of_each_layer_before_and_after(self):
        self.drop()
        layers, page = self.quantized_layers("--method", "absmax8")
        self.assertEqual(len(layers), 14)
        for layer in layers:
            self.assertEqual(layer["method"], "absmax8")
            self.assertLess(layer["bytes_after"], layer["bytes_before"])
            self.assertIn(layer["name"], page)

    def test_tells_the_errors_that_calibration_found(self):
        if not (BUILD / "plugins/gptq.so").exists():
            self.skipTest("gptq was not built")
        for plugin in ("gptq", "qh_gptq_cpu"):
            self.drop(plugin)
        samples = json.dumps([{"input_ids": list(range(start, start + 24))} for start in range(1, 33)])
        layers, page = self.quantized_layers("--method", "gptq", "--set", "group_size=16", "--set", f"dataset={samples}")
        self.assertEqual(len(layers), 14)
        for layer in layers:
            self.assertEqual((layer["method"], layer["bits"]), ("gptq", 4))
            self.assertGreater(layer["error"], 0)
        self.assertIn("Error by layer", page)
        self.compares_with_the_dense_model_in_either_order()

    def compares_with_the_dense_model_in_either_order(self):
        for order in ([str(self.model), "out"], ["out", str(self.model)]):
            report = self.json_of("report", *order, "-o", "both.html")
            page = (self.root / "both.html").read_text()
            self.assertEqual(report["errors"], 14)
            self.assertRegex(page, r"<dt>Model</dt><dd>[^<]*goldens/llama</dd>")
            self.assertRegex(page, r"<dt>Became</dt><dd>out</dd>")
            self.assertRegex(page, r"MB became [0-9.]+ MB, [0-9.]+ times smaller")

    def test_are_compared_two_at_a_time(self):
        done = self.run_quanthost("report", *[str(self.model)] * 3)
        self.assertEqual(done.returncode, 2)
        self.assertIn("two models at most", done.stderr)


class Env(Place):
    def test_holds_no_secret(self):
        self.drop()
        text = self.run_quanthost("env", HF_TOKEN="hf_verysecret", AWS_SECRET_ACCESS_KEY="alsosecret", QUANTHOST_THREADS="3").stdout
        self.assertNotIn("secret", text)
        self.assertNotIn(str(self.root / "home"), text)
        self.assertNotIn(os.uname().nodename + "\n", text)
        self.assertIn("QUANTHOST_THREADS: 3", text)
        self.assertRegex(text, r"plugin ABI: \d+\.\d+")
        self.assertIn("org.example.absmax8: 1.0.0 ok", text)

    def test_is_json_for_programs(self):
        document = self.json_of("env")
        self.assertEqual(document["schema"], "quanthost.env")
        self.assertIn("compiler", document["host"])


class WaitingThreads(Place):
    """LibTorch's OpenMP says what it took from the environment when the library was opened."""

    def setUp(self):
        super().setUp()
        if not (BUILD / "lib/libquanthost.so").exists():
            self.skipTest("this build has no libquanthost.so")

    def spins(self, **environment):
        said = self.run_quanthost("forward", "--help", OMP_DISPLAY_ENV="verbose", **environment).stderr
        return re.search(r"GOMP_SPINCOUNT = '(\w+)'", said)[1]

    def test_spin_for_a_moment_and_then_sleep(self):
        self.assertEqual(self.spins(), "1000")

    def test_spin_when_the_user_says_so(self):
        self.assertEqual(self.spins(GOMP_SPINCOUNT="77"), "77")
        self.assertEqual(self.spins(OMP_WAIT_POLICY="passive"), "0")


class Config(Place):
    def origin(self, key, *arguments, **environment):
        for setting in self.json_of(*arguments, "config", "show", **environment)["settings"]:
            if setting["key"] == key:
                return setting["value"], setting["from"]
        return None

    def test_flag_wins_over_environment_over_file_over_default(self):
        self.assertEqual(self.origin("color"), ("auto", "default"))
        file = self.settings("# mine\ncolor: never\nthreads: 4\n")
        self.assertEqual(self.origin("color"), ("never", f"{file}:2"))
        self.assertEqual(self.origin("threads"), ("4", f"{file}:3"))
        self.assertEqual(self.origin("color", QUANTHOST_COLOR="auto"), ("auto", "QUANTHOST_COLOR"))
        self.assertEqual(self.origin("color", "--color", "always", QUANTHOST_COLOR="auto"), ("always", "--color"))

    def test_the_file_takes_effect(self):
        self.drop()
        self.settings("color: always\n")
        self.assertIn("\x1b[", self.run_quanthost("plugins", "list").stdout)
        self.assertNotIn("\x1b[", self.run_quanthost("plugins", "list", QUANTHOST_COLOR="never").stdout)
        self.assertNotIn("\x1b[", self.run_quanthost("plugins", "list", "--color", "auto").stdout)

    def test_plugin_directories_of_the_file_come_after_those_of_the_environment(self):
        more = self.root / "more"
        more.mkdir()
        file = self.settings(f"plugin_path: [{more}]\n")
        directories = self.json_of("plugins", "paths")["directories"]
        self.assertEqual([(d["path"], d["origin"]) for d in directories[:2]],
                         [(str(self.plugins), "QUANTHOST_PLUGIN_PATH"), (str(more), f"{file}:1")])

    def test_a_file_can_be_named(self):
        other = self.root / "other.yaml"
        other.write_text("quiet: true\n")
        self.assertEqual(self.origin("quiet", "--config", str(other)), ("true", f"{other}:1"))
        self.assertEqual(self.origin("quiet", QUANTHOST_CONFIG=str(other)), ("true", f"{other}:1"))
        self.assertEqual(self.origin("quiet", QUANTHOST_CONFIG="/dev/null")[0], "false")

    def test_the_template_is_a_valid_file(self):
        template = self.run_quanthost("config", "template").stdout
        self.settings(template)
        self.assertEqual(self.run_quanthost("config", "show").returncode, 0)
        self.settings(re.sub(r"(?m)^# (color|no_cache|probe_limit|plugin_path|dtype): ", r"\1: ", template))
        self.assertEqual(self.run_quanthost("config", "show").stderr, "")


class Terminal(Place):
    def on_terminal(self, *arguments, **environment):
        if not shutil.which("script"):
            self.skipTest("script(1) is not installed")
        base = {"PATH": os.environ["PATH"], "HOME": str(self.root / "home"), "QUANTHOST_PLUGIN_PATH": str(self.plugins),
                "QUANTHOST_PLUGIN_SYSTEM_PATH": "/nonexistent", "TERM": "xterm"}
        line = " ".join([str(BUILD / "bin/quanthost"), *arguments])
        return subprocess.run(["script", "-qec", line, "/dev/null"], env=base | environment, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=60).stdout

    def test_has_colours_unless_it_says_no(self):
        self.drop()
        self.assertIn("\x1b[", self.on_terminal("plugins", "list"))
        self.assertNotIn("\x1b[", self.on_terminal("plugins", "list", NO_COLOR="1"))
        self.assertNotIn("\x1b[", self.on_terminal("plugins", "list", TERM="dumb"))
        self.assertIn("\x1b[", self.on_terminal("plugins", "list", NO_COLOR=""))


class Interrupted(Place):
    """Ctrl-C ends every verb with 130 and one sentence."""

    def setUp(self):
        super().setUp()
        if not (BUILD / "lib/libquanthost.so").exists():
            self.skipTest("built without LibTorch")

    def interrupted(self, *arguments, wait_for):
        process = subprocess.Popen([BUILD / "bin/quanthost", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={"PATH": os.environ["PATH"], "HOME": str(self.root / "home")})
        self.assertNotEqual(process.stdout.read(wait_for), "")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (130, "error: interrupted\n"))
        return out

    def test_while_it_generates(self):
        # A model without an end of its own, and more tokens than a pipe holds: nobody reads them before the signal.
        model = self.root / "model"
        model.mkdir()
        for file in (BUILD / "tests/api/tiny_model").iterdir():
            if file.name != "generation_config.json":
                shutil.copyfile(file, model / file.name)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 400000}))
        self.interrupted("run", str(model), "-p", "hello", "-n", "300000", "--greedy", wait_for=3)


class Completion(Place):
    def complete(self, *words):
        script = self.root / "completion.bash"
        if not script.exists():
            script.write_text(self.run_quanthost("completion", "bash").stdout)
        quoted = " ".join(f"'{w}'" for w in words)
        done = subprocess.run(["bash", "--norc", "-c", f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); "
                               "_quanthost; printf '%s\\n' \"${COMPREPLY[@]}\""], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_of_bash_completes_verbs_options_and_choices(self):
        self.assertEqual(self.complete("quanthost", "plug"), ["plugins"])
        self.assertEqual(self.complete("quanthost", "--json", "plugins", "li"), ["list"])
        self.assertEqual(self.complete("quanthost", "plugins", "list", "--pro"), ["--probe", "--probe-limit"])
        self.assertEqual(self.complete("quanthost", "--color", "a"), ["auto", "always"])
        self.assertEqual(self.complete("quanthost", "completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.complete("quanthost", "plugins", "trust", "pol"), ["policy"])

    def test_of_bash_knows_the_verbs_of_the_library(self):
        if not (BUILD / "lib/libquanthost.so").exists():
            self.skipTest("this build has no libquanthost.so")
        self.assertEqual(self.complete("quanthost", "load", "model", "--max-m"), ["--max-memory"])

    WHOLE = {"quanthost plug": "plugins", "quanthost plugins li": "list", "quanthost --json plugins li": "list",
             "quanthost plugins list --probe-l": "--probe-limit", "quanthost --color al": "always",
             "quanthost completion fi": "fish", "quanthost plugins trust pol": "policy"}

    def test_of_fish_completes_the_same(self):
        if not shutil.which("fish"):
            self.skipTest("fish is not installed")
        (self.root / "quanthost.fish").write_text(self.run_quanthost("completion", "fish").stdout)
        lines = "; ".join(f"complete -C '{line}'" for line in self.WHOLE)  # each has one answer: WORD, tab, what it is
        done = subprocess.run(["fish", "--no-config", "-c", f"source {self.root}/quanthost.fish; {lines}"],
                              capture_output=True, text=True, timeout=60, env=os.environ | {"HOME": str(self.root)})
        self.assertEqual(([answer.split()[0] for answer in done.stdout.splitlines()], done.stderr), (list(self.WHOLE.values()), ""))

    def test_of_zsh_completes_the_same(self):
        if not shutil.which("zsh"):
            self.skipTest("zsh is not installed")
        (self.root / "functions").mkdir()
        (self.root / "functions/_quanthost").write_text(self.run_quanthost("completion", "zsh").stdout)
        for line, word in self.WHOLE.items():
            done = subprocess.run(["zsh", "-f", pathlib.Path(__file__).with_name("complete.zsh"), self.root, line],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual((done.stdout.split()[-1:], done.stderr), ([word], ""), line)

    def test_scripts_are_understood_by_their_shells(self):
        for shell, arguments in (("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])):
            script = self.run_quanthost("completion", shell).stdout
            self.assertIn("plugins", script)
            if not shutil.which(shell):
                print(f"{shell} is not installed: its script was not parsed")
                continue
            path = self.root / f"script.{shell}"
            path.write_text(script)
            self.assertEqual(subprocess.run([shell, *arguments, path], capture_output=True, text=True).stderr, "")


class Manual(Place):
    def test_has_a_page_for_every_verb(self):
        self.run_quanthost("man", "--all", str(self.root / "man1"))
        pages = {page.name for page in (self.root / "man1").iterdir()}
        self.assertTrue({"quanthost.1", "quanthost-doctor.1", "quanthost-plugins-list.1", "quanthost-load.1"} <= pages)

    def test_pages_are_sound_roff(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not installed")
        self.run_quanthost("man", "--all", str(self.root / "man1"))
        for page in (self.root / "man1").iterdir():
            done = subprocess.run(["groff", "-Kutf8", "-man", "-ww", "-Tutf8", page], capture_output=True, text=True)
            self.assertEqual(done.stderr, "", page.name)
            self.assertIn("SYNOPSIS", re.sub(r"\x1b\[\d*m|.\x08", "", done.stdout), page.name)

    def test_the_main_page_tells_exit_codes_and_settings(self):
        page = self.run_quanthost("man").stdout
        for text in ("EXIT STATUS", "QUANTHOST_DEVICE_MAP", "plugin_path", "quanthost\\-doctor"):
            self.assertIn(text, page)


class Help(Place):
    def verbs(self):
        pages = self.json_of("man", "--all", str(self.root / "man1"))["files"]
        text = {pathlib.Path(p).stem: pathlib.Path(p).read_text() for p in pages}
        leaves = [name for name in text if not any(other.startswith(name + "-") for other in text)]
        return [[word.replace("_", "-") for word in re.sub(r"-key$", "_key", name).split("-")[1:]] for name in leaves]

    def test_of_every_verb_has_examples(self):
        with_models = (BUILD / "lib/libquanthost.so").exists()
        verbs = [v for v in self.verbs() if v]
        self.assertGreater(len(verbs), 25)
        for verb in verbs:
            done = self.run_quanthost(*verb, "--help")
            if done.returncode == 11 and not with_models:
                continue
            self.assertEqual(done.returncode, 0, verb)
            self.assertRegex(done.stdout, r"Examples:\n  \S", verb)

    def test_of_every_verb_shows_the_whole_command_and_where_the_other_options_are(self):
        for verb in (["plugins", "list"], ["methods"], ["completion"]):
            text = self.run_quanthost(*verb, "--help").stdout
            self.assertIn(f"Usage: quanthost {' '.join(verb)} [OPTIONS]", text)
            self.assertIn("Every verb also takes --json", text)
        self.assertIn("Usage: quanthost completion [OPTIONS] SHELL\n", self.run_quanthost("completion", "--help").stdout)
        self.assertNotIn("REQUIRED", self.run_quanthost("completion", "--help").stdout)

    def test_of_a_method_lists_its_options(self):
        self.drop()
        text = self.run_quanthost("methods", "absmax8").stdout
        self.assertRegex(text, r"method absmax8 .*\n  requires .*\n  modules_to_not_convert +list +null +names of modules")
        self.assertEqual(self.run_quanthost("methods", "absmaks8").returncode, 4)

    def test_lists_the_verbs_of_the_library_without_opening_it(self):
        text = self.run_quanthost("--help").stdout
        for name in ("quantize", "bench", "doctor", "report", "130  interrupted"):
            self.assertIn(name, text)
        self.assertEqual(self.run_quanthost("help", "plugins", "list").stdout,
                         self.run_quanthost("plugins", "list", "--help").stdout)

    def test_the_program_does_not_link_libtorch(self):
        linked = subprocess.run(["ldd", BUILD / "bin/quanthost"], capture_output=True, text=True).stdout
        self.assertNotIn("torch", linked)
        self.assertIn("libc.so", linked)

    def test_an_output_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BUILD / "bin/quanthost", "version"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 11)
        self.assertIn("standard output", done.stderr)


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
