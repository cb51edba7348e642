"""How byte-level vocabularies cut a text into words before the merges, by the names that GGUF files have for it.

A ``tokenizer.json`` holds the patterns themselves. A GGUF file holds a name (``tokenizer.ggml.pre``), and llama.cpp
has the patterns (``llama-vocab.cpp``).
"""

from __future__ import annotations

import json

import tokenizers

from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.tokenizer_json import Spec

LLAMA3 = ("llama-bpe", "llama3", "llama-v3")
_DIGITS = {"type": "Digits", "individual_digits": True}


def _split(pattern: str) -> Spec:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _words(digits: str) -> Spec:
    """The pattern that Llama 3 and Qwen 2 share but for the length of a run of digits."""
    return _split(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


# The meaning of a file's "pre": how text is cut into words before the merges.
PRE_TOKENIZERS: dict[str, tuple[Spec, ...]] = {
    **dict.fromkeys(("default", "gpt-2"), ()),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell"), (_DIGITS,)),
    **dict.fromkeys(LLAMA3, (_words(r"\p{N}{1,3}"),)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), (_words(r"\p{N}"),)),
    **dict.fromkeys(("smaug-bpe", "dbrx"), (_words(r"\p{N}{1,3}"),)),
    "deepseek-coder": (
        *map(_split, (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")),
        _DIGITS,
    ),
}

# Of names with the same patterns, the one to write.
_WRITTEN = ("gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "deepseek-coder")
# Something of each kind that the patterns tell apart, in each neighbourhood that they look at.
_PROBE = (
    "def f(x1, y23=456, z='7890'):\n\treturn x1+y23  # 12345678 it's WE'LL They'Re a'b\n\n\n    if not_a >= 0xFF:"
    " \r\n  \n \t \n\n!!?? ...\n ,;\n'''doc'''\n $var->m_1 **kw @x %d^~| `a` <|b|> [1] {2}\n CamelCase HTTPServer2x\n"
    " naïve café cafe\u0301 groß Ελληνικά русский\u00a0текст \u3000漢字かな交じり文123 한국어 ไทย हिन्दी عربى"
    " ١٢٣ ½ Ⅷ 🙂👍🏽 — “q” ’s\nend   "
)


def name_of(spec: Spec) -> str | None:
    """The name of how the ``tokenizer.json`` ``spec`` cuts texts into words; None if llama.cpp has none for it.

    As in llama.cpp's converter, two ways are the same if they cut a long text of all kinds of characters alike.
    """
    whole_words = bool(spec["model"].get("ignore_merges"))
    cut = _cuts(spec)
    for name in _WRITTEN:
        own = tokenizer_json.byte_level_spec({}, [], [], splits=PRE_TOKENIZERS[name])
        if whole_words == (name in LLAMA3) and _cuts(own) == cut:
            return name
    return None


def _cuts(spec: Spec) -> list[tuple[str, tuple[int, int]]]:
    model = {**spec["model"], "vocab": {}, "merges": [], "unk_token": None}
    bare = {**spec, "added_tokens": [], "normalizer": None, "post_processor": None, "model": model}
    backend = tokenizers.Tokenizer.from_str(json.dumps(bare))
    assert backend.pre_tokenizer is not None
    cuts: list[tuple[str, tuple[int, int]]] = backend.pre_tokenizer.pre_tokenize_str(_PROBE)
    return cuts
