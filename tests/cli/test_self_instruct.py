"""The command that makes training data, with a server as the teacher."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Server, answered
from scripted_teacher import adds

from codecascade import cli
from codecascade.instruct.dialogues import read_dialogues

QUESTIONS = "".join(f"Write a function that adds {n} to a number that is given.\n" for n in range(5))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        cli.main(["self-instruct", *arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


def reply(number: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """As a chat model answers that opens its tags itself."""
    problem = body["messages"][-1]["content"].removeprefix("Problem: ")
    step = "solutions" if "\nTest: " in problem else "tests"
    # The third sample of the scripted teacher is right.
    text = adds(step, problem.partition("\n")[0], 2)
    tag = "PYTHON" if step == "solutions" else "TESTS"
    return 200, answered(body, f"Sure!\n[{tag}]\n{text}\n[/{tag}]")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.behave = reply
    yield made
    made.stop()


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "questions.txt"
    path.write_text(QUESTIONS)
    return path


def options(server: Server, asked: Path, out: Path, *more: str) -> list[str]:
    made = ["--endpoint", server.url, "--model", "small", "--questions-file", str(asked), "-o", str(out)]
    return [*made, "--solutions", "2", "--questions", "5", "--sandbox", "weak", *more]


def test_a_server_as_teacher(
    capsys: pytest.CaptureFixture[str], server: Server, asked: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, shown, _ = run(capsys, *options(server, asked, out))
    assert code == 0
    # Of the five questions one has no right solution, and one no tests.
    assert len(read_dialogues(out / "dialogues.jsonl")) == 3
    assert "kept" in shown and "3" in shown
    assert "small" in (out / "report.md").read_text()
    assert (out / "report.html").exists() and (out / "datasheet.md").exists()
    requests = len(server.requests)
    assert run(capsys, *options(server, asked, out))[0] == 0
    assert len(server.requests) == requests, "a finished folder asks nothing"


def test_other_settings_are_refused_before_a_model_is_loaded(
    capsys: pytest.CaptureFixture[str], server: Server, asked: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(capsys, *options(server, asked, out))[0] == 0
    own = ["no-such-model", *options(server, asked, out)[4:]]
    code, _, err = run(capsys, *own, "--seed", "1")
    assert code == 2 and "other settings (settings.seed 0, now 1)" in err and "no-such-model" not in err
    code, _, err = run(capsys, *own)
    assert code == 2 and "no-such-model" in err


def test_a_server_that_refuses_ends_with_1_and_is_continued(
    capsys: pytest.CaptureFixture[str], server: Server, asked: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    server.behave = lambda number, body: reply(number, body) if number <= 6 else (400, {"error": "no"})
    code, _, said = run(capsys, *options(server, asked, out, "--concurrency", "1"))
    assert code == 1 and "failed: http" in said and "refuses a request (400: no)" in said
    assert not (out / "dialogues.jsonl").exists()
    answers = 6
    server.behave = reply
    assert run(capsys, *options(server, asked, out))[0] == 0
    prompts = [json.dumps(body) for _, body in server.requests]
    assert len(prompts) - len(set(prompts)) <= len(prompts) - answers
    assert len(read_dialogues(out / "dialogues.jsonl")) == 3


def test_nothing_usable_is_exit_code_1_with_the_funnel(
    capsys: pytest.CaptureFixture[str], server: Server, asked: Path, tmp_path: Path
) -> None:
    server.behave = lambda number, body: (200, answered(body, "I can't."))
    code, _, said = run(capsys, *options(server, asked, tmp_path / "out"))
    assert code == 1
    assert "no dialogue was kept" in said and "questions 5, with tests 0" in said
    assert (tmp_path / "out" / "report.md").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a MODEL, or --endpoint URL --model NAME"),
        (["--endpoint", "http://localhost:1"], "belong together"),
        (["m", "--endpoint", "http://localhost:1", "--model", "n", "--questions-from", "o"], "three writers"),
        (["m", "--language", "cobol"], "language: there is no language 'cobol'; take python or javascript"),
        (["m", "--language", "rust"], "python or javascript"),
        (["m", "--set", "solution=3"], "solution"),
        (["m", "--set", "test_temperature=-1"], "test_temperature"),
        (["m", "--questions-file", "nowhere.txt"], "nowhere.txt"),
        (["m", "--prompts", "nowhere"], "nowhere: is no folder"),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, said = run(capsys, *arguments, "-o", str(tmp_path / "out"))
    assert code == 2
    assert message in said
    assert not (tmp_path / "out").exists()


def test_a_prompt_file_without_its_placeholder_is_named(
    capsys: pytest.CaptureFixture[str], server: Server, asked: Path, tmp_path: Path
) -> None:
    (tmp_path / "prompts" / "chat").mkdir(parents=True)
    (tmp_path / "prompts" / "chat" / "solutions.txt").write_text("=== user ===\nSolve {{question}}\n")
    code, _, said = run(
        capsys, *options(server, asked, tmp_path / "out", "--prompts", str(tmp_path / "prompts"))
    )
    assert code == 2
    assert "chat/solutions.txt" in said.replace(" ", "") and "lacks {{test}}" in said
    assert not server.requests


def test_a_recipe_gives_the_settings_and_options_change_them(
    capsys: pytest.CaptureFixture[str], server: Server, asked: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f"[self_instruct]\nseed = 4\ntests = 3\nquestion.sources = [{{source = 'file', path = '{asked}'}}]\n"
    )
    made = ["--endpoint", server.url, "--model", "small", "--sandbox", "weak", "--recipe", str(recipe)]
    code, *_ = run(capsys, *made, "-o", str(tmp_path / "out"), "--solutions", "1", "--set", "least_tests=3")
    assert code == 0
    settings = json.loads((tmp_path / "out" / "summary.json").read_text())["settings"]
    assert (settings["seed"], settings["tests"], settings["solutions"], settings["least_tests"]) == (
        4,
        3,
        1,
        3,
    )
    recipe.write_text("[other]\n")
    code, _, said = run(capsys, *made, "-o", str(tmp_path / "out"))
    assert code == 2 and "has no table [self_instruct], and no stage with one" in said
