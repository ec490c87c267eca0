"""Adapters that examples/qlora trains, in PEFT: it loads all of them, and the model answers with them as ours does."""

import json
import os
import pathlib
import subprocess

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # other processes compute too

import safetensors.torch
import torch
import transformers
from peft import PeftModel
from test_models import IDS, OPTIONS, TEXT, TOLERANCE, dense_checkpoint, difference, in_transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
LAYERS = 2


def with_tokenizer(folder):
    """A token a byte, folded into the vocabulary of the tiny model: any text will do to train on."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i % 64 for i, symbol in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def test_peft_loads_every_adapter_and_computes_what_ours_does(tmp_path):
    dense = dense_checkpoint("llama", "float32", tmp_path / "dense")
    with_tokenizer(dense)
    command = [os.environ["QUANTHOST_TOOL"], dense, TEXT, tmp_path / "adapter", "--plugins",
               os.environ["QUANTHOST_PLUGIN_PATH"], "--steps", 12, "--batch", 2, "--window", 32, "--rank", 4,
               "--learning-rate", 0.01, "--ids", ",".join(map(str, IDS)), "--logits", tmp_path / "ours.safetensors"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = safetensors.torch.load_file(tmp_path / "ours.safetensors")["logits"]

    config = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, **OPTIONS["nf4"])
    base = in_transformers(dense, "float32", quantization_config=config)
    ids = torch.tensor([IDS])
    with torch.inference_mode():
        without = base(ids).logits
    model = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    for module in base.modules():  # eval() reached the 4-bit layers: test_models.py says why they may not repack
        if type(module).__name__ == "Linear4bit" and not hasattr(module, "lora_A"):
            module.training = True

    file = safetensors.torch.load_file(tmp_path / "adapter/adapter_model.safetensors")
    assert len(file) == 2 * LAYERS * len(TARGETS)
    state = {name.replace(".default", ""): value for name, value in model.state_dict().items()}
    assert sorted(name for name in state if "lora_" in name) == sorted(file)
    assert [name for name in file if not torch.equal(state[name], file[name])] == []
    assert all(file[name].abs().max() > 0 for name in file), "an adapter that learned nothing"

    with torch.inference_mode():
        theirs = model(ids).logits
    assert difference(without, theirs) > 1e-2, "the adapters change nothing"
    assert difference(ours, theirs) < TOLERANCE
