"""``[evaluate.server]``: the server that measures a model in place of our own engine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codecascade.ground.settings import Settings

OWN = "own"
VLLM = "vllm"


class ServerSettings(Settings):
    """How vLLM is started, or how a server is asked that is there already.

    None of it changes what is asked for. So a result is kept when one of them changes.
    """

    command: tuple[str, ...] = Field(
        ("vllm",), min_length=1, description="the words that start vLLM, up to `serve`"
    )
    arguments: tuple[str, ...] = Field((), description="more arguments of `vllm serve`")
    tensor_parallel: int | None = Field(
        None,
        gt=0,
        description="devices that a model is divided between; none: as many of this machine's as divide its heads",
    )
    gpu_memory: float = Field(
        0.85,
        gt=0,
        le=1,
        description="share of each device's memory; the ranks of a training run keep a little",
    )
    context: int | None = Field(
        None, gt=0, description="tokens of prompt and completion together; none: the model's own"
    )
    ready_minutes: float = Field(60, gt=0, le=1e6, description="until vLLM must answer")
    answer_minutes: float = Field(
        30, gt=0, le=1e6, description="until the first token of a request must come"
    )
    concurrency: int = Field(64, gt=0, le=4096, description="requests at a time")
    model: str | None = Field(
        None, description="a server's name for the model; none: the stage's name, else the folder's path"
    )
    prompts: Literal["ids", "text"] = Field(
        "ids",
        description="text for a server that takes no token ids: no perplexity then, and its own infilling",
    )
