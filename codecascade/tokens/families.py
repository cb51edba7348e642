"""What families of code models call their control tokens. A vocabulary is recognised by these names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CODE_LLAMA_TOKENS = ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")

# family: (prefix, suffix, middle, end of infilling; None = the end of a document), layouts it was trained on
_INFILLING: dict[str, tuple[tuple[str, str, str | None, str | None], tuple[str, ...]]] = {
    "code_llama": (CODE_LLAMA_TOKENS, ("psm", "spm")),
    "starcoder": (("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|endoftext|>"), ("psm", "spm")),
    "qwen": (("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>"), ("psm",)),
    "deepseek": (("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", None), ("psm",)),
    "codestral": (("[PREFIX]", "[SUFFIX]", None, None), ("spm",)),
}
DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>")
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|EOT|>", "<end_of_turn>", "<step>")
_NEXT_FILE = ("<file_sep>", "<|file_sep|>", "<filename>", "<repo_name>", "<reponame>", "<|repo_name|>")
_PADDING = ("<fim_pad>", "<|fim_pad|>")
_CONTROL_SHAPE = re.compile(r"<\|.+\|>|<｜.+｜>", re.DOTALL)
_CONTROL_NAMES = {
    *(name for tokens, _ in _INFILLING.values() for name in tokens if name),
    *DOCUMENT_ENDS,
    *_TURN_ENDS,
    *_NEXT_FILE,
    *_PADDING,
}


@dataclass(frozen=True)
class InfillingTokens:
    """The ids of a family's infilling tokens, and the layouts ("psm", "spm") its models know.

    ``middle`` is None where the family has none (Codestral). ``extra_stops``: ids that also end a filled
    middle, since they begin another file.
    """

    prefix: int
    suffix: int
    middle: int | None
    end: int
    family: str
    formats: tuple[str, ...]
    extra_stops: tuple[int, ...] = ()


def infilling_tokens(vocabulary: Mapping[str, int], end_of_document: int) -> InfillingTokens | None:
    """The infilling tokens of the first family whose names are all in ``vocabulary``."""
    for family, (names, formats) in _INFILLING.items():
        if all(name is None or name in vocabulary for name in names):
            prefix, suffix, middle, end = names
            return InfillingTokens(
                vocabulary[prefix],
                vocabulary[suffix],
                None if middle is None else vocabulary[middle],
                end_of_document if end is None else vocabulary[end],
                family,
                formats,
                ids_of((*_NEXT_FILE, *_PADDING), vocabulary),
            )
    return None


def is_control(name: str) -> bool:
    """Whether an added token of this name is a control token, whatever its ``special`` flag says.

    (Qwen2.5-Coder and DeepSeek-Coder flag their infilling tokens as ordinary ones.)
    """
    return name in _CONTROL_NAMES or _CONTROL_SHAPE.fullmatch(name) is not None


def control_pieces(vocabulary: Mapping[str, int]) -> set[str]:
    """Control tokens in ``vocabulary``, also those that no ``added_tokens`` list mentions.

    Code Llama's ``tokenizer.model`` has its infilling tokens, and 70B's end of a turn, among its ordinary pieces.
    """
    names = {name for tokens, _ in _INFILLING.values() for name in tokens if name is not None}
    if all(name in vocabulary for name in CODE_LLAMA_TOKENS):
        names.add("<step>")
    return {name for name in names if name in vocabulary}


def end_of_document(vocabulary: Mapping[str, int], eos: str | None) -> int | None:
    """What ends a plain document: EOS, unless EOS ends a turn of a dialogue (SmolLM2, Qwen Instruct)."""
    if eos is not None and eos not in _TURN_ENDS:
        return vocabulary[eos]
    return next(iter(ids_of((*DOCUMENT_ENDS, *([eos] if eos else [])), vocabulary)), None)


def stop_ids(vocabulary: Mapping[str, int]) -> tuple[int, ...]:
    """Ends of turns and beginnings of other files: what generation stops on beside the ends of documents."""
    return ids_of((*_TURN_ENDS, *_NEXT_FILE, *_PADDING), vocabulary)


def ids_of(names: Iterable[str], vocabulary: Mapping[str, int]) -> tuple[int, ...]:
    """The ids of those ``names`` that are in ``vocabulary``."""
    return tuple(vocabulary[name] for name in names if name in vocabulary)
