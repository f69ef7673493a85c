"""Models against the recorded outputs of public implementations: every folder of ../shared/parity."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import candle
from candle import models
from candle.plugins import offered

PARITY = Path(__file__).parents[2] / "shared" / "parity"
CASES = sorted(p.name for p in PARITY.iterdir() if p.is_dir()) if PARITY.is_dir() else []
pytestmark = pytest.mark.skipif(not CASES, reason="../shared/parity is absent")

DEVICES = [d for d in ("numpy", "cpu") if d in offered("candle_backends")]
BOUND = 2e-5  # of the largest output: float32 noise


def recorded(case):
    folder = PARITY / case
    return folder, dict(np.load(folder / "inputs.npz")), dict(np.load(folder / "outputs.npz"))


def distance(got, want):
    return np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)


def kept(x, inputs):
    """Without positions that are padding, which need not agree."""
    keep = inputs.get("attention_mask")
    return x if keep is None or x.ndim < 3 else x[keep != 0]


def outputs(want):
    return [k for k in want if k in ("logits", "last_hidden_state", "pooler_output", "encoder_last_hidden_state")]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_outputs_agree_also_compiled(case, device):
    folder, inputs, want = recorded(case)
    m = models.load(folder, device=device)
    assert not m.training and not any(p.requires_grad for p in m.parameters())
    out = m(**inputs)
    compiled = candle.compile(m)(**{k: candle.tensor(v, device=device) for k, v in inputs.items()})
    for k in outputs(want):
        assert distance(kept(out[k].numpy(), inputs), kept(want[k], inputs)) <= BOUND, k
        assert distance(kept(compiled[k].numpy(), inputs), kept(want[k], inputs)) <= BOUND, k
        assert getattr(out, k) is out[k]


def loss_of(m, case, inputs, want):
    call = json.loads((PARITY / case / "meta.json").read_text())["call"]
    out = m(**inputs)
    if "next-token" in call:
        return m(**inputs, labels=inputs["input_ids"]).loss
    if "mean(first output ** 2)" in call or m.is_encoder_decoder:
        first = out[outputs(want)[0]]
        return first.square().mean()
    raise AssertionError(call)


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_agree(case):
    folder, inputs, want = recorded(case)
    names = [k.removeprefix("grad.") for k in want if k.startswith("grad.")]
    if not names or case == "modernbert-mlm":
        pytest.skip(
            "no gradients are recorded"
            if not names
            else "its loss counts padding that sees no key, where the reference has noise"
        )
    m = models.load(folder, device="numpy").requires_grad_()
    loss = loss_of(m, case, inputs, want)
    assert distance(loss.detach().numpy(), want["loss"]) <= 5 * BOUND
    loss.backward()
    parameters = dict(m.named_parameters())
    largest = max(np.abs(want["grad." + k]).max() for k in names)
    pads = np.unique(inputs["input_ids"][inputs["attention_mask"] == 0]) if "attention_mask" in inputs else []
    for k in names:
        got, expected = parameters[k].grad.numpy(), want["grad." + k]
        if k.endswith("word_embeddings.weight") or k.endswith("tok_embeddings.weight"):
            got, expected = np.delete(got, pads, 0), np.delete(expected, pads, 0)  # padding's own gradient need not agree
        assert np.abs(got - expected).max() <= 1e-4 * max(np.abs(expected).max(), 1e-2 * largest), k


GENERATING = [c for c in CASES if "generated" in np.load(PARITY / c / "outputs.npz")]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("case", GENERATING)
def test_generation_agrees(case, compiled, device):
    folder, inputs, want = recorded(case)
    m = models.load(folder, device=device)
    ids, generated = inputs["input_ids"], want["generated"]
    new = generated.shape[1] - (1 if m.is_encoder_decoder else ids.shape[1])
    got = m.generate(ids, new, ignore_eos=True, compiled=compiled, output_logits=True)
    if "generated_logits" in want:
        assert distance(got.logits.numpy(), want["generated_logits"][:, :new]) <= BOUND
    assert np.array_equal(got.sequences.numpy(), generated)


@pytest.mark.parametrize("case", GENERATING)
def test_a_batch_gives_what_single_rows_give(case):
    folder, inputs, _ = recorded(case)
    m = models.load(folder, device="numpy")
    ids = inputs["input_ids"]
    keep = np.ones_like(ids)
    keep[1, :3] = 0  # the second text is shorter: padding on the left, then on the right
    alone = [m.generate(r, 4, ignore_eos=True, output_logits=True) for r in (ids[:1], ids[1:, 3:])]
    right = ids.copy(), keep[:, ::-1]
    right[0][1] = np.roll(ids[1], -3)
    for given, mask in ((ids, keep), right):
        if m.is_encoder_decoder and mask is keep:
            continue  # what is read is padded on the right
        got = m.generate(given, 4, attention_mask=mask, ignore_eos=True, output_logits=True)
        for row, single in enumerate(alone):
            assert distance(got.logits.numpy()[row], single.logits.numpy()[0]) <= BOUND
            assert np.array_equal(got.sequences.numpy()[row, -4:], single.sequences.numpy()[0, -4:])


@pytest.mark.parametrize("case", [c for c in GENERATING if c not in ("marian", "t5-v1.1-gated-gelu")])
def test_a_cache_gives_what_the_whole_text_gives(case):
    folder, inputs, want = recorded(case)
    m = models.load(folder, device="numpy")
    ids = inputs["input_ids"]
    cache = m.new_cache(2, 4)  # it grows
    parts = [m(ids[:, a:b], cache=cache).logits.numpy() for a, b in ((0, 5), (5, 6), (6, ids.shape[1]))]
    assert distance(np.concatenate(parts, 1), want["logits"]) <= BOUND
    assert cache.lengths.numpy().tolist() == [ids.shape[1]] * 2
