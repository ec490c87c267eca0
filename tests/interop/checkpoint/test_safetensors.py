"""Files of Python's safetensors and of transformers, read and written here, and the reverse."""

import json
import os
import random
import struct
import subprocess

import pytest
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

TOOL = os.environ["QUANTHOST_TOOL"]
DTYPES = [torch.bool, torch.uint8, torch.int8, torch.float8_e5m2, torch.float8_e4m3fn, torch.int16, torch.uint16,
          torch.float16, torch.bfloat16, torch.int32, torch.uint32, torch.float32, torch.complex64, torch.float64,
          torch.int64, torch.uint64, torch.float8_e8m0fnu, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]


def tool(*arguments, stdin=None):
    return subprocess.run([TOOL, *map(str, arguments)], input=stdin, check=True, text=True, capture_output=True).stdout


def random_tensor(rng, dtype):
    shape = [rng.randint(0, 4) for _ in range(rng.randint(0, 3))]
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (*shape, dtype.itemsize), dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)


def random_file(rng, path, metadata):
    names = rng.sample(["a", "b.weight", "é", "a\"b\\c", "model.layers.10.w", "model.layers.9.w", "\x01", "Z", "~", "日本"], 6)
    save_file({name: random_tensor(rng, rng.choice(DTYPES)) for name in names}, path, metadata=metadata)


@pytest.mark.parametrize("seed", range(40))
def test_files_of_pythons_writer_come_back_byte_for_byte(tmp_path, seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    random_file(rng, tmp_path / "a", rng.choice([None, {"format": "pt"}, {"k": "é\n\"\\\x7f\x01"}]))
    tool("resave", tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_dtype_of_torch_is_kept(tmp_path):
    save_file({str(d): random_tensor(random.Random(1), d).reshape(-1)[:0] if d == torch.bool else
               torch.arange(8 * d.itemsize, dtype=torch.uint8).view(d) for d in DTYPES}, tmp_path / "a")
    tool("resave", tmp_path / "a", tmp_path / "b")
    before, after = load_file(tmp_path / "a"), load_file(tmp_path / "b")
    assert before.keys() == after.keys()
    for name in before:
        assert before[name].dtype == after[name].dtype
        assert torch.equal(before[name].view(torch.uint8), after[name].view(torch.uint8))


def mutated(rng, data):
    """A valid file with one or two changes: to the length, to the JSON's numbers and words, to single bytes, to the end."""
    length = struct.unpack("<Q", data[:8])[0]
    header, rest = bytearray(data[8:8 + length]), data[8 + length:]
    for _ in range(rng.randint(1, 2)):
        kind = rng.randrange(8)
        at = rng.randrange(len(header))
        if kind == 0:
            header[at] = rng.randrange(256)
        elif kind == 1:
            del header[at]
        elif kind == 2:
            header[at:at] = rng.choice([b" ", b"0", b"1", b"-", b".0", b",", b"\x00", b"\"", b"[]", b"{}", b"null", b"e1"])
        elif kind == 3:
            rest = rest[:rng.randrange(len(rest) + 1)]
        elif kind == 4:
            rest += bytes(rng.randint(1, 3))
        elif kind == 5:
            old, new = rng.choice([(b"U8", b"I8"), (b"U8", b"F16"), (b"U8", b"u8"), (b"F32", b"F33"), (b"shape", b"shap"),
                                   (b"[0,", b"[1,"), (b"dtype", b"x\":[1,{}],\"dtype"), (b"{\"dtype\"", b"{\"shape\":[],\"dtype\""),
                                   (b"__metadata__", b"meta"), (b"\"pt\"", b"null"), (b"\"pt\"", b"1")])
            header = bytearray(bytes(header).replace(old, new, 1))
        elif kind == 6:
            header += rng.choice([b" ", b"\n", b"}", b"\x00", b"{}", b"x"])
        else:
            length_error = rng.choice([-1, 1, 8])
            return struct.pack("<Q", max(0, len(header) + length_error)) + bytes(header) + rest
    return struct.pack("<Q", len(header)) + bytes(header) + rest


def python_accepts(path):
    try:
        with safe_open(path, framework="pt"):
            return True
    except (SafetensorError, OSError):
        return False


def test_damaged_files_are_accepted_or_refused_as_the_reference_does(tmp_path):
    rng = random.Random(7)
    torch.manual_seed(7)
    valid = {"a": torch.ones(2, dtype=torch.uint8), "b": torch.ones(1), "c": torch.zeros(0, 3), "d": torch.tensor(1.0)}
    save_file(valid, tmp_path / "valid", metadata={"format": "pt"})
    data = (tmp_path / "valid").read_bytes()
    paths = []
    for i in range(3000):
        paths.append(tmp_path / str(i))
        paths[-1].write_bytes(mutated(rng, data))
    answers = tool("accepts", stdin="\n".join(map(str, paths)) + "\n").splitlines()
    assert len(answers) == len(paths)
    accepted = 0
    for path, answer in zip(paths, answers):
        expected = python_accepts(path)
        assert answer.startswith("1") == expected, (path.read_bytes(), answer, expected)
        accepted += expected
    assert 100 < accepted < 2900  # both answers were asked for


def tiny_llama():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
                                        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True))


@pytest.mark.parametrize("max_shard_bytes", [10**9, 20_000, 7_000, 1])
def test_transformers_loads_shards_written_here(tmp_path, max_shard_bytes):
    model = tiny_llama()
    model.save_pretrained(tmp_path / "a")
    tool("reshard", tmp_path / "a", tmp_path / "b", max_shard_bytes)
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name


def test_shards_written_by_transformers_are_read_here(tmp_path):
    model = tiny_llama()
    model.save_pretrained(tmp_path / "a", max_shard_size="20KB")
    assert (tmp_path / "a" / "model.safetensors.index.json").exists()
    tool("reshard", tmp_path / "a", tmp_path / "b", 10**9)
    loaded = load_file(tmp_path / "b" / "model.safetensors")
    for name, value in loaded.items():
        assert torch.equal(value, model.state_dict()[name])
    assert set(model.state_dict()) - set(loaded) == {"lm_head.weight"}


@pytest.mark.parametrize("max_shard_bytes", [40, 100, 1000])
def test_tensors_go_to_the_shards_that_huggingface_hub_chooses(tmp_path, max_shard_bytes):
    rng = random.Random(max_shard_bytes)
    # One dtype and names in order, so that the order in the file is the order of the dictionary.
    tensors = {f"t{i:02}": torch.zeros(rng.randint(1, 120), dtype=torch.uint8) for i in range(30)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    tool("reshard", tmp_path / "model.safetensors", tmp_path / "out", max_shard_bytes)
    split = split_torch_state_dict_into_shards(tensors, filename_pattern="model{suffix}.safetensors",
                                               max_shard_size=max_shard_bytes)
    if not split.is_sharded:
        assert (tmp_path / "out" / "model.safetensors").exists()
        return
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == split.tensor_to_filename
    assert index["metadata"]["total_size"] == split.metadata["total_size"]
