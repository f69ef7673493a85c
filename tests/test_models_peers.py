"""Models against transformers: tiny random configurations, written as a checkpoint and read back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from model_cases import DECODERS, ENCODERS, SEQ2SEQ

import candle
from candle import models

torch = pytest.importorskip("torch", reason="pip install torch, the peer")
transformers = pytest.importorskip("transformers", reason="pip install transformers, the peer")

torch.set_num_threads(1)
PROMPT = 11
NEW = 6


def peer(kind, name, settings, tmp, seed=0):
    """A model of transformers with weights that are not near zero, and the folder it was written to."""
    torch.manual_seed(seed)
    config = getattr(transformers, kind + "Config")(**settings)
    # Falcon's slopes are counted twice by the eager form of transformers 5
    config._attn_implementation = "sdpa" if settings.get("alibi") else "eager"
    made = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for key, p in made.named_parameters():
            if not p.requires_grad:  # sines
                continue
            if p.ndim > 1:
                p.copy_(torch.randn_like(p) * (1.5 / p.shape[-1] ** 0.5 if "emb" not in key else 1.0))
            elif "bias" in key:
                p.copy_(torch.randn_like(p) * 0.3)
            else:
                p.add_(torch.randn_like(p) * 0.2)
    made.save_pretrained(tmp)
    return made


def ids_for(settings, rows=2, n=PROMPT):
    return np.random.default_rng(1).integers(3, settings["vocab_size"], (rows, n))


def near(got, want, bound=2e-5):
    difference = np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)
    assert difference <= bound, f"{difference:.1e}"


@pytest.mark.parametrize(("name", "kind", "settings"), DECODERS, ids=[c[0] for c in DECODERS])
def test_a_decoder_agrees_with_transformers(name, kind, settings, tmp_path):
    kind, _, cls = kind.partition(":")
    theirs = peer(kind, cls or kind + ("LMHeadModel" if kind == "GPT2" else "ForCausalLM"), settings, tmp_path)
    ids = ids_for(settings)
    with torch.no_grad():
        want = theirs(torch.tensor(ids), use_cache=False).logits.numpy()
        # transformers' RWKV mixes the rows of a batch while it generates
        rows = 1 if kind == "Rwkv" else 2
        written = theirs.generate(
            torch.tensor(ids[:rows]),
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
    ours = models.load(tmp_path, device="numpy")
    near(ours(ids).logits.numpy(), want)
    got = ours.generate(ids, NEW, ignore_eos=True, output_logits=True)
    near(got.logits.numpy()[:rows], np.stack([z.numpy() for z in written.logits], 1))
    assert np.array_equal(got.sequences.numpy()[:rows], written.sequences.numpy())
    assert json.loads((tmp_path / "config.json").read_text())["model_type"].startswith(name.split()[0].rstrip(",")[:4])
    # uncached gives what cached gave
    full = ours(got.sequences).logits.numpy()[:, PROMPT - 1 : -1]
    if "dynamic" not in name:  # keys keep the rotation of the length they were made at
        near(full, got.logits.numpy())
    # a padded row stands as it would alone
    short = ids[1:, 4:]
    padded = np.concatenate([np.zeros((1, 4), ids.dtype), short], 1)
    keep = np.ones((2, PROMPT), np.int64)
    keep[1, :4] = 0
    both = ours.generate(np.concatenate([ids[:1], padded]), NEW, attention_mask=keep, ignore_eos=True, output_logits=True)
    alone = ours.generate(short, NEW, ignore_eos=True, output_logits=True)
    near(both.logits.numpy()[1:], alone.logits.numpy())
    assert np.array_equal(both.sequences.numpy()[1, 4:], alone.sequences.numpy()[0])


def test_bare_decoders_give_hidden_states(tmp_path):
    settings = DECODERS[0][2]
    theirs = peer("Llama", "LlamaModel", settings, tmp_path)
    ids = ids_for(settings)
    with torch.no_grad():
        want = theirs(torch.tensor(ids)).last_hidden_state.numpy()
    out = models.load(tmp_path, device="numpy")(ids)
    near(out.last_hidden_state.numpy(), want)
    assert out.logits is None and list(out) == ["last_hidden_state"]
    assert isinstance(out["last_hidden_state"], candle.Tensor)


@pytest.mark.parametrize(("name", "kind", "settings"), ENCODERS, ids=[c[0] for c in ENCODERS])
def test_an_encoder_agrees_with_transformers(name, kind, settings, tmp_path):
    kind, _, cls = kind.partition(":")
    theirs = peer(kind, cls, {"pad_token_id": 1, **settings}, tmp_path)
    ids = ids_for(settings, 3)
    keep = np.ones_like(ids)
    keep[1, 8:] = 0
    keep[2, 5:] = 0
    ids[keep == 0] = 1
    given = {"input_ids": ids, "attention_mask": keep}
    with torch.no_grad():
        want = theirs(**{k: torch.tensor(v) for k, v in given.items()})
    ours = models.load(tmp_path, device="numpy")
    out = ours(**given)
    compiled = candle.compile(lambda i, m: dict(ours(i, m)))(ids, keep)
    for key in [k for k in want if want[k] is not None and k in out]:
        got, theirs_ = out[key].numpy(), want[key].numpy()
        whole = got.ndim < 2 or got.shape[1] != ids.shape[1]
        near(got if whole else got[keep == 1], theirs_ if whole else theirs_[keep == 1])
        near(compiled[key].numpy(), got, 2e-6)
    assert set(want) <= set(out), (set(want), set(out))
    # without a mask a row stands as it would alone
    alone = ours(ids[1:2, :8])
    for key in alone:
        got = alone[key].numpy()[0]
        near(got, out[key].numpy()[1][:8] if got.shape[:1] == (8,) else out[key].numpy()[1], 1e-5)


@pytest.mark.parametrize(("name", "kind", "settings"), SEQ2SEQ, ids=[c[0] for c in SEQ2SEQ])
def test_an_encoder_decoder_agrees_with_transformers(name, kind, settings, tmp_path):
    kind, _, cls = kind.partition(":")
    theirs = peer(kind, cls, settings, tmp_path)
    ids = ids_for(settings)
    keep = np.ones_like(ids)
    keep[1, 7:] = 0
    labels = ids_for(settings, 2, 6)
    labels[0, -1] = -100
    given = {"input_ids": ids, "attention_mask": keep, "labels": labels}
    with torch.no_grad():
        want = theirs(**{k: torch.tensor(v) for k, v in given.items()})
        written = theirs.generate(
            torch.tensor(ids),
            attention_mask=torch.tensor(keep),
            max_new_tokens=NEW,
            do_sample=False,
            num_beams=1,
            eos_token_id=None,
            output_logits=True,
            return_dict_in_generate=True,
        )
    ours = models.load(tmp_path, device="numpy")
    out = ours(**given)
    near(out.logits.numpy(), want.logits.numpy())
    near(out.loss.numpy(), want.loss.numpy())
    near(out.encoder_last_hidden_state.numpy()[keep == 1], want.encoder_last_hidden_state.numpy()[keep == 1])
    for compiled in (False, True):
        got = ours.generate(ids, NEW, attention_mask=keep, ignore_eos=True, output_logits=True, compiled=compiled)
        near(got.logits.numpy(), np.stack([z.numpy() for z in written.logits], 1))
        assert np.array_equal(got.sequences.numpy(), written.sequences.numpy())
    alone = ours.generate(ids[1:, :7], NEW, ignore_eos=True, output_logits=True)
    near(alone.logits.numpy()[0], got.logits.numpy()[1])
