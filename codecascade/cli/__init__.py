"""The commands: they parse, call and print; what they do is in the packages.

Standard output carries what was asked for and nothing else; progress and messages go to standard error. Exit codes:
0 done, 1 ran and failed, 2 the user's mistake, 130 and 143 stopped by Ctrl-C and SIGTERM with the state saved.
"""

# PyTorch takes seconds to import: the commands import what they need, so that --help and mistakes answer at once.

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence
from itertools import pairwise

from codecascade.cli import (  # noqa: F401  (they bring the commands)
    cascade,
    compare,
    corpus,
    evaluation,
    figures,
    generation,
    ranks,
    sandbox,
    serve,
)
from codecascade.cli.app import app, invocation, stderr
from codecascade.ground.errors import RunFailed, Stopped, UserError, printable

_LOST = (
    "failed: another rank has ended; if it could, it has told why. The same command goes on from the last "
    "checkpoint, and torchrun --max-restarts N gives it by itself"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the process ends with its exit code."""
    _write_what_can_be_written()
    _set_up_messages()
    invocation[:] = sys.argv[1:] if arguments is None else arguments
    try:
        _refuse_empty(invocation)
        app(args=list(arguments) if arguments is not None else None)
    except UserError as error:
        _fail(f"error: {error}", 2)
    except Stopped as stop:
        _fail(str(stop), stop.exit_code, consequence=True)
    except RunFailed as error:
        _fail(f"failed: {error}", 1, consequence=True)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        sys.exit(1)
    except Exception as error:
        if not ranks.is_loss(error):
            raise
        _fail(_LOST, 1, consequence=True)


_MAY_BE_EMPTY = ("--prompt", "--system", "--set", "--data")
"""Options whose value is text as it is, or is read with more words for what is wrong with it."""


def _refuse_empty(arguments: Sequence[str]) -> None:
    """An empty path would stand for the current folder: a script's variable that is not set must not do that."""
    for before, argument in pairwise(["", *arguments]):
        if before in _MAY_BE_EMPTY:
            continue
        option, equals, value = argument.partition("=")
        if not argument.strip():
            key = before if before.startswith("-") else None
        elif equals and option.startswith("--") and option not in _MAY_BE_EMPTY and not value.strip():
            key = option
        else:
            continue
        raise UserError(
            "is empty; give a value, or leave it out" if key else "an argument of the command is empty",
            key=key,
        )


def _fail(message: str, code: int, *, consequence: bool = False) -> None:
    """End with ``message``; of several ranks one prints it.

    Args:
        consequence: it may come of another rank's end, which is told then in its place.
    """
    before = ranks.other_end() if consequence else None
    if before is not None:
        sys.exit(before)
    ranks.ends(code)
    if ranks.may_tell(message):
        print(printable(message), file=sys.stderr)
    sys.exit(code)


def _write_what_can_be_written() -> None:
    """A model may write any character: one that a terminal's encoding lacks is written as a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _set_up_messages() -> None:
    from rich.logging import RichHandler

    handler = RichHandler(console=stderr(), show_time=False, show_path=False, show_level=False)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("codecascade").setLevel(logging.INFO if ranks.is_first() else logging.ERROR)


class _Printable(logging.Formatter):
    """Messages may name what a file holds."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
