"""``eval MODEL --served-by vllm``: the model behind vLLM, or behind a server that has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from codecascade.cli.app import stderr
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.generation.backend import Backend
from codecascade.generation.loading import quantisation, revision, shown_name
from codecascade.generation.served.opening import check_served, served_backend
from codecascade.ground.choices import Precision, Weights
from codecascade.ground.errors import UserError
from codecascade.model.sources import resolve


@contextmanager
def open_served(
    model: str,
    settings: EvaluateSettings,
    *,
    name: str | None,
    precision: Weights,
    context: int | None,
    concurrency: int | None,
    request_timeout: float | None,
    folder: Path,
) -> Iterator[Backend]:
    """The backend of a model that another program computes.

    Args:
        name: what tables call it; None: the folder's own name, or the hub's.
        context: tokens of prompt and completion together; None: what the settings say.
        concurrency: requests at a time; None: what the settings say.
        request_timeout: seconds until the first token of an answer; None: what the settings say.
        folder: gets vLLM's log.

    Raises:
        UserError: the model or the settings do not suit the engine.
    """
    if precision in ("int8", "int4"):
        raise UserError(
            f"{precision} is for our own engine; vLLM has arguments for it (--set server.arguments=[...])",
            key="--precision",
        )
    held = cast(Precision, precision)
    given = {"context": context, "concurrency": concurrency}
    changed: dict[str, float] = {key: value for key, value in given.items() if value is not None}
    if request_timeout is not None:
        changed["answer_minutes"] = request_timeout / 60
    server = settings.server.model_copy(update=changed)
    check_served(settings.engine, server, model)
    about = {"revision": revision(model, resolve(model).path), "precision": precision}
    if (kind := quantisation(model)) is not None:
        about["quantisation"] = kind
    if server.context is not None:
        about["context"] = f"{server.context:,} tokens"
    console = stderr()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with served_backend(
        settings.engine,
        server,
        model,
        title=name or shown_name(model),
        about=about,
        precision=held,
        log=folder / "vllm.log",
        say=say,
    ) as backend:
        yield backend
