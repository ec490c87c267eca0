"""A calibrated quantization that is killed at random moments and begun again: the saved bytes are those of a run that
nobody disturbed. For every calibrated method whose plugin is at hand."""

import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ.get("QUANTHOST_TOOL", str(ROOT / "build/bin/quanthost"))
PLUGINS = os.environ.get("QUANTHOST_PLUGIN_PATH", f"{ROOT}/build/tests/load_plugins:{ROOT}/build/plugins")
KILLS = 20
METHODS = {
    "calibrating": {},
    "gptq": {"bits": 4, "group_size": 32},
}


def has_method(method):
    done = subprocess.run([TOOL, "methods", "--json"], capture_output=True, text=True, env=environment())
    return f'"{method}"' in done.stdout


def environment():
    return {**os.environ, "QUANTHOST_PLUGIN_PATH": PLUGINS, "OMP_WAIT_POLICY": "passive"}


def model(folder):
    config = LlamaConfig(vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=12,
                         num_attention_heads=4, max_position_embeddings=128, tie_word_embeddings=False)
    LlamaForCausalLM(config).save_pretrained(folder)


def command(work, method, out, journal):
    samples = [{"input_ids": [(7 * i + 3 * j) % 64 for j in range(64)]} for i in range(32)]
    quant = work / "quant.yaml"
    quant.write_text(json.dumps({"method": method, "dataset": samples, "journal": str(journal), **METHODS[method]}))
    return [TOOL, "quantize", str(work / "model"), str(out), "--quant", str(quant)]


def saved(folder):
    """Every file but reports, which tell times; the journal's own place is an option that stands in the config."""
    files = {}
    for file in sorted(folder.iterdir()):
        if "report" in file.name:
            continue
        data = file.read_bytes()
        if file.suffix == ".json":
            config = json.loads(data)
            config.get("quantization_config", config).pop("journal", None)
            data = json.dumps(config).encode()
        files[file.name] = data
    return files


@pytest.mark.parametrize("method", METHODS)
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(method, tmp_path):
    if not has_method(method):
        pytest.skip(f"no plugin offers {method}")
    model(tmp_path / "model")
    began = time.monotonic()
    subprocess.run(command(tmp_path, method, tmp_path / "whole", tmp_path / "j"), check=True, env=environment())
    whole_seconds = time.monotonic() - began
    wanted = saved(tmp_path / "whole")
    moments = random.Random(6)
    killed_midway = 0
    for round_ in range(KILLS):
        journal, out = tmp_path / f"journal{round_}", tmp_path / f"out{round_}"
        run = subprocess.Popen(command(tmp_path, method, out, journal), env=environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Most of the time goes by before the first block: the moments lie where there is a journal.
        while run.poll() is None and not journal.exists():
            time.sleep(0.001)
        time.sleep(moments.uniform(0, whole_seconds / 2))
        run.send_signal(signal.SIGKILL)
        run.wait()
        killed_midway += run.returncode == -signal.SIGKILL
        assert not out.exists() or saved(out) == wanted
        done = subprocess.run(command(tmp_path, method, out, journal), capture_output=True, text=True,
                              env=environment())
        assert done.returncode == 0, done.stderr
        assert saved(out) == wanted, f"round {round_}"
    assert killed_midway >= KILLS // 2, "the moments came too late to show anything"
