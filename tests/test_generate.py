"""Generation: sampling by its definitions, ends, streams, prefixes, speculative decoding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import candle
from candle import CandleError, models
from candle import generate as g
from candle.generate.sampling import Picker, Sampling, probabilities

PARITY = Path(__file__).parents[2] / "shared" / "parity"
needs_parity = pytest.mark.skipif(not PARITY.is_dir(), reason="../shared/parity is absent")
LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=30, unique=True).map(np.array)


def model(case="llama"):
    return models.load(PARITY / case, device="numpy")


def prompt(case="llama"):
    return np.load(PARITY / case / "inputs.npz")["input_ids"]


# -- sampling --------------------------------------------------------------------------------------


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


@given(LOGITS, st.floats(0.2, 3))
def test_temperature_divides_the_logits(z, t):
    np.testing.assert_allclose(probabilities(z, Sampling(temperature=t)), softmax(z / t), rtol=1e-9)


@given(LOGITS, st.integers(1, 40))
def test_top_k_keeps_the_k_likeliest_in_proportion(z, k):
    p = probabilities(z, Sampling(temperature=1.0, top_k=k))
    kept = p > 0
    assert kept.sum() == min(k, len(z)) and (not kept.all() or True)
    assert z[kept].min() >= z[~kept].max(initial=-np.inf)
    np.testing.assert_allclose(p[kept], softmax(z)[kept] / softmax(z)[kept].sum(), rtol=1e-9)


@given(LOGITS, st.floats(0.01, 1.0))
def test_top_p_keeps_the_smallest_set_that_reaches_p(z, limit):
    p, full = probabilities(z, Sampling(temperature=1.0, top_p=limit)), softmax(z)
    kept = full[p > 0]
    assert kept.sum() >= limit - 1e-12
    assert kept.sum() - kept.min() < limit + 1e-12
    assert kept.min() >= full[p == 0].max(initial=0)


@given(LOGITS, st.floats(0.0, 1.0))
def test_min_p_keeps_what_is_near_the_likeliest(z, share):
    p, full = probabilities(z, Sampling(temperature=1.0, min_p=share)), softmax(z)
    assert ((p > 0) == (full >= share * full.max())).all()


@given(LOGITS, st.floats(0.05, 0.95))
def test_typical_keeps_what_is_as_surprising_as_expected(z, limit):
    p, full = probabilities(z, Sampling(temperature=1.0, typical_p=limit)), softmax(z)
    off = np.abs(-np.log(full) + (full * np.log(full)).sum())
    assert off[p > 0].max() <= off[p == 0].min(initial=np.inf) + 1e-9
    assert full[p > 0].sum() >= limit - 1e-9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_draws_follow_the_probabilities(seed):
    p = np.array([0.1, 0.0, 0.6, 0.3])
    picker = Picker(Sampling(temperature=1.0), seed)
    counts = np.bincount([picker.draw(p) for _ in range(300)], minlength=4)
    assert counts[1] == 0
    assert np.abs(counts / 300 - p).max() < 5 * np.sqrt(0.25 / 300)


def test_samplers_agree_with_transformers():
    torch = pytest.importorskip("torch", reason="pip install torch, the peer")
    hf = pytest.importorskip("transformers", reason="pip install transformers, the peer")
    rng = np.random.default_rng(0)
    z = rng.standard_normal(50) * 3
    ids = rng.integers(0, 50, 20)
    for kind, theirs in {
        "top_p": hf.TopPLogitsWarper(0.7),
        "top_k": hf.TopKLogitsWarper(7),
        "min_p": hf.MinPLogitsWarper(0.2),
        "typical_p": hf.TypicalLogitsWarper(0.6),
    }.items():
        value = {"top_p": 0.7, "top_k": 7, "min_p": 0.2, "typical_p": 0.6}[kind]
        want = theirs(torch.tensor(ids[None]), torch.tensor(z[None])).softmax(-1)[0].numpy()
        np.testing.assert_allclose(probabilities(z, Sampling(temperature=1.0, **{kind: value})), want, rtol=1e-9, err_msg=kind)
    want = hf.RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor(ids[None]), torch.tensor(z[None]))[0].numpy()
    np.testing.assert_allclose(Sampling(repetition_penalty=1.3).adjusted(z, ids, ids), want)


def test_penalties_and_biases_by_their_definitions():
    z, new = np.zeros(6), np.array([2, 2, 5])
    got = Sampling(frequency_penalty=0.5, presence_penalty=0.25, logit_bias={0: 3.0}).adjusted(z, np.array([1, 2, 2, 5]), new)
    assert got.tolist() == [3.0, 0.0, -1.25, 0.0, 0.0, -0.75]
    doubled = Sampling(processors=[lambda ids, z: z + len(ids), lambda ids, z: z * 2]).adjusted(z, new, new)
    assert doubled.tolist() == [6.0] * 6


def test_mirostat_steers_the_surprise():
    rng = np.random.default_rng(0)
    z = np.sort(rng.standard_normal(200) * 3)
    p = softmax(z)
    found = {}
    for tau in (1.0, 4.0):
        picker = Picker(Sampling(temperature=1.0, mirostat_tau=tau), 1)
        drawn = [picker.pick(z, np.array([0]), np.array([])) for _ in range(400)]
        found[tau] = -np.log2(p[drawn[100:]]).mean()
    assert found[1.0] < found[4.0]


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"top_p": 0}, {"top_k": -2}, {"min_p": 2}, {"typical_p": 1.5}, {"repetition_penalty": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(CandleError, match=next(iter(wrong))):
        Sampling(**wrong)


# -- the loop --------------------------------------------------------------------------------------


@needs_parity
def test_a_seed_settles_what_is_drawn():
    m, ids = model(), prompt()
    drawn = [m.generate(ids, 8, temperature=1.5, seed=s, ignore_eos=True).numpy() for s in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    # a row of a batch draws what it would alone
    alone = m.generate(ids[1:], 8, temperature=1.5, seed=2, ignore_eos=True).numpy()
    assert np.array_equal(alone[0], drawn[0][1])
    candle.manual_seed(7)
    one = m.generate(ids, 5, temperature=1.0).numpy()
    candle.manual_seed(7)
    assert np.array_equal(one, m.generate(ids, 5, temperature=1.0).numpy())


@needs_parity
def test_rows_end_and_are_padded():
    m, ids = model(), prompt()
    free = m.generate(ids, 10, ignore_eos=True).numpy()[:, ids.shape[1] :]
    end = int(free[0, 3])
    assert end not in free[0, :3] and end not in free[1]
    got = m.generate(ids, 10, eos_token_id=end, pad_token_id=99).numpy()[:, ids.shape[1] :]
    assert got[0].tolist() == [*free[0, :4], *[99] * 6] and np.array_equal(got[1], free[1])
    stopped = m.generate(ids[:1], 10, ignore_eos=True, stop=[free[0, 1:3].tolist()]).numpy()[0, ids.shape[1] :]
    assert stopped.tolist() == free[0, :3].tolist()
    assert m.generate(ids, 0).shape == ids.shape


@needs_parity
def test_prompts_of_different_lengths_are_lists():
    m, ids = model(), prompt()
    rows = [ids[0].tolist(), ids[1, 5:].tolist()]
    got = m.generate(rows, 4, ignore_eos=True).numpy()
    for row, p in zip(got, rows):
        assert np.array_equal(row[-4:], m.generate([p], 4, ignore_eos=True).numpy()[0, -4:])


@needs_parity
def test_a_stream_gives_tokens_as_they_are_written():
    m, ids = model(), prompt()
    whole = m.generate(ids, 6, ignore_eos=True).numpy()[:, ids.shape[1] :]
    assert list(g.stream(m, ids[0], 6, ignore_eos=True)) == whole[0].tolist()
    assert list(g.stream(m, ids, 6, ignore_eos=True)) == whole.T.tolist()
    tokens = g.stream(m, ids[0], 1000, ignore_eos=True)
    assert [next(tokens) for _ in range(3)] == whole[0, :3].tolist()
    tokens.close()
    assert np.array_equal(m.generate(ids, 6, ignore_eos=True).numpy()[:, ids.shape[1] :], whole)


@needs_parity
def test_one_captured_step_serves_every_position_and_later_runs():
    m, ids = model(), prompt()
    m.generate(ids, 20, ignore_eos=True)
    (decoder,) = m.__dict__["_decoders"]
    assert sum(map(len, decoder._step.entries.values())) == 1
    m.generate(ids[:, :5], 30, ignore_eos=True)
    assert m.__dict__["_decoders"] == [decoder] and sum(map(len, decoder._step.entries.values())) == 1


@needs_parity
@pytest.mark.parametrize("case", ["llama", "bloom", "mamba"])
def test_a_decoder_may_begin_with_single_steps(case):
    m, ids = model(case), prompt(case)
    d = g.Decoder(m, 2, 4)  # it grows
    got = np.stack([d.step(ids[:, i]) for i in range(ids.shape[1])], 1)
    want = m(ids).logits.numpy()
    assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()


@needs_parity
@pytest.mark.parametrize("case", ["llama", "gemma2", "deepseek-v2", "mamba"])
def test_a_prefix_that_is_known_is_not_computed_again(case):
    m, ids = model(case), prompt(case)[0].tolist()
    prefix = g.Prefix(m)
    first = list(g.stream(m, ids, 4, ignore_eos=True, prefix=prefix))
    longer = [*ids, *first[:2], 7, 8]
    got = list(g.stream(m, longer, 4, ignore_eos=True, prefix=prefix))
    assert got == list(g.stream(m, longer, 4, ignore_eos=True))
    assert prefix.reused == (0 if case == "mamba" else len(ids) + 2)  # a recurrence cannot go back to a token
    assert list(g.stream(m, ids[:5], 4, ignore_eos=True, prefix=prefix)) == list(g.stream(m, ids[:5], 4, ignore_eos=True))


@needs_parity
@pytest.mark.parametrize("drafts", ["its own", "another's"])
def test_speculative_decoding_writes_what_the_model_writes(drafts):
    m, ids = model(), prompt()[0]
    draft = m if drafts == "its own" else model("qwen2")
    want = list(g.stream(m, ids, 12, ignore_eos=True))
    for ahead in (1, 3, 5):
        assert list(g.speculate(m, draft, ids, 12, ahead=ahead, ignore_eos=True)) == want
    want = list(g.stream(m, ids[:1], 6, ignore_eos=True))
    assert list(g.speculate(m, draft, ids[:1], 6, ignore_eos=True)) == want
    with pytest.raises(CandleError, match="recurrent"):
        list(g.speculate(m, model("mamba"), ids, 4))


@needs_parity
def test_speculative_sampling_keeps_the_models_distribution():
    m, draft, ids = model(), model("qwen2"), prompt()[0, :4]
    rounds = 80
    counts = {}
    for name, tokens in (
        ("plain", [next(iter(g.stream(m, ids, 1, temperature=0.7, top_k=4, seed=s, ignore_eos=True))) for s in range(rounds)]),
        (
            "drafted",
            [
                next(g.speculate(m, draft, ids, 1, ahead=1, temperature=0.7, top_k=4, seed=s, ignore_eos=True))
                for s in range(rounds)
            ],
        ),
    ):
        counts[name] = np.bincount(tokens, minlength=160) / rounds
    assert np.abs(counts["plain"] - counts["drafted"]).max() < 6 * np.sqrt(0.25 / rounds)
    assert counts["plain"].max() < 0.95


@needs_parity
def test_what_a_checkpoint_says_of_generation_is_kept(tmp_path):
    import shutil

    m, ids = model(), prompt()
    free = m.generate(ids[:1], 6, ignore_eos=True).numpy()[0, ids.shape[1] :]
    folder = tmp_path / "m"
    shutil.copytree(PARITY / "llama", folder)
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [999, int(free[2])], "suppress_tokens": [int(free[0])]})
    )
    m = models.load(folder, device="numpy")
    got = m.generate(ids[:1], 6).numpy()[0, ids.shape[1] :]
    assert free[0] not in got
    assert 999 not in got


@needs_parity
@pytest.mark.parametrize(
    ("args", "settings_", "text"),
    [
        (([],), {}, "int"),
        (([[1.5, 2.0]],), {}, "int"),
        (([1, 2], -1), {}, "max_new_tokens"),
        (([1, 2], 3), {"nonsense": 1}, "nonsense"),
        (([1, 2], 3), {"stop": [[]]}, "empty"),
        (([[1, 2]], 3), {"attention_mask": [[0, 0]]}, "at least one token"),
        (([[1, 2]], 3), {"attention_mask": [[1]]}, "attention_mask"),
    ],
)
def test_bad_requests_are_refused(args, settings_, text):
    with pytest.raises((CandleError, TypeError), match=text):
        g.generate(model(), *args, **settings_)
