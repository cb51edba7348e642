"""Figures 3 and 6 from the command line."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import run

from codecascade.model.folder import save_folder
from codecascade.model.presets import PRESETS, build, initialise
from codecascade.tokens.infilling import add_infilling_tokens, rows_for
from codecascade.tokens.training import train_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("figures") / "model"
    tokenizer = add_infilling_tokens(train_tokenizer([inspect.getsource(inspect)], 400, kind="bytes"))
    llama = build(replace(PRESETS["tiny"], vocab_size=rows_for(tokenizer.vocab_size)))
    initialise(llama, seed=1)
    save_folder(folder, llama, llama.config, tokenizer)
    return str(folder)


def test_several_temperatures_make_a_sweep(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--limit", "1", "--samples-per-problem", "2", "--set", "humaneval.max_new_tokens=3")
    code, out, _ = run(
        capsys, "eval", model, "--benchmark", "humaneval", *few, "--temperature", "0.8,0.1", "--sandbox", "weak",
        "-o", str(tmp_path), "--name", "tiny",
    )  # fmt: skip
    assert code == 0 and "percent by temperature" in out.replace("\n", " ")
    for temperature in ("0.1", "0.8"):
        results = json.loads((tmp_path / f"temperature_{temperature}/results.json").read_text())
        assert results["benchmarks"]["humaneval"]["settings"]["temperature"] == float(temperature)
        assert (
            len((tmp_path / f"temperature_{temperature}/samples/humaneval.jsonl").read_text().splitlines())
            == 2
        )
    assert (tmp_path / "sweep.svg").read_text().startswith("<svg")
    code, out, _ = run(capsys, "sweep", str(tmp_path), "--json")
    assert code == 0 and json.loads(out) == json.loads((tmp_path / "sweep.json").read_text())
    assert list(json.loads(out)["benchmarks"]["humaneval"]["pass@1"]) == ["0.1", "0.8"]


@pytest.mark.parametrize(
    ("benchmark", "temperature", "message"),
    [
        (
            "humaneval",
            "0.1,hot",
            "--temperature: must be a number of 0 or more, or several with commas between",
        ),
        ("humaneval", "-1", "--temperature: must be a number of 0 or more"),
        ("humaneval,gsm8k", "0.1,0.2", "--temperature: gsm8k: always greedy, so there is nothing to sweep"),
    ],
)
def test_temperatures_that_are_none(
    model: str,
    tmp_path: Path,
    benchmark: str,
    temperature: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = (
        "eval",
        model,
        "--benchmark",
        benchmark,
        "--temperature",
        temperature,
        "-o",
        str(tmp_path / "out"),
    )
    code, _, err = run(capsys, *command)
    assert code == 2 and message in " ".join(err.split())


def test_correlations_as_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder = tmp_path / "run"
    (run_folder / "samples").mkdir(parents=True)
    metrics = {}
    for benchmark, task_id in (("humaneval", "HumanEval/{}"), ("multipl_e_cpp", "HumanEval_{}_x")):
        rows = [{"task_id": task_id.format(n), "completion": "", "passed": n % 3 == 0} for n in range(9)]
        (run_folder / f"samples/{benchmark}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )
        metrics[benchmark] = {"pass@1": {"value": 1 / 3, "low": 0, "high": 1, "n": 9}}
    (run_folder / "results.json").write_text(json.dumps({"models": {"m": metrics}}))
    picture = tmp_path / "figure.svg"
    code, out, _ = run(capsys, "correlations", str(run_folder), "-o", str(picture))
    assert code == 0 and "C++" in out and "1.00" in out and picture.read_text().startswith("<svg")
    code, out, _ = run(capsys, "correlations", str(run_folder), "--json")
    assert code == 0 and json.loads(out)[0]["pairs"][0]["value"] == pytest.approx(1.0)
    code, _, err = run(capsys, "correlations", str(tmp_path))
    assert code == 2 and "is not an evaluation" in err
