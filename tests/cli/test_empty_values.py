"""An empty value is refused by its key where a path or a text is needed: it never stands for the current folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.cli import main
from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.sources.find import find_candidates, source_exists
from codecascade.ground.errors import UserError
from codecascade.model.sources import resolve, tokenizer_of

RECIPE = """
name = "x"
base = "tiny"
corpus = "stdlib"
tokenizer = {vocabulary = 300}
[evaluate]
benchmarks = []
[[stage]]
name = "code"
kind = "code"
parent = "base"
steps = 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: it looks like a model, holds code, and must stay as it is."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "code.py").write_text("print('not to be trained on')\n")
    (tmp_path / "x.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.out == ""
    assert sorted(folder.rglob("*")) == before
    return " ".join(captured.err.split())


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("corpus=", "corpus[0]"),
        ("corpus=' '", "corpus[0]"),
        ('corpus=["stdlib", ""]', "corpus[1]"),
        ("corpus=[]", "corpus"),
        ("base=", "base"),
        ("base=' '", "base"),
        ("name=", "name"),
        ("stage.code.parent=", "stage[0].parent"),
        ("stage.code.mixture=[{source='code', share=1, corpus=''}]", "stage[0].mixture[0].corpus"),
        ("stage.code.mixture=[{source='', share=1}]", "stage[0].mixture[0].source"),
        ("stage.code.mixture=[{source='dialogues', share=1, corpus=' '}]", "stage[0].mixture[0].corpus"),
        ("corpus_build.languages=['']", "corpus_build.languages[0]"),
        ("evaluate.benchmarks=", "evaluate.benchmarks"),
        ("evaluate.benchmarks=['']", "evaluate.benchmarks"),
        ("sandbox=", "sandbox"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_settings_of_a_recipe(
    capsys: pytest.CaptureFixture[str], folder: Path, command: str, change: str, key: str
) -> None:
    assert f"x.toml: {key}: " in told(capsys, folder, command, "x.toml", "--set", change)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["run", "x.toml", "-o", ""], "-o"),
        (["run", "x.toml", "--output="], "--output"),
        (["run", "x.toml", "--until", ""], "--until"),
        (["run", ""], "an argument"),
        (["plan", "x.toml", "--memory", " "], "--memory"),
        (["corpus", "build", "", "-o", "out"], "an argument"),
        (["corpus", "build", ".", "-o", ""], "-o"),
        (["corpus", "build", ".", "-o", "out", "--decontaminate="], "--decontaminate"),
        (["corpus", "build", ".", "-o", "out", "--set", "languages=['']"], "corpus_build.languages[0]"),
        (["corpus", "build", "-o", "out", "--recipe", "empty.toml"], "empty.toml: corpus:"),
        (["eval", "", "--benchmark", "humaneval", "-o", "out"], "an argument"),
        (["eval", "m", "--benchmark", "humaneval", "-o", ""], "-o"),
        (["eval", "m", "--benchmark", "humaneval", "-o", "out", "--data", "humaneval="], "--data"),
        (["eval", "m", "--benchmark", "humaneval", "-o", "out", "--data", ""], "--data"),
        (["eval", "m", "--benchmark", "humaneval", "-o", "out", "--corpus", ""], "--corpus"),
        (["eval", "--samples", "", "--benchmark", "humaneval", "-o", "out"], "--samples"),
        (["complete", "", "--prompt", "x"], "an argument"),
        (["complete", "m", "--jsonl", "in.jsonl", "-o", ""], "-o"),
        (["convert", "", "out"], "an argument"),
        (["convert", "m", ""], "an argument"),
    ],
)
def test_arguments_of_commands(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], key: str
) -> None:
    (folder / "empty.toml").write_text('corpus = ""\n')
    message = told(capsys, folder, *arguments)
    assert key in message
    assert "empty" in message or "names no file" in message


@pytest.mark.parametrize("name", ["", "  "])
def test_names_of_models_and_sources(name: str) -> None:
    for reads in (resolve, tokenizer_of):
        with pytest.raises(UserError, match="name is empty"):
            reads(name)
    assert not source_exists(name)
    with pytest.raises(UserError, match="name is empty"):
        find_candidates(name, Dropped())


def test_an_empty_prompt_is_one(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for prompt in ("", "--x="):
        assert "no folder, no GGUF file" in told(capsys, folder, "complete", "nothing", "--prompt", prompt)
