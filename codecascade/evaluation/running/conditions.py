"""The conditions of a run: what was found when a benchmark was run and can make its figures differ from others'.

Settings say what was asked for; conditions say what happened (answers that were cut, programs that did not run).
``results.json`` keeps them as ``benchmarks.<name>.conditions``, and the tables beside published figures mark them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codecascade.evaluation.running.work import BenchmarkWork
from codecascade.evaluation.task import ChatPrompt, EvaluatedModel, SampleRow, Task, TextPrompt, was_asked
from codecascade.generation.backend import Backend
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.healing import heal
from codecascade.tokens.tokenizer import Tokenizer

_HEALED_END = 2_000
"""Healing concerns the last token of a prompt, so only this many characters at its end are encoded."""


@dataclass
class _Tally:
    n: int = 0
    of: int = 0

    def add(self, counts: bool) -> None:
        self.n += counts
        self.of += 1

    def to_json(self) -> dict[str, int]:
        return {"n": self.n, "of": self.of}


def conditions(
    work: BenchmarkWork,
    rows: Iterable[SampleRow],
    *,
    model: EvaluatedModel,
    backend: Backend | None,
    sandbox: Sandbox | None,
    source: str,
    published: Mapping[str, Task] | None = None,
    judged_by: str | None = None,
) -> dict[str, Any]:
    """The conditions of a run, by name. Counts are ``{"n": ..., "of": ...}``.

    Of every run: ``unrun`` (programs that could not be run), ``source`` (of the data), ``other_problems`` (problems
    that differ from the ``published`` ones; None if these are not known) and, where programs were run,
    ``confinement`` (of the sandbox; ``none`` if it is weak).

    Of a benchmark whose answers are judged: ``judge`` (what judged them) and ``unjudged`` (replies of the judge
    that could not be read).

    Of samples that this run generated, also: ``asked_in_chat``, ``healed_prompts``, ``unasked`` (prompts that
    do not fit the context), ``cut_answers`` (at the limit of tokens), ``cut_inputs``, ``quantisation`` (of the
    weights) and ``endpoint`` (whether a server was asked).
    """
    unasked, cut_answers, unrun, unjudged = _Tally(), _Tally(), _Tally(), _Tally()
    cut_inputs: dict[str, bool] = {}
    for row in rows:
        unasked.add(not was_asked(row))
        cut_answers.add(row.get("finish_reason") == "length")
        unrun.add(row.get("outcome") == "not_started" and row.get("passed") is None)
        unjudged.add(bool(row.get("unjudged")))
        cut_inputs[row["task_id"]] = bool(row.get("cut"))
    about = {} if backend is None else backend.describe()
    found: dict[str, Any] = {
        "unrun": unrun.to_json(),
        "source": source,
        "other_problems": _other_problems(work, published),
    }
    if any(task.programs is not None for task in work.tasks) and sandbox is not None:
        found["confinement"] = sandbox.confinement
    if judged_by is not None:
        found |= {"judge": judged_by, "unjudged": unjudged.to_json()}
    if work.given is not None:
        return found
    healed = _Tally()
    for task in work.tasks:
        healed.add(_is_healed(task, model.tokenizer))
    return found | {
        "asked_in_chat": any(isinstance(task.prompt, ChatPrompt) for task in work.tasks),
        "healed_prompts": healed.to_json(),
        "unasked": unasked.to_json(),
        "cut_answers": cut_answers.to_json(),
        "cut_inputs": _Tally(sum(cut_inputs.values()), len(cut_inputs)).to_json(),
        "quantisation": about.get("quantisation"),
        "endpoint": "endpoint" in about,
    }


def _other_problems(work: BenchmarkWork, published: Mapping[str, Task] | None) -> dict[str, int] | None:
    """How many problems are not among the published ones, or have another solution or test."""
    if published is None:
        return None
    counted = _Tally()
    for task in {task.task_id: task for task in work.tasks}.values():
        known = published.get(task.task_id)
        counted.add(known is None or (task.expected, task.test) != (known.expected, known.test))
    return counted.to_json()


def _is_healed(task: Task, tokenizer: Tokenizer | None) -> bool:
    """Whether a prompt that the model continues is changed by token healing.

    A model in memory chooses the last token again. A server is not sent the white space at the prompt's end.
    """
    prompt = task.prompt
    if not isinstance(prompt, TextPrompt) or not prompt.heal:
        return False
    if tokenizer is None:
        return prompt.prompt != prompt.prompt.rstrip()
    return bool(heal(tokenizer, tokenizer.encode(prompt.prompt[-_HEALED_END:]))[1])
