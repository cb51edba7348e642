"""The process of a worker: confined once, warmed up once, then one fork for each program.

``python -s -S -P server.py SETUP``, where SETUP is marshalled and hexadecimal. There are three types of processes::

    launcher     enters the namespaces; when the host process dies, it kills the server, and with it everything
      server     process 1 of the worker: runs jobs one after the other; it ends a program by killing all other
                 processes
        program  a fork of the server, confined for good, then runs the code

It uses few modules, and only of the standard library, because every page of its memory is a cost of each fork.
"""

from __future__ import annotations

# Importing signal would import enum, too.
import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import select
import sys

sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))

from codecascade.sandbox.inside import scratch
from codecascade.sandbox.inside.confinement import ConfinedServer
from codecascade.sandbox.inside.kernel import rights, rootfs, syscalls
from codecascade.sandbox.inside.kernel.processes import end_descendants
from codecascade.sandbox.inside.watch import HarnessGone
from codecascade.sandbox.inside.wire import receive_job, send

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIGKILL = 9


def main() -> None:
    """Start a worker."""
    _ignore_nothing()
    setup = marshal.loads(bytes.fromhex(sys.argv[1]))
    _hold_only(setup)
    if setup["kind"] == "bubblewrap":
        # bubblewrap has made this process the first of its PID namespace.
        serve(setup, os.getuid())
        return
    # A user of its own, so that the limit on processes counts only this worker's.
    user = 200_000 + os.getpid()
    harness = os.pidfd_open(os.getppid())
    if os.getppid() != setup["harness"]:
        # The host process died before it could be watched.
        return
    try:
        if setup["kind"] == "namespaces":
            try:
                rootfs.enter_namespaces()
            except OSError as error:
                raise OSError(f"{rights.why_no_namespaces()} ({error.strerror or error})") from None
        else:
            syscalls.become_subreaper()
        server_pid = os.fork()
    except OSError as error:
        send(setup["control"], {"error": f"can't be confined: {error}"})
        return
    if server_pid == 0:
        os.close(harness)
        try:
            syscalls.die_with_parent()
            syscalls.become_subreaper()
            serve(setup, user)
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(0)
    for descriptor in (setup["control"], *(setup["standard"] or ())):
        os.close(descriptor)
    poll = select.poll()
    poll.register(harness, select.POLLIN)
    poll.register(os.pidfd_open(server_pid), select.POLLIN)
    poll.poll()
    os.kill(server_pid, SIGKILL)
    end_descendants()
    if setup["kind"] != "namespaces":
        # The host process may have died before it could do this.
        scratch.remove(setup["scratch"])


def _ignore_nothing() -> None:
    """Reset ignored signals that were inherited: with SIGCHLD ignored, children could not be waited for."""
    for number in _signal.valid_signals():
        # The interpreter itself ignores SIGPIPE and SIGXFSZ, so that they become errors.
        if _signal.getsignal(number) == _signal.SIG_IGN and number not in (_signal.SIGPIPE, _signal.SIGXFSZ):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _hold_only(setup: dict[str, Any]) -> None:
    """Move the descriptors from the host process to low numbers, because a program's process closes only those.

    The host process may have thousands open; number 300 would stay open in the programs.
    """
    given = [setup["control"], *(setup["standard"] or ())]
    kept = [os.dup(descriptor) for descriptor in given]
    for descriptor in given:
        os.close(descriptor)
    setup["control"], setup["standard"] = kept[0], tuple(kept[1:]) or None


def serve(setup: dict[str, Any], user: int) -> None:
    """Confine this process, then run jobs until the connection is closed."""
    control = setup["control"]
    try:
        server = ConfinedServer(setup, user)
    except OSError as error:
        send(control, {"error": f"can't be confined: {error}"})
        return
    send(control, {"ready": True})
    jobs = _socket.socket(fileno=control)
    while True:
        job, link = receive_job(jobs)
        if job is None:
            return
        try:
            reply = server.run(job, link)
        except HarnessGone:
            # The program has been killed already.
            return
        if link >= 0:
            os.close(link)
        send(control, reply)


if __name__ == "__main__":
    main()
