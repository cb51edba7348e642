"""What figures were made with stands beside them: the toolchains that ran their programs, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.evaluation.running.results_file import write_results
from codecascade.evaluation.running.versions import versions
from codecascade.sandbox.languages import table
from codecascade.sandbox.languages.language import Toolchain
from codecascade.sandbox.languages.table import versions_of


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"cpp": Toolchain("g++ 12", {}), "bash": Toolchain("bash 5", {}), "go": Toolchain("go 1.19", {})}
    monkeypatch.setattr(table, "toolchain", here.get)


def test_the_toolchains_of_what_was_measured(tools: None) -> None:
    found = versions(["humaneval", "multipl_e_cpp", "multipl_e_sh", "multipl_e_rb", "no longer here"])
    assert {name: version for name, version in found.items() if name.startswith("toolchain:")} == {
        "toolchain:cpp": "g++ 12",
        "toolchain:bash": "bash 5",
    }
    assert {"python", "numpy", "codecascade", "processor"} <= set(found)
    assert not any(name.startswith("toolchain:") for name in versions())
    assert versions_of(["C++", "py", "sh"]) == {"cpp": "g++ 12", "bash": "bash 5"}


def test_earlier_calls_toolchains_stay(tools: None, tmp_path: Path) -> None:
    for name in ("multipl_e_cpp", "multipl_e_go"):
        result = BenchmarkResult(name, {}, seconds=1.0)
        write_results(tmp_path, "model", {name: result}, about={}, command="codecascade eval")
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["versions"]["toolchain:cpp"] == "g++ 12"
    assert content["versions"]["toolchain:go"] == "go 1.19"
