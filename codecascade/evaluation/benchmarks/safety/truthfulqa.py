"""TruthfulQA (Lin et al. 2022), generation: questions that many people answer by a common mistake.

Asked after six worked examples, as in the paper (section 4 and appendix I). An answer is judged for truth and for
saying anything. The paper's judges were two fine-tuned GPT-3 models, which are no longer served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from codecascade.evaluation.answers.replies import without_thoughts
from codecascade.evaluation.benchmark_settings import CommonSettings, PositiveInt
from codecascade.evaluation.benchmarks.code.humaneval import in_chat
from codecascade.evaluation.benchmarks.safety.paper_protocol import safety_protocol
from codecascade.evaluation.benchmarks.safety.truthfulqa_data import (
    DATA,
    Examples,
    Question,
    Shots,
    questions,
    worked_examples,
)
from codecascade.evaluation.judges.judge import Aspect, JudgedFacts, Judging, Values
from codecascade.evaluation.judges.rules.references import NO_COMMENT, ReferenceRule
from codecascade.evaluation.judges.settings import JudgeSettings
from codecascade.evaluation.rates import mean_scores, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.statements import compared_elsewhere, our_choice, paper_value, token_limit
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import (
    Benchmark,
    ChatPrompt,
    EvaluationContext,
    Message,
    Prompt,
    ReportedFigure,
    SampleRow,
    Task,
    TextPrompt,
)

_NEXT = "\nQ:"
_QUESTIONS = 817


class TruthfulQASettings(JudgeSettings):
    """``[evaluate.truthfulqa]``."""

    key = "truthfulqa"
    named_files = frozenset({"examples"})

    problems: PositiveInt | None = Field(None, description="a subset of the questions; none: all")
    shots: Shots = 6
    examples: Examples = None
    max_new_tokens: PositiveInt = Field(64, description="tokens per answer, at most")


def tasks(context: EvaluationContext) -> list[Task]:
    """The questions."""
    own = context.own(TruthfulQASettings)
    shown = worked_examples(own.examples, own.shots, "truthfulqa.examples")
    numbered = list(enumerate(questions(context.data)))
    return [
        _task(index, each, shown, context) for index, each in subset(numbered, own.problems, context.seed)
    ]


def _task(index: int, each: Question, shown: Sequence[tuple[str, str]], context: EvaluationContext) -> Task:
    return Task(
        f"truthfulqa/{index}",
        question_prompt(each.question, shown, context),
        context.own(TruthfulQASettings).max_new_tokens,
        expected=each.best,
        test="false answers:\n" + "\n".join(each.wrong),
        extract=_answer,
        fields={"category": each.category} if each.category else {},
        # As in TruthfulQA's own code: to say nothing is true in any case.
        facts=JudgedFacts(
            each.question, tuple(dict.fromkeys((each.best, *each.right, NO_COMMENT))), each.wrong
        ),
    )


def question_prompt(question: str, shown: Sequence[tuple[str, str]], context: EvaluationContext) -> Prompt:
    """The question after the worked examples. In the chat format the examples are earlier turns."""
    if in_chat(context.settings, context.model):
        turns = [
            message
            for asked, answered in shown
            for message in (Message("user", asked), Message("assistant", answered))
        ]
        return ChatPrompt((*turns, Message("user", question)))
    blocks = [f"Q: {asked}\nA: {answered}\n\n" for asked, answered in shown]
    return TextPrompt("".join(blocks) + f"Q: {question}\nA:", ("\n",), stop_after_text=True)


def _answer(text: str) -> str:
    """What the model answered, up to the next question that it writes."""
    return without_thoughts(text).partition(_NEXT)[0].strip()


def _is_good(values: Values, fields: Mapping[str, Any]) -> bool:
    return bool(values["truthful"] and values["informative"])


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """The shares of answers that are true and informative, true, and informative."""
    found = values_by_problem(rows, "passed", "truthful", "informative")
    return {
        "true_and_informative": mean_scores(found["passed"]),
        "true": mean_scores(found["truthful"]),
        "informative": mean_scores(found["informative"]),
    }


def _size(settings: CommonSettings) -> BenchmarkSize:
    own = settings.own(TruthfulQASettings)
    return BenchmarkSize(own.problems or _QUESTIONS, 20 + 30 * own.shots, min(20, own.max_new_tokens))


PROTOCOL = safety_protocol(
    TruthfulQASettings,
    {
        "problems": compared_elsewhere("the number of problems is compared"),
        "shots": paper_value(6, lambda value: f"{value} worked examples; the paper shows 6"),
        "examples": our_choice(
            lambda value: "the data set's own six examples" if value is None else f"the examples of {value}"
        ),
        "max_new_tokens": token_limit("an answer"),
    },
    judge="two fine-tuned GPT-3 models",
    chat="asked in the chat format; the paper asks all models with the same few-shot prompt",
)

BENCHMARKS = (
    Benchmark(
        "truthfulqa",
        "TruthfulQA: true and informative",
        "true_and_informative",
        data=DATA,
        tasks=tasks,
        scores=scores,
        temperature=0.1,
        top_p=0.9,
        drawn_once=True,
        chats=True,
        unasked_fail=False,
        settings=TruthfulQASettings,
        size=_size,
        columns=(
            ReportedFigure("true", "TruthfulQA, true"),
            ReportedFigure("informative", "TruthfulQA, informative"),
        ),
        rank=130,
        in_words=True,
        paper_protocol=PROTOCOL,
        task_ids="truthfulqa/",
        judging=Judging(
            (Aspect("truthful"), Aspect("informative")), ReferenceRule(), "truthfulqa", passed=_is_good
        ),
    ),
)
