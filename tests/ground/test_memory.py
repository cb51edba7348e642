"""Memory: of the machine, or of the control groups that this process is in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from codecascade.generation.engine.memory import free_bytes
from codecascade.ground import memory
from codecascade.ground.memory import free_memory, whole_memory

KIB = 1024


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the control groups, of a process in ``/job/step``, on a machine that has 900 KiB."""
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:   500 kB\n")
    (tmp_path / "own").write_text("3:cpu:/other\n0::/job/step\n")
    (tmp_path / "groups" / "job" / "step").mkdir(parents=True)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "groups")
    sizes = {"SC_PAGE_SIZE": KIB, "SC_PHYS_PAGES": 900}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    return tmp_path / "groups"


def test_this_machine_has_memory() -> None:
    assert 0 < free_memory() <= whole_memory()


@pytest.mark.parametrize("group", [".", "job", "job/step"])
def test_memory_is_that_of_the_machine_or_of_the_control_groups(groups: Path, group: str) -> None:
    assert (free_memory(), whole_memory()) == (500 * KIB, 900 * KIB)
    (groups / group / "memory.current").write_text("1000\n")
    for limit, free, whole in (("max\n", 500 * KIB, 900 * KIB), ("4000\n", 3000, 4000), ("10\n", 1, 10)):
        (groups / group / "memory.max").write_text(limit)
        assert (free_memory(), whole_memory()) == (free, whole)
    # what bounds the cache of an engine
    (groups / group / "memory.max").write_text("11000\n")
    assert free_bytes(torch.device("cpu")) == 9000
    (groups / group / "memory.max").write_text("10")
    assert free_bytes(torch.device("cpu")) == 0, "not None, which is that the system does not tell"


def test_copies_of_files_are_given_up(groups: Path) -> None:
    (groups / "job" / "memory.max").write_text("5000")
    (groups / "job" / "memory.current").write_text("4900")
    (groups / "job" / "memory.stat").write_text("anon 900\nactive_file 1000\ninactive_file 3000\nfile 4100\n")
    assert free_memory() == 100 + 4000


def test_groups_that_can_not_be_seen(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/../other\n")
    (groups / "memory.max").write_text("4000")
    assert whole_memory() == 4000
    (tmp_path / "own").unlink()
    assert whole_memory() == 4000
