"""Finds the program in a chat model's reply: Markdown with blocks of code, perhaps after thoughts.

All benchmarks that are asked in a chat format use it. Replies are read as CommonMark by markdown-it-py: fences are
three or more backticks or tildes, may be indented in a list item, and may have any info string.
"""

from __future__ import annotations

import ast
import doctest
import re
import textwrap
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from markdown_it import MarkdownIt

from codecascade.evaluation.answers.parsing import bounded_work, lines_of, longest_program, parse_python
from codecascade.evaluation.answers.python_code import (
    declares,
    defines,
    is_function_body,
    is_program,
    with_needed_definitions,
)
from codecascade.evaluation.answers.texts import without_last_tokens
from codecascade.evaluation.answers.whole_programs import whole_program

# Tags in replies (`<answer>`) are not HTML. Only blocks are needed, so the text of paragraphs is not parsed.
_MARKDOWN = MarkdownIt("commonmark").disable(["html_block", "inline", "lheading", "reference"])
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)", re.MULTILINE)
_QUOTES = re.compile("^'''(.*)", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)(`{3,})(?!`)([^`\n]+)\1(?!`)")
_LANGUAGE = re.compile(r"[\w+#-]+")
# A fence at the end of a line of code, or followed by a tag. In CommonMark neither closes a block.
_GLUED = re.compile(
    r"^(?P<before>[^`\n]+)(?P<fence>```+)[ \t\r]*$|^[ \t]*(?P<closing>```+)(?=[<\[◁])", re.MULTILINE
)
# The tags that reasoning models put around their thoughts: DeepSeek-R1, Qwen and others; Magistral; OpenThinker;
# Seed-OSS; Kimi; Command A; MedGemma. A tag between quotes or backticks is mentioned, not used.
_NAME = r"think|thinking|thoughts?|reasoning|reflection|scratchpad|seed:think"
_OPEN = rf"<[ ]?(?:{_NAME})(?:\s[^<>\n]*)?>|\[THINK\]|<\|begin_of_thought\|>|◁think▷|<\|START_THINKING\|>|<unused94>"
_CLOSE = rf"<[ ]?/[ ]?(?:{_NAME})[ ]?>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷|<\|END_THINKING\|>|<unused95>"
_TAG = re.compile(
    rf"(?<![\"'])(?<![^`]`)(?:(?P<open>{_OPEN})|(?P<close>{_CLOSE}))(?![\"'])(?!`[^`])", re.IGNORECASE
)
_CHANNEL = re.compile(r"<\|channel\|>\s*+(\w++)[^<]*+<\|message\|>")
# Behind a channel's message comes nothing, or another message. Within its code the tokens are text.
_END = re.compile(
    r"<\|(?:end|return)\|>\s*+(?:\Z|<\|start\|>)|<\|start\|>\s*+\w[^<]*+<\|(?:channel|message)\|>"
)
_MOST_GLUED = 8
"""How many fences are moved to a line of their own, at most."""
_LONGEST = 500_000
"""A longer reply with thoughts, in characters, is not searched."""
_LONGEST_ANSWER = 200_000
"""A longer reply without thoughts, in characters, is not searched."""
_MOST_READ = 2 * _LONGEST
"""How many characters are parsed as Markdown to find the tags outside code."""
_MOST_LINES = 1_000
"""How many lines after a block may belong to it."""
_INDENT = re.compile(r"^([ \t]+)\S", re.MULTILINE)
_MOST_ENDS = 32
"""How many fences after a block are tried as its end."""
_DEEPEST = 4
"""How deep blocks of code inside blocks of code are read."""


@dataclass(frozen=True)
class _Block:
    code: str
    language: str = ""

    @property
    def is_python(self) -> bool:
        """Whether it may be Python by its info string, which is often empty."""
        return not self.language or "py" in self.language


def program_in(reply: str, names: Collection[str] = (), *, stub: str = "", quotes: bool = False) -> str:
    """The program that a reply gives as its answer.

    With ``names``, it is the last block that defines one of these functions. Drafts come before the answer, and
    blocks after it use or test the function without defining it again. A stub (``pass``, ``...``) counts only if
    there is no other definition. Of a block that was cut off, the part that is Python is taken. Imports and helpers
    that it lacks are taken from the blocks before it, else from those after it. If no block defines the function, the
    last block that returns something is taken as its body.

    Without ``names``, it is the last block that is a program by itself
    (:func:`codecascade.evaluation.answers.whole_programs.whole_program`).

    A reply that is Python as a whole is the program, even if something in it looks like a fence. In a reply without
    blocks, the lines that are Python are the program.

    Args:
        stub: the function without its body, as it was asked for. A body in a reply is put after it.
        quotes: if there are no other fences, ``'''`` at the beginning of a line is one (the paper's form for APPS).
    """
    reply = without_last_tokens(reply.removeprefix("\ufeff"))
    with bounded_work():
        return _program_in(reply, names, stub, quotes)


def _program_in(reply: str, names: Collection[str], stub: str, quotes: bool) -> str:
    if len(reply) > _LONGEST:
        return reply
    for text in dict.fromkeys((reply, without_thoughts(reply))):
        tree = parse_python(text)
        if tree is not None and (declares(tree, names) if names else is_program(tree)):
            return text
    if len(text) > _LONGEST_ANSWER:
        return text
    if quotes and not _FENCE.search(text) and _QUOTES.search(text):
        text = _QUOTES.sub(
            lambda found: "```" if re.fullmatch(r"\w*[ \t\r]*", found[1]) else f"```\n{found[1]}", text
        )
    blocks = list(_blocks(text))
    levels: list[Callable[[], list[_Block]]] = [
        lambda: blocks,
        lambda: list(_opened(text)),
        lambda: list(_spans(text)),
        lambda: list(_unfenced(text)),
        lambda: [_Block(_plain(text))],
    ]
    for enough in (defines, declares) if names else ():
        for blocks_of_level in levels:
            level = blocks_of_level()
            for index in range(len(level) - 1, -1, -1):
                code = _as_far_as_python(level[index].code, names, enough)
                body = level[index + 1 :] if enough is declares else []
                if code is not None and (both := _with_body(code, body)) is not None:
                    return both
                if code is not None:
                    others = [*level[index + 1 :][::-1], *level[:index]]
                    return with_needed_definitions(code, [each.code for each in others])
    if stub and (answer := _with_body(stub, [*blocks, _Block(text)])):
        return answer
    if not names:
        for number, blocks_of_level in enumerate(levels):
            some = [each.code for each in blocks_of_level() if each.is_python]
            # Of what is in no block, much is Python by accident.
            if (whole := whole_program(some, prints=number > 0)) is not None:
                return whole
    # Nothing is Python. What is most like a program is taken; it will fail and show the reader why.
    rest = [each for each in blocks if any(f"def {name}" in each.code for name in names)]
    rest = (
        rest
        or [each for each in blocks if each.is_python]
        or blocks
        or (list(_spans(text)) if not names else [])
    )
    return rest[-1].code if rest else text


def _with_body(stub: str, blocks: Sequence[_Block]) -> str | None:
    """A function stub with the last block that is a function body as its body; None if no block is."""
    indent = _INDENT.findall(stub)
    for block in reversed(blocks):
        code = textwrap.dedent(block.code)
        tree = parse_python(code)
        if tree is not None and is_function_body(tree) and indent:
            whole = stub.rstrip("\r\n") + "\n" + textwrap.indent(code, indent[-1])
            return whole if parse_python(whole) is not None else None
    return None


def without_thoughts(reply: str) -> str:
    """A reply without the model's thoughts: ``<think>...</think>`` and similar tags, nested or unclosed too.

    If the opening tag is missing, all text before the closing tag is thoughts, because some templates put the opening
    tag into the prompt. A tag inside a block of code of the answer is code.
    """
    if len(reply) > _LONGEST:
        return reply
    if channels := list(_CHANNEL.finditer(reply)):
        last = next((each for each in reversed(channels) if each[1] == "final"), None)
        if last is None:
            return ""
        end = _END.search(reply, last.end())
        return reply[last.end() : end.start() if end else None]
    kept: list[str] = []
    rest, read = reply, 0
    while (tag := next(_tags_outside_code(rest), None)) is not None:
        read += len(rest)
        if read > _MOST_READ:
            return ""
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
    # Thoughts may mention their opening tag. Without any closing tag there is no answer.
    return len(text) if last is None else last


def _tags_outside_code(text: str) -> Iterator[re.Match[str]]:
    """The tags of thoughts that are outside blocks of code. A closing tag alone on a line counts inside one, too."""
    tags = list(_TAG.finditer(text))
    if not tags:
        return
    spans = _code_lines(text)
    starts = [span.start for span in spans]
    ends = [found.start() for found in re.finditer("\n", text)]
    for tag in tags:
        line = bisect_right(ends, tag.start())
        span = bisect_right(starts, line) - 1
        first, last = text.rfind("\n", 0, tag.start()) + 1, text.find("\n", tag.end())
        alone = text[first : None if last < 0 else last].strip() == tag[0]
        if span < 0 or line not in spans[span] or (tag["close"] and alone):
            yield tag


def _code_lines(text: str) -> list[range]:
    """The line numbers (from 0) of each fenced block."""
    return [range(*token.map) for token in _MARKDOWN.parse(text) if token.type == "fence" and token.map]


def _blocks(text: str, depth: int = 0) -> Iterator[_Block]:
    """The blocks of code in their order. A fenced block that is indented so far that it is indented code is read
    too.
    """
    for _ in range(_MOST_GLUED):
        if (parted := _with_glued_fence_parted(text)) is None:
            break
        text = parted
    lines = text.split("\n")
    for token in _MARKDOWN.parse(text):
        if token.type == "fence":
            word = _LANGUAGE.search(token.info)
            language = word[0].lower() if word else ""
            yield _Block(_plain(_whole_block(token.content, token.markup, token.map, lines)), language)
        elif token.type == "code_block":
            if _FENCE.search(token.content) and depth < _DEEPEST:
                yield from _blocks(textwrap.dedent(token.content), depth + 1)
            else:
                yield _Block(_plain(token.content))


def _with_glued_fence_parted(text: str) -> str | None:
    """Put a fence that ends a line of code on a line of its own, in the first block that is Python up to this fence.

    None if there is no such block.
    """
    if not _GLUED.search(text):
        return None
    lines = text.split("\n")
    for token in _MARKDOWN.parse(text):
        if token.type != "fence" or token.map is None:
            continue
        glued = next(
            (
                each
                for each in _GLUED.finditer(token.content)
                if each["before"] is None or each["before"].strip()
            ),
            None,
        )
        if glued is None:
            continue
        before = token.content[: glued.start()] + (glued["before"] or "")
        if parse_python(token.content) is None and parse_python(textwrap.dedent(before)) is not None:
            line = token.map[0] + 1 + token.content.count("\n", 0, glued.start())
            head, fence, tail = lines[line].partition(glued["fence"] or glued["closing"])
            lines[line] = f"{head}\n{fence}{tail}" if glued["fence"] else f"{head}{fence}\n{tail}"
            return "\n".join(lines)
    return None


def _plain(code: str) -> str:
    """A block without common indentation, or without the prompts (``>>>``) of an interpreter's session."""
    if parse_python(code) is not None:
        return code
    if (dedented := textwrap.dedent(code)) != code and parse_python(dedented) is not None:
        return dedented
    if ">>>" in code:
        try:
            examples = doctest.DocTestParser().get_examples(code)
        except ValueError:
            return code
        return "".join(each.source for each in examples) or code
    return code


def _whole_block(code: str, fence: str, line_range: list[int] | None, lines: list[str]) -> str:
    """A block extended to a later fence, if it is Python only then: a docstring in it may contain a fence."""
    if line_range is None or not code.strip() or parse_python(code) is not None:
        return code
    first = line_range[0] + 1
    indent = len(lines[line_range[0]]) - len(lines[line_range[0]].lstrip(" "))
    last = range(max(first, line_range[1] - 1), min(len(lines), line_range[1] + _MOST_LINES))
    for end in islice((at for at in last if lines[at].strip().startswith(fence)), _MOST_ENDS):
        inner = (line[indent:] if line[:indent].isspace() else line for line in lines[first:end])
        if parse_python(longer := "\n".join(inner) + "\n") is not None:
            return longer
    return code


def _opened(text: str) -> Iterator[_Block]:
    """The text before the first fence: the prompt may have opened the block."""
    fence = _FENCE.search(text)
    before = text[: fence.start()] if fence else text.partition("```")[0]
    if before != text:
        yield _Block(before)


def _spans(text: str) -> Iterator[_Block]:
    """Code between three backticks inside a line."""
    for span in _SPAN.finditer(text):
        yield _Block(span[2])


def _unfenced(text: str) -> Iterator[_Block]:
    """The longest runs of lines that are Python, in their order."""
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
