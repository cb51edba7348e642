"""Parses infilling prompts that a client sends as text, so that they can be encoded with control tokens.

Editors that send only a prompt (llm-ls, Continue, twinny) put prefix and suffix between the spellings of a family's
control tokens. As text they mean nothing here: text never becomes a control token. The rule: a prompt is one of these
only if it is one of the layouts below from its first character to its last, and each mark occurs in it once. A text
that merely contains a mark, such as a source file about infilling, is a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Layout = Literal["psm", "spm"]


class InfillingText(NamedTuple):
    """A prompt that was recognised; ``layout`` is the order in which the client wrote its parts."""

    prefix: str
    suffix: str
    layout: Layout


@dataclass(frozen=True)
class TextLayout:
    """Prefix and suffix ("psm"; "spm" the other way round) with text before, between and after them.

    Attributes:
        marks: spellings that neither part may hold.
    """

    layout: Layout
    opening: str
    between: str
    closing: str
    marks: tuple[str, ...]

    def write(self, prefix: str, suffix: str) -> str:
        """The prompt as a client would write it."""
        first, second = (prefix, suffix) if self.layout == "psm" else (suffix, prefix)
        return f"{self.opening}{first}{self.between}{second}{self.closing}"

    def read(self, text: str) -> InfillingText | None:
        """The parts of a prompt of this layout; None for any other text."""
        if not text.startswith(self.opening) or not text.endswith(self.closing):
            return None
        first, between, second = text[len(self.opening) : len(text) - len(self.closing)].partition(
            self.between
        )
        if not between or any(mark in part for mark in self.marks for part in (first, second)):
            return None
        prefix, suffix = (first, second) if self.layout == "psm" else (second, first)
        return InfillingText(prefix, suffix, self.layout)


def _layouts(opening: str, separator: str, closing: str) -> tuple[TextLayout, TextLayout]:
    """Both layouts of a family whose marks have no spaces around them (SPM is StarCoder's second variant)."""
    marks = (opening, separator, closing)
    return (
        TextLayout("psm", opening, separator, closing, marks),
        TextLayout("spm", opening + separator, closing, "", marks),
    )


_CODE_LLAMA = ("<PRE>", "<SUF>", "<MID>")
# PSM comes first: with an empty prefix StarCoder's two layouts are the same text.
LAYOUTS: dict[str, tuple[TextLayout, ...]] = {
    # The spaces are part of the control tokens' names; there is none between <SUF> and the suffix.
    "code_llama": (
        TextLayout("psm", "<PRE> ", " <SUF>", " <MID>", _CODE_LLAMA),
        TextLayout("spm", "<PRE> <SUF>", " <MID> ", "", _CODE_LLAMA),
    ),
    "starcoder": _layouts("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    "qwen": _layouts("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    "deepseek": _layouts("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>")[:1],
    "codestral": (TextLayout("spm", "[SUFFIX]", "[PREFIX]", "", ("[SUFFIX]", "[PREFIX]")),),
}


def recognise(text: str) -> InfillingText | None:
    """The parts of an infilling prompt that is spelled in some family's layout; None for any other text."""
    layouts = (layout for family in LAYOUTS.values() for layout in family)
    return next((found for layout in layouts if (found := layout.read(text)) is not None), None)
