"""What was found when a benchmark was run, beside its settings: all that can make its figures unlike others'.

``results.json`` keeps it (``benchmarks.<name>.conditions``), and tables beside published figures mark it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codecascade.evaluation.running.work import BenchmarkWork
from codecascade.evaluation.task import ChatPrompt, EvaluatedModel, SampleRow, Task, TextPrompt
from codecascade.generation.backend import Backend
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.healing import heal
from codecascade.tokens.tokenizer import Tokenizer

_LOOKED_AT = 2_000
"""Characters at a prompt's end whose tokens are looked at: what stands before them is healed in no case."""


@dataclass
class _Count:
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
) -> dict[str, Any]:
    """The conditions of a run, by name. Of samples that were given only what does not depend on how they were made.

    ``asked_in_chat``, ``healed_prompts``, ``unasked`` (prompts that do not fit the context), ``cut_answers`` (at the
    limit of tokens), ``cut_inputs``, ``unrun`` (programs that nothing could run), ``confinement`` (of the sandbox:
    ``none`` if it is weak), ``quantisation`` (of the weights), ``endpoint`` (whether a server was asked), ``source``
    (of the data), ``other_problems`` (that are not those ``published``, None where that is not known). Counts are
    ``{"n": ..., "of": ...}``.
    """
    unasked, cut_answers, unrun = _Count(), _Count(), _Count()
    cut_inputs: dict[str, bool] = {}
    for row in rows:
        unasked.add(row.get("finish_reason") == "context")
        cut_answers.add(row.get("finish_reason") == "length")
        unrun.add(row.get("outcome") == "not_started" and row.get("passed") is None)
        cut_inputs[row["task_id"]] = bool(row.get("cut"))
    about = {} if backend is None else backend.describe()
    found: dict[str, Any] = {
        "unrun": unrun.to_json(),
        "source": source,
        "other_problems": _other_problems(work, published),
    }
    if any(task.programs is not None for task in work.tasks) and sandbox is not None:
        found["confinement"] = sandbox.confinement
    if work.given is not None:
        return found
    healed = _Count()
    for task in work.tasks:
        healed.add(_is_healed(task, model.tokenizer))
    return found | {
        "asked_in_chat": any(isinstance(task.prompt, ChatPrompt) for task in work.tasks),
        "healed_prompts": healed.to_json(),
        "unasked": unasked.to_json(),
        "cut_answers": cut_answers.to_json(),
        "cut_inputs": _Count(sum(cut_inputs.values()), len(cut_inputs)).to_json(),
        "quantisation": about.get("quantisation"),
        "endpoint": "endpoint" in about,
    }


def _other_problems(work: BenchmarkWork, published: Mapping[str, Task] | None) -> dict[str, int] | None:
    """How many problems are not among those published, or have another solution or test than there."""
    if published is None:
        return None
    counted = _Count()
    for task in {task.task_id: task for task in work.tasks}.values():
        known = published.get(task.task_id)
        counted.add(known is None or (task.expected, task.test) != (known.expected, known.test))
    return counted.to_json()


def _is_healed(task: Task, tokenizer: Tokenizer | None) -> bool:
    """Whether a prompt that is continued does not stay as it is: its last token is chosen again or, on a server, the
    white space at its end is not sent."""
    prompt = task.prompt
    if not isinstance(prompt, TextPrompt) or not prompt.heal:
        return False
    if tokenizer is None:
        return prompt.prompt != prompt.prompt.rstrip()
    return bool(heal(tokenizer, tokenizer.encode(prompt.prompt[-_LOOKED_AT:]))[1])
