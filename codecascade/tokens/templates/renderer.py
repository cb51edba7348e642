"""Asks the process that renders chat templates (``worker.py``), and ends it where it takes too long."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import first_words

_WORKER = Path(__file__).with_name("worker.py")
# Of processor time a request. A template of a well-known family takes a few milliseconds.
CPU_SECONDS = 3.0
# Of waiting, on however busy a machine.
_WALL_SECONDS = 90.0
_MEMORY = 768 << 20
# What a template may write: so many characters, and so many for each character of the messages.
_CHARACTERS, _TIMES = 1 << 20, 8
# What is rendered in one request, in characters of messages; each message counts as so many more. With many turns,
# the parts of a dialogue that are rendered are together far longer than the dialogue.
_REQUEST, _REQUEST_TIMES, _MESSAGE = 1 << 20, 8, 64


class RenderingTooLarge(UserError):
    """A template takes too much processor time or memory: its own fault, or that of a dialogue without measure."""


@dataclass(frozen=True)
class Rendered:
    """A dialogue as a template writes it.

    Attributes:
        text: what the template wrote; empty where it refused.
        spans: the template's ``{% generation %}`` blocks, in characters.
        error: why the template refused the dialogue.
    """

    text: str = ""
    spans: tuple[tuple[int, int], ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Compared:
    """A part of a dialogue as a template writes it, beside the whole dialogue.

    Attributes:
        length: of what the template wrote, in characters.
        common: characters with which that and the whole dialogue begin together.
        error: why the template refused the part.
    """

    length: int = 0
    common: int = 0
    error: str | None = None

    @property
    def begins_it(self) -> bool:
        """Whether the whole dialogue begins with all of the part."""
        return self.error is None and self.common == self.length


class Renderer:
    """One process that renders; started when it is first asked, and again after it was ended.

    Args:
        cpu_seconds: processor time a request may take.
    """

    def __init__(self, cpu_seconds: float = CPU_SECONDS) -> None:
        self.cpu_seconds = cpu_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, template: str, renders: Sequence[Mapping[str, Any]]) -> list[Rendered]:
        """What a template writes with each of several sets of variables.

        Raises:
            UserError: the template can't be read.
            RenderingTooLarge: it takes too much time or memory.
        """
        size = max((_size(variables) for variables in renders), default=0)
        request = {
            "task": "render",
            "template": template,
            "renders": list(renders),
            "characters": _CHARACTERS + _TIMES * size,
        }
        return [_rendered(each) for each in self._ask(request)]

    def compare(
        self, template: str, variables: Mapping[str, Any], ways: Sequence[tuple[int, bool]]
    ) -> tuple[Rendered, list[Compared]]:
        """What a template writes for a dialogue, and how its writing of parts of the dialogue is alike.

        Args:
            variables: of the whole dialogue.
            ways: for each part how many of the messages it has, and whether a reply is to follow.

        Raises as :meth:`render`.
        """
        request = {
            "task": "compare",
            "template": template,
            "variables": variables,
            "characters": _CHARACTERS + _TIMES * _size(variables),
        }
        whole, others = Rendered(), []
        for some in _requests(variables["messages"], ways):
            answer = self._ask({**request, "ways": some})
            whole = _rendered(answer["whole"])
            others += [Compared(**each) for each in answer["others"]]
        return whole, others

    def literals(self, template: str) -> list[str]:
        """The strings that a template's expressions name. Raises as :meth:`render`."""
        strings: list[str] = self._ask({"task": "literals", "template": template})
        return strings

    def close(self) -> None:
        """End the process; it is started again when it is needed."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def forget(self) -> None:
        """Leave the process to whoever has it, too: after a fork, two would read the answers of one.

        The lock may have been held by a thread that the new process does not have.
        """
        self._process, self._lock = None, threading.Lock()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            try:
                reply = json.loads(self._exchange(line))
            except BaseException:
                # whatever happened, the next request must not find this one's answer
                self.close()
                raise
        if "error" in reply:
            raise _refused(reply["error"], RenderingTooLarge if reply.get("too_large") else UserError)
        return reply["result"]

    def _exchange(self, line: bytes) -> bytes:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(line)
            process.stdin.flush()
        answer, deadline = bytearray(), time.monotonic() + _WALL_SECONDS
        # not select(), which knows only the first 1,024 files of a busy server
        ready = select.poll()
        ready.register(process.stdout, select.POLLIN)
        while not answer.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not ready.poll(1000 * left):
                raise _refused(f"was not rendered within {_WALL_SECONDS:g} s")
            chunk = os.read(process.stdout.fileno(), 1 << 20)
            if not chunk:
                raise self._ended(process)
            answer += chunk
        return bytes(answer)

    def _ended(self, process: subprocess.Popen[bytes]) -> UserError:
        code = process.wait()
        if code == -signal.SIGPROF:
            reason = f"takes more than {self.cpu_seconds:g} s of processor time"
            return _refused(reason, RenderingTooLarge)
        return _refused(f"broke the process that renders it (exit code {code})", RenderingTooLarge)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                # -P: nothing is imported from the worker's own folder
                [sys.executable, "-P", str(_WORKER), str(self.cpu_seconds), str(_MEMORY)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process


RENDERER = Renderer()
atexit.register(RENDERER.close)
os.register_at_fork(after_in_child=RENDERER.forget)


def _size(variables: Mapping[str, Any]) -> int:
    return sum(len(message["content"]) for message in variables.get("messages", ()))


def _requests(
    messages: Sequence[Mapping[str, Any]], ways: Sequence[tuple[int, bool]]
) -> Iterator[list[tuple[int, bool]]]:
    """``ways`` in lists, each of as much as is rendered in one request; at least one list."""
    sizes = list(accumulate((len(message["content"]) + _MESSAGE for message in messages), initial=0))
    most = max(_REQUEST, _REQUEST_TIMES * sizes[-1])
    some: list[tuple[int, bool]] = []
    size = 0
    for count, reply in ways:
        if some and size + sizes[count] > most:
            yield some
            some, size = [], 0
        some.append((count, reply))
        size += sizes[count]
    yield some


def _rendered(answer: Mapping[str, Any]) -> Rendered:
    spans = tuple((start, end) for start, end in answer.get("spans", ()))
    return Rendered(answer.get("text", ""), spans, answer.get("error"))


def _refused(reason: str, kind: type[UserError] = UserError) -> UserError:
    return kind(f"the tokenizer's chat template {first_words(Exception(reason))}", key="chat_template")
