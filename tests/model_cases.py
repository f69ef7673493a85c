"""Tiny configurations of public implementations: name, class in transformers, settings.  Read by test_models_peers.py."""

from __future__ import annotations

TINY = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GPT = {"vocab_size": 96, "n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2}
GEMMA4 = {
    **TINY,
    "num_hidden_layers": 4,
    "head_dim": 12,
    "global_head_dim": 16,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "hidden_size_per_layer_input": 6,
    "vocab_size_per_layer_input": 96,
    "sliding_window": 5,
}
MOE = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
MLA = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 12,
    "q_lora_rank": 20,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 14,
    "n_routed_experts": 6,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
}
HYBRID = {
    "layer_types": ["mamba", "attention", "mamba"],
    "mamba_n_heads": 8,
    "mamba_d_head": 12,
    "mamba_d_state": 6,
    "mamba_n_groups": 2,
    "mamba_chunk_size": 4,
    "num_local_experts": 5,
    "shared_intermediate_size": 40,
    "embedding_multiplier": 3.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.1,
}


def rope(kind, **values):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **values}}


# (name, class, settings); what begins with the same word is one architecture
DECODERS = [
    ("llama tied, biases", "Llama", {**TINY, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    ("llama wide heads", "Llama", {**TINY, "head_dim": 20, "num_key_value_heads": 1}),
    ("llama linear rope", "Llama", {**TINY, **rope("linear", factor=3.0)}),
    ("llama dynamic rope", "Llama", {**TINY, "max_position_embeddings": 8, **rope("dynamic", factor=2.5)}),
    (
        "llama3 rope",
        "Llama",
        {**TINY, **rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)},
    ),
    ("llama yarn rope", "Llama", {**TINY, **rope("yarn", factor=4.0, original_max_position_embeddings=16)}),
    (
        "llama yarn rope with its own magnitude",
        "Llama",
        {
            **TINY,
            **rope(
                "yarn", factor=4.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=0.5, beta_fast=16, beta_slow=2
            ),
        },
    ),
    ("mistral window", "Mistral", {**TINY, "sliding_window": 5}),
    ("qwen2 windows above", "Qwen2", {**TINY, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    ("qwen3 biases", "Qwen3", {**TINY, "attention_bias": True, "head_dim": 16}),
    ("gemma", "Gemma", {**TINY, "head_dim": 16}),
    (
        "gemma2 uncapped",
        "Gemma2",
        {**TINY, "head_dim": 16, "sliding_window": 5, "final_logit_softcapping": None, "attn_logit_softcapping": None},
    ),
    (
        "gemma2 tightly capped",
        "Gemma2",
        {
            **TINY,
            "head_dim": 16,
            "sliding_window": 5,
            "final_logit_softcapping": 2.0,
            "attn_logit_softcapping": 1.0,
            "query_pre_attn_scalar": 7,
        },
    ),
    (
        "gemma3_text",
        "Gemma3Text:Gemma3ForCausalLM",
        {
            **TINY,
            "head_dim": 16,
            "sliding_window": 5,
            "num_hidden_layers": 4,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
    ),
    ("gemma4_text", "Gemma4Text:Gemma4ForCausalLM", {**GEMMA4}),
    (
        "gemma4_text shared keys, wide",
        "Gemma4Text:Gemma4ForCausalLM",
        {**GEMMA4, "num_kv_shared_layers": 2, "use_double_wide_mlp": True, "final_logit_softcapping": 3.0},
    ),
    (
        "gemma4_text experts, keys as values",
        "Gemma4Text:Gemma4ForCausalLM",
        {
            **GEMMA4,
            "hidden_size_per_layer_input": 0,
            "attention_k_eq_v": True,
            "num_global_key_value_heads": 1,
            "enable_moe_block": True,
            "num_experts": 5,
            "top_k_experts": 2,
            "moe_intermediate_size": 20,
        },
    ),
    (
        "phi3 longrope, short",
        "Phi3",
        {
            **TINY,
            "max_position_embeddings": 64,
            "original_max_position_embeddings": 32,
            **rope(
                "longrope",
                short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
                long_factor=[2.0, 2.2, 2.4, 2.6, 2.8, 3.0],
                original_max_position_embeddings=32,
            ),
        },
    ),
    (
        "phi3 longrope, long",
        "Phi3",
        {
            **TINY,
            "max_position_embeddings": 64,
            "original_max_position_embeddings": 8,
            **rope(
                "longrope",
                short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
                long_factor=[2.0, 2.2, 2.4, 2.6, 2.8, 3.0],
                original_max_position_embeddings=8,
            ),
        },
    ),
    ("phi3 partly turned, window", "Phi3", {**TINY, "sliding_window": 5, **rope("default", partial_rotary_factor=0.5)}),
    (
        "stablelm parallel, normed heads",
        "StableLm",
        {**TINY, "hidden_size": 64, "use_parallel_residual": True, "qk_layernorm": True, "use_qkv_bias": True},
    ),
    ("olmo clipped", "Olmo", {**TINY, "clip_qkv": 0.05}),
    ("olmo2", "Olmo2", {**TINY}),
    (
        "granite",
        "Granite",
        {**TINY, "embedding_multiplier": 3.0, "logits_scaling": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.1},
    ),
    ("cohere normed heads", "Cohere", {**TINY, "use_qk_norm": True}),
    ("glm", "Glm", {**TINY, "head_dim": 16}),
    ("helium", "Helium", {**TINY, "head_dim": 12}),
    ("smollm3", "SmolLM3", {**TINY, "num_hidden_layers": 5, "tie_word_embeddings": True}),
    ("smollm3 windows", "SmolLM3", {**TINY, "num_hidden_layers": 5, "use_sliding_window": True, "sliding_window": 4}),
    ("starcoder2 window, no biases", "Starcoder2", {**TINY, "sliding_window": 5, "use_bias": False}),
    ("phi normed heads", "Phi", {**TINY, "qk_layernorm": True}),
    ("persimmon", "Persimmon", {**{k: v for k, v in TINY.items() if k != "num_key_value_heads"}}),
    (
        "persimmon without norms",
        "Persimmon",
        {**{k: v for k, v in TINY.items() if k != "num_key_value_heads"}, "qk_layernorm": False},
    ),
    ("gpt_neox sequential", "GPTNeoX", {**TINY, "use_parallel_residual": False, "attention_bias": False, "rotary_pct": 0.5}),
    (
        "gpt_neox tied, yarn",
        "GPTNeoX",
        {
            **TINY,
            "tie_word_embeddings": True,
            **rope("yarn", factor=4.0, original_max_position_embeddings=16, partial_rotary_factor=1.0),
        },
    ),
    ("falcon new", "Falcon", {**TINY, "new_decoder_architecture": True, "num_kv_heads": 2}),
    (
        "falcon new with one norm, biases",
        "Falcon",
        {**TINY, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1, "bias": True},
    ),
    (
        "falcon alibi, sequential",
        "Falcon",
        {**TINY, "alibi": True, "parallel_attn": False, "multi_query": False, "bias": True, "num_attention_heads": 6},
    ),
    ("falcon alibi, one key", "Falcon", {**TINY, "alibi": True}),
    (
        "gpt2 scaled by layer, tied not",
        "GPT2",
        {
            **GPT,
            "scale_attn_by_inverse_layer_idx": True,
            "n_inner": 60,
            "tie_word_embeddings": False,
            "activation_function": "relu",
        },
    ),
    ("gpt_bigcode many keys", "GPTBigCode", {**GPT, "multi_query": False}),
    (
        "bloom residual after the norm, six heads",
        "Bloom",
        {"vocab_size": 96, "hidden_size": 48, "n_layer": 3, "n_head": 6, "apply_residual_connection_post_layernorm": True},
    ),
    (
        "mpt clipped, six heads",
        "Mpt",
        {
            "vocab_size": 96,
            "d_model": 48,
            "n_layers": 3,
            "n_heads": 6,
            "max_seq_len": 64,
            "attn_config": {"clip_qkv": 0.1, "softmax_scale": 0.2},
        },
    ),
    ("mixtral window", "Mixtral", {**TINY, "sliding_window": 5, "num_local_experts": 5, "num_experts_per_tok": 3}),
    ("qwen2_moe", "Qwen2Moe", {**TINY, **MOE, "shared_expert_intermediate_size": 40, "decoder_sparse_step": 2}),
    (
        "qwen2_moe normed, one dense layer",
        "Qwen2Moe",
        {**TINY, **MOE, "shared_expert_intermediate_size": 40, "norm_topk_prob": True, "mlp_only_layers": [1]},
    ),
    ("qwen3_moe", "Qwen3Moe", {**TINY, **MOE, "head_dim": 16, "norm_topk_prob": True, "mlp_only_layers": [0]}),
    ("olmoe", "Olmoe", {**TINY, **MOE, "clip_qkv": 0.5}),
    (
        "deepseek_v2 low rank queries, groups",
        "DeepseekV2",
        {**TINY, **MLA, "topk_method": "group_limited_greedy", "n_group": 3, "topk_group": 2, "routed_scaling_factor": 2.0},
    ),
    (
        "deepseek_v2 yarn",
        "DeepseekV2",
        {
            **TINY,
            **MLA,
            "q_lora_rank": None,
            "attention_bias": True,
            **rope(
                "yarn", factor=4.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=0.5, beta_fast=32, beta_slow=1
            ),
        },
    ),
    (
        "mamba",
        "Mamba",
        {"vocab_size": 96, "hidden_size": 48, "state_size": 6, "num_hidden_layers": 3, "use_bias": True, "time_step_rank": 5},
    ),
    (
        "mamba2",
        "Mamba2",
        {
            "vocab_size": 96,
            "hidden_size": 48,
            "state_size": 6,
            "num_hidden_layers": 3,
            "num_heads": 8,
            "head_dim": 12,
            "n_groups": 2,
            "chunk_size": 4,
        },
    ),
    ("rwkv", "Rwkv", {"vocab_size": 96, "hidden_size": 48, "num_hidden_layers": 3, "rescale_every": 0}),
    ("recurrent_gemma", "RecurrentGemma", {**TINY, "num_hidden_layers": 4, "attention_window_size": 5, "lru_width": 48}),
    (
        "lfm2",
        "Lfm2",
        {
            **TINY,
            "num_hidden_layers": 4,
            "layer_types": ["conv", "full_attention", "conv", "full_attention"],
            "conv_bias": True,
            "block_multiple_of": 8,
        },
    ),
    ("granitemoehybrid", "GraniteMoeHybrid", {**TINY, **HYBRID, "position_embedding_type": "rope"}),
    ("granitemoehybrid without experts, nothing turned", "GraniteMoeHybrid", {**TINY, **HYBRID, "num_local_experts": 0}),
    (
        "qwen3_next",
        "Qwen3Next",
        {
            **TINY,
            **MOE,
            "num_hidden_layers": 4,
            "head_dim": 16,
            "shared_expert_intermediate_size": 40,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 10,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "mlp_only_layers": [1],
        },
    ),
    ("codegen", "CodeGen", {**GPT, "rotary_dim": 8}),
]

BERT = {
    "vocab_size": 96,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 72,
    "max_position_embeddings": 40,
}
RELATIVE = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
}

ENCODERS = [
    ("bert masked", "Bert:BertForMaskedLM", {**BERT}),
    ("bert masked, untied", "Bert:BertForMaskedLM", {**BERT, "tie_word_embeddings": False, "hidden_act": "relu"}),
    ("bert labels", "Bert:BertForSequenceClassification", {**BERT, "num_labels": 5}),
    ("bert token labels", "Bert:BertForTokenClassification", {**BERT, "num_labels": 5}),
    ("bert answers", "Bert:BertForQuestionAnswering", {**BERT}),
    ("roberta masked", "Roberta:RobertaForMaskedLM", {**BERT, "type_vocab_size": 1}),
    ("roberta labels", "Roberta:RobertaForSequenceClassification", {**BERT, "type_vocab_size": 1, "num_labels": 3}),
    ("xlm-roberta", "XLMRoberta:XLMRobertaModel", {**BERT, "type_vocab_size": 1}),
    ("xlm-roberta masked", "XLMRoberta:XLMRobertaForMaskedLM", {**BERT, "type_vocab_size": 1}),
    (
        "distilbert masked",
        "DistilBert:DistilBertForMaskedLM",
        {"vocab_size": 96, "dim": 48, "n_heads": 4, "n_layers": 3, "hidden_dim": 72, "max_position_embeddings": 40},
    ),
    (
        "distilbert labels",
        "DistilBert:DistilBertForSequenceClassification",
        {"vocab_size": 96, "dim": 48, "n_heads": 4, "n_layers": 3, "hidden_dim": 72, "num_labels": 3},
    ),
    ("electra", "Electra:ElectraModel", {**BERT, "embedding_size": 24}),
    ("electra masked", "Electra:ElectraForMaskedLM", {**BERT, "embedding_size": 24}),
    ("electra replaced", "Electra:ElectraForPreTraining", {**BERT, "embedding_size": 48}),
    ("electra labels", "Electra:ElectraForSequenceClassification", {**BERT, "embedding_size": 24, "num_labels": 3}),
    ("nomic_bert", "NomicBert:NomicBertModel", {**BERT, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    ("nomic_bert masked", "NomicBert:NomicBertForMaskedLM", {**BERT}),
    ("modernbert", "ModernBert:ModernBertModel", {**BERT, "local_attention": 6, "global_attn_every_n_layers": 2}),
    (
        "modernbert masked, biases",
        "ModernBert:ModernBertForMaskedLM",
        {**BERT, "local_attention": 6, "norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True},
    ),
    (
        "modernbert labels of the mean",
        "ModernBert:ModernBertForSequenceClassification",
        {**BERT, "local_attention": 6, "classifier_pooling": "mean", "num_labels": 3},
    ),
    ("deberta-v2", "DebertaV2:DebertaV2Model", {**BERT, **RELATIVE, "position_buckets": 6, "share_att_key": True}),
    (
        "deberta-v2 with a convolution",
        "DebertaV2:DebertaV2Model",
        {**BERT, **RELATIVE, "position_buckets": 6, "conv_kernel_size": 3, "conv_act": "gelu", "type_vocab_size": 2},
    ),
    (
        "deberta-v2 one way, no buckets",
        "DebertaV2:DebertaV2Model",
        {**BERT, "relative_attention": True, "pos_att_type": ["c2p"], "max_relative_positions": 8},
    ),
    ("deberta-v2 absolute", "DebertaV2:DebertaV2Model", {**BERT}),
    ("deberta-v2 masked", "DebertaV2:DebertaV2ForMaskedLM", {**BERT, **RELATIVE, "position_buckets": 6}),
    (
        "deberta-v2 masked, own head",
        "DebertaV2:DebertaV2ForMaskedLM",
        {**BERT, **RELATIVE, "position_buckets": 6, "legacy": False},
    ),
    (
        "deberta-v2 labels",
        "DebertaV2:DebertaV2ForSequenceClassification",
        {**BERT, **RELATIVE, "position_buckets": 6, "num_labels": 3},
    ),
]

T5 = {
    "vocab_size": 96,
    "d_model": 48,
    "d_kv": 10,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
BART = {
    "vocab_size": 96,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 72,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 6,
    "max_position_embeddings": 40,
    "decoder_start_token_id": 5,
    "pad_token_id": 1,
    "forced_eos_token_id": None,
    "eos_token_id": 2,
    "bos_token_id": 0,
}

SEQ2SEQ = [
    ("t5", "T5:T5ForConditionalGeneration", {**T5, "tie_word_embeddings": True}),
    (
        "t5 one decoder layer, gated silu",
        "T5:T5ForConditionalGeneration",
        {**T5, "num_decoder_layers": 1, "feed_forward_proj": "gated-silu", "tie_word_embeddings": False},
    ),
    ("bart", "Bart:BartForConditionalGeneration", {**BART, "scale_embedding": True}),
    ("marian", "Marian:MarianMTModel", {**BART, "scale_embedding": True, "activation_function": "swish"}),
]
