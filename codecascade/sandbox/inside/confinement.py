"""Confines a worker: what the server does once, and what it does for each program.

A program is a fork of the warmed-up server. Before its code begins, the fork gives up other descriptors, its user
(as root), capabilities and system calls. After its end the server kills all other processes of the worker, and
replaces the scratch folder if anything is left in it.
"""

from __future__ import annotations

# Importing signal would import enum, too.
import _signal  # type: ignore[import-not-found]
import _socket
import builtins
import gc
import os
import resource
import sys
import time

from codecascade.sandbox.inside import candidate, scratch, warming, wire
from codecascade.sandbox.inside import verdict as runner
from codecascade.sandbox.inside.kernel import (
    landlock,
    processor_time,
    readable,
    rights,
    rootfs,
    seccomp,
    syscalls,
)
from codecascade.sandbox.inside.kernel.processes import descendants, kill_descendants, tasks_of
from codecascade.sandbox.inside.usage import ResourceUsage
from codecascade.sandbox.inside.watch import ProgramWatch

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Job = dict[str, Any]
    Reply = dict[str, Any]

SIGKILL = 9
_MEGABYTE, _OPEN_FILES = 1 << 20, 256
_LINK, _ASIDE = runner.CHANNEL + 1, _OPEN_FILES - 1


class ConfinedServer:
    """The server process of a worker, confined as ``setup["kind"]`` says.

    Args:
        setup: ``kind`` (``namespaces``; ``bubblewrap``: it has made them around this process; ``landlock``;
            ``none``), ``layers`` (of ``seccomp`` and ``landlock``), ``control`` (descriptor), ``folders`` (readable),
            ``path`` (to import from), ``modules`` (imported in advance), ``scratch`` (a folder), ``base`` (see
            rootfs.build), ``search`` (``PATH``), ``standard`` (descriptors of a service's
            standard input and output, or None).
        user: the user that programs run as if this process is root.

    Raises:
        OSError: the kernel refuses a part of the confinement.
    """

    def __init__(self, setup: dict[str, Any], user: int) -> None:
        self.kind, self.control = setup["kind"], setup["control"]
        self.path, self.folders = setup["path"], setup["folders"]
        self.is_root = os.getuid() == 0 and self.kind != "bubblewrap" and rights.can_become_another(self.kind)
        self.user = user if self.is_root else os.getuid()
        # Without this capability, the server must become the programs' user to inspect their processes.
        self.looks_as_user = self.is_root and not rights.has(rights.SYS_PTRACE)
        self.scratch, self.standard = setup["scratch"], setup["standard"]
        self.scratch_mb = 0
        self.rules = -1
        self.others_of_user = 0
        warming.preload(setup["modules"])
        # A private root shows only system folders. Without one, the interpreter may be in root's own home.
        self.reads_all = self.is_root and (
            self.kind != "namespaces" or not rootfs.readable_to_others(self.folders)
        )
        self.kept = rights.reading_capability(self.kind) if self.reads_all else None
        if self.kind == "namespaces":
            rootfs.build(self.folders, setup["base"])
        if self.kind != "namespaces" and not self.is_root and not landlock.version():
            # Nothing else keeps a program from inspecting this process of the same user. The price: this process
            # can't inspect its programs either.
            syscalls.hide_memory()
        syscalls.bound_capabilities(self.kept)
        syscalls.no_new_privileges()
        if self.is_root:
            os.setgroups([])
        self.has_landlock = "landlock" in setup["layers"] and landlock.version() > 0
        confines = "seccomp" in setup["layers"] and seccomp.supported()
        by_landlock = self.kind == "landlock"
        self.filter = (
            seccomp.Filter(
                seccomp.program(
                    holds_modes=by_landlock and not self.is_root,
                    holds_times=by_landlock,
                    holds_length=by_landlock and landlock.version() < 3,
                )
            )
            if confines
            else None
        )
        # Applies to the server, too, so that a program has few descriptors to close.
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self.hard = {name: resource.getrlimit(name)[1] for name in _LIMITED}
        self.limits: dict[str, Any] = {}
        self.resources: list[tuple[int, tuple[int, int]]] = []
        if not self.is_root:
            # Without a handler of its own, process 1 of a namespace can't be interrupted from within it.
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.umask(0o022)
        os.environ.clear()
        home = {"HOME": self.scratch, "TMPDIR": self.scratch}
        os.environ.update({"PATH": setup["search"], "LC_ALL": "C.UTF-8", **home})
        processor_time.start()
        self.steps = runner.compile_steps()
        self.builtins = tuple(vars(builtins).items())
        self.renew_scratch(256)
        warming.forget_ourselves(self.path)
        warming.rehearse_programs()
        candidate.rehearse_calls()
        for _ in range(2):
            reply = self.run(warming.TRIAL)
            if reply["verdict"] != "passed":
                raise OSError(f"a trial did not pass: {reply}")
        gc.collect()
        gc.freeze()
        gc.disable()

    def run(self, job: Job, link: int = -1) -> Reply:
        """Run one job and remove everything that it leaves.

        Args:
            link: for a program whose tests run elsewhere, the descriptor that leads to them; it is closed. The
                program is ended when the other end closes.

        Raises:
            HarnessGone: the other end of ``control`` was closed; the program has been killed.
        """
        limits = job["limits"]
        if limits["scratch_mb"] != self.scratch_mb:
            self.renew_scratch(limits["scratch_mb"])
        if job["files"]:
            try:
                scratch.put(self.scratch, job["files"], self.user)
            except (OSError, ValueError, RecursionError) as error:
                # Too many bytes, or impossible names. They may come from a hostile text through a compiler, so it
                # is a failure of the program and not "not started", which isn't counted.
                self.renew_scratch(limits["scratch_mb"])
                return _failed(f"its files can't be written: {error}")
        if not self.is_root and self.kind in ("landlock", "none"):
            self.others_of_user, self.limits = tasks_of(self.user), {}
        if limits != self.limits:
            self.limits, self.resources = limits, self._resources(limits)
        given, out, out_of_it, err, err_of_it = wire.as_input(job["stdin"]), *os.pipe(), *os.pipe()
        if self.is_root:
            # So that the program can open /dev/stdout.
            for descriptor in (out_of_it, err_of_it):
                os.fchown(descriptor, self.user, -1)
        ours, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        started = time.monotonic()
        usage = ResourceUsage(limits["memory_mb"], limits["scratch_mb"])
        # Otherwise the program's first objects trigger a collection of the server's garbage.
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            self._become(job, given, out_of_it, err_of_it, its.fileno(), link)
        for descriptor in (given, out_of_it, err_of_it):
            os.close(descriptor)
        its.close()
        if self.standard and "argv" in job:
            for descriptor in self.standard:
                # So that the ends of the pipes are seen.
                os.close(descriptor)
        watch = ProgramWatch(pid, out, err, ours.fileno(), limits, self.control, self._processes, usage, link)
        try:
            if self.looks_as_user:
                syscalls.look_as(self.user)
            watch.follow()
        finally:
            if self.looks_as_user:
                syscalls.look_as(0)
            ended = link < 0 or os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            status = self._end_all(pid)
            wall = time.monotonic() - started
            if sys.exc_info()[0] is None:
                watch.drain()
            ours.close()
            os.close(out)
            os.close(err)
        reply: Reply = {
            "verdict": watch.verdict,
            "exception": watch.exception,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "exit_status": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            "stdout": bytes(watch.outputs[out]),
            "stderr": bytes(watch.outputs[err]),
            "cpu_seconds": usage.cpu_seconds(),
            "wall_seconds": wall,
            "files": {},
            # Whether it ended by itself.
            "ended": ended,
        }
        if job["outputs"]:
            reply["files"] = scratch.collect(self.scratch, job["outputs"], limits["file_mb"] * _MEGABYTE)
        if not scratch.is_clean(self.scratch, self.user):
            self.renew_scratch(self.scratch_mb)
        return reply

    def renew_scratch(self, megabytes: int) -> None:
        """Make the scratch folder empty, and Landlock rules that name it."""
        if self.kind == "namespaces":
            if self.scratch_mb:
                syscalls.unmount(self.scratch)
            scratch.mount(self.scratch, megabytes, self.user)
        else:
            scratch.empty(self.scratch)
            os.chown(self.scratch, self.user, -1)
            os.chmod(self.scratch, 0o700)
            for name in os.listxattr(self.scratch):
                os.removexattr(self.scratch, name)
        self.scratch_mb = megabytes
        # Programs start there.
        os.chdir(self.scratch)
        if self.has_landlock and (self.rules < 0 or self.kind == "namespaces"):
            if self.rules >= 0:
                os.close(self.rules)
            private = self.reads_all or self.user == 0
            folders = readable.readable_paths(
                self.folders, all_open=self.kind == "namespaces" and not private, private=private
            )
            self.rules = landlock.ruleset(folders, [self.scratch])

    def _become(self, job: Job, given: int, out: int, err: int, channel: int, link: int) -> NoReturn:
        """In the fork: turn the server's copy into the confined program. Never returns."""
        leave, report_to = os._exit, channel
        try:
            gc.enable()
            # The host may have been started in the background, where SIGINT is ignored.
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
            os.setsid()
            if self.rules >= 0:
                landlock.restrict(self.rules)
            if self.standard and "argv" in job:
                given, out = self.standard
            if link >= 0:
                # Its number may be that of one of the following descriptors.
                os.dup2(link, _ASIDE)
            for descriptor, target in ((given, 0), (out, 1), (err, 2)):
                os.dup2(descriptor, target)
            if channel != runner.CHANNEL:
                os.dup2(channel, runner.CHANNEL, inheritable=False)
            report_to = runner.CHANNEL
            if link >= 0:
                os.dup2(_ASIDE, _LINK, inheritable=False)
            os.closerange(_LINK if link < 0 else _LINK + 1, _OPEN_FILES)
            if self.is_root:
                syscalls.become_user(self.user, self.kept)
                if self.looks_as_user:
                    syscalls.show_memory()
            elif self.kind == "namespaces" or self.user == 0:
                syscalls.drop_capabilities()
            for name, value in self.resources:
                resource.setrlimit(name, value)
            if self.filter:
                self.filter.install()
            if "argv" in job:
                runner.run_command(job)
            path = [self.scratch, *self.path] if job["files"] else self.path
            if link >= 0:
                # The program has no connection to the server.
                os.dup2(_LINK, runner.CHANNEL, inheritable=False)
                os.close(_LINK)
                candidate.run_candidate(job, path)
            runner.run_python(self.steps, job, path, self.builtins)
        except BaseException as error:
            os.write(report_to, f"Xcan't be confined: {error}".encode())
        finally:
            leave(1)

    def _resources(self, limits: dict[str, Any]) -> list[tuple[int, tuple[int, int]]]:
        """The resource limits, as far as current hard limits allow; those of open files and core dumps are the
        server's."""
        space = limits["memory_mb"] * _MEGABYTE if limits["address_space"] else resource.RLIM_INFINITY
        # The watch measures CPU time more precisely; this limit applies if the watch is late.
        seconds = limits["cpu_seconds"]
        cpu = int(seconds) + 2 if seconds < 1e9 else resource.RLIM_INFINITY
        file = limits["file_mb"] * _MEGABYTE
        # An ordinary user's other processes are counted, too; in a user namespace also the server.
        processes = limits["processes"] + self.others_of_user + (0 if self.is_root else 1)
        found = []
        for name, value in zip(_LIMITED, (space, file, cpu, processes), strict=True):
            hard = self.hard[name]
            if value == resource.RLIM_INFINITY or (hard != resource.RLIM_INFINITY and hard < value):
                value = hard
            found.append((name, (value, value)))
        return found

    def _processes(self) -> list[int]:
        """The process ids of the program."""
        if self.kind in ("namespaces", "bubblewrap"):
            return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        return descendants()

    def _end_all(self, pid: int) -> int:
        """Kill everything that the program started; returns the wait status of its first process."""
        status = None
        try:
            os.kill(pid, SIGKILL)
            while True:
                # If process 1 of a namespace has no child, no other process exists: all would be its descendants.
                done, ended = os.waitpid(-1, os.WNOHANG)
                if done == pid:
                    status = ended
                elif done == 0:
                    self._kill_others()
                    done, ended = os.waitpid(-1, 0)
                    if done == pid:
                        status = ended
        except ChildProcessError:
            assert status is not None
            return status

    def _kill_others(self) -> None:
        if self.kind in ("namespaces", "bubblewrap"):
            # Kills all other processes of the namespace at once, including forks in progress.
            try:
                os.kill(-1, SIGKILL)
            except ProcessLookupError:
                pass
        else:
            kill_descendants(self.user)


def _failed(why: str) -> Reply:
    """The answer for a job whose program is not run."""
    nothing: Reply = {
        "ended": True,
        "signal": 0,
        "exit_status": -1,
        "stdout": b"",
        "stderr": b"",
        "files": {},
    }
    return {"verdict": "failed", "exception": why, "cpu_seconds": 0.0, "wall_seconds": 0.0, **nothing}


_LIMITED = (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_NPROC)
