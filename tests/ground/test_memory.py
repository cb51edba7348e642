"""Free memory: of the machine, or of the control group that this process is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.ground import memory
from codecascade.ground.memory import free_memory


def test_free_memory_is_that_of_the_machine_or_of_the_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert free_memory() > 0
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:   500 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert free_memory() == 500 * 1024
    (tmp_path / "memory.current").write_text("1000\n")
    for limit, expected in (("max", 500 * 1024), ("4000", 3000), ("10", 0)):
        (tmp_path / "memory.max").write_text(limit)
        assert free_memory() == expected
