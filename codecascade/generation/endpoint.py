"""A model behind an OpenAI-compatible HTTP server (vLLM, llama.cpp, OpenAI, our own) answers questions.

Prompts go as text: a continuation to ``/v1/completions``, a gap there too, with its ``suffix``, a dialogue to
``/v1/chat/completions``. One request a sample, several at a time; a server that caches prefixes shares the prefill.
Requests that fail for a passing reason (429, 5xx, dropped connections, silence) are repeated, each time later.

White space at the end of a prompt is a token of its own that models hardly ever saw there (theirs holds the indent,
too), and no server heals it. So it is not sent: the answer has to begin with it. Where it does not, the prompt is
sent whole.

The key of a server that wants one is read from the environment variable ``OPENAI_API_KEY``.
"""

from __future__ import annotations

import json
import os
import queue
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import httpx2

from codecascade.errors import RunFailed, UserError
from codecascade.generation.prompts import Answer, Continuation, Dialogue, Gap, Prompt, Question

Body = dict[str, Any]

_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_MOST_STOPS = 4
"""OpenAI's own servers take no more stop strings; the text is cut here in any case."""

_CONNECT_SECONDS = 10.0
_SHORT_SECONDS = 30.0  # for what needs no generation
_LONGEST_WAIT = 60.0
_CHARACTERS_PER_TOKEN = 3.2  # of code, about
_CONTEXT = re.compile(
    r"context.{0,20}(length|window|size)|maximum context|exceed_context|too many tokens", re.IGNORECASE
)
_MAXIMUM = re.compile(r"maximum context length is (\d+)|context window of (\d+)", re.IGNORECASE)
_PROMPT_TOKENS = re.compile(
    r"(\d+) in (?:the |your )?(?:messages|prompt)|has (\d+) input tokens", re.IGNORECASE
)


class _Refused(Exception):
    """The server's answer to a request that it will not answer otherwise if asked again."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(f"{status}: {message}")


@dataclass(frozen=True)
class _Job:
    place: int
    number: int
    question: Question


class Endpoint:
    """See :class:`~codecascade.generation.prompts.Backend`.

    Args:
        url: of the server, with or without ``/v1``.
        model: the name by which it serves the model.
        title: what tables call it; None: the same.
        concurrency: requests at a time.
        timeout: seconds in which nothing comes, until a request counts as unanswered.
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
        self.url = url.rstrip("/").removesuffix("/v1")
        if not re.match(r"https?://[^/]", self.url):
            raise UserError(f"must be a URL such as http://localhost:8000 (got {url!r})", key="--endpoint")
        self.model = model
        self.name = title or model
        self.context_length: int | None = None
        self._concurrency = concurrency
        self._timeout, self._attempts, self._first_wait = timeout, attempts, first_wait
        self._stops: int | None = None  # how many stop strings the server takes; None: any
        self._counts: dict[str, int] | None = {}  # of texts; None: the server does not count tokens
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not (key.isascii() and key.isprintable()):
            raise UserError("holds characters that no key has", key="OPENAI_API_KEY")
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(timeout, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=concurrency + 1),
            headers={"Authorization": f"Bearer {key}"} if key else None,
        )
        self._look()

    def describe(self) -> dict[str, str]:
        return {"endpoint": self.model, "address": self.url}

    def count_tokens(self, text: str) -> int:
        """As the server counts (vLLM and llama.cpp can be asked), else an estimate."""
        estimate = round(len(text) / _CHARACTERS_PER_TOKEN)
        if self._counts is None:
            return estimate
        if text not in self._counts:
            try:
                response = self._client.post(
                    f"{self.url}/tokenize",
                    json={"model": self.model, "prompt": text, "content": text},
                    timeout=min(self._timeout, _SHORT_SECONDS),
                )
                content = response.json() if response.status_code == 200 else {}
                self._counts[text] = int(content.get("count") or len(content["tokens"]))
            except (httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError):
                self._counts = None
                return estimate
        return self._counts[text]

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Samples as they come.

        Raises:
            RunFailed: the server refuses a request, or does not answer one however often it is asked.
        """
        jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        total = 0
        for place, question in enumerate(questions):
            for number in question.numbers:
                jobs.put(_Job(place, number, question))
                total += 1
        answers: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()
        stopped = threading.Event()

        def work() -> None:
            while not stopped.is_set():
                try:
                    job = jobs.get_nowait()
                except queue.Empty:
                    return
                try:
                    answers.put(self._ask(job, stopped))
                except Exception as error:
                    answers.put(error)
                    return

        for _ in range(min(self._concurrency, total)):
            # Daemons: whoever stops does not wait for a server that hangs.
            threading.Thread(target=work, name="endpoint", daemon=True).start()
        try:
            for _ in range(total):
                answer = answers.get()
                if isinstance(answer, Exception):
                    raise answer
                yield answer
        finally:
            stopped.set()

    # ---- one sample

    def _ask(self, job: _Job, stopped: threading.Event) -> Answer:
        if owed := _owed(job.question.prompt):
            answer = self._ask_for(owed, job, stopped)
            if answer is not None:
                return answer
        answer = self._ask_for("", job, stopped)
        assert answer is not None
        return answer

    def _ask_for(self, owed: str, job: _Job, stopped: threading.Event) -> Answer | None:
        """An answer to the prompt without its end ``owed``, if it begins with that; else None."""
        path, body, stops = self._request(job, owed)
        while True:
            sent = dict(body)
            if "stop" in body and self._stops is not None:
                sent["stop"] = list(stops[: self._stops])
            try:
                return self._read(job, self._post(path, sent, stopped), stops, owed)
            except _Refused as refusal:
                if self._stops is None and len(stops) > _MOST_STOPS and "stop" in refusal.message.lower():
                    self._stops = _MOST_STOPS
                elif _CONTEXT.search(refusal.message):
                    room = _room(refusal.message)
                    if room is None or room < 1 or room >= body["max_tokens"]:
                        return Answer(job.place, job.number, "", "context")
                    body["max_tokens"] = room  # as a model in memory does: up to the context's end
                else:
                    raise RunFailed(
                        f"{self.url}{path} refuses a request ({refusal}){_advice(refusal.status, path)}"
                    ) from None

    def _request(self, job: _Job, owed: str) -> tuple[str, Body, tuple[str, ...]]:
        """Path, body and the stop strings that end the text; the prompt is sent without ``owed``, its end."""
        prompt, sampling = job.question.prompt, job.question.sampling
        body: Body = {
            "model": self.model,
            "max_tokens": sampling.max_new_tokens + len(owed),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": _seed(sampling.seed, job.number),
        }
        if isinstance(prompt, Dialogue):
            messages = [{"role": each.role, "content": each.content} for each in prompt.messages]
            return "/v1/chat/completions", {**body, "messages": messages}, ()
        if isinstance(prompt, Continuation):
            body["prompt"] = prompt.prompt.removesuffix(owed)
        else:
            assert isinstance(prompt, Gap)
            body |= {"prompt": prompt.prefix, "suffix": prompt.suffix}
        if prompt.stop and not _stops_after_text(prompt):
            body["stop"] = list(prompt.stop)
        return "/v1/completions", body, prompt.stop

    def _read(self, job: _Job, content: Body, stops: tuple[str, ...], owed: str) -> Answer | None:
        choice = content["choices"][0]
        text = _text(choice)
        if not text.startswith(owed):
            return None
        text = text.removeprefix(owed)
        first = len(text) - len(text.lstrip()) if _stops_after_text(job.question.prompt) else 0
        ends = [at for stop in stops if (at := text.find(stop, first)) >= 0]
        length = choice.get("finish_reason") == "length" and not ends
        return Answer(
            job.place,
            job.number,
            text[: min(ends)] if ends else text,
            "length" if length else "stop",
            ended=not length and not ends and (not stops or choice.get("stop_reason", "") is None),
            tokens=_tokens(content.get("usage")),
        )

    # ---- HTTP

    def _post(self, path: str, body: Body, stopped: threading.Event) -> Body:
        """The server's answer, asked again as long as the reason for there being none may pass."""
        for attempt in range(1, self._attempts + 1):
            wait = self._first_wait * 2 ** (attempt - 1)
            try:
                response = self._client.post(self.url + path, json=body)
                if response.status_code == 200:
                    content: Body = response.json()
                    if _is_answer(content):
                        return content
                    reason = f"an answer without a text: {response.text[:200]}"
                elif response.status_code in _PASSING and not _CONTEXT.search(_message(response)):
                    reason = f"{response.status_code}: {_message(response)}"
                    wait = max(wait, _retry_after(response))
                else:
                    there = (
                        f"sends to {response.headers['Location']}" if response.has_redirect_location else ""
                    )
                    raise _Refused(response.status_code, there or _message(response))
            except ValueError:
                reason = "an answer that is no JSON"
            except httpx2.TimeoutException:
                reason = f"no answer within {self._timeout:g} s"
            except httpx2.TransportError as error:
                reason = _cause(error)
            if attempt < self._attempts and stopped.wait(min(wait, _LONGEST_WAIT)):
                break
        raise RunFailed(
            f"{self.url} gave no answer in {self._attempts} attempts, at last: {reason}. What was answered is kept; "
            "run the same command again to continue"
        )

    def _look(self) -> None:
        """See that the server is there and has the model."""
        url = f"{self.url}/v1/models"
        for attempt in range(self._attempts):
            try:
                response = self._client.get(url, timeout=min(self._timeout, _SHORT_SECONDS))
            except httpx2.TimeoutException:
                raise UserError(
                    "does not answer; is the server busy or the address another's?", file=url
                ) from None
            except (httpx2.TransportError, httpx2.InvalidURL) as error:
                raise UserError(
                    f"can't be reached ({_cause(error)}); is the server running?", file=url
                ) from None
            if response.status_code not in _PASSING:
                break
            if attempt + 1 < self._attempts:
                time.sleep(min(self._first_wait * 2**attempt, _LONGEST_WAIT))
        if response.is_redirect:
            there = str(response.headers.get("Location", "")).removesuffix("/v1/models")
            raise UserError(f"sends elsewhere; name that address: --endpoint {there}", file=url)
        if response.status_code in (401, 403):
            raise UserError("wants a key: set the environment variable OPENAI_API_KEY", file=url)
        if response.status_code == 404:
            return  # a server that has no list of its models
        if response.status_code != 200:
            raise UserError(f"answers {response.status_code}: {_message(response)}", file=url)
        try:
            models = {each["id"]: each for each in response.json()["data"]}
        except (ValueError, KeyError, TypeError):
            raise UserError("is no OpenAI-compatible server (its list of models is none)", file=url) from None
        if self.model not in models:
            raise UserError(
                f"serves no model {self.model!r}; it has {', '.join(models) or 'none'}",
                file=url,
                key="--model",
            )
        size = models[self.model].get("max_model_len")
        self.context_length = size if isinstance(size, int) else None


def _owed(prompt: Prompt) -> str:
    """The white space at the end of a continuation's prompt, which the answer can begin with instead.

    "" where that would not do: nothing else is there, or a stop string would end the answer in it.
    """
    if not isinstance(prompt, Continuation):
        return ""
    end = prompt.prompt[len(prompt.prompt.rstrip()) :]
    return "" if end == prompt.prompt or any(stop in end for stop in prompt.stop) else end


def _stops_after_text(prompt: Prompt) -> bool:
    """Whether stop strings count only behind some text, which no server can be asked for."""
    return isinstance(prompt, Continuation) and prompt.stop_after_text


def _text(choice: Body) -> str:
    """What a choice says; "" where a reply has no content."""
    text: str | None = choice["message"]["content"] if "message" in choice else choice["text"]
    return text or ""


def _is_answer(content: Any) -> bool:
    """Whether a body has a choice with a text in one of the two forms."""
    try:
        return isinstance(_text(content["choices"][0]), str)
    except (KeyError, IndexError, TypeError):
        return False


def _tokens(usage: Any) -> int:
    """Tokens that were generated, if the server counts them."""
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else 0


def _advice(status: int, path: str) -> str:
    """What to do about a refusal, where that is known."""
    if status in (401, 403):
        return "; set the environment variable OPENAI_API_KEY to a key that it takes, and run the same command again"
    if status in (404, 405, 501) and path == "/v1/completions":
        return "; a server that only chats is asked with --chat always"
    return ""


def _seed(seed: int, number: int) -> int:
    """A seed of each sample's own, as small as servers take."""
    digest = blake2b(f"{seed},{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) & 0x7FFFFFFF


def _message(response: httpx2.Response) -> str:
    """What the server says is wrong."""
    try:
        content = response.json()
        error = content.get("error", content)
        text = error if isinstance(error, str) else error.get("message") or json.dumps(error)
        kind = "" if isinstance(error, str) else str(error.get("type") or "")
        return f"{text} ({kind})" if "context" in kind else str(text)
    except (ValueError, AttributeError):
        return response.text[:200].strip() or response.reason_phrase


def _room(message: str) -> int | None:
    """Tokens that the context has left after the prompt, if the refusal tells."""
    maximum, prompt = _MAXIMUM.search(message), _PROMPT_TOKENS.search(message)
    if maximum is None or prompt is None:
        return None
    return int(maximum[1] or maximum[2]) - int(prompt[1] or prompt[2])


def _retry_after(response: httpx2.Response) -> float:
    try:
        return float(response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0


def _cause(error: Exception) -> str:
    text = str(error).strip()
    return text or type(error).__name__
