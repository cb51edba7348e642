"""``complete`` of many texts, and ``chat``."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from rich.console import Console

from codecascade.generation.engine.generator import PassGenerator
from codecascade.generation.requests import Completion, Request


def test_a_batch_that_was_killed_goes_on(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": "def " + "a" * n} for n in range(5)]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("complete", model, "--jsonl", str(source), "-o", str(target), "--max-new-tokens", "4")
    assert run(capsys, *command)[0] == 0
    undisturbed = target.read_bytes()
    target.unlink()
    asked: list[int] = []
    generate, left = PassGenerator.generate, 2

    def killed(self: PassGenerator[Any], requests: Sequence[Request]) -> Iterator[Completion]:
        asked.append(len(requests))
        for count, completion in enumerate(generate(self, requests)):
            if count == left:
                raise OSError("no more")
            yield completion

    monkeypatch.setattr(PassGenerator, "generate", killed)
    with contextlib.suppress(OSError):
        run(capsys, *command)
    assert not target.exists()
    left = 9
    code, _, said = run(capsys, *command)
    assert (code, target.read_bytes(), asked) == (0, undisturbed, [5, 3])
    assert "2 of 5 were answered before" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
    # Of an answer that another setting gave nothing is taken.
    left = 2
    with contextlib.suppress(OSError):
        run(capsys, *command)
    left = 9
    assert run(capsys, *command, "--seed", "7")[0] == 0
    assert asked == [5, 3, 5, 5]


def test_an_output_that_can_not_be_is_refused_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (source := tmp_path / "in.jsonl").write_text('{"prompt": "x"}\n')
    (tmp_path / "out.jsonl.journal").mkdir()
    for target, said in ((tmp_path / "out.jsonl", "is a folder"), (source / "out.jsonl", "is no folder")):
        code, _, err = run(capsys, "complete", "absent/", "--jsonl", str(source), "-o", str(target))
        assert code == 2 and said in err


def test_chat_answers_a_pipe_once(
    capsys: pytest.CaptureFixture[str], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello")))
    code, out, _ = run(capsys, "chat", model, "--max-new-tokens", "5", "--temperature", "0")
    assert code == 0
    assert "<|im_" not in out


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_pipe_that_is_not_utf_8_is_refused(
    capsys: pytest.CaptureFixture[str], model: str, monkeypatch: pytest.MonkeyPatch, errors: str
) -> None:
    piped = io.TextIOWrapper(io.BytesIO(b"h\xe9llo\n"), encoding="utf-8", errors=errors)
    monkeypatch.setattr(sys, "stdin", piped)
    code, out, err = run(capsys, "chat", model)
    assert (code, out) == (2, "") and "standard input: is not UTF-8 text" in err


@pytest.mark.parametrize(
    ("command", "option"),
    [("complete", "--prompt"), ("complete", "--stop"), ("chat", "--system"), ("run", "--set")],
)
def test_text_of_the_command_line_that_is_not_utf_8_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    for text in (b"caf\xe9".decode(errors="surrogateescape"), "\ud800"):
        for words in ((option, text), (f"{option}={text}",)):
            code, _, err = run(capsys, command, "absent/", *words)
            assert code == 2 and f"{option}: is not UTF-8 text" in err


def test_what_is_typed_and_no_text_is_asked_for_again(
    capsys: pytest.CaptureFixture[str], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict() -> str:
        return b"\xe9".decode()

    said = iter([strict, lambda: b"\xe9".decode(errors="surrogateescape")])

    def typed(self: Console, prompt: object) -> str:
        try:
            return next(said)()
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(Console, "input", typed)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    code, out, err = run(capsys, "chat", model)
    assert code == 0 and not out.strip() and err.count("not UTF-8 text") == 2


def test_a_talk_that_fills_the_context_goes_on(
    capsys: pytest.CaptureFixture[str], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(["first " * 5, "second " * 5, "", "x" * 200, "third"])
    asked: list[str] = []
    stream = PassGenerator.stream

    def watched(self: PassGenerator[Any], request: Request) -> Iterator[str]:
        asked.append(self.tokenizer.decode(request.ids))
        for _ in stream(self, request):
            pass
        # What the model writes differs from machine to machine, and so do its tokens when it is read again.
        yield "%&" * 15

    def typed(self: Console, prompt: object) -> str:
        try:
            return next(said)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(PassGenerator, "stream", watched)
    monkeypatch.setattr(Console, "input", typed)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    code, _, err = run(
        capsys, "chat", model, "--system", "Be kind.", "--context", "128", "--max-new-tokens", "16"
    )
    assert code == 0
    # of a message that is refused nothing is said to be left out, for it is as if it had not been said
    assert err.count("left out: the context has 128 tokens") == 1 and "200" not in err
    assert all("Be kind." in each for each in asked)
    assert "first" in asked[0] and "first" not in asked[1] and "second" in asked[1]
    assert "x" * 200 not in asked[-1] and "third" in asked[-1]


def test_a_talk_with_a_model_that_can_not_talk_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(Console, "input", lambda *rest: pytest.fail("nothing may be asked"))
    silent = Path(shutil.copytree(model, tmp_path / "silent"))
    config = json.loads((silent / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ raise_exception('never') }}"
    (silent / "tokenizer_config.json").write_text(json.dumps(config))
    (silent / "chat_template.jinja").unlink(missing_ok=True)
    code, _, err = run(capsys, "chat", str(silent))
    assert code == 2 and "template" in err and "never" in err
