"""The models that a run asks for data: one in memory at a time, or behind a server."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence

from codecascade.generation.backend import Backend
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.engine.generator import LocalGenerator, load_generator
from codecascade.generation.loading import quantisation
from codecascade.generation.local_backend import LocalBackend
from codecascade.generation.requests import Completion, Request
from codecascade.ground.choices import Precision
from codecascade.ground.files.atomic import content_digest
from codecascade.model.sources import resolve, tokenizer_of
from codecascade.recipe.self_instruct import TeacherSettings
from codecascade.tokens.tokenizer import Tokenizer


class ModelSlot:
    """Room for the weights of one model: another one that is needed takes its place."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._generator: LocalGenerator | None = None

    def take(self, name: str, precision: Precision) -> LocalGenerator:
        if self._name != name or self._generator is None:
            self._generator = None
            gc.collect()
            self._generator, self._name = load_generator(name, precision=precision), name
        return self._generator


class LazyGenerator:
    """A generator that loads its weights at the first request. Its tokenizer is there from the start."""

    def __init__(self, slot: ModelSlot, name: str, precision: Precision) -> None:
        self._slot, self._name, self._precision = slot, name, precision
        self.tokenizer: Tokenizer = tokenizer_of(name)

    @property
    def context_length(self) -> int:
        return self._slot.take(self._name, self._precision).context_length

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        return self._slot.take(self._name, self._precision).generate(requests)


def open_teacher(
    teacher: TeacherSettings, model: str, slot: ModelSlot, precision: Precision = "auto"
) -> Backend:
    """The backend of a teacher.

    Args:
        model: what the model of a teacher without an endpoint is loaded from.

    Raises:
        UserError: there is no such model, or no such server.
    """
    if teacher.endpoint is not None:
        assert teacher.model is not None
        return Endpoint(teacher.endpoint, teacher.model)
    path = resolve(model).path
    about = {"revision": content_digest(path) if path is not None else "of the hub"}
    if (kind := quantisation(model)) is not None:
        about["quantisation"] = kind
    name = teacher.stage or (path.resolve().name.removesuffix(".gguf") if path is not None else model)
    return LocalBackend(LazyGenerator(slot, model, precision), name, about)
