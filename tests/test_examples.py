"""The programs in examples/ run, and do what they say."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from endpoint_server import Server, answered
from tiny_models import save_tiny_model
from warm_process import WarmProcess

EXAMPLES = Path(__file__).parent.parent / "examples"
PACKAGES = ("email", "html", "http", "json", "logging", "urllib", "wsgiref", "xml")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("examples") / "model")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repositories side by side: a few packages of the standard library."""
    root = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(
            Path(sysconfig.get_paths()["stdlib"], package),
            root / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        (root / package / ".git").mkdir()
    return root


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str | Path) -> None:
    """Run an example in this process, which has loaded what it needs already."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def run_apart(name: str, *arguments: str | Path) -> str:
    """Run an example that changes a table in a process of its own; gives what it prints."""
    with tempfile.TemporaryDirectory() as streams:
        with WarmProcess(EXAMPLES / name, arguments, Path(streams)) as process:
            assert process.wait() == 0, process.stderr
        return process.stdout


@pytest.fixture(scope="module")
def trained(model: Path, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run's folder, and what ``train_on_folder.py`` printed."""
    folder = tmp_path_factory.mktemp("trained") / "runs" / "quickstart"
    small = [
        "corpus_build.heldout_share=0.2",
        "evaluate.benchmarks=['validation']",
        "evaluate.validation.documents=4",
        "evaluate.validation.characters=500",
        "stage.your-code.steps=2",
        "stage.your-code.batch_tokens=512",
        "stage.your-code.sequence_length=128",
        "stage.your-code.warmup_steps=0",
    ]
    return folder, run_apart("train_on_folder.py", model, sources, folder, *small)


def test_train_on_a_folder(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    assert re.findall(r"^([\w-]+): loss on held-out repositories \d", printed, re.MULTILINE) == [
        "base",
        "your-code",
    ]
    assert (folder / "report.html").is_file()
    assert (folder / "models" / "your-code" / "model.safetensors").is_file()


def test_the_notebook_shows_a_run(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = json.loads((EXAMPLES / "show_run.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells), "saved with outputs"
    monkeypatch.chdir(trained[0].parent.parent)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), "show_run.ipynb", "exec"), names)
    printed = capsys.readouterr().out
    assert "validation loss" in printed and "your-code" in printed
    axes = names["axes"]
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [2]


def test_infill(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mean.py"
    file.write_text("def mean(xs):\n    <FILL>\n    return total / len(xs)\n", encoding="utf-8")
    run(monkeypatch, "infill.py", model, file)
    printed = capsys.readouterr().out
    assert printed.startswith("def mean(xs):\n    ") and printed.endswith("\n    return total / len(xs)\n")
    assert "<FILL>" not in printed


def test_evaluate_an_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    server.behave = lambda number, body: (200, answered(body, "    return None\n"))
    try:
        run(monkeypatch, "evaluate_endpoint.py", server.url, "small", tmp_path / "out", "2")
    finally:
        server.stop()
    assert len([path for path, _ in server.requests if path.endswith("/completions")]) >= 2
    assert re.search(r"^pass@1: 0\.0% \(95 % interval 0\.0% to ", capsys.readouterr().out, re.MULTILINE)


def test_build_a_corpus(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "build_corpus.py", tmp_path / "corpus", sources)
    printed = capsys.readouterr().out
    assert re.search(r"^train: \d+ documents", printed, re.MULTILINE)
    assert re.search(r"^heldout: [1-9]\d* documents", printed, re.MULTILINE)
    assert (tmp_path / "corpus" / "corpus.html").is_file()


def test_add_a_benchmark(model: Path, tmp_path: Path) -> None:
    assert re.search(
        r"^sums: \d+% of 9$", run_apart("add_benchmark.py", model, tmp_path / "out"), re.MULTILINE
    )
    assert len((tmp_path / "out" / "samples" / "sums.jsonl").read_text(encoding="utf-8").splitlines()) == 9


@pytest.mark.skipif(shutil.which("awk") is None, reason="needs awk")
def test_add_a_language(tmp_path: Path) -> None:
    program = tmp_path / "hello.awk"
    program.write_text('BEGIN { print "hello"; exit 0 }', encoding="utf-8")
    assert re.match(r"hello\npassed in ", run_apart("add_language.py", program))
    program.write_text("BEGIN { exit 3 }", encoding="utf-8")
    assert not re.search("^passed", run_apart("add_language.py", program), re.MULTILINE)


def test_examples_are_small_and_all_of_them_are_run() -> None:
    scripts = sorted(EXAMPLES.glob("*.py"))
    tests = Path(__file__).read_text(encoding="utf-8")
    for script in [*scripts, *EXAMPLES.glob("*.ipynb")]:
        assert f'"{script.name}"' in tests, f"no test runs {script.name}"
    assert len(scripts) >= 6
    assert all(len(script.read_text(encoding="utf-8").splitlines()) < 40 for script in scripts)
