"""The whole of self-instruct: questions, tests, solutions, execution, and the files that come of them.

Nothing is done twice: every answer of a teacher and every verdict of the sandbox is in ``journal.jsonl`` before it is
used. A run that was killed at any moment goes through the same steps again, finds what is known, and writes the same
files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from codecascade.corpus.steps.decontamination import NO_BENCHMARKS, BenchmarkTexts
from codecascade.generation.backend import Backend
from codecascade.generation.endpoint import Endpoint
from codecascade.ground.choices import PromptForm
from codecascade.ground.diff import refuse_changes
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_file, disk_errors, remove_leftovers, write_json
from codecascade.ground.files.json_lines import json_line
from codecascade.ground.files.keyed_journal import KeyedJournal, digest_of, header_of
from codecascade.ground.files.locks import FolderLock
from codecascade.ground.files.paths import expanded
from codecascade.ground.files.reading import read_json
from codecascade.instruct.self_instruct.dialogue import dialogue_row
from codecascade.instruct.self_instruct.group import TripletMaker
from codecascade.instruct.self_instruct.languages.table import form_of
from codecascade.instruct.self_instruct.progress import Meter, ProgressFunction, QuestionMeter
from codecascade.instruct.self_instruct.prompt_texts import PromptTexts
from codecascade.instruct.self_instruct.questions.inputs import inputs_digest
from codecascade.instruct.self_instruct.questions.step import make_questions, needs_teacher
from codecascade.instruct.self_instruct.settings import LATER_KEYS, SelfInstructSettings
from codecascade.instruct.self_instruct.steps.execution import Execution
from codecascade.instruct.self_instruct.steps.solutions import solutions_prompt
from codecascade.instruct.self_instruct.steps.tests import tests_prompt
from codecascade.instruct.self_instruct.summary import Summary, Tally
from codecascade.instruct.self_instruct.teacher import Teacher
from codecascade.instruct.self_instruct.triplets import QuestionsMade, Triplet, triplet_row
from codecascade.sandbox.sandbox import Sandbox

FORMAT = 1
DIALOGUES, TRIPLETS, QUESTIONS = "dialogues.jsonl", "triplets.jsonl", "questions.jsonl"
SUMMARY, JOURNAL = "summary.json", "journal.jsonl"
_FREE = LATER_KEYS | {"address", "device"}
"""Keys of the journal's header that may differ: a server may move, and an answer is right on any device."""


@dataclass(frozen=True)
class Backends:
    """Who is asked: ``answers`` writes tests and solutions, ``questions`` the questions (None: the same one)."""

    answers: Backend
    questions: Backend | None = None


def run_self_instruct(
    settings: SelfInstructSettings,
    backends: Backends,
    sandbox: Sandbox,
    out: Path,
    *,
    benchmarks: BenchmarkTexts = NO_BENCHMARKS,
    progress: ProgressFunction = lambda progress: None,
) -> Summary:
    """Make ``dialogues.jsonl``, ``triplets.jsonl``, ``questions.jsonl`` and ``summary.json`` in the folder ``out``.

    The files are put in place together at the end. A folder that is finished with the same settings is left as it
    is; one that is not is continued.

    Args:
        benchmarks: texts that no question may share.

    Raises:
        UserError: the settings, the prompt files or the folder can't be used, or it was begun with others.
        RunFailed: a teacher does not answer any more. The next start continues.
    """
    language = form_of(settings.language)
    texts = PromptTexts(None if settings.prompts is None else expanded(settings.prompts))
    asks_for_questions = backends.questions or backends.answers
    chats = {
        "answers": _chats(backends.answers, settings.form),
        "questions": _chats(asks_for_questions, settings.form),
    }
    # A broken prompt file is found before anything is asked.
    prompts = [make(texts, chat=chats["answers"]).text for make in (tests_prompt, solutions_prompt)]
    header = {
        **_settings_part(settings),
        "prompts": digest_of(*prompts),
        "answers_by": {"name": backends.answers.name, **backends.answers.describe()},
        "questions_by": {"name": asks_for_questions.name, **asks_for_questions.describe()},
    }
    inputs = inputs_digest(settings.question, texts, benchmarks, chat=chats["questions"])
    request = digest_of(header, inputs, benchmarks.checked, benchmarks.unchecked)
    with FolderLock(out):
        if (done := finished(out, request)) is not None:
            return done
        with disk_errors(out):
            remove_leftovers(out)
        with (
            KeyedJournal(out / JOURNAL, header, free=_FREE) as journal,
            Execution(
                sandbox, journal, language, cpu_seconds=settings.cpu_seconds, memory_mb=settings.memory_mb
            ) as execution,
        ):
            answers = Teacher(backends.answers, journal, chats["answers"], settings.max_answer)
            asker = Teacher(asks_for_questions, journal, chats["questions"], settings.max_answer)
            found = QuestionMeter(progress, settings.questions, lambda: (asker.cost.answers, asker.known))
            asker.answered = found.tick
            made = make_questions(
                settings, asker if needs_teacher(settings) else None, benchmarks, found.update
            )
            meter = Meter(progress, len(made.questions) * (1 + settings.solutions))
            maker = TripletMaker(settings, language, texts, answers, execution, meter)
            tally = Tally()
            with ExitStack() as files:
                opened = {name: files.enter_context(_result(out / name)) for name in (DIALOGUES, TRIPLETS)}
                for triplet in _triplets(maker, made, tally):
                    opened[TRIPLETS].write(json_line(triplet_row(triplet)))
                    if triplet.chosen is not None:
                        names = (asks_for_questions.name, backends.answers.name)
                        opened[DIALOGUES].write(json_line(dialogue_row(triplet, settings, language, names)))
                questions = files.enter_context(_result(out / QUESTIONS))
                for row in _question_rows(made):
                    questions.write(json_line(row))
                # The files take their places one after the other. Without a summary the folder counts as unfinished.
                with disk_errors(out):
                    (out / SUMMARY).unlink(missing_ok=True)
            costs = {
                "seconds": round(journal.seconds, 1),
                "cpu_seconds": round(execution.cpu_seconds, 1),
                "answers": asdict(answers.cost),
                "questions": asdict(asker.cost),
            }
            summary = _summary(request, settings, made, tally, header, costs)
            write_json(out / SUMMARY, summary.row())
    return summary


def check_begun(settings: SelfInstructSettings, out: Path) -> None:
    """See that the folder, if there is one, was begun with these settings. It takes no model to know that.

    Raises:
        UserError: it was begun with others.
    """
    path = out / JOURNAL
    if (before := header_of(path)) is not None:
        now = json.loads(json_line(_settings_part(settings)))
        refuse_changes(path, {key: before.get(key) for key in now}, now, free=_FREE)


def _settings_part(settings: SelfInstructSettings) -> dict[str, Any]:
    """What the journal's header has of the settings alone."""
    return {"format": FORMAT, "settings": settings.model_dump(mode="json", exclude={"prompts"})}


def finished(out: Path, request: str) -> Summary | None:
    """The summary of a folder that was finished with the same request; None if there is none."""
    if not all((out / name).is_file() for name in (SUMMARY, DIALOGUES, TRIPLETS, QUESTIONS)):
        return None
    row = read_json(out / SUMMARY)
    if not isinstance(row, dict) or row.get("request") != request:
        return None
    return read_summary(out)


def read_summary(out: Path) -> Summary:
    """The summary of a finished folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    row = read_json(out / SUMMARY)
    try:
        return Summary(**row)
    except TypeError:
        raise UserError("is not the summary of a self-instruct run", file=out / SUMMARY) from None


def _chats(backend: Backend, form: PromptForm) -> bool:
    """Whether a backend is asked in its chat format. A server does not say whether it has one; most do.

    Raises:
        UserError: the settings want a chat format that the model does not have.
    """
    serves = isinstance(backend, Endpoint)
    if form == "chat" and not backend.is_chat and not serves:
        raise UserError(f"{backend.name} has no chat format; take plain", key="form")
    return form == "chat" or (form == "auto" and (backend.is_chat or serves))


@contextmanager
def _result(path: Path) -> Iterator[BinaryIO]:
    """A file that is put in place when the block ends without an error."""
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        yield file


def _triplets(maker: TripletMaker, made: QuestionsMade, tally: Tally) -> Iterator[Triplet]:
    """All triplets, group by group; ends early if the first questions bring nothing."""
    size, meter = maker.settings.group, maker.meter
    for start in range(0, len(made.questions), size):
        for triplet in maker.triplets(made.questions[start : start + size]):
            tally.add(triplet)
            yield triplet
        meter.kept, meter.settled = tally.kept, tally.questions
        meter.tick()
        if not tally.kept and tally.questions >= maker.settings.give_up:
            break


def _question_rows(made: QuestionsMade) -> Iterator[dict[str, Any]]:
    """The lines of ``questions.jsonl``: what got tests, then what left before, and why."""
    for question in made.questions:
        yield {**asdict(question), "seed": dict(question.seed)}
    for dropped in made.dropped:
        row = {"text": dropped.text, "source": dropped.source, "dropped": dropped.reason}
        yield {**row, "detail": dropped.detail}


def _summary(
    request: str,
    settings: SelfInstructSettings,
    made: QuestionsMade,
    tally: Tally,
    header: dict[str, Any],
    costs: dict[str, Any],
) -> Summary:
    notes = list(made.notes)
    if tally.questions < len(made.questions):
        notes.append(
            f"The first {tally.questions:,} of {len(made.questions):,} questions brought nothing, so the others were "
            "not tried."
        )
    dropped: dict[str, int] = {}
    for each in made.dropped:
        dropped[each.reason] = dropped.get(each.reason, 0) + 1
    return Summary(
        request=request,
        dialogues=tally.kept,
        funnel=tally.funnel(made),
        dropped=dropped,
        reasons=dict(tally.reasons.most_common()),
        solutions=dict(tally.solutions),
        options=dict(tally.options),
        topics=tally.topics,
        difficulties=tally.difficulties,
        sources=tally.sources,
        costs=costs,
        teachers={"questions": header["questions_by"], "answers": header["answers_by"]},
        settings=settings.model_dump(mode="json"),
        notes=tuple(notes),
    )
