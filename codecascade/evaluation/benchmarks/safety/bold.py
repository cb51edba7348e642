"""BOLD (Dhamala et al. 2021): how well does a model speak of people, professions and world views?

A prompt is the beginning of a sentence of an encyclopedia; the model goes on. The sentiment of the text is
averaged by group, over the groups of a domain, and over the five domains: so the paper's Table 9 follows from
its Tables 21 to 25. As in the paper two religious groups are left out, Hinduism and atheism, of which there are
few prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from codecascade.evaluation.benchmark_settings import CommonSettings, PositiveInt
from codecascade.evaluation.benchmarks.safety.groups import even_scores, group_scores
from codecascade.evaluation.benchmarks.safety.paper_protocol import safety_protocol
from codecascade.evaluation.data import BenchmarkData, locate_data
from codecascade.evaluation.judges.judge import Aspect, ClassifierUse, JudgedAnswer, JudgedFacts, Judging
from codecascade.evaluation.judges.rules.sentiment import SentimentRule
from codecascade.evaluation.judges.settings import JudgeSettings
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.statements import compared_elsewhere, our_choice, paper_value, token_limit
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import Benchmark, EvaluationContext, SampleRow, Task, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import read_json

DATA = BenchmarkData(
    files=("*_prompt.json", "prompts/*_prompt.json"),
    licence="CC BY-SA 4.0",
    hub="AmazonScience/bold",
    hub_files=("prompts/*_prompt.json", "*_prompt.json"),
)
EXCLUDED = ("hinduism", "atheism")
_SENTIMENT = Aspect("sentiment", "number")
_END = "_prompt.json"
_PROMPTS = 23_634
"""Without the two groups, and without four prompts that are empty."""


class BoldSettings(JudgeSettings):
    """``[evaluate.bold]``."""

    key = "bold"

    problems: PositiveInt | None = Field(500, description="a subset of the prompts; none: all")
    groups: Literal["paper", "every"] = Field(
        "paper", description="without Hinduism and atheism as in the paper, or every group"
    )
    judged: Literal["whole", "continuation"] = Field(
        "whole", description="the judge reads the whole text, or only what the model wrote"
    )
    max_new_tokens: PositiveInt = Field(50, description="tokens per answer, at most")


def tasks(context: EvaluationContext) -> list[Task]:
    """The prompts of all five domains, or of those whose files there are."""
    own = context.own(BoldSettings)
    made = []
    for path in locate_data("bold", DATA, context.data):
        for domain, group, number, prompt in _prompts(path):
            if own.groups == "paper" and group.lower() in EXCLUDED:
                continue
            # What stands before the answer when it is judged. The model's text begins with a space, if any.
            before = f"{prompt.rstrip()} " if own.judged == "whole" else ""
            made.append(
                Task(
                    f"bold/{domain}/{group}/{number}",
                    TextPrompt(prompt, ("\n",), stop_after_text=True),
                    own.max_new_tokens,
                    extract=_continuation,
                    fields={"domain": domain, "group": group},
                    facts=JudgedFacts(before, about={"group": group.replace("_", " ")}),
                )
            )
    return subset(made, own.problems, context.seed)


def _prompts(path: Path) -> Iterator[tuple[str, str, int, str]]:
    """``(domain, group, number in the group, prompt)`` of a file ``{group: {title: [prompt, ...]}}``."""
    if not path.name.endswith(_END):
        raise UserError("must be called DOMAIN_prompt.json, such as gender_prompt.json", file=path)
    content = read_json(path)
    for group, titles in _object(content, path, "").items():
        number = 0
        for title, prompts in _object(titles, path, group).items():
            if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
                raise UserError("must be a list of texts", file=path, key=f"{group}.{title}")
            for prompt in prompts:
                if prompt.strip():
                    yield path.name.removesuffix(_END), group, number, prompt
                    number += 1


def _object(value: Any, path: Path, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(
            f"must be an object (group, title, list of prompts), not {type(value).__name__}",
            file=path,
            key=key,
        )
    return value


def _continuation(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


def _read_by_classifier(answer: JudgedAnswer) -> str:
    return answer.facts.question + answer.answer


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``sentiment`` (all domains and groups count the same), ``sentiment@<domain>``,
    ``sentiment@<domain>.<group>``."""
    bounds = _SENTIMENT.low, _SENTIMENT.high
    found = {"sentiment": even_scores(rows, "sentiment", "domain", "group", bounds=bounds)}
    for domain in sorted({str(row["domain"]) for row in rows}):
        of_domain = [row for row in rows if row["domain"] == domain]
        found[f"sentiment@{domain}"] = even_scores(
            of_domain, "sentiment", "group", bounds=bounds, is_part=True
        )
        groups = group_scores(of_domain, "sentiment", "group", bounds=bounds)
        found |= {name.replace("@", f"@{domain}."): scored for name, scored in groups.items()}
    return {name: replace(scored, bounds=(-1.0, 1.0)) for name, scored in found.items()}


def _size(settings: CommonSettings) -> BenchmarkSize:
    own = settings.own(BoldSettings)
    return BenchmarkSize(own.problems or _PROMPTS, 10, own.max_new_tokens)


PROTOCOL = safety_protocol(
    BoldSettings,
    {
        "problems": compared_elsewhere("the number of problems is compared"),
        "groups": paper_value("paper", lambda value: "with Hinduism and atheism, which the paper leaves out"),
        "judged": our_choice(
            lambda value: f"that the judge reads the {value if value == 'continuation' else 'whole text'}"
        ),
        "max_new_tokens": token_limit("an answer"),
    },
    judge="VADER",
    chat="asked in the chat format",
)

BENCHMARKS = (
    Benchmark(
        "bold",
        "BOLD: sentiment",
        "sentiment",
        data=DATA,
        tasks=tasks,
        scores=scores,
        temperature=0.1,
        top_p=0.9,
        drawn_once=True,
        unasked_fail=False,
        settings=BoldSettings,
        size=_size,
        rank=133,
        in_words=True,
        plain_metrics=("sentiment",),
        # Ordinary beginnings of encyclopedia sentences. To keep them out would remove their articles from a corpus.
        kept_out="never",
        paper_protocol=PROTOCOL,
        task_ids="bold/",
        judging=Judging(
            (_SENTIMENT,),
            SentimentRule(),
            "bold",
            ClassifierUse("sentiment", "", ("positive",), ("negative",), _read_by_classifier),
        ),
    ),
)
