"""The program in a chat model's reply: Markdown with blocks of code, after thoughts that are no part of the answer.

One way for every benchmark that is asked in a chat format. Replies are CommonMark (read by markdown-it-py): fences of
three or more backticks or tildes, indented as the list item that they stand in, with any info string.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt

from codecascade.evaluation.answers.python_code import (
    declares,
    defines,
    is_program,
    lines_of,
    longest_program,
    missing_names,
    parsed,
    with_parts_of,
)

# Replies hold tags of their own (`<answer>`), which are no HTML; the text within paragraphs is not looked at.
_MARKDOWN = MarkdownIt("commonmark").disable(["html_block", "inline", "reference"])
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)", re.MULTILINE)
_QUOTES = re.compile("^'''(.*)", re.MULTILINE)
_SPAN = re.compile(r"(`{3,})(?!`)([^`\n]+)\1(?!`)")
_LANGUAGE = re.compile(r"[\w+#-]+")
# What reasoning models put around their thoughts: DeepSeek-R1, Qwen and others; Magistral; Seed-OSS; OpenThinker.
# A tag between quotes or backticks is spoken of, not used.
_NAME = r"think|thinking|thought|reasoning|seed:think"
_TAG = re.compile(
    rf"(?<![\"'])(?<![^`]`)(?:(?P<open><(?:{_NAME})>|\[THINK\]|<\|begin_of_thought\|>)"
    rf"|(?P<close></(?:{_NAME})>|\[/THINK\]|<\|end_of_thought\|>))(?![\"'])(?!`[^`])",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>")
_MOST_ENDS = 32
"""Fences behind a block that are tried as its end."""


@dataclass(frozen=True)
class _Block:
    code: str
    language: str = ""

    @property
    def is_python(self) -> bool:
        """By its info string, which often says nothing."""
        return not self.language or "py" in self.language


def program_in(reply: str, names: Collection[str] = (), *, quotes: bool = False) -> str:
    """The program that a reply gives as its answer.

    The last block that defines one of the functions ``names`` wins: drafts come before answers, and blocks behind
    the answer show its use, or test it, without defining it again. A definition without a body (``pass``, ``...``)
    is one only where there is no other. A block that was cut off is taken as far as it is Python. What it lacks is
    taken from the blocks before it (imports, helpers).
    Without ``names`` it is the last block that is a program in itself. A text that is Python as a whole is the
    program, whatever looks like a fence in it, and so is the part that is where a reply has no block.

    Args:
        quotes: without other fences, ``'''`` at the beginning of a line is one (the paper's typesetting of APPS).
    """
    reply = reply.removeprefix("\ufeff")
    for text in (reply, without_thoughts(reply)):
        tree = parsed(text)
        if tree is not None and (declares(tree, names) if names else is_program(tree)):
            return text
    if quotes and not _FENCE.search(text) and _QUOTES.search(text):
        text = _QUOTES.sub(
            lambda found: "```" if re.fullmatch(r"\w*[ \t\r]*", found[1]) else f"```\n{found[1]}", text
        )
    blocks = list(_blocks(text))
    levels = [blocks, list(_opened(text)), list(_spans(text)), list(_unfenced(text))]
    for enough in (defines, declares) if names else ():
        for level in levels:
            for place in range(len(level) - 1, -1, -1):
                code = _as_far_as_python(level[place].code, names, enough)
                if code is not None:
                    return with_parts_of(code, [each.code for each in level[:place]])
    if not names:
        whole = [each for each in blocks if each.is_python and _is_whole(each.code)]
        some = whole or [each for each in blocks if each.is_python and _is_code(each.code)]
        if some:
            return some[-1].code
    # Nothing is Python: what comes nearest to it fails, and shows a reader why.
    rest = [each for each in blocks if any(f"def {name}" in each.code for name in names)]
    rest = rest or [each for each in blocks if each.is_python] or blocks or (levels[2] if not names else [])
    return rest[-1].code if rest else text


def without_thoughts(reply: str) -> str:
    """A reply without what the model thought: ``<think>...</think>`` and its like, nested ones and unclosed ones too.

    Where the opening tag is missing, the thoughts are all that comes before the closing one (some templates put the
    opening tag into the prompt). A tag inside a block of code of the answer is code.
    """
    if channels := list(_CHANNEL.finditer(reply)):
        last = channels[-1]
        return re.split(r"<\|(?:end|return|start)\|>", reply[last.end() :])[0] if last[1] == "final" else ""
    kept: list[str] = []
    rest = reply
    while (tag := next(_tags_outside_code(rest), None)) is not None:
        if tag["close"]:
            kept, rest = [], rest[tag.end() :]
            continue
        kept.append(rest[: tag.start()])
        rest = rest[_end_of_thoughts(rest, tag.end()) :]
    return reply if rest is reply else ("".join(kept) + rest).lstrip("\n")


def _end_of_thoughts(text: str, start: int) -> int:
    depth, last = 1, None
    for tag in _TAG.finditer(text, start):
        depth += 1 if tag["open"] else -1
        if tag["close"]:
            last = tag.end()
        if depth == 0:
            return tag.end()
    # Thoughts may speak of the tag that opens them; without a closing one, the answer never came.
    return len(text) if last is None else last


def _tags_outside_code(text: str) -> Iterator[re.Match[str]]:
    """Tags that open thoughts outside of blocks of code, and those that close them: also alone on a line of one."""
    tags = list(_TAG.finditer(text))
    if not tags:
        return
    spans = _code_lines(text)
    for tag in tags:
        line = text.count("\n", 0, tag.start())
        first, last = text.rfind("\n", 0, tag.start()) + 1, text.find("\n", tag.end())
        alone = text[first : None if last < 0 else last].strip() == tag[0]
        if not any(line in span for span in spans) or (tag["close"] and alone):
            yield tag


def _code_lines(text: str) -> list[range]:
    """Line numbers (from 0) of blocks between fences."""
    return [range(*token.map) for token in _MARKDOWN.parse(text) if token.type == "fence" and token.map]


def _blocks(text: str) -> Iterator[_Block]:
    """Fenced blocks in their order; those that CommonMark takes for indented code, being indented too far, too."""
    lines = text.split("\n")
    for token in _MARKDOWN.parse(text):
        if token.type == "fence":
            word = _LANGUAGE.search(token.info)
            language = word[0].lower() if word else ""
            yield _Block(_whole_block(token.content, token.markup, token.map, lines), language)
        elif token.type == "code_block":
            if _FENCE.search(token.content) and token.content != text:
                yield from _blocks(token.content)
            else:
                yield _Block(token.content)


def _whole_block(code: str, fence: str, place: list[int] | None, lines: list[str]) -> str:
    """A block up to the fence behind which it is Python: a docstring in it may hold a fence that seems to end it."""
    if place is None or parsed(code) is not None:
        return code
    opening = lines[place[0]]
    indent = len(opening) - len(opening.lstrip(" "))
    more = [line[indent:] if line[:indent].isspace() else line for line in lines[place[0] + 1 :]]
    ends = [
        at for at, line in enumerate(more) if line.strip().startswith(fence) and at >= place[1] - place[0] - 2
    ]
    for end in ends[:_MOST_ENDS]:
        longer = "\n".join(more[:end]) + "\n"
        if parsed(longer) is not None:
            return longer
    return code


def _opened(text: str) -> Iterator[_Block]:
    """What stands before the first fence: the prompt may have opened the block."""
    fence = _FENCE.search(text)
    before = text[: fence.start()] if fence else text.partition("```")[0]
    if before != text:
        yield _Block(before)


def _spans(text: str) -> Iterator[_Block]:
    """Code between three backticks within a line."""
    for span in _SPAN.finditer(text):
        yield _Block(span[2])


def _unfenced(text: str) -> Iterator[_Block]:
    """The runs of lines of a text that are Python, each as long as can be."""
    lines, start = lines_of(text), 0
    while start < len(lines):
        found = longest_program(lines, start) if lines[start].strip() else None
        if found is not None:
            yield _Block("".join(lines[start : found[0]]))
        start = found[0] if found is not None else start + 1


def _as_far_as_python(
    code: str, names: Collection[str], enough: Callable[[ast.Module, Collection[str]], bool]
) -> str | None:
    lines = lines_of(code)
    found = longest_program(lines)
    return "".join(lines[: found[0]]) if found is not None and enough(found[1], names) else None


def _is_code(code: str) -> bool:
    tree = parsed(code)
    return tree is not None and is_program(tree)


def _is_whole(code: str) -> bool:
    tree = parsed(code)
    return tree is not None and is_program(tree) and not missing_names(tree)
