"""What the commands print, where, and with which exit code."""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run

from codecascade import cli
from codecascade.cli import generation_options, generation_running
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.ground.errors import RunFailed, Stopped, UserError


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--version")
    assert (code, out) == (0, "0.1.0\n")
    code, out, _ = run(capsys, "infill", "--help")
    assert code == 0
    assert "--column" in out


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_a_run_has_begun_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, signum: signal.Signals, code: int
) -> None:
    """To import PyTorch and to look at the inputs takes seconds, in which somebody may change their mind."""
    monkeypatch.setattr("codecascade.recipe.read_recipe", lambda *arguments: signal.raise_signal(signum))
    assert run(capsys, "run", "x.toml") == (code, "", "stopped; run the same command again to continue\n")


def test_no_message_moves_the_cursor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(model: generation_running.ModelOptions) -> LocalGenerator:
        logging.getLogger("codecascade.model").warning("the key \x1b[31m is not known")
        logging.getLogger("codecascade.model").warning("the key %s is not known", "a\nerror: b")
        raise RunFailed("the server says \x1b[32m")

    monkeypatch.setattr(generation_running.ModelOptions, "load", failing)
    code, _, err = run(capsys, "complete", "m", "--prompt", "a")
    assert code == 1 and "\x1b" not in err
    assert "\\x1b[31m" in err and "\\x1b[32m" in err and "the key a\\nerror: b is not known" in err


def test_help_does_not_wait_for_torch() -> None:
    program = (
        "import sys\n"
        "from codecascade import cli\n"
        "try:\n"
        "    cli.main(['infill', '--help'])\n"
        "finally:\n"
        "    print('torch' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.strip().endswith("False")


def test_complete_prints_the_text_alone(capsys: pytest.CaptureFixture[str], model: str) -> None:
    arguments = ["complete", model, "--prompt", "def f(", "--max-new-tokens", "5"]
    code, out, err = run(capsys, *arguments)
    again = run(capsys, *arguments)
    assert code == 0
    assert out
    assert out == again[1]
    assert "Traceback" not in err


def test_sampling_follows_the_seed(capsys: pytest.CaptureFixture[str], model: str) -> None:
    common = ["complete", model, "--prompt", "x = ", "--max-new-tokens", "12", "--temperature", "1.5"]
    outs = [run(capsys, *common, "--seed", seed)[1] for seed in ("1", "1", "2")]
    assert outs[0] == outs[1] != outs[2]


def test_batches_keep_order_and_fields(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path
) -> None:
    rows = [{"prompt": "def " + "a" * n, "name": n} for n in range(5)]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = run(
        capsys, "complete", model, "--jsonl", str(source), "-o", str(target), "--max-new-tokens", "4"
    )
    assert (code, out) == (0, "")
    answers = [json.loads(line) for line in target.read_text().splitlines()]
    assert [answer["name"] for answer in answers] == [0, 1, 2, 3, 4]
    single = run(capsys, "complete", model, "--prompt", rows[3]["prompt"], "--max-new-tokens", "4")[1]
    assert answers[3]["completion"] == single


def test_convert(capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    assert run(capsys, "convert", model, str(out), "--to", "hf", "--dtype", "bf16")[0] == 0
    assert (out / "model.safetensors").exists()
    code, _, err = run(capsys, "convert", model, str(out))
    assert code == 2
    assert "is there already" in err
    file = tmp_path / "copy.gguf"
    assert run(capsys, "convert", model, str(file), "--to", "gguf", "--dtype", "q8_0")[0] == 0
    assert file.read_bytes()[:4] == b"GGUF"
    code, _, err = run(capsys, "convert", model, str(tmp_path / "other"), "--dtype", "q8_0")
    assert code == 2
    assert "q8_0 is a type of GGUF files" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["complete", "MODEL"], "exactly one of --prompt"),
        (["complete", "MODEL", "--prompt", "a", "--prompt-file", "b"], "exactly one of --prompt"),
        (["complete", "MODEL", "--prompt-file", "absent"], "absent: there is no such file"),
        (["complete", "MODEL", "--prompt-file", "."], "is a folder"),
        (["complete", "MODEL", "--jsonl", "rows"], "belong together"),
        (["complete", "MODEL", "--jsonl", "rows", "-o", "out"], "rows:2: prompt: must be there"),
        (["complete", "absent", "--prompt", "x"], "absent"),
        (["complete", "MODEL", "--prompt", "x", "--temperature", "-1"], "temperature"),
        (["complete", "MODEL", "--prompt", "long " * 5000], "context"),
        (["infill", "MODEL", "--prefix", "text"], "give --prefix and --suffix"),
        (["infill", "MODEL", "--file", "text"], "--line and --column"),
        (
            ["infill", "MODEL", "--file", "text", "--line", "9", "--column", "1"],
            "--line: has 2 lines (got 9)",
        ),
        (
            ["infill", "MODEL", "--file", "text", "--line", "1", "--column", "9"],
            "the last column is 6 (got 9)",
        ),
        (["infill", "MODEL", "--file", "text", "--prefix", "text"], "exclude each other"),
        (["infill", "MODEL", "--prefix", "latin", "--suffix", "text"], "not UTF-8"),
        (["convert", "MODEL", "new", "--to", "onnx"], "onnx"),
        (["run", "absent.toml"], "absent.toml: there is no such"),
        (["plan", "absent.toml"], "absent.toml: there is no such"),
        (["nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("abcde\n")
    (tmp_path / "latin").write_bytes(b"\xe9")
    (tmp_path / "rows").write_text('{"prompt": "a"}\n{"text": "b"}\n')
    code, out, err = run(capsys, *(model if argument == "MODEL" else argument for argument in arguments))
    assert code == 2
    assert out == ""
    assert said in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("is wrong", file="x.toml"), 2, "error: x.toml: is wrong"),
        (RunFailed("the loss is nan"), 1, "failed: the loss is nan"),
        (Stopped(15), 143, "run the same command again"),
        (Stopped(2), 130, "run the same command again"),
    ],
)
def test_exit_codes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
    said: str,
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(generation_running.ModelOptions, "load", fail)
    assert run(capsys, "complete", "m", "--prompt", "x")[0] == code
    with pytest.raises(SystemExit):
        cli.main(["complete", "m", "--prompt", "x"])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_what_the_outputs_encoding_lacks_is_written_as_a_question_mark(
    monkeypatch: pytest.MonkeyPatch, model: str, encoding: str
) -> None:
    monkeypatch.setattr(LocalGenerator, "stream", lambda self, request: iter(["x = '→", "é'"]))
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    with pytest.raises(SystemExit) as end:
        cli.main(["complete", model, "--prompt", "x"])
    sys.stdout.flush()
    assert not end.value.code and written.getvalue() == "x = '?é'".encode(encoding, errors="replace")


def test_tables_are_drawn_in_ascii_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    with pytest.raises(SystemExit) as end:
        cli.main(["eval", "--list"])
    sys.stdout.flush()
    assert not end.value.code and b"multipl_e_cpp" in written.getvalue()


def test_files_with_a_byte_order_mark(capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    (tmp_path / "with.py").write_bytes(mark + b"def area(w, h):\r\n    return w\r\n")
    (tmp_path / "without.py").write_bytes(b"def area(w, h):\r\n    return w\r\n")
    for line, column, before in ((1, 5, "def "), (2, 1, "def area(w, h):\r\n"), (1, 1, "")):
        assert generation_options.at_cursor(tmp_path / "with.py", line, column)[0] == before
        arguments = ["--line", str(line), "--column", str(column), "--max-new-tokens", "6"]
        found = [
            run(capsys, "infill", model, "--file", str(tmp_path / name), *arguments)
            for name in ("with.py", "without.py")
        ]
        assert found[0][:2] == found[1][:2] and found[0][0] == 0
    (tmp_path / "in.jsonl").write_bytes(mark + b'{"prefix": "a", "suffix": "b"}\r\n')
    code, _, err = run(
        capsys, "infill", model, "--jsonl", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")
    )
    assert code == 0, err
    [line] = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line).keys() == {"prefix", "suffix", "completion", "finish_reason"}


def test_wrong_inputs_are_reported_before_a_model_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def load(model: generation_running.ModelOptions) -> object:
        raise AssertionError("loaded")

    monkeypatch.setattr(generation_running.ModelOptions, "load", load)
    monkeypatch.chdir(tmp_path)
    Path("deep.jsonl").write_text('{"prompt": "x"}\n{"prompt": ' + "[" * 5_000 + "]" * 5_000 + "}\n")
    Path("good.jsonl").write_text('{"prompt": "x"}\n')
    for arguments, said in (
        (["complete", "m", "--jsonl", "none.jsonl", "-o", "out"], "none.jsonl: there is no such file"),
        (["complete", "m", "--jsonl", "deep.jsonl", "-o", "out"], "deep.jsonl:2: is nested too deeply"),
        (["complete", "m", "--jsonl", "good.jsonl", "-o", "."], ".: -o: is a folder"),
        (["complete", "m", "--prompt-file", "none"], "none: there is no such file"),
        (["infill", "m", "--file", "none", "--line", "1", "--column", "1"], "none: there is no such file"),
        (["compare", "none", "none"], "none"),
        (
            ["eval", "--samples", "none.jsonl", "--benchmark", "humaneval", "-o", "out"],
            "none.jsonl: --samples: there is no",
        ),
        (["eval", "--samples", "deep.jsonl", "--benchmark", "humaneval", "-o", "out"], "deep.jsonl:"),
        (
            ["eval", "m", "--benchmark", "mbpp", "--data", "none", "-o", "out"],
            "none: --data: there is no such file",
        ),
        (["eval", "m", "--benchmark", "humaneval", "--corpus", "none", "-o", "out"], "none"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "") and said in err and "Traceback" not in err, err
        assert not Path("out").exists()


def test_context_is_a_setting(capsys: pytest.CaptureFixture[str], model: str) -> None:
    prompt = "x = 1\n" * 200
    code, _, error = run(capsys, "complete", model, "--prompt", prompt, "--context", "20")
    assert code == 2 and "context 20;" in error
    most = ["--max-new-tokens", "2", "--context", "100000"]
    assert run(capsys, "complete", model, "--prompt", prompt, *most)[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tflops", "0"], "--tflops: must be a finite number, and at least 1e-09 (got 0)"),
        (["--tflops", "1e-300"], "--tflops: must be a finite number, and at least 1e-09 (got 1e-300)"),
        (["--tflops", "inf"], "--tflops: must be a finite number, and at least 1e-09 (got inf)"),
        (["--devices", "2000000"], "--devices"),
        (["--only", "code"], "--only: is used with --simulate only"),
    ],
)
def test_a_plan_of_impossible_devices(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    code, out, err = run(capsys, "plan", "smoke", *options)
    assert (code, out) == (2, "")
    assert message in err
