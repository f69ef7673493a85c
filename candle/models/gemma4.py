"""Gemma 4 (its text model): Gemma 3 with wider heads where all is seen, keys that layers share, inputs per layer, experts.

https://ai.google.dev/gemma/docs/core
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ..errors import FormatError
from ..nn import Buffer, Embedding, Linear, Module, Parameter, RMSNorm, init
from ..tensor import Tensor
from .caching import State
from .decoder import Attention, CausalLM, DecoderConfig, GatedMLP, Step, split_heads
from .moe import Experts
from .rotary import rope_of
from .settings import activation

__all__ = ["Gemma4", "Gemma4Config"]


@dataclass
class Gemma4Config(DecoderConfig):
    aliases = {"hidden_activation": "hidden_act"}
    fixed = {"use_bidirectional_attention": (None, "vision")}

    vocab_size: int = 262144
    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 30
    num_attention_heads: int = 8
    num_key_value_heads: int | None = 4
    head_dim: int | None = 256
    hidden_act: str = "gelu_pytorch_tanh"
    max_position_embeddings: int | None = 131072
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    sliding_window: int = 512
    layer_types: Any = None
    final_logit_softcapping: float | None = None
    vocab_size_per_layer_input: int = 262144
    hidden_size_per_layer_input: int = 256
    attention_k_eq_v: bool = False
    num_kv_shared_layers: int = 0
    enable_moe_block: bool = False
    use_double_wide_mlp: bool = False
    num_experts: int | None = None
    top_k_experts: int | None = None
    moe_intermediate_size: int | None = None
    global_head_dim: int = 512
    num_global_key_value_heads: int | None = None
    per_layer_config: Any = None
    eos_token_id: Any = 1
    bos_token_id: Any = 2
    pad_token_id: Any = 0
    ropes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        if "text_config" in values:  # the multimodal model's file: its language model
            values = dict(values["text_config"])
        made = super().from_dict({k: v for k, v in values.items() if k != "ropes"})
        said = values.get("rope_parameters") or {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0},
        }
        made.ropes = {kind: cls.rotary({**values, "rope_parameters": said}, kind) for kind in said}
        kinds = made.kinds(made.layer_types, lambda i: "sliding_attention" if (i + 1) % 6 else "full_attention")
        made.layer_types = [*kinds[:-1], "full_attention"]
        unknown = set(made.layer_types) - set(made.ropes)
        if unknown:
            raise FormatError(f"config.json has layers of type {', '.join(sorted(unknown))} without rotary settings")
        return made

    def own(self, i: int, name: str, otherwise: Any) -> Any:
        """A setting that layers may have of their own."""
        found = self.per_layer_config or {}
        for key in (str(i), self.layer_types[i]):
            if name in found.get(key, {}):
                return found[key][name]
        return otherwise

    def width_of(self, i: int) -> int:
        full = self.layer_types[i] == "full_attention"
        return int(self.own(i, "head_dim", self.global_head_dim if full and not self.per_layer_config else self.width))

    def groups_of(self, i: int) -> int:
        fewer = self.layer_types[i] == "full_attention" and self.attention_k_eq_v and self.num_global_key_value_heads
        return int(self.own(i, "num_key_value_heads", self.num_global_key_value_heads if fewer else self.kv_heads))

    def source(self, i: int) -> int:
        """The layer whose keys and values layer i looks at: itself, or the last of its kind that makes some."""
        first = self.num_hidden_layers - self.num_kv_shared_layers
        if i < first:
            return i
        same = [j for j in range(first) if self.layer_types[j] == self.layer_types[i]]
        if not same:
            raise FormatError(
                f"config.json has layer {i} share keys of the kind {self.layer_types[i]}, which no layer before makes"
            )
        return same[-1]


class SharingAttention(Attention):
    """Attention with normed queries, keys and values; layers that share look at the keys and values of an earlier one."""

    def __init__(self, c: Any, i: int, rope: Any) -> None:
        full = c.layer_types[i] == "full_attention"
        h, g, w = c.num_attention_heads, c.groups_of(i), c.width_of(i)
        super().__init__(i, h, g, w, rope, scale=1.0, window=None if full else c.sliding_window)
        self.source = c.source(i)
        d, bias, eps = c.hidden_size, c.attention_bias, c.rms_norm_eps
        self.q_proj, self.q_norm = Linear(d, h * w, bias=bias), RMSNorm(w, eps=eps)
        self.o_proj = Linear(h * w, d, bias=bias)
        if self.source == i:
            self.k_proj, self.k_norm = Linear(d, g * w, bias=bias), RMSNorm(w, eps=eps)
            self.v_proj = None if c.attention_k_eq_v and full else Linear(d, g * w, bias=bias)
            self.v_norm = RMSNorm(w, eps=eps, elementwise_affine=False)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> Any:
        return super().memory(batch, capacity, dtype, device) if self.source == self.layer else State({}, dtype, device)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        q = self.q_norm(split_heads(self.q_proj(x), self.heads))
        if self.source == self.layer:
            k = split_heads(self.k_proj(x), self.groups)
            v = k if self.v_proj is None else split_heads(self.v_proj(x), self.groups)
            k, v = self.turned(self.k_norm(k), step), self.v_norm(v)
            step.shared[self.layer] = k, v
            memory = step.memory(self.layer)
            if memory is not None:
                memory.write(k, v, step.slots)
        k, v = step.shared[self.source]
        return self.o_proj(self.seen(self.turned(q, step), k, v, step, step.memory(self.source)))


class Router(Module):
    """A softmax over all experts, the likeliest weighed to sum to one and each by a scale of its own."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.k, self.factor = c.top_k_experts, c.hidden_size**-0.5
        self.norm = RMSNorm(c.hidden_size, eps=c.rms_norm_eps, elementwise_affine=False)
        self.proj = Linear(c.hidden_size, c.num_experts, bias=False)
        self.scale = Parameter(init.blank(c.hidden_size))
        self.per_expert_scale = Parameter(init.blank(c.num_experts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weights, chosen = self.proj(self.norm(x) * self.scale * self.factor).float().softmax(-1).topk(self.k, -1)
        return weights / weights.sum(-1, keepdim=True) * self.per_expert_scale[chosen], chosen


class Layer(Module):
    def __init__(self, c: Any, i: int, rope: Any) -> None:
        super().__init__()
        self.layer = i

        def norm() -> Module:
            return RMSNorm(c.hidden_size, eps=c.rms_norm_eps)

        self.self_attn = SharingAttention(c, i, rope)
        wide = 2 if c.use_double_wide_mlp and c.source(i) != i else 1
        self.mlp = GatedMLP(c.hidden_size, wide * c.intermediate_size, c.hidden_act)
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()
        self.pre_feedforward_layernorm, self.post_feedforward_layernorm = norm(), norm()
        self.layer_scalar = Buffer(init.blank(1))
        self.inputs = c.hidden_size_per_layer_input
        if self.inputs:
            self.act = activation(c.hidden_act)
            self.per_layer_input_gate = Linear(c.hidden_size, self.inputs, bias=False)
            self.per_layer_projection = Linear(self.inputs, c.hidden_size, bias=False)
            self.post_per_layer_input_norm = norm()
        self.mixed = c.enable_moe_block
        if self.mixed:
            self.router = Router(c)
            self.experts = Experts(c.num_experts, c.hidden_size, c.moe_intermediate_size, c.hidden_act)
            self.post_feedforward_layernorm_1, self.post_feedforward_layernorm_2 = norm(), norm()
            self.pre_feedforward_layernorm_2 = norm()

    def memory(self, *args: Any) -> Any:
        return self.self_attn.memory(*args)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), step))
        y = self.mlp(self.pre_feedforward_layernorm(x))
        if self.mixed:
            rows = x.reshape((-1, x.shape[-1]))
            weights, chosen = self.router(rows)
            found = self.experts(self.pre_feedforward_layernorm_2(rows), chosen, weights.to(dtype=x.dtype)).reshape(x.shape)
            y = self.post_feedforward_layernorm_1(y) + self.post_feedforward_layernorm_2(found)
        x = x + self.post_feedforward_layernorm(y)
        if self.inputs:
            gated = self.act(self.per_layer_input_gate(x)) * step.shared["inputs"][:, :, self.layer]
            x = x + self.post_per_layer_input_norm(self.per_layer_projection(gated))
        return x * self.layer_scalar


class Gemma4(CausalLM):
    Config = Gemma4Config
    dropped = (
        *CausalLM.dropped,
        r"^(model\.)?(vision_tower|audio_tower|embed_vision|embed_audio|multi_modal_projector)\.",
    )
    renamed = ((r"^(language_model\.model|model\.language_model)\.", "model."),)

    def make_rope(self, c: Any) -> Any:
        widths = {kind: c.width_of(i) for i, kind in enumerate(c.layer_types)}
        return {kind: rope_of(c.ropes[kind], w) for kind, w in widths.items()}

    def block(self, c: Any, i: int) -> Module:
        return Layer(c, i, self.rope[c.layer_types[i]])

    def extend(self, body: Any) -> None:
        c, width = self.config, self.config.hidden_size_per_layer_input
        if width:
            body.embed_tokens_per_layer = Embedding(c.vocab_size_per_layer_input, c.num_hidden_layers * width)
            body.per_layer_model_projection = Linear(c.hidden_size, c.num_hidden_layers * width, bias=False)
            body.per_layer_projection_norm = RMSNorm(width, eps=c.rms_norm_eps)

    def embed(self, ids: Tensor, step: Step) -> Tensor:
        c, width = self.config, self.config.hidden_size_per_layer_input
        x = super().embed(ids, step) * c.hidden_size**0.5
        if width:
            shape = (*ids.shape, c.num_hidden_layers, width)
            own = (self.body.embed_tokens_per_layer(ids) * width**0.5).reshape(shape)
            seen = (self.body.per_layer_model_projection(x) * c.hidden_size**-0.5).reshape(shape)
            step.shared["inputs"] = (self.body.per_layer_projection_norm(seen) + own) * 2**-0.5
        return x

    def finish(self, logits: Tensor) -> Tensor:
        cap = self.config.final_logit_softcapping
        return logits if cap is None else (logits / cap).tanh() * cap

    @classmethod
    def for_weights(cls, config: Any, weights: Mapping[str, Tensor], values: Mapping[str, Any]) -> Any:
        if (values.get("architectures") or [""])[0] == "Gemma4ForConditionalGeneration":
            return cls(config)
        return super().for_weights(config, weights, values)

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        from .moe import stack_experts

        found = stack_experts(super().sanitize(weights, config, values))
        sharing = [f"model.layers.{i}.self_attn." for i in range(config.num_hidden_layers) if config.source(i) != i]
        unused = tuple(base + name for base in sharing for name in ("k_proj.", "v_proj.", "k_norm.", "v_norm."))
        return {k: w for k, w in found.items() if not unused or not k.startswith(unused)}
