"""Which tests cost most: ``pytest --cpu-times 30`` shows the CPU seconds of each with those of its processes.

Unlike ``--durations`` it says the same on a busy machine, and does not count what a test waits for.
"""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

KEY = "CPU seconds"
_PROCESSES = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
"""In a second. A test may put something else in the place of ``os.sysconf``."""


class CpuTimes:
    """Notes the CPU seconds of each phase of a test; the first one to use a fixture pays for it.

    Args:
        most: files and tests that are shown.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._before = cpu_seconds()

    def pytest_runtest_logstart(self) -> None:
        self._before = cpu_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = cpu_seconds()
        # of a worker of pytest-xdist these come to the process that prints
        report.user_properties.append((KEY, now - self._before))
        self._before = now
        return report

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        tests: Counter[str] = Counter()
        for reports in terminalreporter.stats.values():
            for report in reports:
                for name, seconds in getattr(report, "user_properties", ()):
                    if name == KEY:
                        tests[report.nodeid] += seconds
        files: Counter[str] = Counter()
        for test, seconds in tests.items():
            files[test.partition("::")[0]] += seconds
        for kind, found in (("files", files), ("tests", tests)):
            terminalreporter.section(f"{kind} by CPU seconds, {sum(found.values()):.0f} s in all")
            for name, seconds in found.most_common(self._most):
                terminalreporter.write_line(f"{seconds:8.2f} {name}")


def cpu_seconds() -> float:
    """Those of this process, of the processes that it has waited for, and of those below it that still run."""
    own = sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    below: dict[int, list[tuple[int, int]]] = {}
    for process in _PROCESSES.glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append((int(process.name), sum(map(int, fields[11:15]))))
    ticks, parents = 0, [os.getpid()]
    while parents:
        for process_id, used_ticks in below.get(parents.pop(), ()):
            ticks += used_ticks
            parents.append(process_id)
    return own + ticks / _TICKS
