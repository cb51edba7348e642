"""Makes a program's exceptions anew for the tests, of the same builtin types and with nothing else of the program."""

from __future__ import annotations

import builtins

from codecascade.sandbox.inside.values.reading import Malformed

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from typing import Any

SHOWN = 4_000
"""Characters of a traceback that are kept."""

_EXCEPTIONS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def rebuilt_exception(parts: Any) -> tuple[BaseException, str]:
    """An exception of the type and with the text that the program's has, and the program's traceback.

    Args:
        told: its type, the builtin types that it derives from, text, traceback, arguments (None: they do not cross).

    Raises:
        Malformed: it is nothing of the kind.
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
        pass  # not made of its arguments alone
    kind: Any = type(name, (base,), {"__str__": lambda self: text})
    try:
        return kind.__new__(kind, *given), trace
    except Exception:
        kind = type(name, (Exception,), {"__str__": lambda self: text})
        return kind(*given), trace
