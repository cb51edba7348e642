"""Parses infilling prompts that a client sends as text, so that they can be encoded with control tokens.

Editors that send only a prompt (llm-ls, Continue, twinny) put prefix and suffix between the spellings of a family's
control tokens. As text they mean nothing here: text never becomes a control token. The rule: a prompt is one of these
only if it is one of the layouts below from its first character to its last, and each mark occurs in it once. A text
that merely contains a mark, such as a source file about infilling, is a text.

Families that were trained on repositories have marks for what stands before such a prompt: the repository's name and
parts of other files, each behind a separator and the line of its path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Layout = Literal["psm", "spm"]


class RepositoryText(NamedTuple):
    """What a prompt says of the repository before the infilling prompt.

    Attributes:
        files: path and text of parts of other files, in the client's order.
        path: of the file with the gap; "" where the client does not say it.
    """

    repository: str = ""
    files: tuple[tuple[str, str], ...] = ()
    path: str = ""


class InfillingText(NamedTuple):
    """A prompt that was recognised; ``layout`` is the order in which the client wrote its parts."""

    prefix: str
    suffix: str
    layout: Layout
    context: RepositoryText = RepositoryText()


@dataclass(frozen=True)
class TextLayout:
    """Prefix and suffix ("psm"; "spm" the other way round) with text before, between and after them.

    Attributes:
        marks: spellings that neither part may hold.
        contexts: what begins a repository's name, and what a file, if parts of other files stand before the opening.
    """

    layout: Layout
    opening: str
    between: str
    closing: str
    marks: tuple[str, ...]
    contexts: tuple[tuple[str, str], ...] = ()

    def write(self, prefix: str, suffix: str) -> str:
        """The prompt as a client would write it."""
        first, second = (prefix, suffix) if self.layout == "psm" else (suffix, prefix)
        return f"{self.opening}{first}{self.between}{second}{self.closing}"

    def read(self, text: str) -> InfillingText | None:
        """The parts of a prompt of this layout; None for any other text."""
        before, opening, rest = text.partition(self.opening)
        if not opening or not rest.endswith(self.closing):
            return None
        first, between, second = rest[: len(rest) - len(self.closing)].partition(self.between)
        if not between or any(mark in part for mark in self.marks for part in (before, first, second)):
            return None
        context = self._context(before)
        if context is None:
            return None
        prefix, suffix = (first, second) if self.layout == "psm" else (second, first)
        return InfillingText(prefix, suffix, self.layout, context)

    def _context(self, text: str) -> RepositoryText | None:
        """What stands before the opening; None if it is not what a repository's files are written as."""
        if not text:
            return RepositoryText()
        for repository, separator in self.contexts:
            if text.startswith((repository, separator)):
                name, *parts = text.removeprefix(repository).split(separator)
                if repository in name or any(repository in part for part in parts):
                    return None
                # The first line of each part is its path. The last part is the beginning of the file with the gap,
                # unless it has text of its own.
                files = [(path, content) for path, _, content in (part.partition("\n") for part in parts)]
                path = files.pop()[0] if files and not files[-1][1] else ""
                return RepositoryText(name.strip(), tuple(files), path)
        return None


def _layouts(
    opening: str, separator: str, closing: str, *contexts: tuple[str, str]
) -> tuple[TextLayout, TextLayout]:
    """Both layouts of a family whose marks have no spaces around them (SPM is StarCoder's second variant)."""
    marks = (opening, separator, closing)
    return (
        TextLayout("psm", opening, separator, closing, marks, contexts),
        TextLayout("spm", opening + separator, closing, "", marks, contexts),
    )


_CODE_LLAMA = ("<PRE>", "<SUF>", "<MID>")
# PSM comes first: with an empty prefix StarCoder's two layouts are the same text.
LAYOUTS: dict[str, tuple[TextLayout, ...]] = {
    # The spaces are part of the control tokens' names; there is none between <SUF> and the suffix.
    "code_llama": (
        TextLayout("psm", "<PRE> ", " <SUF>", " <MID>", _CODE_LLAMA),
        TextLayout("spm", "<PRE> <SUF>", " <MID> ", "", _CODE_LLAMA),
    ),
    # The first marks of a repository are StarCoder 2's, the others StarCoder's and Granite's.
    "starcoder": _layouts(
        "<fim_prefix>",
        "<fim_suffix>",
        "<fim_middle>",
        ("<repo_name>", "<file_sep>"),
        ("<reponame>", "<filename>"),
    ),
    "qwen": _layouts("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", ("<|repo_name|>", "<|file_sep|>")),
    "deepseek": _layouts("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>")[:1],
    "codestral": (TextLayout("spm", "[SUFFIX]", "[PREFIX]", "", ("[SUFFIX]", "[PREFIX]")),),
}


def recognise(text: str) -> InfillingText | None:
    """The parts of an infilling prompt that is spelled in some family's layout; None for any other text."""
    layouts = (layout for family in LAYOUTS.values() for layout in family)
    return next((found for layout in layouts if (found := layout.read(text)) is not None), None)
