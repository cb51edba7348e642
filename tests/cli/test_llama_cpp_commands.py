"""``--backend llama.cpp`` of the commands that use a model, with a stand-in for llama.cpp's kernels."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from command_line import run
from llama_runtime import StandIn

from codecascade import cli
from codecascade.generation.llama_cpp import loading
from codecascade.model.sources import load

LLAMA_CPP = ("--backend", "llama.cpp")


@pytest.fixture(scope="module")
def gguf(model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    with pytest.raises(SystemExit) as end:
        cli.main(["convert", model, str(file), "--to", "gguf", "--dtype", "f32"])
    assert not end.value.code
    return str(file)


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """The runtimes that were made."""
    made: list[StandIn] = []

    def make(file: Path, *, context: int | None = None) -> StandIn:
        llama = load(str(file)).model
        own = llama.config.max_position_embeddings
        made.append(StandIn(llama, context=context or own, cells=4 * own, batch_tokens=64))
        return made[-1]

    monkeypatch.setattr(loading, "LlamaCpp", make)
    return made


def test_texts_are_those_of_torch(
    capsys: pytest.CaptureFixture[str],
    gguf: str,
    kernels: list[StandIn],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "f.py").write_text("def f():\n    \n\nprint(f())\n")
    at = ("--file", str(tmp_path / "f.py"), "--line", "2", "--column", "5")
    for command in (
        ("complete", gguf, "--prompt", "def f(", "--max-new-tokens", "6"),
        (
            "complete",
            gguf,
            "--prompt",
            "x = ",
            "--max-new-tokens",
            "6",
            "--temperature",
            "1.5",
            "--seed",
            "4",
        ),
        ("infill", gguf, *at, "--max-new-tokens", "6", "--no-editor-stops"),
        ("chat", gguf, "--max-new-tokens", "6", "--temperature", "0"),
    ):
        found = []
        for more in (("--weights", "fp32"), LLAMA_CPP):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello")))
            code, out, err = run(capsys, *command, *more)
            assert code == 0, err
            found.append(out)
        assert found[0] == found[1] != "", command
    assert all(runtime.passes for runtime in kernels) and len(kernels) == 4


def test_a_file_of_many_and_a_prompt_that_is_too_long(
    capsys: pytest.CaptureFixture[str], gguf: str, kernels: list[StandIn], tmp_path: Path
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"prompt": "def " + "a" * n} for n in (1, 3, 2)] + [{"prompt": "long " * 400}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("complete", gguf, "--jsonl", str(source), "-o", str(target), "--max-new-tokens", "4")
    code, _, err = run(capsys, *command, *LLAMA_CPP, "--context", "64")
    assert code == 0 and "1 prompts exceed the model's context of 64 tokens" in err
    answers = [json.loads(line) for line in target.read_text().splitlines()]
    assert [answer["finish_reason"] for answer in answers] == ["length"] * 3 + ["context"]
    # they shared passes
    assert len(kernels[0].passes) < 3 * 4


def test_mistakes(capsys: pytest.CaptureFixture[str], gguf: str, model: str, tmp_path: Path) -> None:
    for arguments, said in (
        (("complete", gguf, "--prompt", "x", "--weights", "int8"), "--weights: belongs to models that torch"),
        (("infill", gguf, "--prefix", __file__, "--suffix", __file__, "--weights", "bf16"), "--weights"),
        (("chat", model), "convert the model with --to gguf"),
        (("complete", gguf, "--prompt", "long " * 5000), "context"),
        (("complete", str(tmp_path / "absent.gguf"), "--prompt", "x"), "absent.gguf"),
    ):
        code, out, err = run(capsys, *arguments, *LLAMA_CPP)
        assert (code, out) == (2, "") and said in err and "Traceback" not in err, err
