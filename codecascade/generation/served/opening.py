"""Opens a model behind a server as a backend: starts vLLM on it, or asks a server that is there already."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch

from codecascade.generation.backend import Backend, TextCompletion, TextRequest
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.local_backend import LocalBackend
from codecascade.generation.openai_server import SHORT_SECONDS, login_headers, server_url
from codecascade.generation.progress_lines import INTERVAL
from codecascade.generation.replies import models_of
from codecascade.generation.served.generator import ServedGenerator, ServerAddress
from codecascade.generation.served.settings import VLLM, ServerSettings
from codecascade.generation.served.vllm import Vllm, check_installed, start, tensor_parallel
from codecascade.generation.transport import NoReplyError, Transport, plain
from codecascade.ground.choices import Precision
from codecascade.ground.errors import UserError
from codecascade.ground.format import listed
from codecascade.model.config import LlamaConfig
from codecascade.model.sources import config_of, resolve, tokenizer_of
from codecascade.tokens.tokenizer import Tokenizer

_MOST_NAMES = 20


def check_served(engine: str, settings: ServerSettings, model: str) -> None:
    """See, before anything is started, that a model can be measured by this engine.

    Args:
        engine: ``vllm``, or a server's address.
        model: a folder or a name on the hub; for a server that is there anything that is a model.

    Raises:
        UserError: it can't.
    """
    config = _served_config(model, engine)
    if engine == VLLM:
        check_installed(settings)
        tensor_parallel(settings, config, torch.cuda.device_count())
    else:
        server_url(engine)


@contextmanager
def served_backend(
    engine: str,
    settings: ServerSettings,
    model: str,
    *,
    title: str,
    about: dict[str, str],
    precision: Precision,
    log: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Backend]:
    """A backend for as long as the context is open. The server is started or looked for at the first request.

    Args:
        engine: ``vllm``, or the address of a server.
        model: a folder or a name on the hub; for a server that is there anything that is a model.
        title: what tables call it; also a name by which a server may know it.
        about: what :meth:`~codecascade.generation.backend.Backend.describe` tells besides the engine.
        log: a file for what vLLM prints.
        say: called with a line when there is something to tell, and every 15 s while vLLM starts.

    Raises:
        UserError: the model or the settings do not suit it.
    """
    config, tokenizer = _served_config(model, engine), tokenizer_of(model)
    context = settings.context or config.max_position_embeddings
    if engine != VLLM:
        yield _of_server(engine, settings, model, tokenizer, context, title, about)
        return
    running: list[Vllm] = []
    about = {**about, "engine": VLLM}

    def connect() -> ServerAddress:
        devices = torch.cuda.device_count()
        count = tensor_parallel(settings, config, devices)
        say(f"{title}: vLLM starts on {count} device{'s' if count > 1 else ''}; its log is {log}")
        made = start(
            settings,
            model,
            config,
            precision=precision,
            devices=devices,
            log=log,
            waiting=_every_interval(say),
        )
        running.append(made)
        about["engine version"] = made.version
        return ServerAddress(made.url, made.name, made.key, made.process.check)

    try:
        yield LocalBackend(_generator(tokenizer, context, connect, settings), title, about)
    finally:
        for each in running:
            each.close()


def _every_interval(say: Callable[[str], None]) -> Callable[[str], None]:
    """Says where the start of vLLM is, but not each time that it is called."""
    said = time.monotonic()

    def waiting(line: str) -> None:
        nonlocal said
        if time.monotonic() - said >= INTERVAL:
            said = time.monotonic()
            say(f"vLLM starts, {line}")

    return waiting


def _of_server(
    url: str,
    settings: ServerSettings,
    model: str,
    tokenizer: Tokenizer,
    context: int,
    title: str,
    about: dict[str, str],
) -> Backend:
    names = [settings.model] if settings.model is not None else [title, model, str(Path(model).resolve())]

    def connect() -> ServerAddress:
        return ServerAddress(url, _served_name(url, names, model))

    about = {**about, "engine": "server", "address": server_url(url)}
    if settings.prompts == "text":
        return _TextBackend(connect, settings, tokenizer, context, title, about)
    return LocalBackend(_generator(tokenizer, context, connect, settings), title, about)


def _generator(
    tokenizer: Tokenizer, context: int, connect: Callable[[], ServerAddress], settings: ServerSettings
) -> ServedGenerator:
    return ServedGenerator(
        tokenizer,
        context,
        connect,
        concurrency=settings.concurrency,
        timeout=settings.answer_minutes * 60,
    )


class _TextBackend:
    """A server that takes texts only; see :class:`~codecascade.generation.backend.Backend`.

    What the model is and how it counts is known from its folder, so the server is asked at the first request.
    """

    infilling_formats = ("suffix",)

    def __init__(
        self,
        connect: Callable[[], ServerAddress],
        settings: ServerSettings,
        tokenizer: Tokenizer,
        context: int,
        title: str,
        about: dict[str, str],
    ) -> None:
        self.name, self.context_length = title, context
        self.is_chat = tokenizer.chat_format is not None
        self._connect, self._settings, self._tokenizer = connect, settings, tokenizer
        self._about = about

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    def describe(self) -> dict[str, str]:
        return {**self._about, "endpoint": self.name}

    @cached_property
    def _endpoint(self) -> Endpoint:
        server = self._connect()
        return Endpoint(
            server.url,
            server.model,
            title=self.name,
            concurrency=self._settings.concurrency,
            timeout=self._settings.answer_minutes * 60,
        )

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        return self._endpoint.complete(requests)


def _served_config(model: str, engine: str) -> LlamaConfig:
    """The shape of a model that other programs can serve.

    Raises:
        UserError: they can't.
    """
    source = resolve(model)
    if engine == VLLM and source.kind not in ("folder", "hub"):
        raise UserError(
            "is no folder in Hugging Face's form, which is what vLLM reads; write one: codecascade convert "
            f"{model} FOLDER --to hf, and name that folder",
            file=model,
        )
    config = config_of(model)
    if config is None:
        raise UserError("can't be reached on the hub; name a local folder", file=model)
    return config


def _served_name(url: str, names: Sequence[str], model: str) -> str:
    """The first of ``names`` that a server has a model of.

    Raises:
        UserError: it has none of them, or can't be asked.
    """
    address = f"{server_url(url)}/v1/models"
    try:
        reply = Transport(1, login_headers(url)).request("GET", address, SHORT_SECONDS)
        found = models_of(reply.json()) if reply.status == 200 else None
    except (NoReplyError, ValueError) as error:
        raise UserError(
            f"can't be asked for its models ({error}); is the server running?", file=address
        ) from None
    if found is None:
        raise UserError(
            f"answers {reply.status} instead of a list of its models; a key goes into the environment variable "
            "OPENAI_API_KEY",
            file=address,
        )
    for name in names:
        if name in found:
            return name
    served = listed([plain(name, 100) for name in found], _MOST_NAMES) or "none"
    raise UserError(
        f"serves no {' and no '.join(map(repr, dict.fromkeys(names)))}; it has {served}. Serve the model there, for "
        f"example by: vllm serve {model} --served-model-name {names[0]}; then run the same command again. Or say "
        "what it is called there: model in [evaluate.server]",
        file=address,
    )
