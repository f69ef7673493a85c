"""Models from GGUF files: written here from recorded checkpoints as llama.cpp's converter writes them, and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import candle
from candle import BackendError, FormatError, models

gguf = pytest.importorskip("gguf", reason="pip install gguf, whose tables of names these are")
PARITY = Path(__file__).parents[2] / "shared" / "parity"
pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason="../shared/parity is absent")

CASES = {  # folder: llama.cpp's name of the architecture
    "llama": "llama",
    "mistral-full": "llama",
    "mixtral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "phi": "phi2",
    "phi3": "phi3",
    "stablelm": "stablelm",
    "olmo2": "olmo2",
    "granite": "granite",
    "cohere": "command-r",
    "glm4": "glm4",
    "starcoder2": "starcoder2",
    "gpt2": "gpt2",
    "gpt-bigcode-starcoder": "starcoder",
    "falcon-7b-style": "falcon",
}


def of(config, *names, default=None):
    return next((config[n] for n in names if config.get(n) is not None), default)


def metadata(config, arch):
    """What llama.cpp's converter says of a configuration."""
    heads = of(config, "num_attention_heads", "n_head")
    width = of(config, "head_dim", default=of(config, "hidden_size", "n_embd") // heads)
    shared = 1 if config.get("multi_query") else of(config, "num_key_value_heads", default=heads)
    said = {
        "embedding_length": of(config, "hidden_size", "n_embd"),
        "block_count": of(config, "num_hidden_layers", "n_layer"),
        "feed_forward_length": of(
            config, "ffn_hidden_size", "n_inner", "intermediate_size", default=4 * of(config, "hidden_size", "n_embd", default=0)
        ),
        "context_length": of(config, "max_position_embeddings", "n_positions"),
        "attention.head_count": heads,
        "attention.head_count_kv": shared,
        "rope.freq_base": float(config.get("rope_theta", 10000.0)),
        "rope.dimension_count": int(width * config.get("partial_rotary_factor", 1.0)),
    }
    if config.get("head_dim"):
        said["attention.key_length"] = config["head_dim"]
    rms, plain = config.get("rms_norm_eps"), of(config, "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")
    if rms is not None:
        said["attention.layer_norm_rms_epsilon"] = rms
    if plain is not None:
        said["attention.layer_norm_epsilon"] = plain
    for new, old in {
        "expert_count": "num_local_experts",
        "expert_used_count": "num_experts_per_tok",
        "attention.sliding_window": "sliding_window",
        "attn_logit_softcapping": "attn_logit_softcapping",
        "final_logit_softcapping": "final_logit_softcapping",
        "embedding_scale": "embedding_multiplier",
        "residual_scale": "residual_multiplier",
        "attention.scale": "attention_multiplier",
    }.items():
        if config.get(old) is not None:
            said[new] = config[old]
    scale = of(config, "logit_scale", "logits_scaling")
    if scale is not None:
        said["logit_scale"] = scale
    found = {f"{arch}.{k}": v for k, v in said.items()}
    return {"general.architecture": arch, **found, "tokenizer.ggml.eos_token_id": config["eos_token_id"]}


def permuted(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def converted(case, arch, config):
    """A checkpoint's weights as llama.cpp's converter keeps them: its names by the public table, its layouts."""
    layers = of(config, "num_hidden_layers", "n_layer")
    kind = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == arch)
    names = gguf.get_tensor_name_map(kind, layers)
    heads = of(config, "num_attention_heads", "n_head")
    groups = of(config, "num_key_value_heads", default=heads)
    found, experts = {}, {}
    for name, w in candle.load(PARITY / case / "model.safetensors").items():
        w = np.array(w.numpy())
        if ".experts." in name:
            base, _, rest = name.partition(".experts.")
            number, part = rest.split(".")[:2]
            experts.setdefault((base.replace("model.", "").replace("block_sparse_moe", "feed_forward") + ".experts." + part), {})[
                int(number)
            ] = w
            continue
        stem, _, end = name.rpartition(".")
        if arch in ("llama", "granite") and "q_proj" in name:
            w = permuted(w, heads)
        if arch in ("llama", "granite") and "k_proj" in name:
            w = permuted(w, groups)
        if arch.startswith("gemma") and "norm" in name:
            w = w + 1
        if arch == "gpt2" and ("c_" in name) and w.ndim == 2:
            w = w.T.copy()
        if arch == "falcon" and "query_key_value" in name:
            h = config["hidden_size"] // heads
            w = np.concatenate([w[: heads * h], w[heads * h :]])
        found[f"{names.get_name(stem)}.{end}"] = w
    for key, parts in experts.items():
        found[names.get_name(key) + ".weight"] = np.stack([parts[i] for i in sorted(parts)])
    return found


def written(case, arch, path, kind=None):
    config = json.loads((PARITY / case / "config.json").read_text())
    tensors = {}
    for name, w in converted(case, arch, config).items():
        t = candle.tensor(w, device="numpy")
        if (
            kind is not None
            and w.ndim > 1
            and w.shape[-1] % 32 == 0
            and "token_embd" not in name
            and "position" not in name
            and "inp" not in name
        ):
            t = candle.quantize(t, kind)
        tensors[name] = t
    candle.save(path, tensors, metadata=metadata(config, arch))
    return path


def read(case):
    return np.load(PARITY / case / "inputs.npz")["input_ids"], np.load(PARITY / case / "outputs.npz")["logits"]


@pytest.mark.parametrize(("case", "arch"), CASES.items(), ids=list(CASES))
def test_a_gguf_file_gives_the_checkpoints_logits(case, arch, tmp_path):
    ids, want = read(case)
    model = models.load(written(case, arch, tmp_path / "model.gguf"), device="numpy")
    got = model(ids).logits.numpy()
    assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()
    assert model.generate(ids, 3).shape[1] >= ids.shape[1] + 1


@pytest.mark.parametrize("case", ["llama", "mixtral", "gemma2", "gpt2", "falcon-7b-style"])
def test_quantised_weights_stay_so_and_are_near(case, tmp_path):
    ids, want = read(case)
    model = models.load(written(case, CASES[case], tmp_path / "model.gguf", candle.q8_0), device="numpy")
    kinds = {p.dtype for p in model.parameters()}
    assert candle.q8_0 in kinds and candle.float32 in kinds
    got = model(ids).logits.numpy()
    # a token whose experts change is far off; few are
    assert 1e-6 < np.quantile(np.abs(got - want), 0.9) / np.abs(want).max() < 0.02
    loose = models.load(tmp_path / "model.gguf", device="numpy", dtype="float32")
    assert {p.dtype for p in loose.parameters()} == {candle.float32}
    assert np.abs(loose(ids).logits.numpy() - got).max() <= 1e-4 * np.abs(want).max()


def test_the_tables_names_are_llama_cpps():
    known = set()
    for kind in gguf.MODEL_ARCH:
        for tensor in gguf.MODEL_TENSORS[kind]:
            known.add(gguf.TENSOR_NAMES[tensor].replace("{bid}", "N"))
    from candle.models.gguf import KINDS
    from candle.models.loading import architecture

    own = {"blk.N.ln_attn", "blk.N.ln_mlp"}  # Falcon's two norms, told apart
    for name in {*KINDS.values(), "mixtral"}:
        table = architecture(name).gguf
        assert table and set(table) - own <= known, name


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (lambda m, t: m.pop("general.architecture"), FormatError, "general.architecture"),
        (lambda m, t: m.update({"general.architecture": "nonesuch"}), BackendError, "nonesuch.*llama"),
        (lambda m, t: m.pop("llama.block_count"), FormatError, "llama.block_count"),
        (lambda m, t: t.pop("token_embd.weight"), FormatError, "token_embd"),
        (lambda m, t: t.update({"blk.0.attn_sinks.weight": np.zeros(4, np.float32)}), FormatError, "attn_sinks"),
        (lambda m, t: t.pop("blk.1.ffn_up.weight"), Exception, r"layers\.1\.mlp\.up_proj"),
        (lambda m, t: m.update({"llama.rope.scaling.type": "wavy"}), FormatError, "wavy"),
    ],
)
def test_spoilt_files_are_refused_by_name(tmp_path, spoil, error, text):
    config = json.loads((PARITY / "llama" / "config.json").read_text())
    said, tensors = metadata(config, "llama"), converted("llama", "llama", config)
    spoil(said, tensors)
    candle.save(tmp_path / "model.gguf", tensors, metadata=said)
    with pytest.raises(error, match=text):
        models.load(tmp_path / "model.gguf", device="numpy")
