"""Strings that tokenizers get wrong: every Unicode block, emoji, combining marks, controls, code, long whitespace."""
import pathlib
import random
import sys
import unicodedata

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and it's 1,234.56 meters away; isn't that odd?",
    "Größe, Straße, Übermut: der schnelle braune Fuchs springt über den faulen Hund.",
    "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë au delà des îles.",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, añoraba a su querido cachorro.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ومغلف بجلد أزرق",
    "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले विष्णुवतार भगवान श्रीराम",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน",
    "いろはにほへと ちりぬるを わかよたれそ つねならむ。東京タワーへ行きました。",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "天地玄黃,宇宙洪荒。日月盈昃,辰宿列張。",
    "Đi một ngày đàng, học một sàng khôn. Tiếng Việt có dấu.",
    "ÇÖĞÜŞİ çöğüşı — İstanbul'da I ve ı farklıdır.",
    "def f(x):\n    return {k: v ** 2 for k, v in x.items() if v != 0}  # 注释\n\n\nclass A:\n\tpass\n",
    "#include <vector>\r\nint main() { std::vector<int> v{1, 2, 3}; return v[0] << 2; }\r\n",
    "I'LL pay  $1234.56\n\n  ok; don't DON'T we've WE'VE they'd 'Tis ſ'ſ",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👍🏽 skin, 🇩🇪🇫🇷, ☃️ text, 1️⃣ keycap, ❤️‍🔥",
    "e\u0301 é ẛ̣ ﬁ ﬀ ① ² ½ Ⅷ ㎞ ﷺ ｶﾞ Å \u212b \u1e9b\u0323 \uac00 \u1100\u1161 \u0344",
    "zero\u200bwidth\u200djoin\u200cer\u2060 \ufeffbom \u00adsoft \u180emongolian \u2028line\u2029para \x85nel",
    "\x00nul \x01\x02 \x07bell \x1b[31mred\x1b[0m \x7fdel \x0bvt \x0cff \u0080\u009f",
    "<s> </s> <unk> <pad> <mask>  <|endoftext|> <|im_start|>user\nhi<|im_end|> [CLS] a [SEP] [MASK] <|user|> \n x<|end|>",
    "<|begin|><|end|> <0x0A> <0xFF> ▁▁under ▁ ▁x \u2581 Ġ Ċ",
    "Kernel Kernels aKernel Kernel. straße STRASSE Straße Kernel",
    "{\"key\": [1, 2.5e-10, null, true], \"s\": \"\\u00e9\\n\"}", "http://example.com/a?b=c&d=%20#frag user@mail.org",
    " ", "  ", "\n", "\t\t", " \n \n", "a ", " a", "  a  ", "", "a\u00a0b", "\u3000全角　空白", "x\r\ny\rz\n\n",
    "\U0010ffff\ue000\uf8ff\U000f0000 private and \ufffd replaced", "𝕳𝖊𝖑𝖑𝖔 𝟏𝟐𝟑 𐍈 𒀀 𓀀 🀄",
]


def block_strings():
    """For every run of 128 code points that holds assigned ones: all of them, apart and in words."""
    for start in range(0, sys.maxunicode + 1, 128):
        assigned = [chr(c) for c in range(start, start + 128) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
        if not assigned:
            continue
        yield "".join(assigned)
        yield " ".join(assigned)
        yield "a" + "1".join(assigned) + "b"
        yield "\n".join(c * 2 for c in assigned)


def pieces():
    return [part for text in SENTENCES for part in text.split(" ")] + [
        " ", "  ", "\n", "\n\n", "\t", "\r\n", "'s", "'LL", "123", "4567", "...", "!?", "\u0301", "\u200d", "👩", "🏽",
        "\ufe0f", "é", "ß", "\x00", "中文", "▁", "<s>", "</s>", "<|im_end|>", "   ", "\u00a0", "\u3000", "İ", "ﬃ"]


def mixed_strings(count, seed):
    """Random chains of odd pieces, with and without spaces."""
    random_ = random.Random(seed)
    choice = pieces()
    for _ in range(count):
        separator = random_.choice(["", " ", " ", "  "])
        yield separator.join(random_.choice(choice) for _ in range(random_.randint(1, 25)))


def character_soup(count, seed):
    random_ = random.Random(seed)
    for _ in range(count):
        length = random_.randint(1, 40)
        text = "".join(chr(random_.choice([random_.randrange(0x80), random_.randrange(0x800), random_.randrange(0x10000),
                                           random_.randrange(0x20000)])) for _ in range(length))
        yield "".join(c for c in text if unicodedata.category(c) not in ("Cs", "Cn"))


def code_lines(limit):
    """Lines and paragraphs of Python's own library: real code and English."""
    root = pathlib.Path(random.__file__).parent
    count = 0
    for path in sorted(root.glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for part in text.split("\n\n"):
            if count >= limit:
                return
            if part:
                count += 1
                yield part


def long_whitespace():
    for n in (1, 2, 3, 5, 10, 23, 24, 25, 26, 50, 100, 1000, 10000):
        for space in (" ", "\n", "\t", " \n", "\r\n", "\u00a0", "\u3000", "\n "):
            yield space * n
            yield "a" + space * n + "b"
            yield space * n + "x"


def all_strings():
    yield from SENTENCES
    yield from block_strings()
    yield from mixed_strings(3000, seed=1)
    yield from character_soup(3000, seed=2)
    yield from code_lines(3000)
    yield from long_whitespace()


def training_corpus():
    """What the sample tokenizers learn from."""
    return [*SENTENCES * 3, *code_lines(1500), *mixed_strings(300, seed=3)]
