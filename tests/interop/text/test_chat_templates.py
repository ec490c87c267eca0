"""Chat templates give the text that transformers' apply_chat_template gives, or refuse where it refuses."""
import json
import os
import pathlib
import subprocess

import pytest

transformers = pytest.importorskip("transformers")
from tokenizers import Tokenizer, models  # noqa: E402

import sample_chats  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ.get("QH_CHAT_TOOL", str(ROOT / "build/tests/chat_tool"))
REAL_CONFIG = ROOT / "models/smollm2/tokenizer_config.json"


@pytest.fixture(scope="session")
def tokenizer():
    return transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), **sample_chats.SPECIAL)


def cases():
    for messages in sample_chats.CONVERSATIONS:
        for variables in sample_chats.VARIABLES:
            for prompt in (True, False):
                yield messages, variables, prompt


def theirs(tokenizer, template, messages, variables, prompt):
    try:
        return tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False,
                                             add_generation_prompt=prompt, **variables)
    except Exception as error:  # the template's own refusal, or a Python error
        return error


def ours(template, special):
    lines = "".join(json.dumps({"template": template, "special": special, "messages": messages, "variables": variables,
                                "prompt": prompt}) + "\n" for messages, variables, prompt in cases())
    done = subprocess.run([TOOL], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def check(tokenizer, template, special):
    answers = ours(template, special)
    assert len(answers) == len(list(cases()))
    texts = 0
    for (messages, variables, prompt), answer in zip(cases(), answers):
        expected = theirs(tokenizer, template, messages, variables, prompt)
        about = f"{messages} {variables} prompt={prompt}: {answer}"
        if isinstance(expected, Exception):
            assert "error" in answer, f"{about}\nrefused there: {expected!r}"
        else:
            texts += 1
            assert answer.get("text") == expected, f"{about}\nexpected {expected!r}"
    assert texts > 0


@pytest.mark.parametrize("name", sample_chats.TEMPLATES)
def test_equals_transformers(name, tokenizer):
    check(tokenizer, sample_chats.TEMPLATES[name], sample_chats.SPECIAL)


@pytest.mark.skipif(not REAL_CONFIG.exists(), reason="run scripts/get-smollm2 first")
def test_smollm2_equals_transformers(tokenizer):
    jinja = REAL_CONFIG.parent / "chat_template.jinja"
    config = json.loads(REAL_CONFIG.read_text())
    template = jinja.read_text() if jinja.exists() else config["chat_template"]
    check(tokenizer, template, sample_chats.SPECIAL)
