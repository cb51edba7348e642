"""The table of judges. A new judge is a file with a class, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from codecascade.evaluation.judges.classifier import ClassifierJudge
from codecascade.evaluation.judges.judge import Judge, Judging
from codecascade.evaluation.judges.llm import LanguageModelJudge
from codecascade.evaluation.judges.rule import RuleJudge
from codecascade.evaluation.judges.settings import JudgeSettings
from codecascade.evaluation.judges.verdict_file import VerdictFile
from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest

MakeJudge = Callable[[Judging, JudgeSettings], Judge]

JUDGES: dict[str, MakeJudge] = {
    "rule": RuleJudge,
    "classifier": ClassifierJudge,
    "llm": LanguageModelJudge,
    "file": VerdictFile,
}


def make_judge(judging: Judging, settings: JudgeSettings) -> Judge:
    """The judge that the settings name.

    Raises:
        UserError: there is no such judge, or a setting that it needs is missing.
    """
    if settings.judge not in JUDGES:
        hint = nearest(settings.judge, JUDGES, f"the judges are {', '.join(JUDGES)}")
        raise UserError(f"there is no judge {settings.judge!r}; {hint}", key=f"{settings.key}.judge")
    return JUDGES[settings.judge](judging, settings)
