"""The commands. They parse their arguments, call the packages, which do the work, and print.

Results go to standard output; progress and messages go to standard error. Exit codes: 0 done, 1 failed, 2 the user's
mistake, 130, 143 and 138 stopped by Ctrl-C, SIGTERM and SIGUSR1 with the state saved.
"""

# Each command imports what it needs itself. PyTorch takes seconds to import, and --help and mistakes need none of it.

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from copy import copy
from itertools import pairwise

# Importing these modules adds their commands.
from codecascade.cli import cascade, corpus, dialogues, generation, plan, ranks, sandbox, serve  # noqa: F401
from codecascade.cli.app import app, invocation, stderr
from codecascade.cli.measure import compare, correlations, evaluation, sweep  # noqa: F401
from codecascade.cli.self_instruct import command  # noqa: F401
from codecascade.ground.errors import RunFailed, Stopped, UserError, one_line, printable
from codecascade.ground.files.reading import check_text
from codecascade.ground.signals import ignored, is_torchrun, stopped_at_once

_LOST = (
    "failed: another rank has ended; its own message says why, if it could print one. The same command continues "
    "from the last checkpoint; torchrun --max-restarts N repeats it automatically"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the process ends with its exit code."""
    _replace_unencodable()
    _set_up_messages()
    invocation[:] = sys.argv[1:] if arguments is None else arguments
    try:
        _refuse_empty(invocation)
        _check_texts(invocation)
        # Of several ranks, each notes a signal, whenever it comes.
        with stopped_at_once() if is_torchrun() else nullcontext():
            app(args=list(arguments) if arguments is not None else None)
    except UserError as error:
        _fail(f"error: {error}", 2)
    except Stopped as stop:
        with ignored():
            ranks.note_stop(stop.signum)
            _fail(str(stop), stop.exit_code, consequence=True)
    except RunFailed as error:
        _fail(f"failed: {error}", 1, consequence=True)
    except BrokenPipeError:
        # the program that read our output has ended, and maybe the reader of our messages too
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if not ranks.is_lost_connection(error):
            raise
        _fail(_LOST, 1, consequence=True)


_MAY_BE_EMPTY = ("--prompt", "--system", "--set", "--data")
"""Options whose value may be empty, or whose own error for an empty value says more."""


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse empty values. A script's unset variable would give an empty path, which means the current folder."""
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


_TEXTS = ("--prompt", "--system", "--stop", "--default-system", "--set")
"""Options whose values are text. Names of files may be any bytes."""


def _check_texts(arguments: Sequence[str]) -> None:
    """Refuse text that is not UTF-8."""
    for before, argument in pairwise(["", *arguments]):
        option, equals, value = argument.partition("=")
        if before in _TEXTS:
            check_text(argument, before)
        elif equals and option in _TEXTS:
            check_text(value, option)


def _fail(message: str, code: int, *, consequence: bool = False) -> None:
    """Print ``message`` and end. Of several ranks only one prints it.

    Args:
        consequence: the cause may be that another rank has ended. Then only that rank prints its message.
    """
    before = ranks.announced_end() if consequence else None
    if before is not None:
        sys.exit(before)
    ranks.announce_end(code)
    if ranks.may_print(message):
        print(printable(message), file=sys.stderr)
    sys.exit(code)


def _replace_unencodable() -> None:
    """Have a question mark printed in place of a character that the terminal's encoding lacks."""
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
    """Escapes control characters, which a message may have from a file's content, and line ends in what it quotes."""

    def format(self, record: logging.LogRecord) -> str:
        record = copy(record)
        if isinstance(record.args, tuple):
            record.args = tuple(one_line(value) if isinstance(value, str) else value for value in record.args)
        return printable(super().format(record))
