"""GGUF files converted here against transformers' own GGUF reader, tokenizers, and sentencepiece."""

import io
import os
import random
import subprocess

import pytest
import sentencepiece
import torch
from gguf_models import write_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen2Config
from transformers import Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

TOOL = os.environ["QUANTHOST_TOOL"]
TEXT = ["Hello world, it's 2024 and I'LL pay $1234.56!", "naïve café — “quotes” … ok", "日本語のテキスト、漢字かな交じり",
        "Привет, мир! Ёлка", "emoji 👩‍👩‍👧 🏳️‍🌈", "int main() {\n\treturn 0;\n}\n\n\n", "   many   spaces   ", "٣٤٥ ½ Ⅳ x²", "a\tb\r\nc",
        "The quick brown fox jumps over the lazy dog. " * 3, "<|im_start|>user\nhi<|im_end|>\n", ""]


def convert(source, target, dtype="float32"):
    subprocess.run([TOOL, "convert", source, target, dtype], check=True)


def strings():
    rng = random.Random(3)
    return TEXT + ["".join(rng.choice(rng.choice(TEXT[:10])) for _ in range(rng.randint(1, 30))) for _ in range(500)]


def byte_level(name):
    """A small tokenizer of one of the kinds, and what its GGUF file says of it."""
    llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    from tokenizers import Regex, normalizers
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    split = lambda pattern: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.pre_tokenizer = {
        "gpt-2": plain,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain]),
        "llama-bpe": split(llama3),
        "qwen2": split(llama3.replace("{1,3}", "")),
    }[name]
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=600, show_progress=False, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def add_byte_level(tokenizer, name):
    def add(writer):
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        import json
        merges = json.loads(tokenizer.to_str())["model"]["merges"]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(name)
        writer.add_token_list([token for token, _ in vocabulary])
        writer.add_token_types([3 if i < 3 else 1 for i in range(len(vocabulary))])
        writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in merges])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_pad_token_id(2)
        writer.add_add_bos_token(False)
        writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}")
    return add


def tiny_model(arch, vocabulary, tied):
    torch.manual_seed(1)
    sizes = dict(vocab_size=vocabulary, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, max_position_embeddings=128, rope_theta=50000.0, tie_word_embeddings=tied)
    if arch == "llama":
        return LlamaForCausalLM(LlamaConfig(**sizes))
    if arch == "qwen3":  # transformers 5.17 reads no head size from the file, and takes its default of 128
        return Qwen3ForCausalLM(Qwen3Config(**sizes, head_dim=128))
    model = Qwen2ForCausalLM(Qwen2Config(**sizes))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("arch, pre, tied, quantization", [
    ("llama", "smollm", True, "Q4_1"), ("llama", "llama-bpe", False, "Q8_0"), ("llama", "gpt-2", True, "F16"),
    ("qwen2", "qwen2", False, "Q5_1"), ("qwen2", "qwen2", True, "Q4_0"), ("qwen3", "qwen2", True, "BF16"),
    ("llama", "smollm", False, "Q5_0")])
def test_tensors_and_config_equal_transformers_own_reading(tmp_path, arch, pre, tied, quantization):
    tokenizer = byte_level(pre)
    model = tiny_model(arch, tokenizer.get_vocab_size(), tied)
    write_model(tmp_path / "m.gguf", arch, model, quantization, add_byte_level(tokenizer, pre))
    convert(tmp_path / "m.gguf", tmp_path / "out")
    expected = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
    ours, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert type(ours) is type(expected) and ours.dtype == torch.float32
    for name, value in expected.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name
    for key in ("hidden_size", "num_key_value_heads", "rope_parameters", "tie_word_embeddings", "max_position_embeddings"):
        assert getattr(ours.config, key) == getattr(expected.config, key), key
    ids = torch.arange(20)[None]
    assert torch.equal(ours(ids).logits, expected(ids).logits)
    convert(tmp_path / "m.gguf", tmp_path / "out", "bfloat16")  # over the one that is there
    rounded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    for name, value in expected.state_dict().items():
        assert torch.equal(value.to(torch.bfloat16), rounded.state_dict()[name]), name


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_tokenizers_give_the_ids_of_the_one_they_came_from(tmp_path, pre):
    tokenizer = byte_level(pre)
    model = tiny_model("llama", tokenizer.get_vocab_size(), True)
    write_model(tmp_path / "m.gguf", "llama", model, "F16", add_byte_level(tokenizer, pre))
    convert(tmp_path / "m.gguf", tmp_path / "out")
    ours = AutoTokenizer.from_pretrained(tmp_path / "out")
    plain = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    for text in strings():
        expected = tokenizer.encode(text).ids
        assert plain.encode(text).ids == expected, text
        assert ours(text)["input_ids"] == expected, text
        if pre != "qwen2":
            assert plain.decode(expected, skip_special_tokens=False) == text
    assert (ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) == (1, 2, 2)
    assert ours.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "<|im_start|>hi<|im_end|>"


@pytest.mark.parametrize("prefix_space", [True, False])
def test_sentence_piece_gives_the_ids_of_sentencepiece(tmp_path, prefix_space):
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 4), model_writer=trained, model_type="bpe", vocab_size=520, byte_fallback=True,
        character_coverage=0.98, add_dummy_prefix=prefix_space, remove_extra_whitespaces=False,
        normalization_rule_name="identity", split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())

    def add(writer):
        ids = range(pieces.get_piece_size())
        kind = lambda i: 2 if pieces.is_unknown(i) else 3 if pieces.is_control(i) else 6 if pieces.is_byte(i) else 1
        writer.add_tokenizer_model("llama")
        writer.add_token_list([pieces.id_to_piece(i) for i in ids])
        writer.add_token_scores([pieces.get_score(i) for i in ids])
        writer.add_token_types([kind(i) for i in ids])
        writer.add_unk_token_id(0)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_add_space_prefix(prefix_space)

    write_model(tmp_path / "m.gguf", "llama", tiny_model("llama", pieces.get_piece_size(), True), "F16", add)
    convert(tmp_path / "m.gguf", tmp_path / "out")
    ours = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    for text in strings():
        if "<|" in text or text == "":
            continue
        expected = pieces.encode(text)
        assert ours.encode(text).ids == [1] + expected, text
        assert ours.decode(expected) == pieces.decode(expected), text


def test_smollm2_equals_transformers_own_reading(tmp_path):
    file = os.environ.get("QUANTHOST_SMOLLM2_GGUF", "")
    if not file:
        pytest.skip("QUANTHOST_SMOLLM2_GGUF does not name SmolLM2-135M-Instruct.Q4_1.gguf")
    convert(file, tmp_path / "out")
    folder, name = os.path.split(file)
    expected = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    for key, value in expected.state_dict().items():
        assert torch.equal(value, ours.state_dict()[key]), key
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    # llama.cpp's ids: digits stand alone.
    assert tokenizer("Hello 12345 world")["input_ids"] == [19556, 216, 33, 34, 35, 36, 37, 905]
    assert tokenizer.eos_token_id == 2
