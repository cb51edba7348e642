"""``codecascade corpus``: what is made, printed and refused."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from codecascade import cli
from codecascade.cli import corpus as corpus_commands
from codecascade.cli.app import stderr, stdout
from codecascade.cli.measure.evaluation_display import wide_stdout
from codecascade.tokens.tokenizer import load_tokenizer

PROBLEM = (
    "def planted_things(basket):\n"
    "    '''How many of the things in a basket somebody planted before the summer.'''\n"
)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["corpus", *arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, " ".join(err.split())


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for repository in range(4):
        for number in range(6):
            file = tmp_path / f"code/r{repository}/m{number}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            name = f"{'abcd'[repository]}{'uvwxyz'[number]}"
            lines = "".join(f"    {name}_{n} = {name}_{n + 1} + {n}\n" for n in range(15))
            file.write_text(f"def {name}():\n{lines}")
    return tmp_path / "code"


def test_build_inspect_and_tokenizer(code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "corpus")
    (code / "r1/solved.py").write_text(PROBLEM + "    return 3\n")
    with gzip.open(tmp_path / "bench.jsonl.gz", "wt") as file:
        file.write(
            json.dumps({"task_id": "Mine/1", "prompt": PROBLEM, "tests": ["assert planted_things([]) == 0"]})
        )
    build = [
        "build",
        str(code),
        "-o",
        out,
        "--decontaminate",
        str(tmp_path / "bench.jsonl.gz"),
        "--workers",
        "1",
    ]
    status, nothing, told = run(capsys, *build)
    assert (status, nothing) == (0, "")
    assert told.startswith("train: 18 documents, 5,868 bytes heldout: 6 documents, 1,956 bytes")
    rows = pq.read_table(tmp_path / "corpus/dropped.parquet").to_pylist()
    assert [(row["path"], row["step"], row["reason"]) for row in rows] == [
        ("solved.py", "benchmark", "Mine/1/prompt")
    ]
    code_, _, err = run(capsys, *build)
    assert code_ == 0 and "nothing to do" in err

    assert run(capsys, "tokenizer", out, "-o", str(tmp_path / "tokenizer"), "--vocabulary", "400")[0] == 0
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    assert tokenizer.vocab_size <= 400
    assert tokenizer.decode(tokenizer.encode("x = 123 # é漢")) == "x = 123 # é漢"
    assert len(tokenizer.encode("123456")) >= 6, "digits are split"
    _, shown, _ = run(capsys, "inspect", out, "--tokenizer", str(tmp_path / "tokenizer"), "--samples", "1")
    table, sample = shown.split("\n\n", 1)
    row = table.split("\n")[1].split()
    assert row[:5] == ["code", "python", "18", "6", "7,824"] and 0 < float(row[5]) < 1
    assert "r" in sample and "def " in sample
    assert run(capsys, "inspect", out, "--language", "cobol")[0] == 2


def test_a_recipe_names_sources_settings_and_benchmarks(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code / "r1/solved.py").write_text(PROBLEM + "    return 3\n")
    (tmp_path / "bench.txt").write_text(PROBLEM)
    recipe = tmp_path / "corpus.toml"
    recipe.write_text(
        f'corpus = "{code}"\ndecontaminate = ["{tmp_path / "bench.txt"}"]\n'
        "[corpus_build]\nheldout_share = 0\n[corpus_build.filters.python]\nlongest_line = 500\n"
    )
    out = str(tmp_path / "corpus")
    assert (
        run(
            capsys, "build", "-o", out, "--recipe", str(recipe), "--licences", "all", "--set", "redact=false"
        )[0]
        == 0
    )
    manifest = json.loads((tmp_path / "corpus/manifest.json").read_text())
    assert manifest["dropped"] == {"benchmark": {"bench.txt": 1}}
    settings = manifest["settings"]
    assert (settings["heldout_share"], settings["licenses"], settings["redact"]) == (0, "all", False)
    assert settings["filters"]["python"]["longest_line"] == 500


def test_a_cascades_recipe_is_one_too(code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "cascade.toml"
    recipe.write_text(
        f'name = "x"\nbase = "tiny"\ncorpus = ["{code}"]\n[corpus_build]\nmax_bytes = 4000\n'
        '[[stage]]\nname = "code"\nkind = "code"\nparent = "base"\nsteps = 1\n'
    )
    assert run(capsys, "build", "-o", str(tmp_path / "corpus"), "--recipe", str(recipe))[0] == 0
    assert json.loads((tmp_path / "corpus/manifest.json").read_text())["settings"]["max_bytes"] == 4000


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("[corpus_build]\nnear_threshold = 2", "corpus_build.near_threshold: must be <= 1"),
        ("[corpus_build]\nlongest_lin = 2", "did you mean 'longest_line'?"),
        ("[corpus_build.filters.c]\nmean_lines = 2", "did you mean 'mean_line'?"),
        ("[corpus_build.filters.c]\nmean_line = -1", "filters.c.mean_line: must be > 0"),
        ('[corpus_build]\nlicenses = "some"', "corpus_build.licenses: must be 'auto', 'all' or 'permissive'"),
        ("corpus = 5", "corpus: must be a list"),
        ("corpu = 'x'", "did you mean 'corpus'?"),
        ("[corpus_build", "is not valid TOML"),
        ("", "name at least one source"),
        ("decontaminate = ['/nowhere']\ncorpus = '.'", "no such file to decontaminate against"),
    ],
)
def test_what_is_refused(
    recipe: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text(recipe)
    code, out, err = run(
        capsys, "build", "-o", str(tmp_path / "corpus"), "--recipe", str(tmp_path / "r.toml")
    )
    assert (code, out) == (2, "") and message in err
    assert not (tmp_path / "corpus").exists()


def test_more_that_is_refused(code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "corpus")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text("{")
    for name in ("empty.jsonl", "broken.jsonl", "gone.jsonl"):
        assert run(capsys, "build", str(code), "-o", out, "--decontaminate", str(tmp_path / name))[0] == 2
    assert run(capsys, "build", str(tmp_path / "nowhere"), "-o", out)[0] == 2
    assert run(capsys, "inspect", str(code))[0] == 2
    assert run(capsys, "build", str(code), "-o", out)[0] == 0
    code_, _, err = run(capsys, "tokenizer", out, "-o", str(tmp_path / "t"), "--vocabulary", "100")
    assert code_ == 2 and "--vocabulary: must be at least 260" in err
    assert run(capsys, "tokenizer", out, "-o", str(tmp_path / "t"), "--kind", "other")[0] == 2
    assert run(capsys, "tokenizer", out, "-o", str(tmp_path / "empty.jsonl"))[0] == 2


def test_without_a_tokenizer_tokens_are_not_counted(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "build", str(code), "-o", str(tmp_path / "corpus"))[0] == 0
    monkeypatch.setattr(corpus_commands, "DEFAULT_TOKENIZER", "tiny")
    status, out, err = run(capsys, "inspect", str(tmp_path / "corpus"), "--samples", "0")
    assert status == 0 and "–" in out and "tokens are not counted" in err


@pytest.mark.parametrize("name", ["[red]x[/red]", "a :smile: b", "c[/]", "x\x1b[31my"])
def test_a_language_s_name_is_text(name: str) -> None:
    """Whatever console it is shown on: a corpus that others have made may hold any name."""
    row: Any = SimpleNamespace(kind="code", language=name, train=1, heldout=2, bytes=3, tokens_per_byte=None)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(corpus_commands.languages_table([row]))
    assert name.replace("\x1b", "\\x1b") in console.export_text()


def test_what_is_printed_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    for console in (stderr(), stdout(), wide_stdout()):
        console.print("[red]runs/:smile:[/red]", highlight=False)
    out, err = capsys.readouterr()
    assert (out + err).split() == ["[red]runs/:smile:[/red]"] * 3
