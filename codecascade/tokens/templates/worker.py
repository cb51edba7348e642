"""The process that renders chat templates; a program of its own that imports nothing of ours.

A template is an untrusted program that comes with a model. Jinja's sandbox keeps it from Python's
internals, but not from endless loops, from texts that double until memory is full, or from recursion that breaks the
interpreter. So it runs here, where the kernel ends what takes too long or too much: processor time a request
(``SIGPROF``), address space, output, no new files. What breaks this process breaks nothing else.

Each line of standard input is a JSON object with ``task``; each line of standard output is ``{"result": ...}`` or
``{"error": "..."}``, with ``too_large`` where the memory was too small. The arguments are seconds of processor time a
request, and bytes of memory.
"""

from __future__ import annotations

import codecs
import importlib
import json
import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.debug
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import jinja2.utils

PARENT_IS_LOOKED_AT = 5.0
"""Seconds."""


class GenerationBlocks(jinja2.ext.Extension):
    """``{% generation %} ... {% endgeneration %}``: what the assistant writes, in templates that mark it.

    ``spans`` are the blocks of the rendering in progress, in characters; ``written`` is the text before them.
    """

    tags = {"generation"}  # noqa: RUF012  (Jinja's own form)

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self.written = 0
        self.spans: list[tuple[int, int]] = []

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_block"), [], [], body).set_lineno(line)

    def _block(self, caller: Callable[[], str]) -> str:
        text = caller()
        self.spans.append((self.written, self.written + len(text)))
        return text


class SafeNamespace(jinja2.utils.Namespace):
    """``namespace()`` without names that begin with an underscore, as in transformers."""

    def __init__(*args: Any, **values: Any) -> None:
        self, *rest = args
        values = dict(*rest, **values)
        for name in values:
            SafeNamespace._check(name)
        jinja2.utils.Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        SafeNamespace._check(name)
        super().__setitem__(name, value)

    @staticmethod
    def _check(name: str) -> None:
        if name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace has no attribute {name!r}")


class SafeDict:
    """``dict()``, and nothing else of the class."""

    def __call__(self, *args: Any, **values: Any) -> dict[Any, Any]:
        return dict(*args, **values)


def raise_exception(message: str) -> None:
    """How a template refuses a dialogue."""
    raise jinja2.exceptions.TemplateError(message)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The ``tojson`` of chat templates, which escapes nothing for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def environment() -> jinja2.Environment:
    """What transformers renders chat templates with."""
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlocks, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = to_json
    made.globals.update(
        raise_exception=raise_exception,
        strftime_now=lambda form: datetime.now().strftime(form),
        dict=SafeDict(),
        namespace=SafeNamespace,
    )
    return made


ENVIRONMENT = environment()


@lru_cache(maxsize=8)
def compiled(template: str) -> jinja2.Template:
    """A template, ready to render."""
    return ENVIRONMENT.from_string(template)


def render(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The ``text`` and ``spans``, or the ``error``, of each of ``renders``: a template's variables."""
    template = compiled(request["template"])
    return [render_one(template, variables, request["characters"]) for variables in request["renders"]]


def render_one(template: jinja2.Template, variables: dict[str, Any], most: int) -> dict[str, Any]:
    """One rendering, of at most so many characters."""
    blocks = ENVIRONMENT.extensions[GenerationBlocks.identifier]
    assert isinstance(blocks, GenerationBlocks)
    blocks.written, blocks.spans = 0, []
    written = []
    try:
        for text in template.generate(**variables):
            written.append(text)
            blocks.written += len(text)
            if blocks.written > most:
                return {"error": f"writes more than {most:,} characters"}
    except (MemoryError, RecursionError):
        raise
    except jinja2.exceptions.TemplateError as error:
        return {"error": error.message or type(error).__name__}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:1000]}
    return {"text": "".join(written), "spans": blocks.spans}


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """The ``whole`` dialogue rendered, and of each of ``ways`` (so many messages, for a reply) how it is alike.

    ``length`` and ``common`` are characters: of the rendering, and of those with which both begin. So a dialogue is
    asked for and sent once, and two renderings are in memory at a time, however many turns it has.
    """
    template, variables = compiled(request["template"]), request["variables"]
    whole = render_one(template, variables, request["characters"])
    others = []
    for count, reply in request["ways"]:
        part = {**variables, "messages": variables["messages"][:count], "add_generation_prompt": reply}
        other = render_one(template, part, request["characters"])
        text = other.get("text", "")
        alike = {"length": len(text), "common": common_start(whole.get("text", ""), text)}
        others.append({"error": other["error"]} if "error" in other else alike)
    return {"whole": whole, "others": others}


def common_start(first: str, second: str) -> int:
    """How many characters two texts begin with together."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def literals(request: dict[str, Any]) -> list[str]:
    """The strings that a template's expressions name."""
    tree = ENVIRONMENT.parse(request["template"])
    return sorted({node.value for node in tree.find_all(jinja2.nodes.Const) if isinstance(node.value, str)})


# Modules that Jinja, Python's strings and \N{...} import when they first need them, and encodings of text.
_IMPORTED = ("html", "jinja2.constants", "pprint", "textwrap", "unicodedata")
_ENCODINGS = (
    *("ascii", "latin-1", "cp1252", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"),
    *("utf-32-be", "idna", "punycode", "unicode-escape", "raw-unicode-escape"),
)
_EVERYTHING = (
    r"{% set name = namespace(found='\n\u2581') %}{% macro show(x) %}{{ x | trim | tojson }}{% endmacro %}"
    "{% for item in items | map('upper') | sort if item %}{{ show(item) ~ loop.index }}{% endfor %}"
    "{% generation %}{{ date[1:] | replace('a', 'b') | indent }}{% endgeneration %}"
    "{{ '%s'|format(items | length) if items is sequence }}"
)

TASKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "render": render,
    "compare": compare,
    "literals": literals,
}


def answer(line: bytes) -> str:
    """The line that answers a request."""
    try:
        request = json.loads(line)
        return json.dumps({"result": TASKS[request["task"]](request)})
    except jinja2.exceptions.TemplateSyntaxError as error:
        return json.dumps({"error": f"line {error.lineno}: {error.message}"})
    except MemoryError:
        return json.dumps({"error": "takes more memory than any chat template needs", "too_large": True})
    except RecursionError:
        return json.dumps({"error": "calls itself without an end"})
    except Exception as error:
        return json.dumps({"error": f"{type(error).__name__}: {error}"[:1000]})


def confine(memory: int) -> None:
    """No more memory, and no files beyond the three streams; what a system can't limit stays as it is."""
    # What Jinja and Python load when they first need it has to be there before no file can be opened.
    for module in _IMPORTED:
        importlib.import_module(module)
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    ENVIRONMENT.from_string(_EVERYTHING).render(items=["x"], date=datetime.now().strftime("%c %Z"))
    limits = {"AS": memory, "FSIZE": 0, "CORE": 0, "NOFILE": 3}
    for name, limit in limits.items():
        with suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


def lines() -> Iterator[bytes]:
    """The lines of standard input, until it ends or the process that started this one is gone."""
    parent, waiting = os.getppid(), bytearray()
    while True:
        if not select.select([0], [], [], PARENT_IS_LOOKED_AT)[0]:
            if os.getppid() != parent:
                return
            continue
        chunk = os.read(0, 1 << 20)
        if not chunk:
            return
        waiting += chunk
        # one request is asked at a time, so that a line's end is a chunk's end
        if chunk.endswith(b"\n"):
            yield bytes(waiting)
            waiting.clear()


def main(cpu_seconds: float, memory: int) -> None:
    """Answer until there is nobody to ask."""
    # Ctrl-C is for the process that asks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    confine(memory)
    for line in lines():
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        reply = answer(line)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(reply + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
