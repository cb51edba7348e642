"""The table of judges. A new judge is a file with a class, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codecascade.evaluation.judges.classifier import ClassifierJudge
from codecascade.evaluation.judges.judge import Judge, Judging
from codecascade.evaluation.judges.llm import LanguageModelJudge
from codecascade.evaluation.judges.rule import RuleJudge
from codecascade.evaluation.judges.settings import JudgeSettings, is_default
from codecascade.evaluation.judges.verdict_file import VerdictFile
from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest


@dataclass(frozen=True)
class JudgeKind:
    """What makes a judge. ``reads`` names the settings that it looks at, besides ``judge``."""

    make: Callable[[Judging, JudgeSettings], Judge]
    reads: frozenset[str]


JUDGES: dict[str, JudgeKind] = {
    "rule": JudgeKind(RuleJudge, RuleJudge.reads),
    "classifier": JudgeKind(ClassifierJudge, ClassifierJudge.reads),
    "llm": JudgeKind(LanguageModelJudge, LanguageModelJudge.reads),
    "file": JudgeKind(VerdictFile, VerdictFile.reads),
}


def make_judge(judging: Judging, settings: JudgeSettings) -> Judge:
    """The judge that the settings name.

    Raises:
        UserError: there is no such judge, a setting that it needs is missing, or one is set that it does not read.
    """
    if settings.judge not in JUDGES:
        hint = nearest(settings.judge, JUDGES, f"the judges are {', '.join(JUDGES)}")
        raise UserError(f"there is no judge {settings.judge!r}; {hint}", key=f"{settings.key}.judge")
    kind = JUDGES[settings.judge]
    for name in JudgeSettings.model_fields:
        if name == "judge" or name in kind.reads or is_default(name, settings):
            continue
        readers = " and ".join(repr(other) for other, each in JUDGES.items() if name in each.reads)
        raise UserError(
            f"is a setting of {readers}, and would change nothing here, where the judge is {settings.judge!r}; set "
            "judge to the one that is meant, or leave this out",
            key=f"{settings.key}.{name}",
        )
    return kind.make(judging, settings)
