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

from codecascade.cli import (  # noqa: F401  (they bring the commands)
    cascade,
    compare,
    corpus,
    evaluation,
    figures,
    generation,
    sandbox,
)
from codecascade.cli.app import app, invocation, stderr
from codecascade.errors import RunFailed, Stopped, UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the process ends with its exit code."""
    _write_what_can_be_written()
    _set_up_messages()
    invocation[:] = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=list(arguments) if arguments is not None else None)
    except UserError as error:
        _fail(f"error: {error}", 2)
    except Stopped as stop:
        _fail(str(stop), stop.exit_code)
    except RunFailed as error:
        _fail(f"failed: {error}", 1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        sys.exit(1)


def _fail(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


def _write_what_can_be_written() -> None:
    """A model may write any character: one that a terminal's encoding lacks is written as a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _set_up_messages() -> None:
    from rich.logging import RichHandler

    handler = RichHandler(console=stderr(), show_time=False, show_path=False, show_level=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("codecascade").setLevel(logging.INFO)
