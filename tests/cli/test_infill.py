"""The command that fills in a gap."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import run

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.requests import Request
from codecascade.model.sources import tokenizer_of


def test_infill_at_a_cursor_equals_prefix_and_suffix(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path
) -> None:
    (tmp_path / "f.py").write_text("def f():\n    return 1\n")
    (tmp_path / "a").write_text("def f():\n    ")
    (tmp_path / "b").write_text("return 1\n")
    for layout in ("psm", "spm"):
        common = ["infill", model, "--max-new-tokens", "6", "--format", layout]
        at_cursor = run(capsys, *common, "--file", str(tmp_path / "f.py"), "--line", "2", "--column", "5")
        apart = run(capsys, *common, "--prefix", str(tmp_path / "a"), "--suffix", str(tmp_path / "b"))
        assert at_cursor[0] == apart[0] == 0
        assert at_cursor[1] == apart[1]


def test_batch_infilling(capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"prefix": "def f(", "suffix": "): pass\n"}) + "\n")
    code, *_ = run(
        capsys, "infill", model, "--jsonl", str(source), "-o", str(target), "--max-new-tokens", "4"
    )
    assert code == 0
    assert isinstance(json.loads(target.read_text())["completion"], str)


def test_infilling_ends_as_an_editor_wants_it_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the request asks for; the rules themselves have tests of their own."""
    asked: list[EditorStops | None] = []

    def stream(self: LocalGenerator, request: Request) -> Iterator[str]:
        asked.append(request.editor)
        return iter(())

    monkeypatch.setattr(LocalGenerator, "stream", stream)
    (tmp_path / "app.js").write_text("f(\n)\n")
    at = ["infill", model, "--file", str(tmp_path / "app.js"), "--line", "1", "--column", "3"]
    for flags in ([], ["--block"], ["--single-line"], ["--no-editor-stops"]):
        assert run(capsys, *at, *flags)[0] == 0
    wanted = EditorStops("f(", "\n)\n", "javascript")
    assert asked == [wanted, wanted, replace(wanted, lines="single"), None]
    code, _, error = run(capsys, *at, "--block", "--single-line")
    assert code == 2 and "exclude each other" in error


def test_infill_shows_the_model_what_fits_and_other_files(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []

    def stream(self: LocalGenerator, request: Request) -> Iterator[str]:
        assert len(request.ids) < self.context_length
        asked.append(request)
        return iter(())

    monkeypatch.setattr(LocalGenerator, "stream", stream)
    tokenizer = tokenizer_of(model)
    assert tokenizer.infilling is not None
    (tmp_path / "long.py").write_text("x = 1\n" * 2000 + "y = \n" + "z = 3\n" * 2000)
    (tmp_path / "other.py").write_text("def helper(): ...\n")
    at = ["infill", model, "--file", str(tmp_path / "long.py"), "--line", "2001", "--column", "5"]
    more = ["--context", "100", "--context-file", str(tmp_path / "other.py"), "--max-new-tokens", "10"]
    assert run(capsys, *at, *more)[0] == 0
    assert run(capsys, *at, "--format", "psm", *more, "--presence-penalty", "0.5")[0] == 0
    short = [*at[:2], "--prefix", str(tmp_path / "other.py"), "--suffix", str(tmp_path / "other.py")]
    assert run(capsys, *short, *more)[0] == 0
    spm, psm, other = (tokenizer.decode(request.ids) for request in asked)
    for text in (spm, psm):
        assert "x = 1\n" in text and "z = 3\n" in text
    assert asked[0].ids[-1] != tokenizer.infilling.middle == asked[1].ids[-1], "SPM is the editors' layout"
    assert asked[1].sampling.presence_penalty == 0.5
    assert other.count("def helper") == 3, "prefix, suffix and the other file"
    code, _, error = run(capsys, *at, "--context", "4")
    assert code == 2 and "needs more than" in error
