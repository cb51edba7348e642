"""GSM8K (Cobbe et al. 2021): grade school word problems, solved step by step after eight examples.

The examples are the project's own, in the style of chain-of-thought prompting (Wei et al. 2022): a few sentences that
end in "The answer is N.". An answer is right if its last number equals the one after ``####`` in the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

from codecascade.evaluation.answers.replies import without_thoughts
from codecascade.evaluation.answers.texts import last_number
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt
from codecascade.evaluation.benchmarks.code.humaneval import in_chat
from codecascade.evaluation.data import BenchmarkData, load_records
from codecascade.evaluation.rates import mean_scores, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.task import (
    Benchmark,
    ChatPrompt,
    EvaluationContext,
    Message,
    Prompt,
    SampleRow,
    Task,
    TextPrompt,
)
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome

DATA = BenchmarkData(
    files=("gsm8k/test.jsonl*", "gsm8k*.jsonl*", "test.jsonl*"),
    licence="MIT",
    hub="openai/gsm8k",
    hub_files=("main/test-*.parquet",),
    fields=("question", "answer"),
)
_STOP = "\nQ:"
_MARK = "####"
_SAID = re.compile(r"the answer is.*\d.*", re.IGNORECASE)

SHOTS = (
    (
        "A shelf holds 14 books. Nora puts 9 more on it, then lends 5 to a friend. How many books are on the shelf?",
        "There were 14 books. After adding 9 there are 14 + 9 = 23. She lends 5, so 23 - 5 = 18 are left. "
        "The answer is 18.",
    ),
    (
        "A train has 6 wagons with 40 seats each. If 175 seats are taken, how many are free?",
        "The train has 6 * 40 = 240 seats. Of these 175 are taken, so 240 - 175 = 65 are free. The answer is 65.",
    ),
    (
        "Ines runs 3 kilometres on Monday, twice as far on Wednesday, and on Friday 4 kilometres less than on "
        "Wednesday. How many kilometres does she run in all?",
        "On Wednesday she runs 2 * 3 = 6 kilometres. On Friday she runs 6 - 4 = 2 kilometres. "
        "Together that is 3 + 6 + 2 = 11. The answer is 11.",
    ),
    (
        "A baker sells rolls for $0.50 each. In the morning he sells 120 rolls and in the afternoon half as many. "
        "How many dollars does he take?",
        "In the afternoon he sells 120 / 2 = 60 rolls, in all 120 + 60 = 180. At $0.50 each that is "
        "180 * 0.50 = 90 dollars. The answer is 90.",
    ),
    (
        "Tom is 4 years older than Lea, and Lea is three times as old as Max, who is 5. How old is Tom?",
        "Lea is 3 * 5 = 15 years old. Tom is 4 years older, so he is 15 + 4 = 19. The answer is 19.",
    ),
    (
        "A tank holds 200 litres and is filled to 35%. A pump adds 13 litres a minute. "
        "After how many minutes is the tank full?",
        "The tank holds 200 * 0.35 = 70 litres at first. It lacks 200 - 70 = 130 litres. At 13 litres a minute "
        "that takes 130 / 13 = 10 minutes. The answer is 10.",
    ),
    (
        "Three friends share 51 sweets equally. One of them eats 8 of hers. How many does she have left?",
        "Each gets 51 / 3 = 17 sweets. She eats 8, so 17 - 8 = 9 are left. The answer is 9.",
    ),
    (
        "A coat costs 80 dollars. Its price is lowered by a quarter, and a scarf for 12 dollars is bought with it. "
        "How much is paid?",
        "A quarter of 80 is 80 / 4 = 20, so the coat costs 80 - 20 = 60 dollars. With the scarf that is "
        "60 + 12 = 72 dollars. The answer is 72.",
    ),
)


class Gsm8kSettings(BenchmarkSettings):
    """``[evaluate.gsm8k]``."""

    key = "gsm8k"

    shots: Annotated[int, Field(ge=0, le=8)] = Field(8, description="worked examples that are shown")
    max_new_tokens: PositiveInt = Field(256, description="tokens per answer, at most")


def tasks(context: EvaluationContext) -> list[Task]:
    """The 1,319 problems of the test set."""
    made: list[Task] = []
    for location, row in load_records("gsm8k", DATA, context.data, {"question": str, "answer": str}):
        target = last_number(row["answer"].rpartition(_MARK)[2]) if _MARK in row["answer"] else None
        if target is None:
            raise UserError(f"must end in {_MARK} and a number", file=location, key="answer")
        made.append(
            Task(
                f"gsm8k/{len(made)}",
                _prompt(row["question"], context),
                context.own(Gsm8kSettings).max_new_tokens,
                expected=row["answer"],
                test=f"the last number is {target}",
                extract=_first_answer,
                judge=_judge(target),
            )
        )
    return made


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``accuracy``: the share of problems that are solved (with several samples, the mean share)."""
    return {"accuracy": mean_scores(values_by_problem(rows, "passed")["passed"])}


def _prompt(question: str, context: EvaluationContext) -> Prompt:
    shots = SHOTS[: context.own(Gsm8kSettings).shots]
    if in_chat(context.settings, context.model):
        turns = [
            message
            for asked, answered in shots
            for message in (Message("user", asked), Message("assistant", answered))
        ]
        return ChatPrompt((*turns, Message("user", question)))
    blocks = [f"Q: {asked}\nA: {answered}\n\n" for asked, answered in shots]
    return TextPrompt("".join(blocks) + f"Q: {question}\nA:", (_STOP,))


def _first_answer(text: str) -> str:
    """The text up to the next question that the model writes, or to the end of the line with "the answer is"."""
    answer = without_thoughts(text).partition(_STOP)[0]
    said = _SAID.search(answer)
    return answer[: said.end()] if said else answer


def _judge(target: str) -> Callable[[str, Sequence[Outcome]], SampleRow]:
    def judge(completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
        number = last_number(completion)
        return {"passed": number == target, "answer": number}

    return judge


BENCHMARKS = (
    Benchmark(
        "gsm8k",
        "GSM8K: solve rate",
        "accuracy",
        data=DATA,
        tasks=tasks,
        scores=scores,
        greedy=True,
        chats=True,
        settings=Gsm8kSettings,
        size=lambda settings: BenchmarkSize(1_319, 1_000, 150),
        in_words=True,
        task_ids="gsm8k/",
    ),
)
