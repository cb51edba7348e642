"""The settings of a benchmark whose answers are judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt


class JudgeSettings(BenchmarkSettings):
    """What judges the answers. Further settings are the benchmark's own."""

    judge: str = Field("rule", description="what judges the answers: rule, classifier, llm or file")
    judge_model: str | None = Field(
        None,
        description="the classifier's name on the hub or its folder; of llm: the model's name on the server",
    )
    judge_label: str | None = Field(
        None, description="the classifier's label that means yes; none: by its name"
    )
    judge_threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="the classifier's probability from which the label holds"
    )
    judge_endpoint: str | None = Field(None, description="of llm: the address of an OpenAI-compatible server")
    judge_prompt: str | None = Field(
        None, description="of llm: a file with another prompt; none: the benchmark's"
    )
    judge_tokens: PositiveInt = Field(512, description="of llm: tokens of a reply, at most")
    judge_concurrency: PositiveInt = Field(8, description="of llm: requests at a time")
    judge_timeout: Annotated[float, Field(gt=0)] = Field(120.0, description="of llm: seconds for a reply")
    verdicts: str | None = Field(None, description="of file: JSON lines with a verdict for each task_id")


JUDGE_SETTINGS = frozenset(JudgeSettings.model_fields)
"""The names of these settings. Comparisons look at the judge itself instead of at them."""


def is_default(name: str, settings: JudgeSettings) -> bool:
    """Whether one of these settings has the value that it has where nobody sets it."""
    return bool(getattr(settings, name) == JudgeSettings.model_fields[name].get_default())
