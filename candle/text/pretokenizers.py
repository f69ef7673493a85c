"""How text is split before byte-pair merges: the patterns of GGUF's ``tokenizer.ggml.pre``.

Each name stands for patterns that are applied one after the other, every match and what lies between two becoming a piece.
Source: the models' own tokenizer.json files, by way of llama.cpp's table of them (llama-vocab.cpp).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRE", "Pre"]


@dataclass(frozen=True)
class Pre:
    """Patterns; whether a piece that is a token is taken as it is; whether bytes are written as letters; more defaults."""

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    byte_level: bool = True
    add_bos: bool = False
    add_sep: bool = False
    spaces_as_underscores: bool = False


_SHORT = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_THREES = _SHORT + "|" + _WORD + r"|\p{N}{1,3}" + _TAIL
_ONES = _SHORT + "|" + _WORD + r"|\p{N}" + _TAIL
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_LEAD = r"[^\r\n\p{L}\p{N}]?"


def _cased(end: str, digits: str) -> str:
    """Words of one case after the other, as GPT-4o and Tekken have them."""
    return f"{_LEAD}{_UPPER}*{_LOWER}+{end}|{_LEAD}{_UPPER}+{_LOWER}*{end}|{digits}{_SLASH}"


_MARKED = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_KANJI = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_CHINESE = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_CASED_LETTERS = (  # DeepSeek's letters: those with case
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4"
    "\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a"
    "\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_FINNISH = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"

_llama3 = Pre((_THREES,), True, add_bos=True)
_qwen2, _gpt2 = Pre((_ONES,)), Pre((_GPT2,))
_digits = Pre((r"\p{N}", _GPT2))
_deepseek3 = Pre((r"\p{N}{1,3}", _KANJI, _MARKED))
_gpt4o = Pre((_cased(_SHORT + "?", r"\p{N}{1,3}"),))
_unsplit = Pre((r"[^\n]+|[\n]+",), byte_level=False, spaces_as_underscores=True)
_bloom = Pre((_FINNISH,))

PRE: dict[str, Pre] = {
    "default": Pre((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    **dict.fromkeys(
        ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"), _llama3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"),
                    _qwen2),
    **dict.fromkeys(
        ("gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert",
         "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4"), _gpt2),
    **dict.fromkeys(("jina-v1-en", "jina-v2-code", "roberta-bpe"), Pre((_GPT2,), add_sep=True)),
    **dict.fromkeys(
        ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"), _digits),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"), _deepseek3),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), _gpt4o),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe"), Pre((_THREES,))),
    **dict.fromkeys(("glm4", "glm5"), Pre((_THREES,), True)),
    **dict.fromkeys(("poro-chat", "bloom", "gpt3-finnish"), _bloom),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), Pre((
        r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|" + _WORD
        + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",))),
    **dict.fromkeys(("gemma4", "granite-embed-multi-311m", "sarvam-moe"), _unsplit),
    **dict.fromkeys(("tiny_aya", "cohere2moe"), Pre((
        r"\d{1,3}(?=(?:\d{3})*\b)", _cased(_SHORT + "?", r"\p{N}{1,3}")))),
    "falcon": Pre((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")),
    "deepseek-llm": Pre((
        "[\r\n]", r"\s?[" + _CASED_LETTERS + "]+",
        "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", _CHINESE, r"\p{N}+")),
    "deepseek-coder": Pre(("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CHINESE, r"\p{N}")),
    "qwen35": Pre((
        _SHORT + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",)),
    "viking": Pre((_FINNISH, r"\p{N}")),
    "tekken": Pre((_cased("", r"\p{N}"),), True, add_bos=True),
    "granite-embed-multi-97m": Pre((_cased(_SHORT + "?", r"\p{N}{1,3}"),), True),
    "seed-coder": Pre((_SHORT + "|" + _WORD + r"|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",)),
    "superbpe": Pre((r"\p{N}+", r"(?=(\d{3})+(?!\d))")),
    "exaone-moe": Pre((
        _SHORT + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
        r"|\s*[\r\n]|\s+(?!\S)|\s+",)),
    "minicpm5": Pre((r"\p{N}{1,3}", _SHORT + "|" + _WORD + r"|\p{N}+" + _TAIL), True),
    "ufakzeka": Pre((_WORD + r"|\p{N}" + _TAIL,)),
    "laguna": Pre((r"[^\n]+|[\n]+", _ONES)),
    "whitespace": Pre((r"\S+",), byte_level=False),
}  # fmt: skip
