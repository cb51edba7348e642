"""The zone's process: confined once, warmed once, then a fork a program.

``python -s -S -P server.py SETUP`` where SETUP is marshalled and in hexadecimal. Three kinds of processes::

    launcher   enters the namespaces; when the harness dies, it kills the server, and with it everything
      server   process 1 of the zone: answers jobs one after the other; to kill "all other processes" is its way
               to end whatever a program started
        program   a fork of the server, confined for good, then runs the code

Standard library only, and little of it: every page of memory that the server has costs each program's fork.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself would bring enum along
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

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from typing import Any

SIGKILL = 9


def main() -> None:
    """Launch a zone."""
    _ignore_nothing()
    setup = marshal.loads(bytes.fromhex(sys.argv[1]))
    _hold_only(setup)
    if setup["kind"] == "bubblewrap":
        serve(setup, os.getuid())  # it has made this process the first of its PID namespace
        return
    user = 200_000 + os.getpid()  # of its own, so that the limit on processes counts this zone's alone
    harness = os.pidfd_open(os.getppid())
    if os.getppid() != setup["harness"]:
        return  # it died before we could watch it
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
        scratch.remove(setup["scratch"])  # the harness may not live to do it


def _ignore_nothing() -> None:
    """Undo what the harness was started with: who ignores SIGCHLD waits for no child, and knows no usage of any."""
    for number in _signal.valid_signals():
        # The interpreter's own choice: a write to a closed pipe is an error like others.
        if _signal.getsignal(number) == _signal.SIG_IGN and number not in (_signal.SIGPIPE, _signal.SIGXFSZ):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _hold_only(setup: dict[str, Any]) -> None:
    """Move the descriptors that the harness gave to low numbers: a program's process closes only those.

    The harness may have thousands open; what it numbered 300 would stay open in the programs.
    """
    given = [setup["control"], *(setup["standard"] or ())]
    kept = [os.dup(descriptor) for descriptor in given]
    for descriptor in given:
        os.close(descriptor)
    setup["control"], setup["standard"] = kept[0], tuple(kept[1:]) or None


def serve(setup: dict[str, Any], user: int) -> None:
    """Set the zone up, then answer jobs until nobody asks any more."""
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
            return  # the confinement has killed the program
        if link >= 0:
            os.close(link)
        send(control, reply)


if __name__ == "__main__":
    main()
