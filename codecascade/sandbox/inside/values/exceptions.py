"""Rebuilds a program's exceptions for the tests, from builtin types and texts only."""

from __future__ import annotations

import builtins

from codecascade.sandbox.inside.values.reading import Malformed

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHOWN = 4_000
"""Most characters of a traceback that are kept."""

_EXCEPTIONS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def rebuilt_exception(parts: Any) -> tuple[BaseException, str]:
    """An exception with the type and text of the program's exception, and the program's traceback.

    Args:
        parts: its type, builtin base types, text, traceback and arguments (None: they can't be transferred).

    Raises:
        Malformed: ``parts`` is something else.
    """
    try:
        name, bases, text, trace, arguments = parts
        name, text, trace = str(name)[:200].replace("\0", ""), str(text), str(trace)[-SHOWN:]
        base = next((_EXCEPTIONS[each] for each in bases if each in _EXCEPTIONS), Exception)
    except (TypeError, ValueError):
        raise Malformed("no exception") from None
    given = arguments if isinstance(arguments, list) else [text]
    try:
        error: BaseException = base(*given)
        if name == base.__name__ and str(error) == text:
            return error, trace
    except Exception:
        # Its arguments alone don't make it.
        pass
    kind: Any = type(name, (base,), {"__str__": lambda self: text})
    try:
        return kind.__new__(kind, *given), trace
    except Exception:
        kind = type(name, (Exception,), {"__str__": lambda self: text})
        return kind(*given), trace
