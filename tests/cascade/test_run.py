"""A whole cascade on a tiny model: what it leaves behind, and that nothing is ever done twice."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from codecascade.cascade.budget import steps
from codecascade.cascade.mixtures import Mixtures
from codecascade.cascade.run import run_cascade
from codecascade.evaluation.analysis.compare import compare
from codecascade.ground.errors import UserError
from codecascade.ground.files.locks import FolderLock
from codecascade.model.folder import load_folder
from codecascade.model.sources import load
from codecascade.recipe import Recipe, make_recipe, read_recipe
from codecascade.recipe.settings import Stage
from codecascade.tokens.chat import Message, encode_chat
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.tokenized.shard import BYTES_PER_TOKEN


def told(recipe: Recipe, folder: Path, **options: Any) -> tuple[bool, str]:
    """Run, and what was said."""
    console = Console(file=open(os.devnull, "w"), record=True, width=200)  # noqa: SIM115
    did = run_cascade(recipe, folder, console=console, **options)
    return did, console.export_text()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_whole_cascade(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    did, text = told(recipe, folder, until="code", file=Path("recipes/small.toml"))
    assert did
    assert "ahead: about" in text
    assert text.splitlines()[-1].endswith(f"codecascade serve {folder / 'models' / 'code'}")
    assert not (folder / "models" / "python").exists()
    trained = (folder / "models" / "code" / "model.safetensors").stat().st_mtime_ns

    did, text = told(recipe, folder, command="codecascade run small.toml --set seed=0")
    assert did
    assert (folder / "models" / "code" / "model.safetensors").stat().st_mtime_ns == trained, (
        "never trained again"
    )
    assert "code: step" not in text
    assert text.count("steps,") == 3

    # the contract's files
    assert read_recipe(folder / "recipe.toml") == recipe
    for stage in recipe.stage:
        log = rows(folder / "logs" / f"{stage.name}.jsonl")
        assert [row["step"] for row in log] == list(range(1, (stage.steps or 0) + 1))
        assert {"step", "tokens", "loss", "lr", "seconds"} <= set(log[0])
    assert not list((folder / "checkpoints").iterdir()), "checkpoints are for stages that are not done"
    results = json.loads((folder / "results.json").read_text())
    assert set(results) == {"models", "cost", "versions"}
    assert set(results["models"]) == {"base", "code", "python", "long", "chat"}
    assert set(results["models"]["code"]["validation"]["loss"]) == {"value", "low", "high", "n"}
    compared = compare(folder / "evaluations" / "base", folder / "evaluations" / "code", ["validation"])
    assert "bits_per_byte" in [row.metric for row in compared.benchmarks[0].differences]
    assert {"loss", "bits_per_byte", "infilling_loss"} == set(results["models"]["code"]["validation"])
    assert "infilling_loss" not in results["models"]["python"]["validation"]
    assert results["cost"]["code"]["tokens"] == 6 * 256
    assert results["cost"]["code"]["flops"] > 0
    written = (folder / "report.md").read_text()
    assert "infilling" in written.lower()
    assert "Made by `codecascade run small.toml --set seed=0`." in written
    assert "Its dialogues are from dialogues.jsonl 100%." in written
    page = (folder / "report.html").read_text()
    assert "<html" in page
    for model in results["models"]:  # each has a report of its own, that names the command
        assert f'href="evaluations/{model}/report.html"' in page
        assert "codecascade run" in (folder / "evaluations" / model / "report.html").read_text()

    # what each stage changed
    base = load_folder(folder / "base")
    code, python, long, chat = (load_folder(folder / "models" / s.name) for s in recipe.stage)
    assert base.tokenizer.infilling is None
    assert code.tokenizer.infilling is not None
    assert code.config.vocab_size % 64 == 0
    assert code.config.vocab_size >= code.tokenizer.vocab_size > base.tokenizer.vocab_size
    assert python.tokenizer.infilling is None
    assert (python.tokenizer.vocab_size, python.config.vocab_size) == (
        base.tokenizer.vocab_size,
        base.config.vocab_size,
    )
    assert (code.config.rope_theta, code.config.max_position_embeddings) == (1e4, 512)
    assert (long.config.rope_theta, long.config.max_position_embeddings) == (1e6, 1024)
    assert (chat.config.rope_theta, chat.config.max_position_embeddings) == (1e6, 1024)
    assert chat.tokenizer.chat_format == "llama2"
    assert encode_chat(chat.tokenizer, [Message("user", "What is 3?")])
    for before, after in ((base, code), (code, python), (code, long), (long, chat)):
        assert not torch.equal(before.model.model.norm.weight, after.model.model.norm.weight) or after is chat
        assert not torch.equal(
            before.model.model.layers[0].mlp.up_proj.weight, after.model.model.layers[0].mlp.up_proj.weight
        )

    # and again
    marks = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    did, text = told(recipe, folder)
    assert not did
    assert "nothing to do" in text
    advised = re.search(r"`(codecascade serve [^`]+)`", (folder / "report.md").read_text())
    assert advised and text.splitlines()[-1].endswith(advised[1])
    assert marks == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    # other measurements alone train nothing
    data_now = make_recipe(
        {**json.loads(recipe.model_dump_json(exclude_none=True)), "evaluate": {"benchmarks": []}}
    )
    assert data_now["code"].steps == 6
    did, text = told(
        data_now.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"seed": 5})}), folder
    )
    assert did
    assert "step 1" not in text


def test_lora_leaves_an_ordinary_folder(data: dict[str, Any], tmp_path: Path) -> None:
    # in bf16 the frozen matrices are rounded, which is no part of the update
    whole = data["stage"][0] | {"train": "lora", "lora_rank": 2, "precision": "fp32"}
    half = {"name": "half", "like": "code", "same_data_as": "code", "lora_merge": 0.5}
    data["stage"] = [whole, half]
    run_cascade(make_recipe(data), tmp_path / "run")
    base, made, mean = (
        load(str(tmp_path / "run" / name)).model.state_dict()
        for name in ("base", "models/code", "models/half")
    )
    assert set(made) == set(mean) == set(base)
    matrix = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(mean[matrix], (base[matrix] + made[matrix]) / 2, rtol=1e-3, atol=1e-5)
    assert not torch.equal(made[matrix], base[matrix])
    report = (tmp_path / "run" / "report.md").read_text()
    assert "of rank 2, merged into" in report and "of rank 2, 50% of them merged into" in report


def test_mined_dialogues_and_a_corpus_of_shards(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data["stage"] = [data["stage"][0] | {"steps": 1}]
    run_cascade(make_recipe(data), tmp_path / "first")
    data["corpus"] = str(tmp_path / "first" / "corpus")
    chat = {"name": "chat", "kind": "instruct", "parent": "code", "dialogues": "mined", "mined_dialogues": 5}
    small = {"steps": 1, "batch_tokens": 512, "sequence_length": 256, "rehearsal_natural_language": 0.0}
    data["stage"].append({**chat, **small})
    checked, check = [], Mixtures.check_formats

    def check_formats(self: Mixtures, stage: Stage, tokenizer: Tokenizer, *, only_made: bool = False) -> None:
        check(self, stage, tokenizer, only_made=only_made)
        checked.append((stage.name, len(self.read(stage))))

    monkeypatch.setattr(Mixtures, "check_formats", check_formats)
    run_cascade(make_recipe(data), tmp_path / "second")
    assert len(rows(tmp_path / "second" / "dialogues" / "chat" / "dialogues.jsonl")) == 5
    assert not (tmp_path / "second" / "corpus").exists(), "shards are used where they are"
    assert checked[-1] == ("chat", 1), "what the run has made is checked before it is trained on"


def test_a_budget_in_minutes_is_timed_once(data: dict[str, Any], tmp_path: Path) -> None:
    small = data["stage"][0]
    del small["steps"]
    data["stage"] = [small | {"minutes": 0.01}]
    folder = tmp_path / "run"
    _, text = told(make_recipe(data), folder)
    used = read_recipe(folder / "recipe.toml")["code"]
    assert used.steps is not None
    assert used.timed_minutes == 0.01
    assert f"are {used.steps:,} steps" in text
    assert len(rows(folder / "logs" / "code.jsonl")) == used.steps
    did, _ = told(make_recipe(data), folder)
    assert not did, "the budget is not timed again"
    assert read_recipe(folder / "recipe.toml")["code"] == used


def test_a_budget_in_minutes_ends_with_the_last_pass(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {key: value for key, value in data["stage"][0].items() if key != "steps"}
    data["stage"] = [small | {"minutes": 30, "most_passes": 0.1}]
    monkeypatch.setattr(steps, "step_seconds", lambda *_: 0.01)
    folder = tmp_path / "run"
    _, text = told(make_recipe(data), folder)
    code = json.loads((folder / "corpus" / "manifest.json").read_text())["splits"]["train"]["kinds"]["code"]
    taken = read_recipe(folder / "recipe.toml")["code"].steps
    assert taken is not None and f"takes {taken:,} of them, as most_passes = 0.1 says" in text
    assert len(rows(folder / "logs" / "code.jsonl")) == taken
    share = 0.85  # of the mixture is code
    read = taken * small["batch_tokens"] * share * BYTES_PER_TOKEN / code["python"]["bytes"]
    assert 0.05 < read <= 0.1
    assert "ahead: about a minute or less of training" in text
    did, _ = told(make_recipe(data), folder)
    assert not did


def test_the_time_is_said_again_where_the_machine_is_free_again(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other work took the cores when the run began, and had ended when the stage did."""
    small = {key: value for key, value in data["stage"][0].items() if key != "steps"}
    data["stage"] = [small | {"minutes": 0.5}, small | {"name": "last", "parent": "code", "minutes": 0.5}]
    seconds = [30.0, 10.0]
    monkeypatch.setattr(steps, "step_seconds", lambda *_: seconds.pop(0))
    folder = tmp_path / "run"
    _, text = told(make_recipe(data), folder)
    assert seconds == [], "both stages have one shape, whose time is measured twice"
    promises = [line for line in text.splitlines() if line.startswith("ahead:")]
    assert len(promises) == 2 and all("of training (code, last)" in line for line in promises)
    used = read_recipe(folder / "recipe.toml")
    assert [stage.steps for stage in used.stage] == [3, 3]
    assert [len(rows(folder / "logs" / f"{stage.name}.jsonl")) for stage in used.stage] == [3, 3]


def test_a_run_can_grow(data: dict[str, Any], tmp_path: Path) -> None:
    all_stages = data["stage"]
    data["stage"] = all_stages[:1]
    run_cascade(make_recipe(data), tmp_path / "run")
    data["stage"] = all_stages[:2]
    did, text = told(make_recipe(data), tmp_path / "run")
    assert did
    assert "code: step" not in text
    assert (tmp_path / "run" / "models" / "python").exists()

    data["evaluate"] = data["evaluate"] | {"validation": {"documents": 3}}
    did, _ = told(make_recipe(data), tmp_path / "run", until="code")
    assert did
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["models"]["python"]["validation"]["loss"]["n"] == 3, "no result leaves the report"


def test_refusals_lose_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    data["stage"] = [data["stage"][0] | {"steps": 1}]
    folder = tmp_path / "run"
    run_cascade(make_recipe(data), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"holds a run of another recipe \(seed 0, now 3\); choose another"):
        run_cascade(make_recipe({**data, "seed": 3}), folder)
    with pytest.raises(UserError, match="--until: there is no stage 'cod'; did you mean 'code'"):
        run_cascade(make_recipe(data), folder, until="cod")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    data["stage"] = [data["stage"][0], data["stage"][0] | {"name": "more"}]
    with FolderLock(folder), pytest.raises(UserError, match="another codecascade process is working here"):
        run_cascade(make_recipe(data), folder)

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already and holds no run"):
        run_cascade(make_recipe(data), tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["precious.txt"]


def test_the_disk_is_full(data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated while the model folder is written: the stage is not lost, and the next run ends it."""
    import errno

    from codecascade.training.parallel import weights_out

    data["stage"] = [data["stage"][0]]
    run = tmp_path / "run"

    class FullDisk(weights_out.WeightsFile):
        def write(self, *arguments: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights_out, "WeightsFile", FullDisk)
    with pytest.raises(UserError, match=r"models/code: the disk is full; make room and run again"):
        run_cascade(make_recipe(data), run)
    assert not (run / "models" / "code").exists()
    monkeypatch.undo()
    _, text = told(make_recipe(data), run)
    assert "code: step" not in text, "the checkpoint of the last step was there"
    assert load_folder(run / "models" / "code").tokenizer.infilling is not None


def test_ready_before_it_starts(data: dict[str, Any], tmp_path: Path) -> None:
    """What is missing is said before anything is written."""
    for change, message in (
        ({"base": str(tmp_path / "absent")}, "is no folder, no GGUF file"),
        ({"tokenizer": None}, "is a shape without weights"),
        ({"corpus": str(tmp_path / "absent")}, "corpus: there is no"),
    ):
        broken = {key: value for key, value in {**data, **change}.items() if value is not None}
        with pytest.raises(UserError, match=message):
            run_cascade(make_recipe(broken), tmp_path / "run")
        assert not (tmp_path / "run").exists()
    data["stage"][3]["dialogues"] = str(tmp_path / "absent.jsonl")
    with pytest.raises(UserError, match=r"chat: there is no .*absent\.jsonl"):
        run_cascade(make_recipe(data), tmp_path / "run")
    data["stage"][3]["dialogues"] = "mined"
    data["stage"][0]["sequence_length"] = data["stage"][0]["batch_tokens"] = 1024
    with pytest.raises(UserError, match=r"x.toml: stage\[0\].sequence_length: is 1,024, but 'base' has 512"):
        run_cascade(make_recipe(data), tmp_path / "run", file=Path("x.toml"))
    assert not (tmp_path / "run").exists()
