"""What a program's processes use, seen from outside: CPU time and memory of all of them together."""

from __future__ import annotations

import os
import resource

from codecascade.sandbox.inside.kernel import memory as kernel_memory
from codecascade.sandbox.inside.kernel import processor_time

_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


class Usage:
    """Counts one program's use; made just before its first process, since what ended earlier is not counted.

    Args:
        memory_mb: what all its processes may hold together.
    """

    def __init__(self, memory_mb: int) -> None:
        self.memory_mb = memory_mb
        self._reaped = _of_children()
        # ticks of CPU time that a process was last seen to have used itself
        self._own: dict[int, int] = {}
        # ticks of all processes, those included whose parent never asked what they used
        self._seen = 0
        processor_time.reset()

    def look(self, first: int, pids: list[int]) -> tuple[float, str | None]:
        """CPU seconds of all processes so far, and what is wrong with their memory, if they hold too much.

        Args:
            first: the program's first process, which somebody else waits for.
            pids: all that belong to it, the first one included.
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
        """Why the processes hold too much memory; None: they do not.

        Args:
            reserved: bytes of address space of all of them.
            resident: bytes of it that are in memory, what they share counted for each.
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
        """Of all processes, when all have ended and have been waited for."""
        return max(_of_children() - self._reaped, self._seen / _TICKS, processor_time.seconds())


def _of_children() -> float:
    """CPU seconds of all processes that the server has ever waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def reap(pid: int) -> None:
    """A dead orphan counts against the limit on processes until it has been waited for."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # its own parent lives


def _proportional(pid: int) -> int:
    """Bytes of a process's memory, what it shares with others divided among them."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
    except OSError:
        return _memory(pid, 1)


def _memory(pid: int, field: int) -> int:
    """Bytes that a process has reserved (field 0) or resident (1), all that it shares included; 0: it has ended.

    For one that can't be looked into, as it runs a file that may be executed and not be read.
    """
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[field]) * _PAGE
    except OSError:
        return 0


def _shared(pids: list[int]) -> int:
    """Bytes of the memory that processes share without a file: it is held also where nobody has it resident."""
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
            sizes[b"of %d" % pid] = _memory(pid, 0)  # it may all be shared
        except OSError:
            continue  # it has ended meanwhile
    return sum(sizes.values())
