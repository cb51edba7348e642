"""What is measured, and on how much.

Defaults are for models that are compared with each other: five benchmarks, of infillings 500 problems each. Reports
mark what differs from the paper's protocol (:mod:`codecascade.evaluation.analysis.paper.statements`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from codecascade.ground.choices import ChatUse
from codecascade.ground.settings import Settings

_Count = Annotated[int, Field(gt=0)]
_Share = Annotated[float, Field(ge=0, lt=1)]
COMMON = ("seed", "limit", "samples_per_problem", "temperature", "top_p", "chat", "heal")
"""Settings that concern every benchmark; the others concern those whose name begins as the key does."""


class EvaluateSettings(Settings):
    """Settings of an evaluation. Where a number of problems is given, the seed chooses which; None takes all."""

    benchmarks: tuple[str, ...] = Field(
        ("validation", "humaneval", "infilling_heldout", "infilling_single_line", "key_retrieval"),
        description="what to measure, in this order",
    )
    seed: int = Field(0, description="chooses subsets, splits and draws")
    limit: _Count | None = Field(None, description="problems of each benchmark, at most; none: all")
    samples_per_problem: _Count = Field(
        1,
        description="one: greedy, and 200 in the benchmarks named ..._sampled; more: in all that have pass@k, at the "
        "paper's temperature and top_p",
    )
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        None, description="of the samples; none: 0 for one sample a problem, else the paper's"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="of the samples; none: the paper's"
    )
    chat: ChatUse = Field(
        "never",
        description="ask in the model's chat format, where a benchmark has a form for it; auto: if the model has one",
    )

    heal: bool = Field(
        True,
        description="prompts that are continued may end inside a token (the paper's are taken as they are); "
        "infilling_heal is about infilling",
    )

    validation_documents: _Count | None = Field(
        500, description="held-out documents whose loss is measured, at most"
    )
    validation_characters: _Count = Field(
        8000, description="longer documents are cut after this many characters"
    )

    humaneval_problems: _Count | None = Field(None, description="a subset of the 164 problems; none: all")
    humaneval_stops: Literal["codex", "bigcode", "evalplus", "none"] = Field(
        "codex", description="the strings that end a completion: Codex paper's five, or another harness's"
    )
    humaneval_strip: bool = Field(
        False, description="prompts without white space at their ends (bigcode), rather than as they are"
    )
    humaneval_max_new_tokens: _Count = Field(512, description="tokens per completion, at most")

    mbpp_max_new_tokens: _Count = Field(512, description="tokens per answer, at most")

    infilling_problems: _Count | None = Field(
        500, description="problems of each infilling benchmark, at most; none: all"
    )
    infilling_format: Literal["psm", "spm"] = Field(
        "psm", description="the layout that exact_match and pass@1 are of, where the model's family knows it"
    )
    infilling_heal: bool = Field(True, description="SPM with token healing (the paper's is without)")
    infilling_max_new_tokens: _Count = Field(128, description="tokens per line that is filled in, at most")
    infilling_span_max_new_tokens: _Count = Field(
        512, description="tokens per middle of several lines, or of any span, at most"
    )
    infilling_min_characters: _Count = Field(150, description="shortest held-out function, in characters")
    infilling_max_characters: _Count = Field(700, description="longest held-out function, in characters")

    key_retrieval_lengths: tuple[_Count, ...] = Field(
        (4096, 8192, 16384, 24576), description="lengths of the prompts, in tokens"
    )
    key_retrieval_positions: tuple[_Share, ...] = Field(
        (0.0, 0.2, 0.4), description="where the key is, relative to the prompt's length"
    )
    key_retrieval_examples: _Count = Field(64, description="prompts per length and position")

    multipl_e_max_new_tokens: _Count = Field(512, description="tokens per completion, at most")

    apps_shots: tuple[int, ...] | None = Field(
        None,
        description="problems of the train split that are shown; none: a short one of each kind; []: zero-shot",
    )
    apps_comparison: Literal["apps", "tokens"] = Field(
        "apps",
        description="how answers are compared: as APPS' own runner, which passes some wrong ones, or token by token",
    )
    apps_fence: Literal["backticks", "quotes"] = Field(
        "backticks", description="what an answer is wrapped in: ``` or, as the paper is typeset, '''"
    )
    apps_max_new_tokens: _Count = Field(512, description="tokens per answer, at most")

    docstrings_max_new_tokens: _Count = Field(128, description="tokens per docstring, at most")

    gsm8k_shots: Annotated[int, Field(ge=0, le=8)] = Field(8, description="worked examples that are shown")
    gsm8k_max_new_tokens: _Count = Field(256, description="tokens per answer, at most")

    lcc_examples_per_bucket: _Count = Field(64, description="examples per language and length, at most")
    lcc_long_context: bool | None = Field(
        None,
        description="whether the model had long-context training and sees whole files, else their last 4,000 tokens; "
        "none: if its config has 16,384 positions or more",
    )
    lcc_bucket_tokens: _Count = Field(1024, description="width of a bucket of lengths, in words and signs")

    perplexity_files: _Count | None = Field(50, description="files that are scored, at most; none: all")
    perplexity_tokens: _Count = Field(100_000, description="longer files are cut after this many tokens")
    perplexity_min_bytes: _Count = Field(50_000, description="shorter files are left out")

    @model_validator(mode="after")
    def _sizes_in_order(self) -> EvaluateSettings:
        if self.infilling_min_characters > self.infilling_max_characters:
            raise ValueError("infilling_min_characters must not exceed infilling_max_characters")
        return self
