"""A model behind an OpenAI-compatible HTTP server (vLLM, llama.cpp, OpenAI, our own) completes text.

One HTTP request a sample, several at a time; a server that caches prefixes shares the prefill.
Requests that fail for a passing reason (429, 5xx, dropped connections, silence) are repeated, each time later.

The key of a server that wants one is read from the environment variable ``OPENAI_API_KEY``.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codecascade.generation.backend import ChatPrompt, Prompt, TextCompletion, TextRequest
from codecascade.generation.bodies import CHARACTERS_PER_TOKEN, http_request, stops_after_text, trailing_space
from codecascade.generation.editor_stops import EditorStopper
from codecascade.generation.openai_server import (
    SHORT_SECONDS,
    Refused,
    ask,
    login_headers,
    served_context,
    server_url,
)
from codecascade.generation.replies import (
    Body,
    advice_on,
    choice_of,
    is_over_context,
    room_of,
    text_of,
    tokenized,
    tokens_of,
)
from codecascade.generation.transport import NoReplyError, Transport
from codecascade.ground.errors import RunFailed

_MOST_STOPS = 4
"""OpenAI's own servers take no more stop strings; the text is cut here in any case."""


@dataclass(frozen=True)
class _SampleJob:
    request_index: int
    number: int
    request: TextRequest


class Endpoint:
    """See :class:`~codecascade.generation.backend.Backend`.

    Args:
        url: of the server, with or without ``/v1``; a login in it is sent and shown nowhere.
        model: the name by which it serves the model.
        title: what tables call it; None: the same.
        concurrency: requests at a time.
        timeout: seconds for a whole answer, until a request counts as unanswered.
        attempts: how often a request is made before the run is given up.
        first_wait: seconds before the second attempt; each further wait is twice as long.

    Raises:
        UserError: there is no such server or no such model on it, or it wants another key.
    """

    infilling_formats = ("suffix",)
    is_chat = False  # the API does not tell; who knows says so by the settings

    def __init__(
        self,
        url: str,
        model: str,
        *,
        title: str | None = None,
        concurrency: int = 8,
        timeout: float = 300.0,
        attempts: int = 6,
        first_wait: float = 1.0,
    ) -> None:
        self.url = server_url(url)
        self.model = model
        self.name = title or model
        self._concurrency = concurrency
        self._timeout, self._attempts, self._first_wait = timeout, attempts, first_wait
        self._stops: int | None = None  # how many stop strings the server takes; None: any
        self._counts: dict[str, int] | None = {}  # of texts; None: the server does not count tokens
        self._transport = Transport(concurrency + 1, login_headers(url))
        self.context_length = served_context(
            self._transport, self.url, model, timeout=timeout, attempts=attempts, first_wait=first_wait
        )

    def describe(self) -> dict[str, str]:
        return {"endpoint": self.model, "address": self.url}

    def count_tokens(self, text: str) -> int:
        """As the server counts (vLLM and llama.cpp can be asked), else an estimate."""
        estimate = round(len(text) / CHARACTERS_PER_TOKEN)
        if self._counts is None:
            return estimate
        if text not in self._counts:
            count = self._counted(text)
            if count is None:
                self._counts = None
                return estimate
            self._counts[text] = count
        return self._counts[text]

    def _counted(self, text: str) -> int | None:
        body = {"model": self.model, "prompt": text, "content": text}
        try:
            seconds = min(self._timeout, SHORT_SECONDS)
            reply = self._transport.request("POST", f"{self.url}/tokenize", seconds, body)
            return tokenized(reply.json()) if reply.status == 200 else None
        except (NoReplyError, ValueError):
            return None

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        """Samples as they come.

        Raises:
            RunFailed: the server refuses a request, or does not answer one however often it is asked.
        """
        jobs: queue.SimpleQueue[_SampleJob] = queue.SimpleQueue()
        total = 0
        for index, request in enumerate(requests):
            for number in request.numbers:
                jobs.put(_SampleJob(index, number, request))
                total += 1
        completions: queue.SimpleQueue[TextCompletion | Exception] = queue.SimpleQueue()
        stopped = threading.Event()

        def work() -> None:
            while not stopped.is_set():
                try:
                    job = jobs.get_nowait()
                except queue.Empty:
                    return
                try:
                    completions.put(self._ask(job, stopped))
                except Exception as error:
                    completions.put(error)
                    return

        for _ in range(min(self._concurrency, total)):
            # Daemons: whoever stops does not wait for a server that hangs.
            threading.Thread(target=work, name="endpoint", daemon=True).start()
        try:
            for _ in range(total):
                completion = completions.get()
                if isinstance(completion, Exception):
                    raise completion
                yield completion
        finally:
            stopped.set()

    # ---- one sample

    def _ask(self, job: _SampleJob, stopped: threading.Event) -> TextCompletion:
        if owed := trailing_space(job.request.prompt):
            completion = self._ask_for(owed, job, stopped)
            if completion is not None:
                return completion
        completion = self._ask_for("", job, stopped)
        assert completion is not None
        return completion

    def _ask_for(self, owed: str, job: _SampleJob, stopped: threading.Event) -> TextCompletion | None:
        """A completion of the prompt without its end ``owed``, if it begins with that; else None."""
        path, body, stops = http_request(self.model, job.request, job.number, owed)
        while True:
            sent = dict(body)
            if "stop" in body and self._stops is not None:
                sent["stop"] = list(stops[: self._stops])
            try:
                return self._read(job, self._post(path, sent, stopped), stops, owed)
            except Refused as refusal:
                if self._stops is None and len(stops) > _MOST_STOPS and "stop" in refusal.message.lower():
                    self._stops = _MOST_STOPS
                elif is_over_context(refusal.message):
                    room = room_of(refusal.message)
                    if room is None or room < 1 or room >= body["max_tokens"]:
                        return TextCompletion(job.request_index, job.number, "", "context")
                    body["max_tokens"] = room  # as a model in memory does: up to the context's end
                else:
                    raise RunFailed(
                        f"{self.url}{path} refuses a request ({refusal}){advice_on(refusal.status, path)}"
                    ) from None

    def _post(self, path: str, body: Body, stopped: threading.Event) -> Body:
        return ask(
            self._transport,
            self.url,
            path,
            body,
            timeout=self._timeout,
            attempts=self._attempts,
            first_wait=self._first_wait,
            stopped=stopped,
        )

    def _read(
        self, job: _SampleJob, content: Body, stops: tuple[str, ...], owed: str
    ) -> TextCompletion | None:
        choice = choice_of(content)
        assert choice is not None
        text = text_of(choice) or ""
        if not text.startswith(owed):
            return None
        text = text.removeprefix(owed)
        first = len(text) - len(text.lstrip()) if stops_after_text(job.request.prompt) else 0
        ends = [at for stop in stops if (at := text.find(stop, first)) >= 0]
        text = text[: min(ends)] if ends else text
        text, cut = _cut_for_editors(job.request.prompt, text)
        is_cut = bool(ends) or cut
        length = choice.get("finish_reason") == "length" and not is_cut
        return TextCompletion(
            job.request_index,
            job.number,
            text,
            "length" if length else "stop",
            ended=not length and not is_cut and (not stops or choice.get("stop_reason", "") is None),
            tokens=tokens_of(content),
        )


def _cut_for_editors(prompt: Prompt, text: str) -> tuple[str, bool]:
    """The text up to where an editor wants it to end, which no server can be asked for; and whether it was cut."""
    stops = None if isinstance(prompt, ChatPrompt) else prompt.editor_stops
    if stops is None:
        return text, False
    stopper = EditorStopper(stops)
    kept = stopper.push(text) + stopper.finish()
    return kept, stopper.stopped_by is not None
