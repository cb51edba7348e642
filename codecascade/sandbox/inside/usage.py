"""Measures from outside what a program's processes use: CPU time and memory of all of them together."""

from __future__ import annotations

import os
import resource

from codecascade.sandbox.inside.kernel import memory as kernel_memory
from codecascade.sandbox.inside.kernel import processor_time

_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")
# How often a process is looked at whose threads start each other.
_LOOKS = 50


class ResourceUsage:
    """Counts the use of one program; create it just before the program's first process.

    Args:
        memory_mb: limit for all its processes together.
        scratch_mb: what its files may take beside that, maybe in the same shared memory of the machine.
    """

    def __init__(self, memory_mb: int, scratch_mb: int = 0) -> None:
        self.memory_mb, self.scratch_mb = memory_mb, scratch_mb
        # The least shared memory that the whole machine had at any look.
        self._machine_shared = kernel_memory.machine_shared_bytes()
        self._reaped = _of_children()
        # Ticks of CPU time of each process at the last look.
        self._own: dict[int, int] = {}
        # Ticks of all processes, including those whose parent never waited for them.
        self._seen = 0
        processor_time.reset()

    def look(self, first: int, pids: list[int]) -> tuple[float, str | None]:
        """CPU seconds of all processes so far, and a description of their excess memory, or None.

        Args:
            first: the program's first process, which somebody else waits for.
            pids: all processes of the program, including the first.
        """
        cpu = _of_children() - self._reaped
        resident = reserved = 0
        shown = []
        for pid in pids:
            seen_as, fields = pid, _stat(pid)
            if fields and fields[0] == b"Z":
                thread = _live_thread(pid)
                if thread is not None:
                    seen_as, fields = thread
                elif pid != first:
                    reap(pid)
            if fields is None:
                continue
            cpu += sum(map(int, fields[11:15])) / _TICKS
            own = int(fields[11]) + int(fields[12])
            before = self._own.get(pid, 0)
            self._seen += own - before if own >= before else own
            self._own[pid] = own
            reserved += int(fields[20])
            resident += int(fields[21]) * _PAGE
            shown.append(seen_as)
        seconds = max(cpu, self._seen / _TICKS, processor_time.seconds())
        return seconds, self._excess(shown, reserved, resident)

    def _excess(self, pids: list[int], reserved: int, resident: int) -> str | None:
        """A description of the processes' excess memory; None if there is none.

        Args:
            pids: of each process its id, or that of a thread if its first one has ended.
            reserved: bytes of address space of all processes.
            resident: bytes of resident memory; shared memory counts for each process.
        """
        limit = self.memory_mb << 20
        kept = kernel_memory.descriptor_bytes(pids, limit - resident)
        if reserved > limit:
            kept += kernel_memory.hidden_bytes(pids)
        if resident + kept > limit and (len(pids) == 1 or kept + sum(map(_proportional, pids)) > limit):
            return f"more than {self.memory_mb} MB of memory in use"
        machine_shared = kernel_memory.machine_shared_bytes()
        self._machine_shared = min(self._machine_shared, machine_shared)
        grown = machine_shared - self._machine_shared
        if reserved > limit or grown > limit:
            shared, is_exact = _shared(pids)
            # Of memory that is shared, the kernel keeps all while a process maps any page, and may tell nobody how
            # much that is. Then whoever shares any has to answer for what the machine has more of.
            hidden = shared > 0 and not is_exact and grown > limit + (self.scratch_mb << 20)
            if shared > limit or hidden:
                return f"more than {self.memory_mb} MB of shared memory"
        return None

    def cpu_seconds(self) -> float:
        """CPU seconds of all processes, after all have been waited for."""
        return max(_of_children() - self._reaped, self._seen / _TICKS, processor_time.seconds())


def _of_children() -> float:
    """CPU seconds of all processes that the server has ever waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def reap(pid: int) -> None:
    """Wait for a dead orphan: until then it counts against the limit on processes."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # Its own parent is alive.
        pass


def _proportional(pid: int) -> int:
    """Bytes of a process's memory; shared memory is divided among its users."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
    except OSError:
        return _memory(pid, 1)


def _memory(pid: int, field: int) -> int:
    """Bytes that a process has reserved (field 0) or resident (1), including shared memory; 0 if it has ended.

    For a process that can't be inspected, because its program file is executable but not readable.
    """
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[field]) * _PAGE
    except OSError:
        return 0


def _shared(pids: list[int]) -> tuple[int, bool]:
    """Bytes of anonymous shared memory, and whether these are all.

    It is allocated even if no process has it resident. Where the kernel lets this process ask for the objects that
    are mapped, it tells what they hold; else only the parts that are mapped are known.
    """
    sizes: dict[bytes, int] = {}
    is_exact = True
    for pid in pids:
        try:
            with open(f"/proc/{pid}/maps", "rb") as file:
                for line in file:
                    addresses, rights, offset, _, inode, *name = line.split(maxsplit=5)
                    if rights.endswith(b"s") and name and name[0].startswith((b"/dev/zero", b"/memfd:")):
                        start, end = (int(part, 16) for part in addresses.split(b"-"))
                        size = int(offset, 16) + end - start
                        try:
                            held = os.stat(f"/proc/{pid}/map_files/{start:x}-{end:x}").st_blocks * 512
                        except OSError:
                            held, is_exact = 0, False
                        sizes[inode] = max(sizes.get(inode, 0), size, held)
        except PermissionError:
            # All of it may be shared.
            sizes[b"of %d" % pid], is_exact = _memory(pid, 0), False
        except OSError:
            # The process has ended.
            continue
    return sum(sizes.values()), is_exact


def _stat(pid: int) -> list[bytes] | None:
    """The fields of a process's or a thread's statistics from its state on; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read(2048).rpartition(b")")[2].split()
    except OSError:
        return None


def _live_thread(pid: int) -> tuple[int, list[bytes]] | None:
    """A thread of a process whose first thread has ended, with its fields of :func:`_stat`; None if there is none.

    A process lives as long as any of its threads, but what it holds is then shown for these alone.
    """
    # A thread may have started another one and ended between the list of threads and a look at it.
    for _ in range(_LOOKS):
        try:
            threads = [int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid]
        except OSError:
            return None
        if not threads:
            return None
        found = [
            (thread, fields) for thread in threads if (fields := _stat(thread)) and fields[0] not in b"ZX"
        ]
        if found:
            # One that is about to end has given up its memory.
            return max(found, key=lambda one: int(one[1][20]))
    return None
