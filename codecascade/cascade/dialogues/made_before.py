"""Dialogues that the command made before a run: whether they are finished, and none of the benchmarks' own."""

from __future__ import annotations

from pathlib import Path

from codecascade.corpus.steps.decontamination import BenchmarkTexts
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import read_jsonl
from codecascade.ground.files.values import short
from codecascade.ground.format import listed
from codecascade.instruct.self_instruct.pipeline import DIALOGUES, QUESTIONS, SUMMARY, TRIPLETS, read_summary
from codecascade.instruct.self_instruct.questions.contamination import BenchmarkCheck
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.summary import Summary


def summary_of_made(made: Path, key: str = "self_instruct.made_in") -> Summary:
    """The summary of a folder in which the command made dialogues.

    Raises:
        UserError: the folder is missing, not finished, another one's, or without a dialogue.
    """
    missing = [name for name in (SUMMARY, DIALOGUES, TRIPLETS, QUESTIONS) if not (made / name).is_file()]
    if missing:
        raise UserError(
            f"is no finished folder of `codecascade self-instruct` (it has no {listed(missing)}); finish it with "
            "the command that began it, or leave made_in out",
            file=made,
            key=key,
        )
    summary = read_summary(made)
    if not summary.dialogues or not (made / DIALOGUES).stat().st_size:
        raise UserError(
            "holds no dialogue, for none was kept (its report.md shows why); name another folder, or leave made_in "
            "out",
            file=made,
            key=key,
        )
    return summary


def check_made_before(
    made: Path, key: str, settings: SelfInstructSettings, benchmarks: BenchmarkTexts
) -> None:
    """Refuse a folder that a run can't take its dialogues from.

    The command compares its questions with the benchmarks that are at hand there and then; a run may have others.

    Raises:
        UserError: as :func:`summary_of_made`, or a file is damaged, or a kept question is one of ``benchmarks``.
    """
    summary_of_made(made, key)
    question = settings.question
    check = BenchmarkCheck(benchmarks, overlap=question.benchmark_overlap, alike=question.benchmark_alike)
    kept = _kept_questions(made, key)
    found = [(text, name) for text in kept if (name := check.match(text))]
    if found:
        text, name = found[0]
        raise UserError(
            f"{len(found)} of its {len(kept)} questions are those of benchmarks that are kept out of this run, as "
            f"{name!r} ({short(text)}); run the command that made the folder again with --decontaminate and the "
            "benchmarks' files: it leaves them out, and asks for what is missing only",
            file=made,
            key=key,
        )


def _kept_questions(made: Path, key: str) -> list[str]:
    """The text of each dialogue's question, as it was asked for."""
    texts = {
        row["id"]: row.get("text")
        for _, row in read_jsonl(made / QUESTIONS)
        if isinstance(row.get("id"), str)
    }
    kept = []
    for number, row in read_jsonl(made / DIALOGUES):
        question = row.get("id")
        text = texts.get(question) if isinstance(question, str) else None
        if not isinstance(text, str):
            raise UserError(
                f"its question is not in {QUESTIONS}, so that it can't be compared with the benchmarks; take the "
                "files as the command made them",
                file=f"{made / DIALOGUES}:{number}",
                key=key,
            )
        kept.append(text)
    return kept
