"""RWKV 5 to 7, of which transformers has no class: against their papers' recurrences, written out in float64, token by token."""

from __future__ import annotations

import json

import numpy as np
import pytest

import candle
from candle import models

D, HEADS, LAYERS, VOCAB = 16, 2, 3, 40
WIDTH = D // HEADS
RNG = np.random.default_rng(0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(x, w, b, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * w + b


def normal(*shape, scale=None):
    return RNG.standard_normal(shape) * (shape[-1] ** -0.5 if scale is None else scale)


def norms(name, d=D):
    return {f"{name}.weight": 1 + normal(d, scale=0.2), f"{name}.bias": normal(d, scale=0.2)}


def weights(version):
    """A random checkpoint under the names that the published ones have."""
    inner = 24
    if version == 7:
        w = {"emb.weight": normal(VOCAB, D, scale=1), "head.weight": normal(VOCAB, D), **norms("ln_out"), **norms("blocks.0.ln0")}
    else:
        w = {"rwkv.embeddings.weight": normal(VOCAB, D, scale=1), "head.weight": normal(VOCAB, D), **norms("rwkv.ln_out")}
        w |= norms("rwkv.blocks.0.pre_ln")
    for i in range(LAYERS):
        at = f"blocks.{i}." if version == 7 else f"rwkv.blocks.{i}."
        a, f = (at + "att.", at + "ffn.") if version == 7 else (at + "attention.", at + "feed_forward.")
        w |= norms(at + "ln1") | norms(at + "ln2") | norms(a + "ln_x")
        w |= {f"{a}{n}.weight": normal(D, D) for n in ("key", "value", "receptance", "output")}
        w |= {f"{f}key.weight": normal(inner, D), f"{f}value.weight": normal(D, inner)}
        if version < 7:
            w |= {
                f"{a}gate.weight": normal(D, D),
                f"{f}receptance.weight": normal(D, D),
                f"{a}time_faaaa": normal(HEADS, WIDTH, scale=1),
            }
        if version == 5:
            w |= {f"{a}time_mix_{n}": RNG.random((1, 1, D)) for n in ("key", "value", "receptance", "gate")}
            w |= {f"{f}time_mix_{n}": RNG.random((1, 1, D)) for n in ("key", "receptance")}
            w |= {f"{a}time_decay": normal(HEADS, WIDTH, scale=1)}
        if version == 6:
            w |= {f"{a}time_maa_{n}": RNG.random((1, 1, D)) for n in "xwkvrg"} | {
                f"{f}time_maa_{n}": RNG.random((1, 1, D)) for n in "kr"
            }
            w |= {
                f"{a}time_maa_w1": normal(D, 5 * 4),
                f"{a}time_maa_w2": normal(5, 4, D),
                f"{a}time_decay": normal(1, 1, D, scale=1),
            }
            w |= {f"{a}time_decay_w1": normal(D, 6), f"{a}time_decay_w2": normal(6, D)}
        if version == 7:
            w |= {f"{a}x_{n}": RNG.random((1, 1, D)) for n in "rwkvag"} | {f"{f}x_k": RNG.random((1, 1, D))}
            for n, rank in {"w": 5, "a": 4, "v": 3, "g": 6}.items():
                w |= {f"{a}{n}1": normal(D, rank), f"{a}{n}2": normal(rank, D)}
                w |= {} if n == "g" else {f"{a}{n}0": normal(1, 1, D, scale=1)}
            w |= {
                f"{a}k_k": normal(1, 1, D, scale=1),
                f"{a}k_a": normal(1, 1, D, scale=1),
                f"{a}r_k": normal(HEADS, WIDTH, scale=1),
            }
    return {k: v.astype(np.float32) for k, v in w.items()}


def expected(version, w, ids):
    """Logits float64[n, vocab] of one text, by the recurrences as the papers give them."""
    w = {k.removeprefix("rwkv."): v.astype(np.float64) for k, v in w.items()}
    table = w["emb.weight" if version == 7 else "embeddings.weight"]
    last = [[np.zeros(D), np.zeros(D)] for _ in range(LAYERS)]
    state = np.zeros((LAYERS, HEADS, WIDTH, WIDTH))
    found = []
    for token in ids:
        x, first = table[token], None
        pre = "blocks.0.ln0" if version == 7 else "blocks.0.pre_ln"
        x = norm(x, w[pre + ".weight"], w[pre + ".bias"])
        for i in range(LAYERS):
            at = f"blocks.{i}."
            a = {
                k.removeprefix(at + ("att." if version == 7 else "attention.")): v.squeeze()
                for k, v in w.items()
                if k.startswith(at)
            }
            f = {
                k.removeprefix(at + ("ffn." if version == 7 else "feed_forward.")): v.squeeze()
                for k, v in w.items()
                if k.startswith(at)
            }
            y = norm(x, w[at + "ln1.weight"], w[at + "ln1.bias"])
            before, last[i][0] = last[i][0], y
            heads = (HEADS, WIDTH)
            if version == 5:
                k, v, r, g = (
                    y * a["time_mix_" + n] + before * (1 - a["time_mix_" + n]) for n in ("key", "value", "receptance", "gate")
                )
                decay = np.exp(-np.exp(a["time_decay"]))
            elif version == 6:
                far = before - y
                moved = np.tanh((y + far * a["time_maa_x"]) @ a["time_maa_w1"]).reshape(5, 4)
                p, k, v, r, g = (y + far * (a["time_maa_" + n] + moved[j] @ a["time_maa_w2"][j]) for j, n in enumerate("wkvrg"))
                decay = np.exp(-np.exp(a["time_decay"] + np.tanh(p @ a["time_decay_w1"]) @ a["time_decay_w2"])).reshape(heads)
            if version < 7:
                k, v, r = (a[n + ".weight"] @ z for n, z in (("key", k), ("value", v), ("receptance", r)))
                g = a["gate.weight"] @ g
                out = np.zeros(heads)
                for h, (kh, vh, rh) in enumerate(zip(k.reshape(heads), v.reshape(heads), r.reshape(heads))):
                    now = np.outer(kh, vh)
                    out[h] = rh @ (state[i, h] + a["time_faaaa"][h][:, None] * now)
                    state[i, h] = decay[h][:, None] * state[i, h] + now
                out = norm(out, 1, 0, 64e-5).reshape(D) * a["ln_x.weight"] + a["ln_x.bias"]
                x = x + a["output.weight"] @ (out * g * sigmoid(g))
            else:
                far = before - y
                r, p, k, v, q, g = (y + far * a["x_" + n] for n in "rwkvag")
                decay = np.exp(-np.exp(-np.log1p(np.exp(-(a["w0"] + np.tanh(p @ a["w1"]) @ a["w2"]))) - 0.5)).reshape(heads)
                r, k, u = a["receptance.weight"] @ r, a["key.weight"] @ k, a["value.weight"] @ v
                if i == 0:
                    first = u
                else:
                    u = u + (first - u) * sigmoid(a["v0"] + v @ a["v1"] @ a["v2"])
                rate = sigmoid(a["a0"] + q @ a["a1"] @ a["a2"])
                gate = sigmoid(g @ a["g1"]) @ a["g2"]
                kk = (k * a["k_k"]).reshape(heads)
                kk = kk / np.linalg.norm(kk, axis=-1, keepdims=True)
                k = (k * (1 + (rate - 1) * a["k_a"])).reshape(heads)
                r, u, rate = r.reshape(heads), u.reshape(heads), rate.reshape(heads)
                out = np.zeros(heads)
                for h in range(HEADS):
                    forget = np.diag(decay[h]) - np.outer(kk[h], kk[h] * rate[h])
                    state[i, h] = state[i, h] @ forget + np.outer(u[h], k[h])
                    out[h] = state[i, h] @ r[h]
                out = norm(out, 1, 0, WIDTH * 1e-5).reshape(D) * a["ln_x.weight"] + a["ln_x.bias"]
                out = out + ((r * k * a["r_k"]).sum(-1, keepdims=True) * u).reshape(D)
                x = x + a["output.weight"] @ (out * gate)
            y = norm(x, w[at + "ln2.weight"], w[at + "ln2.bias"])
            before, last[i][1] = last[i][1], y
            if version == 5:
                k, r = (y * f["time_mix_" + n] + before * (1 - f["time_mix_" + n]) for n in ("key", "receptance"))
            elif version == 6:
                k, r = (y + (before - y) * f["time_maa_" + n] for n in "kr")
            else:
                k = y + (before - y) * f["x_k"]
            k = f["value.weight"] @ np.maximum(f["key.weight"] @ k, 0) ** 2
            x = x + (k if version == 7 else sigmoid(f["receptance.weight"] @ r) * k)
        found.append(w["head.weight"] @ norm(x, w["ln_out.weight"], w["ln_out.bias"]))
    return np.array(found)


@pytest.mark.parametrize("version", [5, 6, 7])
def test_rwkv_follows_its_recurrence(version, tmp_path):
    w = weights(version)
    config = {"model_type": f"rwkv{version}", "vocab_size": VOCAB, "hidden_size": D, "num_hidden_layers": LAYERS}
    config |= {"head_size": WIDTH, "intermediate_size": 24, "time_mix_extra_dim": 4, "time_decay_extra_dim": 6}
    (tmp_path / "config.json").write_text(json.dumps(config))
    candle.save(tmp_path / "model.safetensors", w)
    m = models.load(tmp_path, device="numpy")
    ids = RNG.integers(0, VOCAB, (2, 9))
    got = m(ids).logits.numpy()
    for row, want in zip(got, (expected(version, w, r) for r in ids)):
        assert np.abs(row - want).max() <= 2e-5 * np.abs(want).max()
    written = m.generate(ids, 5, ignore_eos=True, output_logits=True)
    full = m(written.sequences).logits.numpy()[:, 8:-1]
    assert np.abs(written.logits.numpy() - full).max() <= 2e-5 * np.abs(full).max()
    keep = np.ones_like(ids)
    keep[1, :3] = 0
    both = m.generate(ids, 3, attention_mask=keep, ignore_eos=True, output_logits=True).logits.numpy()[1]
    alone = m.generate(ids[1:, 3:], 3, ignore_eos=True, output_logits=True).logits.numpy()[0]
    assert np.abs(both - alone).max() <= 2e-5 * np.abs(alone).max()
