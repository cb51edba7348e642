"""Measures from outside what a program's processes use: CPU time and memory of all of them together."""

from __future__ import annotations

import os
import resource

from codecascade.sandbox.inside.kernel import memory as kernel_memory
from codecascade.sandbox.inside.kernel import processor_time

_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


class ResourceUsage:
    """Counts the use of one program; create it just before the program's first process.

    Args:
        memory_mb: limit for all its processes together.
    """

    def __init__(self, memory_mb: int) -> None:
        self.memory_mb = memory_mb
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
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
                    fields = file.read(2048).rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] == b"Z" and pid != first:
                reap(pid)
                continue
            cpu += sum(map(int, fields[11:15])) / _TICKS
            own = int(fields[11]) + int(fields[12])
            before = self._own.get(pid, 0)
            self._seen += own - before if own >= before else own
            self._own[pid] = own
            reserved += int(fields[20])
            resident += int(fields[21]) * _PAGE
        seconds = max(cpu, self._seen / _TICKS, processor_time.seconds())
        return seconds, self._excess(pids, reserved, resident)

    def _excess(self, pids: list[int], reserved: int, resident: int) -> str | None:
        """A description of the processes' excess memory; None if there is none.

        Args:
            reserved: bytes of address space of all processes.
            resident: bytes of resident memory; shared memory counts for each process.
        """
        limit = self.memory_mb << 20
        kept = kernel_memory.descriptor_bytes(pids, limit - resident)
        if reserved > limit:
            kept += kernel_memory.hidden_bytes(pids)
        if resident + kept > limit and (len(pids) == 1 or kept + sum(map(_proportional, pids)) > limit):
            return f"more than {self.memory_mb} MB of memory in use"
        if reserved > limit and _shared(pids) > limit:
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


def _shared(pids: list[int]) -> int:
    """Bytes of anonymous shared memory; it is allocated even if no process has it resident."""
    sizes: dict[bytes, int] = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/maps", "rb") as file:
                for line in file:
                    addresses, rights, offset, _, inode, *name = line.split(maxsplit=5)
                    if rights.endswith(b"s") and name and name[0].startswith((b"/dev/zero", b"/memfd:")):
                        start, end = (int(part, 16) for part in addresses.split(b"-"))
                        sizes[inode] = max(sizes.get(inode, 0), int(offset, 16) + end - start)
        except PermissionError:
            # All of it may be shared.
            sizes[b"of %d" % pid] = _memory(pid, 0)
        except OSError:
            # The process has ended.
            continue
    return sum(sizes.values())
