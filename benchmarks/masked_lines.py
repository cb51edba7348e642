"""How well a model knows a masked line, by teacher forcing: one pass a line, so that many trials can be compared.

A line counts as written if greedy decoding would write it and then a line break, or end: whatever follows does not
count, in any layout. So infilling and left to right are judged by the same rule, that of the first line.

Used by quickstart_study.py.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.reading.functions import python_functions
from codecascade.evaluation.benchmarks.code.humaneval import DATA, parse_problems
from codecascade.evaluation.benchmarks.infilling.problems import single_line_problems
from codecascade.evaluation.data import load_records
from codecascade.evaluation.subsets import subset
from codecascade.ground.python_source import parse_module
from codecascade.model.llama import Llama
from codecascade.model.precision import choose_precision
from codecascade.model.sources import load
from codecascade.tokens.healing import HealingConstraint, heal, heal_infilling
from codecascade.tokens.infilling import forbidden_tokens, infilling_prompt
from codecascade.tokens.tokenizer import Tokenizer

LAYOUTS = ("left_to_right", "spm", "spm_wrong_suffix", "psm")
_BATCH_TOKENS = 2048


@dataclass(frozen=True)
class MaskedLine:
    """A text ``prefix + line + suffix``; ``wrong`` is another line's suffix. The line has its line break."""

    prefix: str
    line: str
    suffix: str
    wrong: str = ""


@dataclass(frozen=True)
class LineScore:
    """What a model makes of a line.

    Attributes:
        nats: of the line without its line break, given what is before it.
        written: greedy decoding writes the line, and then a line break or an end.
        ended: given the line, greedy decoding writes a line break and ends there.
    """

    nats: float
    written: bool
    ended: bool


def heldout_lines(corpus: Corpus, count: int, seed: int = 0) -> list[MaskedLine]:
    """A line of each of ``count`` held-out functions of 150 to 700 characters, from as many documents as possible."""
    rng = random.Random(seed)
    table = corpus.documents("heldout", "python")
    by_document = []
    for index in range(len(table)):
        sources = [function.standalone.rstrip() + "\n" for function in python_functions(table[index].text)]
        some = [source for source in sources if 150 <= len(source) <= 700 and body_lines(source)]
        rng.shuffle(some)
        by_document.append(some)
    rng.shuffle(by_document)
    rounds = range(max(map(len, by_document)))
    sources = list(dict.fromkeys(some[n] for n in rounds for some in by_document if n < len(some)))[:count]
    found = []
    for source in sources:
        lines, number = source.splitlines(keepends=True), rng.choice(body_lines(source))
        found.append(MaskedLine("".join(lines[:number]), lines[number], "".join(lines[number + 1 :])))
    return _with_wrong_suffixes(found)


def body_lines(source: str) -> list[int]:
    """The numbers (from 0) of the lines of a function's body that have code. The docstring is left out."""
    tree = parse_module(source)
    if tree is None or not isinstance(node := tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    first = node.body[0]
    header = first.end_lineno if ast.get_docstring(node) is not None else _first_line(first) - 1
    assert header is not None
    lines = source.splitlines()
    return [
        number
        for number in range(max(header, node.lineno), len(lines))
        if lines[number].strip() and not lines[number].lstrip().startswith("#")
    ]


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def humaneval_lines(count: int, seed: int = 0) -> list[MaskedLine]:
    """``count`` of HumanEval's 1,033 single lines."""
    problems = single_line_problems(parse_problems(load_records("humaneval", DATA, None, {})))
    chosen = subset(problems, count, seed)
    return _with_wrong_suffixes([MaskedLine(each.prefix, each.middle, each.suffix) for each in chosen])


def _with_wrong_suffixes(lines: Sequence[MaskedLine]) -> list[MaskedLine]:
    """Each line gets the suffix of the one half the list away: neighbours may be of one function."""
    half = len(lines) // 2
    return [
        MaskedLine(each.prefix, each.line, each.suffix, lines[number - half].suffix)
        for number, each in enumerate(lines)
    ]


class Scorer:
    """A model in memory, in the precision in which it would generate."""

    def __init__(self, name: str) -> None:
        self._precision = choose_precision(torch.device("cpu"))
        loaded = load(name, dtype=self._precision.dtype)
        self._model: Llama = loaded.model.eval().requires_grad_(False)
        self.tokenizer: Tokenizer = loaded.tokenizer
        pieces = enumerate(self.tokenizer.pieces)
        self._line_breaks = frozenset(number for number, piece in pieces if piece.startswith(b"\n"))

    def scores(self, lines: Sequence[MaskedLine], layout: str) -> list[LineScore]:
        """The score of each line in a layout (:data:`LAYOUTS`)."""
        asked = [self._asked(line, layout) for line in lines]
        found: dict[int, LineScore] = {}
        forbidden = sorted(forbidden_tokens(self.tokenizer, end=layout == "left_to_right"))
        for index, hidden in self._passes([ids for ids, _, _ in asked]):
            ids, first, allowed = asked[index]
            logits = self._logits(hidden[first - 1 :])
            logits[:, forbidden] = -torch.inf
            found[index] = self._score(logits, ids[first:], allowed)
        return [found[index] for index in range(len(lines))]

    def loss(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Nats of each plain text, and the number of its tokens."""
        asked = [self.tokenizer.encode(text, bos=True) for text in texts]
        found: dict[int, tuple[float, int]] = {}
        for index, hidden in self._passes(asked):
            targets = torch.tensor(asked[index][1:])
            nats = torch.nn.functional.cross_entropy(self._logits(hidden[:-1]), targets, reduction="sum")
            found[index] = (float(nats), len(targets))
        return [found[index] for index in range(len(texts))]

    def _asked(self, line: MaskedLine, layout: str) -> tuple[list[int], int, list[int] | None]:
        """The ids of prompt, line, line break and end, where the line begins, and what its first token may be."""
        tokenizer = self.tokenizer
        text = line.line.rstrip()
        if layout == "left_to_right":
            kept, owed = heal(tokenizer, tokenizer.encode(line.prefix))
        else:
            suffix = line.wrong if layout == "spm_wrong_suffix" else line.suffix
            prompt = infilling_prompt(tokenizer, line.prefix, suffix, format=layout[:3])
            kept, owed = heal_infilling(tokenizer, prompt, layout[:3])
        continued = tokenizer.encode_continuation(owed.decode() + text + "\n")
        allowed = None
        if owed:
            healing = HealingConstraint(tokenizer, owed)
            allowed = healing.allowed(b"") or []
            if layout.startswith("spm"):
                # the line is not empty: its first token must go beyond what is owed
                allowed = sorted({*allowed} - {*healing.completing(b"")})
        return [*kept, *continued], len(kept), allowed

    def _score(self, logits: Tensor, ids: Sequence[int], allowed: list[int] | None) -> LineScore:
        """Of the logits before each of ``ids`` and after the last, which is the line break."""
        nats, written = 0.0, True
        for position, (row, token) in enumerate(zip(logits[:-2], ids[:-1], strict=True)):
            if position == 0 and allowed is not None:
                only = torch.full_like(row, -torch.inf)
                only[allowed] = row[allowed]
                row = only
            nats -= float(row.log_softmax(-1)[token])
            written = written and int(row.argmax()) == token
        after_line, after_break = int(logits[-2].argmax()), int(logits[-1].argmax())
        infilling = self.tokenizer.infilling
        end = {self.tokenizer.end_of_document_id} | ({infilling.end} if infilling else set())
        ended = after_line == ids[-1] and after_break in end
        return LineScore(nats, written and (after_line in self._line_breaks or after_line in end), ended)

    def _logits(self, hidden: Tensor) -> Tensor:
        return self._model.logits(hidden).float()

    def _passes(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, Tensor]]:
        """``(index, hidden states)`` of each sequence. Those of like length share a pass, padded behind."""
        order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
        while order:
            batch = [order.pop()]
            longest = len(sequences[batch[0]])
            while order and (len(batch) + 1) * longest <= _BATCH_TOKENS:
                batch.append(order.pop())
            tokens = torch.zeros(len(batch), longest, dtype=torch.long)
            for row, index in enumerate(batch):
                tokens[row, : len(sequences[index])] = torch.tensor(sequences[index])
            with torch.no_grad():
                hidden = self._model(tokens)
            for row, index in enumerate(batch):
                yield index, hidden[row, : len(sequences[index])]
