"""The confined side: started by :mod:`codecascade.sandbox.sandbox` as a process of its own, one a program.

``python -I -S launcher.py REQUEST`` where REQUEST is JSON: the program's file, the scratch folder, the limits, the
kind of confinement and the descriptor that the verdict goes to. Three processes::

    launcher   enters the namespaces, watches the wall clock, kills what is left, reports
      init     the first process of the new PID namespace: when it ends, the kernel kills all others
        program   confined for good, then runs the code

Standard library only, and little of it: its imports are paid for by every program.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from codecascade.sandbox import syscalls

TYPE_CHECKING = False  # as typing's, whose import would be paid for by every program
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Request = dict[str, Any]


def main() -> None:
    """Run one request."""
    request = json.loads(sys.argv[1])
    # A user of its own for each run, so that the limit on processes counts this run's alone.
    request["nobody"] = 200_000 + os.getpid()
    syscalls.die_with_parent()
    namespaces = request["confinement"] == "namespaces"
    started = time.monotonic()
    try:
        if namespaces:
            enter_namespaces()
        else:
            syscalls.become_subreaper()
    except OSError as error:
        report(request, {"verdict": "not_started", "exception": f"can't be confined: {error}"})
        return
    first = os.fork()
    if first == 0:
        if namespaces:
            run_init(request)
        run_program(request)
    deadline = started + request["wall_seconds"]
    status, seconds, late = wait(first, deadline)
    if not namespaces:
        kill_orphans()
    if late or (status and not ("argv" in request and os.WIFEXITED(status) and os.WEXITSTATUS(status) < 128)):
        # Nothing came from the program itself: its end says what happened.
        signum = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status) - 128
        report(request, {"ended_by": "wall" if late else signum, "cpu_seconds": seconds})
    else:
        report(request, {"cpu_seconds": seconds, "exit_status": os.WEXITSTATUS(status)})


def wait(pid: int, deadline: float) -> tuple[int, float, bool]:
    """``(wait status, CPU seconds, was it late)`` of a child; at the deadline it is killed."""
    pause, late = 0.0005, False
    while True:
        done, status, usage = os.wait4(pid, 0 if late else os.WNOHANG)
        if done:
            return status, usage.ru_utime + usage.ru_stime, late
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            late = True
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def run_init(request: Request) -> NoReturn:
    """Process 1: starts the program, waits for it, hands its end on. Never returns."""
    syscalls.die_with_parent()
    program = os.fork()
    if program == 0:
        run_program(request)
    while True:
        pid, status = os.wait()
        if pid == program:
            break
    os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def kill_orphans() -> None:
    """Without a PID namespace: kill whatever the program left (a fork race: until nothing is left)."""
    me = os.getpid()
    for _ in range(200):
        children = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and parent_of(pid) == me]
        if not children:
            return
        for pid in children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def parent_of(pid: str) -> int:
    """The parent of a process; -1 where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return -1


def enter_namespaces() -> None:
    """New mount, network, IPC, host-name and PID namespaces; an ordinary user needs a user namespace for them."""
    flags = (
        syscalls.CLONE_NEWNS
        | syscalls.CLONE_NEWNET
        | syscalls.CLONE_NEWIPC
        | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWPID
    )
    user, group = os.getuid(), os.getgid()
    if user == 0:
        syscalls.unshare(flags)
        return
    syscalls.unshare(flags | syscalls.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def read_only_world(scratch: str, megabytes: int, user: int) -> None:
    """A view of the files in which only the scratch folder (in memory, limited in size) can be written."""
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    devices = {
        name: os.open(f"/dev/{name}", os.O_PATH) for name in ("null", "zero", "full", "random", "urandom")
    }
    syscalls.mount("tmpfs", "/dev", "tmpfs", syscalls.MS_NOSUID, "size=64k,mode=755")
    for name, descriptor in devices.items():
        with open(f"/dev/{name}", "w"):
            pass
        syscalls.mount(f"/proc/self/fd/{descriptor}", f"/dev/{name}", None, syscalls.MS_BIND)
        os.close(descriptor)
    syscalls.make_read_only("/")
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("tmpfs", scratch, "tmpfs", flags, f"size={megabytes}m,mode=700,uid={user}")
    # The old /proc shows the processes outside; some kernels refuse a new one in a container.
    with contextlib.suppress(OSError):
        syscalls.mount("proc", "/proc", "proc", flags)


def run_program(request: Request) -> NoReturn:
    """Confine this process for good and run the program in it. Never returns."""
    import shutil

    argv = request.get("argv")
    source = ""
    if not argv:
        with open(request["program"], encoding="utf-8", errors="surrogatepass") as file:
            source = file.read()
    files = os.open(request["files"], os.O_RDONLY)
    scratch, confinement = request["scratch"], request["confinement"]
    root = os.getuid() == 0
    user = request["nobody"] if root else os.getuid()
    try:
        if confinement == "namespaces":
            read_only_world(scratch, request["file_mb"], user)
        elif root:
            os.chown(scratch, user, user)
        os.chdir(scratch)
        shutil.copytree(f"/proc/self/fd/{files}", ".", dirs_exist_ok=True)
        os.close(files)
        if root:
            for folder, folders, names in os.walk("."):
                for name in [*folders, *names]:
                    os.chown(os.path.join(folder, name), user, user)
        if root and confinement == "none":
            with contextlib.suppress(OSError):
                syscalls.become_nobody(user)
        elif root:
            syscalls.become_nobody(user)
        elif confinement == "namespaces":
            syscalls.drop_privileges()
        syscalls.no_new_privileges()
        if confinement != "none" and syscalls.landlock_version():
            syscalls.landlock([scratch])
        set_limits(request)
        if confinement != "none" and syscalls.seccomp_supported():
            syscalls.seccomp(syscalls.seccomp_filter())
    except OSError as error:
        report(request, {"verdict": "not_started", "exception": f"can't be confined: {error}"})
        os._exit(0)
    if argv:
        try:
            os.execvpe(argv[0], argv, {**os.environ, **request["environment"]})
        except OSError as error:
            report(request, {"verdict": "not_started", "exception": f"{argv[0]}: {error.strerror}"})
            os._exit(0)
    report(request, run_code(source, request["path"]))
    os._exit(0)


def set_limits(request: Request) -> None:
    """Resource limits, as far as the ones in force allow."""
    megabyte = 1 << 20
    for name, value in (
        (
            resource.RLIMIT_AS,
            request["memory_mb"] * megabyte if request["address_space"] else resource.RLIM_INFINITY,
        ),
        (resource.RLIMIT_FSIZE, request["file_mb"] * megabyte),
        (resource.RLIMIT_CPU, request["cpu_limit"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_NPROC, request["processes"]),
    ):
        hard = resource.getrlimit(name)[1]
        if value == resource.RLIM_INFINITY:
            continue
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))


def run_code(source: str, path: list[str]) -> dict[str, Any]:
    """Run ``source`` as ``__main__``; the verdict, as far as the process lives to tell it."""
    sys.path[:] = path
    sys.argv = ["program.py"]
    import linecache

    linecache.cache["program.py"] = (len(source), None, source.splitlines(True), "program.py")
    main_module = type(sys)("__main__")
    sys.modules["__main__"] = main_module
    me = os.getpid()
    try:
        exec(compile(source, "program.py", "exec"), main_module.__dict__)
        verdict = {"verdict": "passed"}
    except MemoryError:
        verdict = {"verdict": "out_of_memory", "exception": "MemoryError"}
    except BaseException as error:
        verdict = {"verdict": "failed", "exception": describe(error)}
    if os.getpid() != me:
        os._exit(0)  # a child that the program forked has no say
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue
    return verdict


def describe(error: BaseException) -> str:
    """The last line of a traceback; the exception's own text may be hostile."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}"[:2000] if text else type(error).__name__


def report(request: Request, message: dict[str, Any]) -> None:
    """One line to the side that asked."""
    message["token"] = request["token"]
    with contextlib.suppress(OSError):
        os.write(request["verdict_descriptor"], json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
