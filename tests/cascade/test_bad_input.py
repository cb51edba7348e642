"""Bad input: one sentence on standard error, exit code 2, nothing lost and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codecascade.cli import main
from codecascade.ground.files.locks import FolderLock
from codecascade.model.folder import save_folder
from codecascade.model.presets import PRESETS, build, initialise
from codecascade.recipe import make_recipe, write_recipe
from codecascade.tokens.training import train_tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a Llama-style tokenizer."""
    folder = tmp_path_factory.mktemp("base") / "model"
    model = build(PRESETS["tiny"])
    initialise(model, 0)
    save_folder(folder, model, model.config, train_tokenizer(["def f(x): return x\n"] * 50, 300))
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return int(ended.value.code or 0), " ".join(captured.err.split())


@pytest.fixture
def recipe_file(data: dict[str, Any], base: Path, tmp_path: Path) -> Path:
    del data["tokenizer"]
    data |= {
        "base": str(base),
        "stage": [data["stage"][0] | {"steps": 1}, data["stage"][3] | {"parent": "code"}],
    }
    data["evaluate"]["benchmarks"] = []
    write_recipe(make_recipe(data), tmp_path / "x.toml")
    return tmp_path / "x.toml"


def broken_weights(base: Path) -> None:
    path = base / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def other_architecture(base: Path) -> None:
    (base / "config.json").write_text('{"model_type": "gpt2"}')


def no_tokenizer(base: Path) -> None:
    for path in base.glob("tokenizer*"):
        path.unlink()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["stage.code.tokens=-5"], "x.toml: stage[0].tokens: must be > 0 (got -5)"),
        (["stage.code.steps=few"], "x.toml: stage[0].steps: must be an integer (got 'few')"),
        (
            ["stage.code.learning_rat=1"],
            "x.toml: stage[0].learning_rat: unknown key; did you mean 'learning_rate'?",
        ),
        (["corpus=/nowhere"], "x.toml: corpus: there is no /nowhere"),
        (["base=/nowhere"], "x.toml: base: /nowhere: is no folder, no GGUF file"),
        (["base=llama-2-7b"], "x.toml: base: llama-2-7b: is a shape without weights"),
        (
            ["stage.code.sequence_length=1024", "stage.code.batch_tokens=1024"],
            "stage[0].sequence_length: is 1,024",
        ),
        (["stage.chat.chat_format=chatml"], "stage[1].chat_format: the tokenizer has no control token"),
        (["stage.code.mixture=[{source='cobol', share=1}]"], "the corpus has no documents of 'cobol'"),
        (["stage.chat.dialogues=/nowhere.jsonl"], "x.toml: stage.chat: there is no /nowhere.jsonl"),
    ],
)
def test_mistakes(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[str], message: str
) -> None:
    options = [part for change in changes for part in ("--set", change)]
    code, told = run(capsys, str(recipe_file), "-o", str(tmp_path / "run"), *options)
    assert code == 2
    assert message in told
    assert not (tmp_path / "run" / "models").exists()


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (broken_weights, "model.safetensors"),
        (other_architecture, "'gpt2' models are not supported"),
        (no_tokenizer, "holds neither tokenizer.json nor tokenizer.model"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_broken_bases(
    recipe_file: Path,
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    breaks: Any,
    message: str,
) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for path in base.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    breaks(copy)
    code, told = run(capsys, str(recipe_file), "-o", str(tmp_path / "run"), "--set", f"base={copy}")
    assert code == 2
    assert message in told


def test_broken_dialogues(recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.jsonl").write_text('{"messages": [{"role": "user", "content": "Hello?"}]}\n')
    change = f"stage.chat.dialogues={tmp_path / 'bad.jsonl'}"
    code, told = run(capsys, str(recipe_file), "-o", str(tmp_path / "run"), "--set", change)
    assert code == 2
    assert "bad.jsonl:1" in told


def test_two_runs_in_one_folder(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FolderLock(tmp_path / "run"):
        code, told = run(capsys, str(recipe_file), "-o", str(tmp_path / "run"))
    assert code == 2
    assert "another codecascade process is working here" in told
