"""Small tokenizers of every kind that the supported families use, trained with PyPI `tokenizers`.

Training is deterministic for one version of the package. Each builder returns a `tokenizers.Tokenizer`.
"""
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level_trainer(size, special):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                               initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))


def gpt2(corpus, size):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    tok.train_from_iterator(corpus, byte_level_trainer(size, ["<|endoftext|>"]))
    return tok


def roberta(corpus, size):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(corpus, byte_level_trainer(size, ["<s>", "<pad>", "</s>", "<unk>"]))
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    return tok


def opt(corpus, size):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(corpus, byte_level_trainer(size, ["<s>", "<pad>", "</s>", "<unk>"]))
    tok.post_processor = processors.TemplateProcessing(single="</s> $A", pair="</s> $A </s> $B:1",
                                                       special_tokens=[("</s>", 2)])
    return tok


def smollm2(corpus, size):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(corpus, byte_level_trainer(size, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]))
    return tok


def gpt_neox(corpus, size):
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(corpus, byte_level_trainer(size, ["<|endoftext|>", "<|padding|>"]))
    tok.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    return tok


def split_bpe(pattern, corpus, size, normalizer=None, ignore_merges=False, special=("<|begin|>", "<|end|>")):
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tok.normalizer = normalizer
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(corpus, byte_level_trainer(size, list(special)))
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{special[0]} $A", pair=f"{special[0]} $A {special[0]} $B:1",
                                      special_tokens=[(special[0], tok.token_to_id(special[0]))])])
    return tok


def byte_tokens():
    return [f"<0x{i:02X}>" for i in range(256)]


def llama2(corpus, size):
    """Normalizer Prepend + Replace, no pre-tokenizer: the merges must be learned from words."""
    marked = (word for text in corpus for word in ("▁" + text.replace(" ", "▁")).replace("▁", "\0▁").split("\0") if word)
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    special = ["<unk>", "<s>", "</s>"]
    tok.train_from_iterator(marked, trainers.BpeTrainer(vocab_size=size, special_tokens=special + byte_tokens(),
                                                        limit_alphabet=200, show_progress=False))
    plain_bytes = {**tok.get_vocab()}
    merges = __import__("json").loads(tok.to_str())["model"]["merges"]
    tok = Tokenizer(models.BPE(vocab=plain_bytes, merges=[tuple(m) for m in merges], unk_token="<unk>", fuse_unk=True,
                               byte_fallback=True))
    tok.add_special_tokens(special)
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                     decoders.Strip(content=" ", left=1, right=0)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B:1",
                                                       special_tokens=[("<s>", tok.token_to_id("<s>"))])
    return tok


def mistral(corpus, size):
    """The same vocabulary behind a Metaspace pre-tokenizer that marks the first piece only."""
    tok = llama2(corpus, size)
    tok.normalizer = None
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    return tok


def gemma2(corpus, size):
    tok = llama2(corpus, size)
    tok.normalizer = normalizers.Replace(" ", "▁")
    tok.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tok


def phi3(corpus, size):
    tok = llama2(corpus, size)
    tok.add_special_tokens([AddedToken("<|user|>", rstrip=True), AddedToken("<|end|>", rstrip=True),
                            AddedToken("<|assistant|>", rstrip=True)])
    return tok


def bert(corpus, size, lowercase=True):
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece()
    tok.train_from_iterator(corpus, trainers.WordPieceTrainer(
        vocab_size=size, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tok


def bert_cased(corpus, size):
    tok = bert(corpus, size, lowercase=False)
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tok


def t5(corpus, size):
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(),
                                           normalizers.Replace(Regex(" {2,}"), " ")])
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                 pre_tokenizers.Metaspace(prepend_scheme="always")])
    tok.decoder = decoders.Metaspace()
    tok.train_from_iterator(corpus, trainers.UnigramTrainer(vocab_size=size, show_progress=False, unk_token="<unk>",
                                                            special_tokens=["<pad>", "</s>", "<unk>"]))
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>",
                                                       special_tokens=[("</s>", tok.token_to_id("</s>"))])
    return tok


def precompiled_charsmap(serialized_model):
    """The bytes of normalizer_spec.precompiled_charsmap in a serialized SentencePiece model (protobuf)."""
    def fields(data):
        at = 0

        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value
        while at < len(data):
            key = varint()
            kind = key & 7
            size = varint() if kind == 2 else {1: 8, 5: 4}.get(kind)
            if size is None:
                varint()
                continue
            yield key >> 3, data[at:at + size]
            at += size
    spec = next(value for number, value in fields(serialized_model) if number == 3)
    return next(value for number, value in fields(spec) if number == 2)


def xlm_roberta(corpus, size):
    """A model that SentencePiece trained, with its compiled normalization rules."""
    import base64
    import io
    import json
    import sentencepiece
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, vocab_size=size, character_coverage=0.99,
        normalization_rule_name="nmt_nfkc", minloglevel=2, hard_vocab_limit=False)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    vocab = [[pieces.id_to_piece(i), pieces.get_score(i)] for i in range(pieces.get_piece_size())]
    document = json.loads(t5(corpus, size).to_str())
    document["model"].update(vocab=vocab, unk_id=pieces.unk_id())
    document["added_tokens"] = []
    document["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(
        precompiled_charsmap(model.getvalue())).decode()}
    document["post_processor"] = None
    tok = Tokenizer.from_str(json.dumps(document))
    tok.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    tok.post_processor = processors.RobertaProcessing(("</s>", tok.token_to_id("</s>")), ("<s>", tok.token_to_id("<s>")))
    return tok


def unigram_bytes(corpus, size):
    """Unigram with byte fallback: the trained vocabulary with the byte tokens added at its end."""
    import json
    document = json.loads(t5(corpus, size).to_str())
    document["model"]["vocab"] += [[token, 0.0] for token in byte_tokens()]
    document["model"]["byte_fallback"] = True
    document["normalizer"] = None
    document["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "ByteFallback"},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]}
    return Tokenizer.from_str(json.dumps(document))


def word_level(corpus, size):
    tok = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tok.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(),
                                           normalizers.Strip()])
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(),
                                                 pre_tokenizers.Punctuation("contiguous")])
    tok.train_from_iterator(corpus, trainers.WordLevelTrainer(vocab_size=size, show_progress=False,
                                                              special_tokens=["[UNK]"]))
    tok.add_tokens([AddedToken("Kernel", single_word=True), AddedToken("Straße", normalized=True)])
    return tok


def openai_gpt(corpus, size):
    """BPE with an end-of-word suffix and BPEDecoder."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tok.normalizer = normalizers.BertNormalizer()
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.BPEDecoder(suffix="</w>")
    tok.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=["<unk>"],
                                                        end_of_word_suffix="</w>"))
    return tok


def prefixed_bpe(corpus, size):
    """BPE with a continuing-subword prefix and unknown tokens that are not fused."""
    tok = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    tok.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tok.decoder = decoders.WordPiece(cleanup=False)
    tok.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=["[UNK]"],
                                                        continuing_subword_prefix="##", limit_alphabet=60))
    return tok


def build_all(corpus, size):
    corpus = list(corpus)
    return {
        "gpt2": gpt2(corpus, size), "roberta": roberta(corpus, size), "opt": opt(corpus, size),
        "smollm2_like": smollm2(corpus, size), "gpt_neox": gpt_neox(corpus, size),
        "llama3": split_bpe(LLAMA3, corpus, size, ignore_merges=True),
        "qwen2": split_bpe(QWEN2, corpus, size, normalizer=normalizers.NFC()),
        "gpt4o": split_bpe(GPT4O, corpus, size),
        "llama2": llama2(corpus, size + 259), "mistral": mistral(corpus, size + 259),
        "gemma2": gemma2(corpus, size + 259), "phi3": phi3(corpus, size + 259),
        "bert": bert(corpus, size), "bert_cased": bert_cased(corpus, size),
        "t5": t5(corpus, size), "xlm_roberta": xlm_roberta(corpus, size), "unigram_bytes": unigram_bytes(corpus, size),
        "word_level": word_level(corpus, size), "openai_gpt": openai_gpt(corpus, size),
        "prefixed_bpe": prefixed_bpe(corpus, size),
    }
