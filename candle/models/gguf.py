"""Models from GGUF files: what the metadata says as settings, and the tensors under the models' own names.

Each model keeps a table ``gguf`` of the names that llama.cpp gives its tensors; what else differs it says in ``from_gguf``.
"""

from __future__ import annotations

import os
import re
from typing import Any, Mapping

from ..errors import BackendError, FormatError
from ..tensor import Tensor

__all__ = ["load_gguf"]

# llama.cpp's name of an architecture, and the model it is here
KINDS = {
    "command-r": "cohere",
    "falcon": "falcon",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "glm4": "glm4",
    "gpt2": "gpt2",
    "granite": "granite",
    "llama": "llama",
    "olmo2": "olmo2",
    "phi2": "phi",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen2moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "stablelm": "stablelm",
    "starcoder": "gpt_bigcode",
    "starcoder2": "starcoder2",
}
# keys below the architecture's name, and the settings they are in a config.json
_SETTINGS = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attention.clamp_kqv": "clip_qkv",
    "rope.freq_base": "rope_theta",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
_EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps")


def settings_of(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a GGUF file says, as a config.json would say it; raises FormatError where what is needed is missing."""
    arch = metadata.get("general.architecture")
    if not isinstance(arch, str):
        raise FormatError("the file's metadata has no general.architecture, which says what model it is")
    if arch not in KINDS:
        raise BackendError(f"the file is of the architecture {arch!r}; those known are {', '.join(sorted(KINDS))}")
    said = {k.removeprefix(arch + "."): v for k, v in metadata.items() if k.startswith(arch + ".")}
    for key in ("embedding_length", "block_count", "attention.head_count"):
        if key not in said:
            raise FormatError(f"the file's metadata has no {arch}.{key}")
    values: dict[str, Any] = {new: said[old] for old, new in _SETTINGS.items() if old in said}
    kind = "mixtral" if arch == "llama" and said.get("expert_count") else KINDS[arch]
    values["model_type"] = kind
    for key in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        found = values.get(key)
        if isinstance(found, (list, tuple)):
            if len(set(found)) != 1:
                raise FormatError(f"the file gives {key} layer by layer, {list(found)[:8]}, which {kind} does not have")
            values[key] = found[0]
    values["num_experts"] = values["num_local_experts"] = said.get("expert_count", 0)
    for key in ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"):
        if key in said:
            values |= dict.fromkeys(_EPSILONS, said[key])
    if "token_embd.weight" not in tensors:
        raise FormatError("the file has no token_embd.weight")
    values["vocab_size"] = tensors["token_embd.weight"].shape[0]
    values["tie_word_embeddings"] = "output.weight" not in tensors
    width = values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"]
    if "rope.dimension_count" in said:
        values["partial_rotary_factor"] = said["rope.dimension_count"] / width
    scaling = said.get("rope.scaling.type", "none")
    if scaling not in ("none", None):
        values["rope_scaling"] = {
            "rope_type": scaling,
            "factor": said.get("rope.scaling.factor", 1.0),
            "original_max_position_embeddings": said.get("rope.scaling.original_context_length"),
            "attention_factor": said.get("rope.scaling.attn_factor") if scaling != "yarn" else None,
        }
    for name in ("bos", "eos", "padding"):
        key = f"tokenizer.ggml.{name}_token_id"
        if key in metadata:
            values[{"padding": "pad"}.get(name, name) + "_token_id"] = metadata[key]
    values["gguf"] = said
    return values


def load_gguf(path: str | os.PathLike[str], device: Any = None, dtype: Any = None) -> Any:
    """The model of a GGUF file; its quantised tensors stay as they are, unless ``dtype`` is given."""
    from ..device import resolve
    from ..formats import load as load_file
    from .loading import architecture, build

    file = load_file(path, device=resolve(device))
    values = settings_of(file.metadata, file)
    cls = architecture(values["model_type"])
    if not cls.gguf:
        raise BackendError(f"{values['model_type']} has no table of GGUF's names")
    values, tensors = cls.from_gguf(values, dict(file.items()))
    model = build(cls, values, renamed(tensors, cls.gguf, os.fspath(path)), dtype)
    eos = {file.metadata[k] for k in ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id") if k in file.metadata}
    model.generation = {"eos_token_id": sorted(eos)} if eos else {}
    model.metadata = file.metadata
    return model


def renamed(tensors: Mapping[str, Tensor], table: Mapping[str, str], source: str) -> dict[str, Tensor]:
    """Tensors under a model's own names; raises FormatError for one that the table does not have."""
    found = {}
    for name, w in tensors.items():
        base, dot, kind = name.rpartition(".")
        if kind not in ("weight", "bias"):
            base, dot, kind = name, "", ""
        layer = re.match(r"blk\.(\d+)\.(.*)$", base)
        own = table.get(f"blk.N.{layer[2]}" if layer else base)
        if own is None:
            raise FormatError(f"{source} has the tensor {name!r}, for which the model has no place")
        own = own.replace("N", layer[1], 1) if layer else own
        # a name that ends in a dot is the parameter's own
        found[own[:-1] if own.endswith(".") else f"{own}{dot}{kind}"] = w
    return found
