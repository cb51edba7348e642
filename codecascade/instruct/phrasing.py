"""How a user would ask for a function: several ways, so that a model learns the task and not a formula."""

from __future__ import annotations

import builtins
import random
import textwrap

from codecascade.ground.python_source import parse
from codecascade.instruct.docstrings import DoctestExample
from codecascade.instruct.exercises import Exercise, names_used

MOST_EXAMPLES = 2
LONGEST_EXAMPLE = 100
"""Characters of an example and its output that a request may show."""


def request_for(exercise: Exercise, rng: random.Random) -> str:
    """Names the function and says what it does; two requests of three show examples, if there are short ones."""
    shown = [e for e in exercise.examples if _is_short(e, exercise.name)][:MOST_EXAMPLES]
    if rng.random() < 1 / 3:
        shown = []
    request = rng.choice(_PHRASINGS)(exercise, shown)
    packages = " and ".join(exercise.packages)
    return f"{request}\n\nUse {packages}." if packages else request


def _as_an_order(exercise: Exercise, shown: list[DoctestExample]) -> str:
    return f"Write a Python function `{exercise.signature}`.\n\n{exercise.description}{_examples_in_words(shown)}"


def _as_a_need(exercise: Exercise, shown: list[DoctestExample]) -> str:
    return (
        f"I need a Python function called `{exercise.name}`. This is what it should do:\n\n"
        f"{exercise.description}\n\nIts signature is `{exercise.signature}`.{_examples_in_words(shown)}"
    )


def _as_a_stub_to_complete(exercise: Exercise, shown: list[DoctestExample]) -> str:
    docstring = "\n\n".join(filter(None, [exercise.description, _examples_as_a_session(shown)]))
    body = textwrap.indent(f'"""{docstring}\n"""', "    ")
    return f"Complete this function.\n\n```python\n{exercise.signature}:\n{body}\n```"


def _as_a_question(exercise: Exercise, shown: list[DoctestExample]) -> str:
    session = (
        f"\n\nIt should behave like this:\n\n```python\n{_examples_as_a_session(shown)}\n```" if shown else ""
    )
    return (
        f"{exercise.description}\n\nHow can I write this in Python, as a function that starts with "
        f"`{exercise.signature}:`?{session}"
    )


_PHRASINGS = (_as_an_order, _as_a_need, _as_a_stub_to_complete, _as_a_question)


def _is_short(example: DoctestExample, name: str) -> bool:
    """Whether it is one call on one line with a result on one line, and needs nothing but the function."""
    source, want = example.source.strip(), example.want.strip()
    return (
        source.startswith(f"{name}(")
        and want != ""
        and example.error is None
        and not example.options
        and "\n" not in source + want
        and "..." not in want
        and len(source + want) <= LONGEST_EXAMPLE
        and names_used(parse(source)) <= {name, *vars(builtins)}
    )


def _examples_in_words(examples: list[DoctestExample]) -> str:
    in_words = " and ".join(f"`{e.source.strip()}` gives `{e.want.strip()}`" for e in examples)
    return f"\n\nFor example, {in_words}." if in_words else ""


def _examples_as_a_session(examples: list[DoctestExample]) -> str:
    return "\n".join(f">>> {e.source.strip()}\n{e.want.strip()}" for e in examples)
