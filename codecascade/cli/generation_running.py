"""How the commands that use a model do their work: one text as it comes, or a file of many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecascade.cli.app import loading, stderr
from codecascade.ground.choices import Backend, Weights
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import read_jsonl, write_jsonl
from codecascade.ground.files.keyed_journal import Entry, KeyedJournal, digest_of
from codecascade.ground.files.paths import check_file_path, check_folder_path
from codecascade.ground.format import counted

if TYPE_CHECKING:
    from codecascade.generation.engine.generator import PassGenerator
    from codecascade.generation.requests import Completion, Request, SamplingParams
    from codecascade.tokens.messages import Message

_HEADER: Entry = {"format": 1}
"""Of journals. What an answer depends on is in its own digest."""


@dataclass(frozen=True)
class ModelOptions:
    """The model that a command uses, as the user names it, and how it is to be loaded."""

    name: str
    context: int | None
    weights: Weights
    backend: Backend

    def load(self) -> PassGenerator[Any]:
        """The model, while a line says that it is loaded.

        Raises:
            UserError: there is no such model, it can't be used, or the options exclude each other.
        """
        if self.backend != "torch" and self.weights != "auto":
            raise UserError("belongs to models that torch computes", key="--weights")
        with loading(self.name):
            if self.backend == "llama.cpp":
                from codecascade.generation.llama_cpp.loading import load_llama_cpp_generator

                return load_llama_cpp_generator(self.name, context=self.context)
            from codecascade.generation.engine.generator import load_generator

            return load_generator(self.name, context=self.context, precision=self.weights)

    def identity(self) -> Entry:
        """What an answer depends on besides the request."""
        from codecascade.generation.loading import revision
        from codecascade.model.sources import resolve

        return {
            "revision": revision(self.name, resolve(self.name).path),
            "context": self.context,
            "weights": self.weights,
            "backend": self.backend,
        }


def stream(model: ModelOptions, request: Callable[[PassGenerator[Any]], Request]) -> None:
    """Write one completion to standard output as it comes."""
    generator = model.load()
    for piece in generator.stream(request(generator)):
        write(piece)


class Talk:
    """A dialogue with a model, whose replies are written to standard output as they come.

    When the context is full, the oldest turns are left out.

    Raises:
        UserError: the model has no chat format.
    """

    def __init__(self, generator: PassGenerator[Any], sampling: SamplingParams, system: str | None) -> None:
        from codecascade.tokens.messages import Message

        self._generator, self._sampling = generator, sampling
        self._messages = [Message("system", system)] if system else []
        self._request([*self._messages, Message("user", "Hello")])

    def reply(self, text: str) -> None:
        """Reply to a message.

        Raises:
            UserError: the message alone leaves no room for a reply; it is as if it had not been said.
        """
        from codecascade.tokens.messages import Message, latest_turns

        asked = [*self._messages, Message("user", text)]
        kept = asked if self._fit(asked) else latest_turns(asked, self._fit)
        pieces: list[str] = []
        for piece in self._generator.stream(self._request(kept)):
            if not pieces and len(kept) < len(asked):
                stderr().print(
                    f"{counted(len(asked) - len(kept), 'old message')} left out: the context has "
                    f"{self._generator.context_length:,} tokens",
                    soft_wrap=True,
                )
            pieces.append(piece)
            write(piece)
        self._messages = [*kept, Message("assistant", "".join(pieces))]

    def _request(self, messages: Sequence[Message]) -> Request:
        from codecascade.generation.requests import chat_request

        return chat_request(self._generator.tokenizer, messages, self._sampling)

    def _fit(self, messages: Sequence[Message]) -> bool:
        """Whether there is room for a reply of the length asked for, or of half the context if that is less."""
        context = self._generator.context_length
        room = min(self._sampling.max_new_tokens, context // 2)
        return len(self._request(messages).ids) + room <= context


def batch(
    model: ModelOptions,
    source: Path | None,
    target: Path | None,
    fields: Sequence[str],
    request: Callable[[PassGenerator[Any], dict[str, str]], Request],
) -> None:
    """Answer every row of ``source``; ``target`` has the same rows with ``completion``, in the same order.

    Answers are kept in ``target.journal`` as they come. The same command goes on with it, whatever ended it.
    """
    if source is None or target is None:
        raise UserError("--jsonl IN and -o OUT belong together")
    if target.is_dir():
        raise UserError("is a folder; name a file", file=target, key="-o")
    kept = target.with_name(f"{target.name}.journal")
    check_folder_path(target.parent)
    check_file_path(kept)
    rows: list[dict[str, Any]] = []
    for number, row in read_jsonl(source):
        for field in fields:
            if not isinstance(row.get(field), str):
                raise UserError("must be there and be text", file=f"{source}:{number}", key=field)
        rows.append(row)
    generator = model.load()
    requests = [request(generator, row) for row in rows]

    with KeyedJournal(kept, _HEADER) as journal:
        for row, answer in zip(rows, _answers(generator, requests, model.identity(), journal), strict=True):
            row |= answer
        write_jsonl(target, rows)
    # Others may have written the same rows.
    kept.unlink(missing_ok=True)
    if too_long := sum(row["finish_reason"] == "context" for row in rows):
        stderr().print(
            f"{too_long} prompts exceed the model's context of {generator.context_length:,} tokens"
        )


def _answers(
    generator: PassGenerator[Any], requests: Sequence[Request], identity: Entry, journal: KeyedJournal
) -> list[Entry]:
    """``completion`` and ``finish_reason`` of each request: from the journal, or else from the model."""
    digests = [digest_of(identity, repr(each)) for each in requests]
    kept = {index: journal.find(str(index), digest) for index, digest in enumerate(digests)}
    answers = {index: answer for index, answer in kept.items() if answer is not None}
    if answers:
        stderr().print(f"{len(answers):,} of {len(requests):,} were answered before", soft_wrap=True)
    missing = [index for index in kept if index not in answers]
    for completion in _shown(generator.generate([requests[index] for index in missing]), len(missing)):
        index = missing[completion.request]
        answers[index] = {"completion": completion.text, "finish_reason": completion.finish_reason}
        journal.keep(str(index), digests[index], answers[index])
    return [answers[index] for index in range(len(requests))]


def _shown(completions: Iterable[Completion], total: int) -> Iterator[Completion]:
    """Completions as they come, with a bar, or with lines where there is no terminal."""
    from codecascade.generation.progress_lines import ProgressLines

    console = stderr()
    if console.is_terminal:
        from rich.progress import track

        yield from track(completions, "generating", total, console=console, transient=True)
        return
    with ProgressLines("generating", total, lambda line: console.print(line, soft_wrap=True)) as progress:
        for completion in completions:
            progress.advance()
            yield completion


def write(text: str) -> None:
    """Write a piece of a text to standard output at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
