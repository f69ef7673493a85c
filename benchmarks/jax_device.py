"""The device ``jax`` beside plain JAX and candle on NumPy: an eager sum, a compiled training step, MiniLM compiled."""

from __future__ import annotations

import functools
import itertools
from typing import Any, Callable

import numpy as np

import candle
from candle import nn, optim

from .harness import alternate, ratio

BATCH, WIDE, STEP = 64, 256, 0.01


def _row(what: str, contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    found = alternate(contestants, rounds=rounds)
    mid = {name: sorted(times)[len(times) // 2] * 1e6 for name, times in found.items()}
    others = {name: ratio(found["candle"], found[name]) for name in contestants if name != "candle"}
    return {
        "what": what,
        "candle": f"{mid['candle']:.1f} us",
        "peer": ", ".join(f"{name} {mid[name]:.1f} us" for name in others),
        "figure": ", ".join(f"{r:.2f}x the time of {name}" for name, r in others.items()),
    }


def eager_add() -> dict[str, Any]:
    import jax

    x = np.ones((4, 4), np.float32)
    here, there, plain = candle.tensor(x, device="jax"), candle.tensor(x, device="numpy"), jax.numpy.asarray(x)
    contestants: dict[str, Callable[[], Any]] = {
        "candle": lambda: (here + here).value.block_until_ready(),
        "jax": lambda: (plain + plain).block_until_ready(),
        "candle on numpy": lambda: there + there,
    }
    return _row("jax: sum of two 4x4 tensors, eagerly", contestants, 25)


def training_step() -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((BATCH, WIDE)).astype(np.float32), rng.integers(0, 10, BATCH)
    candle.manual_seed(0)
    sizes = (WIDE, WIDE, WIDE, 10)

    def stepper(device: str) -> Callable[[], Any]:
        model = nn.Sequential(nn.Linear(WIDE, WIDE), nn.ReLU(), nn.Linear(WIDE, WIDE), nn.ReLU(), nn.Linear(WIDE, 10)).to(device)
        opt = optim.SGD(model.parameters(), lr=STEP)

        @candle.compile
        def step(x: Any, y: Any) -> Any:
            opt.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            return loss

        given = candle.tensor(x, device=device), candle.tensor(y, device=device)
        return lambda: step(*given)

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for n, (w, b) in enumerate(weights):
            x = x @ w.T + b
            x = jnp.maximum(x, 0) if n < len(weights) - 1 else x
        return -jax.nn.log_softmax(x)[jnp.arange(BATCH), y].mean()

    @functools.partial(jax.jit, donate_argnums=0)
    def plain(weights: Any, x: Any, y: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(weights, x, y)
        return value, jax.tree.map(lambda w, g: w - STEP * g, weights, grads)

    state = [
        [
            (jnp.asarray(rng.standard_normal((m, n)).astype(np.float32) / 16), jnp.zeros(m, jnp.float32))
            for n, m in itertools.pairwise(sizes)
        ]
    ]
    xs, ys = jnp.asarray(x), jnp.asarray(y)

    def run_plain() -> None:
        value, state[0] = plain(state[0], xs, ys)
        value.block_until_ready()

    here, there = stepper("jax"), stepper("numpy")
    contestants: dict[str, Callable[[], Any]] = {
        "candle": lambda: here().value.block_until_ready(), "jax": run_plain, "candle on numpy": there,
    }  # fmt: skip
    return _row(f"jax: training step of three layers of {WIDE}, batch {BATCH}, SGD, compiled, state donated", contestants, 9)


def _bert(w: dict[str, Any], heads: int, layers: int, eps: float, ids: Any, mask: Any) -> Any:
    """BERT's encoder in plain JAX, from weights by their published names."""
    import jax
    import jax.numpy as jnp

    def norm(x: Any, name: str) -> Any:
        x = x - x.mean(-1, keepdims=True)
        return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def split(x: Any) -> Any:
        return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)

    at = "embeddings"
    x = w[f"{at}.word_embeddings.weight"][ids] + w[f"{at}.token_type_embeddings.weight"][0]
    x = norm(x + w[f"{at}.position_embeddings.weight"][: ids.shape[1]], f"{at}.LayerNorm")
    bias = jnp.where(mask[:, None, None, :] != 0, 0.0, -jnp.inf)
    for n in range(layers):
        at = f"encoder.layer.{n}"
        q, k, v = (split(dense(x, f"{at}.attention.self.{name}")) for name in ("query", "key", "value"))
        p = jax.nn.softmax(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5 + bias)
        y = (p @ v).swapaxes(1, 2).reshape(x.shape)
        x = norm(dense(y, f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
        y = dense(jax.nn.gelu(dense(x, f"{at}.intermediate.dense"), approximate=False), f"{at}.output.dense")
        x = norm(y + x, f"{at}.output.LayerNorm")
    return x


def minilm() -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    what = "jax: MiniLM's encoder, 8 sentences of 32 tokens, compiled"
    ids = np.random.default_rng(0).integers(1000, 20000, (8, 32))
    mask = np.ones((8, 32), np.int64)
    mask[::2, 20:] = 0
    runs = {}
    for device in ("jax", "numpy"):
        try:
            bert: Any = candle.models.load("all-MiniLM-L6-v2", device=device).model
        except candle.CandleError as e:
            return {"what": what, "figure": f"not run: {e}"}
        bert.eval()
        forward = candle.compile(lambda ids, mask, bert=bert: bert(ids, mask).last_hidden_state)
        given = candle.tensor(ids, device=device), candle.tensor(mask, device=device)
        runs[device] = functools.partial(forward, *given)
    weights = {k: jnp.asarray(v.numpy()) for k, v in bert.state_dict().items()}
    c = bert.config
    plain = jax.jit(functools.partial(_bert, heads=c.num_attention_heads, layers=c.num_hidden_layers, eps=c.layer_norm_eps))
    xs, ms = jnp.asarray(ids), jnp.asarray(mask)
    with candle.no_grad():
        found = runs["jax"]().numpy()
        if not np.allclose(found, np.asarray(plain(weights, ids=xs, mask=ms)), atol=1e-4):
            raise AssertionError("candle on jax and plain JAX disagree about MiniLM")
        contestants: dict[str, Callable[[], Any]] = {
            "candle": lambda: runs["jax"]().value.block_until_ready(),
            "jax": lambda: plain(weights, ids=xs, mask=ms).block_until_ready(),
            "candle on numpy": runs["numpy"],
        }
        return _row(what, contestants, 5)


def rows() -> list[dict[str, Any]]:
    try:
        candle.ones(1, device="jax")
    except candle.CandleError as e:
        return [{"what": "the device jax", "figure": f"not run: {e}"}]
    return [eager_add(), training_step(), minilm()]
