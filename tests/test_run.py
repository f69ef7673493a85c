"""``candle run`` and ``candle.generate.load``: text in, text out."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import candle
from candle import CandleError
from candle import generate as g
from candle.cli import main

tokenizers = pytest.importorskip("tokenizers", reason="pip install 'candle[models]'")
pytest.importorskip("jinja2", reason="pip install jinja2")
PARITY = Path(__file__).parents[2] / "shared" / "parity"
pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason="../shared/parity is absent")

TEMPLATE = "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Llama with a tokenizer of bytes."""
    at = tmp_path_factory.mktemp("run") / "llama"
    shutil.copytree(PARITY / "llama", at)
    pieces = [*map(chr, range(33, 127)), "Ġ", "Ċ", *(f"w{i}" for i in range(64))]
    t = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[]))
    t.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = tokenizers.decoders.ByteLevel()
    t.save(str(at / "tokenizer.json"))
    (at / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return at


def written(folder, prompt, n, **settings):
    """What the model writes, by the loop below the text."""
    writer = g.load(folder, device="numpy")
    ids = writer.tokenizer.encode(prompt)
    return writer.tokenizer.decode(g.stream(writer.model, ids, n, **settings))


def run(capsys, *args):
    code = main(["run", *map(str, args), "--device", "numpy"])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_prompt_is_gone_on_from(folder, capsys):
    code, out, err = run(capsys, folder, "Hello", "--max-tokens", 9)
    assert code == 0 and out == written(folder, "Hello", 9) + "\n"
    assert "5 tokens read" in err and "9 written" in err and "tokens/s" in err
    drawn = [run(capsys, folder, "Hello", "--max-tokens", 9, "--temperature", 1.5, "--seed", s)[1] for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == written(folder, "Hello", 9, temperature=1.5, seed=1) + "\n"
    said = json.loads(run(capsys, folder, "Hello", "--max-tokens", 9, "--json")[1])
    assert said["text"] + "\n" == out and said["tokens"] == 9 and said["end"] == "length"


def test_a_prompt_is_read_from_standard_input(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello"))
    assert run(capsys, folder, "-", "--max-tokens", 4)[1] == written(folder, "Hello", 4) + "\n"


def test_stop_strings_end_a_text_before_them(folder):
    writer = g.load(folder, device="numpy")
    whole = "".join(writer.write("Hello", 12))
    assert writer.count.end == "length"
    for a in range(1, len(whole) - 2):
        stop = whole[a : a + 3]
        pieces = list(writer.write("Hello", 12, stop=[stop, "never"]))
        assert "".join(pieces) == whole[: whole.index(stop)] and writer.count.end == "stop"


def test_a_conversation_remembers(folder, capsys, monkeypatch):
    lines = iter(["hi", "/undo", "you", "/system be brief", "you", "/exit"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    code, out, _ = run(capsys, folder, "--max-tokens", 3)
    assert code == 0
    wanted = ["user:hi\na:", "user:you\na:", "system:be brief\nuser:you\na:"]
    assert out == "".join(written(folder, text, 3) + "\n" for text in wanted)
    answer = g.chat(g.load(folder, device="numpy"), [{"role": "user", "content": "hi"}], max_new_tokens=3)
    assert answer == written(folder, "user:hi\na:", 3)


def test_gguf_files_run_with_their_own_tokenizer(folder, capsys, tmp_path):
    from test_models_gguf import converted, metadata

    config = json.loads((folder / "config.json").read_text())
    pieces = [*map(chr, range(33, 127)), "Ġ", "Ċ", *(f"w{i}" for i in range(64))]
    said = {
        **metadata(config, "llama"),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.token_type": [1] * len(pieces),
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.add_bos_token": False,
    }
    said["tokenizer.ggml.tokens"][95] = "ab"
    candle.save(tmp_path / "m.gguf", converted("llama", "llama", config), metadata=said)
    code, out, _ = run(capsys, tmp_path / "m.gguf", "Hello", "--max-tokens", 6)
    assert code == 0 and out == written(folder, "Hello", 6) + "\n"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nowhere", "Hello"], "nowhere"),
        ([PARITY / "bert", "Hello"], "candle embed"),
        ([PARITY / "llama", "Hello"], "tokenizer"),
    ],
)
def test_what_cannot_run_says_why(args, text, capsys):
    code, _, err = run(capsys, *args)
    assert code == 2 and text in err


def test_a_tokenizer_of_another_model_is_refused(folder, tmp_path):
    other = tmp_path / "m"
    shutil.copytree(folder, other)
    said = json.loads((other / "tokenizer.json").read_text())
    said["model"]["vocab"]["H"] = 5000
    (other / "tokenizer.json").write_text(json.dumps(said))
    with pytest.raises(CandleError, match="do not belong together"):
        g.load(other, device="numpy").write("Hello")
    with pytest.raises(CandleError, match="empty"):
        g.load(folder, device="numpy").write("")
    assert np.isfinite(g.load(folder, device="numpy").count.speed)
