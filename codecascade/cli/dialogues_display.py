"""How ``dialogues check`` and ``dialogues show`` print what they found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from codecascade.ground.errors import printable
from codecascade.ground.format import counted, listed, show_count
from codecascade.instruct.dialogues.checking import FileCheck, TokenFigures, percentile
from codecascade.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from rich.console import Console

    from codecascade.training.stream.examples import TrainingExample

_MOST_SHOWN = 10
BEGIN, END = "⟦", "⟧"
"""Around what is learnt."""


@dataclass(frozen=True)
class TokenRow:
    """A token of an example: its id, the text that it stands for, and whether it is learnt."""

    id: int
    text: str
    learnt: bool


def show_check(console: Console, found: Sequence[FileCheck], length: int, unchecked: str) -> None:
    """Print what is in each file."""
    for check in found:
        for line in _check_lines(check, length):
            console.print(printable(line), highlight=False, soft_wrap=True)
        console.print()
    if any(key in why for check in found for why in check.reasons for key in ("repair =", "unusable =")):
        console.print(
            "repair and unusable are keys of the source in a recipe; here, --repair tries what it mends",
            highlight=False,
            soft_wrap=True,
        )
    if unchecked:
        console.print(
            f"benchmarks not looked for, because their data is not here: {unchecked}", highlight=False
        )


def _check_lines(check: FileCheck, length: int) -> Iterator[str]:
    known = f" ({check.format})" if check.format else ""
    unusable = check.reasons.total()
    dialogues = counted(check.dialogues, "dialogue")
    lines = f", {counted(unusable, 'unusable line')}" if unusable else ""
    yield f"{check.file}{known}: {dialogues}{lines}"
    if check.dialogues:
        counts = [f"{check.turns[count]:,} of {count} messages" for count in sorted(check.turns)]
        yield f"  turns      {listed(counts)}"
        roles = [
            f"{check.roles[role]:,} {role} ({show_count(check.characters[role])} characters)"
            for role in ("system", "user", "assistant")
            if check.roles[role]
        ]
        yield f"  messages   {', '.join(roles)}"
        yield f"  longest    {check.longest_characters:,} characters, {check.longest}"
        if check.tokens is not None:
            yield from _token_lines(check.tokens, check.dialogues, length)
        if check.duplicates:
            yield f"  duplicates {check.duplicates:,}"
    for note, count in check.notes.most_common():
        yield f"  read       {count:,} {note}"
    if check.left_alone:
        keys = [f"{key} ({count:,})" for key, count in check.left_alone.most_common()]
        yield f"  not read   keys {listed(keys)}"
    if check.overlapping:
        yield f"  benchmarks {counted(check.overlapping, 'dialogue')} with a benchmark's text:"
        yield from (f"    {place}: {name}" for place, name in check.overlaps[:_MOST_SHOWN])
    if check.reasons:
        yield "  unusable"
        for why, count in check.reasons.most_common(_MOST_SHOWN):
            more = " ..." if count > len(check.places[why]) else ""
            yield f"    {count:,} x {why}"
            yield f"        {', '.join(check.places[why])}{more}"
        if (others := len(check.reasons) - _MOST_SHOWN) > 0:
            yield f"    and {others:,} more kinds of fault, which --json lists"
    if check.error is not None:
        yield f"  error      {check.error.removeprefix(f'{check.file}: ')}"


def _token_lines(tokens: TokenFigures, dialogues: int, length: int) -> Iterator[str]:
    middle, most = percentile(tokens.lengths, 0.5), percentile(tokens.lengths, 0.95)
    yield (
        f"  tokens     {tokens.total:,}, of them {tokens.learnt:,} learnt; a dialogue: median {middle:,}, "
        f"95 % at most {most:,}, longest {max(tokens.lengths):,} ({tokens.longest})"
    )
    if tokens.cut:
        yield (
            f"  too long   {tokens.cut:,} ({tokens.cut / dialogues:.1%}) have more than {length:,} tokens and lose "
            f"their last turns; of them {tokens.too_long:,} lose all answers"
        )
    if tokens.context_only:
        yield (
            f"  not learnt {tokens.context_only:,} earlier answers, which the chat format writes otherwise than the "
            "last; each epoch takes another answer as the last"
        )


def token_rows(tokenizer: Tokenizer, example: TrainingExample) -> list[TokenRow]:
    """The tokens of an example; of a control token the text is its name."""
    names = {token_id: name for name, token_id in tokenizer.vocabulary.items()}
    rows = []
    for token_id, weight in zip(example.ids.tolist(), example.weights.tolist(), strict=True):
        text = (
            names[token_id]
            if token_id in tokenizer.special_ids
            else tokenizer.token_bytes(token_id).decode(errors="replace")
        )
        rows.append(TokenRow(token_id, text, weight > 0))
    return rows


def show_example(console: Console, tokenizer: Tokenizer, example: TrainingExample, *, by_token: bool) -> None:
    """Print an example as text or, ``by_token``, one token a line; what is learnt is marked."""
    from rich.text import Text

    rows = token_rows(tokenizer, example)
    learnt = sum(row.learnt for row in rows)
    cut = "; it is cut at the sequence length" if example.truncated and rows else ""
    if not rows:
        console.print("nothing of it is trained on: no answer begins within the sequence length")
        return
    console.print(f"{len(rows):,} tokens, {learnt:,} of them learnt (in {BEGIN}{END}){cut}", highlight=False)
    if by_token:
        for row in rows:
            mark = f"{BEGIN}{END}" if row.learnt else "  "
            console.print(f"{row.id:>7} {mark} {row.text!r}", highlight=False, soft_wrap=True)
        return
    for is_learnt, group in groupby(rows, key=lambda row: row.learnt):
        text = printable(_text([row.id for row in group], tokenizer))
        console.print(
            Text(f"{BEGIN}{text}{END}" if is_learnt else text, style="bold green" if is_learnt else ""),
            end="",
            soft_wrap=True,
        )
    console.print()


def _text(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text of ids, control tokens by their names; characters may be made of several tokens."""
    names = {token_id: name for name, token_id in tokenizer.vocabulary.items()}
    pieces = [
        names[token_id].encode() if token_id in tokenizer.special_ids else tokenizer.token_bytes(token_id)
        for token_id in ids
    ]
    return b"".join(pieces).decode(errors="replace")
