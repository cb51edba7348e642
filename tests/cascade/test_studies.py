"""A study from its recipe to its report: two seeds, an untrained stage, and questions that are asked later."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from codecascade.cascade.run import run_cascade
from codecascade.model.folder import load_folder
from codecascade.recipe import make_recipe
from codecascade.recipe.settings import BASE

QUESTION = {
    "name": "Seeds",
    "question": "Do the arms differ?",
    "paper": "nothing of the kind",
    "source": "Table 0",
    "groups": {"without": ["plain", "plain-1"], "with": ["filled", "filled-1"]},
    "figures": [{"benchmark": "validation", "metric": "bits_per_byte", "expects": "alike"}],
    "plots": ["loss"],
}
LONGER = {
    "name": "Longer",
    "question": "What do other positions change?",
    "groups": {"plain": "plain", "long": "long", "seed": "seed-1"},
    "figures": ["validation.bits_per_byte", "validation.infilling_loss"],
    "plots": ["attention"],
}


def study(data: dict[str, Any], *questions: dict[str, Any]) -> dict[str, Any]:
    small = {key: data["stage"][0][key] for key in ("batch_tokens", "sequence_length", "micro_batch_rows")}
    plain = {"name": "plain", "kind": "code", "parent": "base", "steps": 2, "learning_rate": 1e-3, **small}
    plain |= {"infilling": {"rate": 0.0}, "mixture": [{"source": "python", "share": 1.0}]}
    long = {"name": "long", "kind": "long_context", "parent": "plain", "steps": 0, "rope_theta": 1e6}
    stages = [
        plain,
        {"name": "filled", "like": "plain", "same_data_as": "plain", "infilling": {"rate": 1.0}},
        {"name": "plain-1", "like": "plain", "parent": "seed-1", "seed": 1},
        {"name": "filled-1", "like": "filled", "parent": "seed-1", "seed": 1, "same_data_as": "plain-1"},
        {**long, "sequence_length": 1024, "batch_tokens": 1024, "rope_scaling_factor": 2},
    ]
    bases = {"seed-1": {"random_weights": True, "seed": 1}}
    return {**data, "bases": bases, "stage": stages, "compare": list(questions)}


def test_a_study(data: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run_cascade(make_recipe(study(data, QUESTION)), folder)
    first, second = load_folder(folder / "base"), load_folder(folder / "bases" / "seed-1")
    assert first.tokenizer.vocab_size == second.tokenizer.vocab_size
    assert not torch.equal(first.model.model.embed_tokens.weight, second.model.model.embed_tokens.weight)
    plain, long = (load_folder(folder / "models" / name) for name in ("plain", "long"))
    assert all(
        torch.equal(one, two)
        for one, two in zip(plain.model.state_dict().values(), long.model.state_dict().values(), strict=True)
    ), "a stage of no steps has its parent's weights"
    assert (long.config.rope_theta, long.config.max_position_embeddings) == (1e6, 1024)
    assert long.config.rope_scaling is not None and long.config.rope_scaling.factor == 2
    results = json.loads((folder / "results.json").read_text())
    assert [*results["models"]] == [BASE, "seed-1", "plain", "filled", "plain-1", "filled-1", "long"]
    assert results["cost"]["long"]["tokens"] == 0

    (asked,) = json.loads((folder / "comparisons.json").read_text())
    (figure,) = asked["figures"]
    loss = {name: found["validation"]["bits_per_byte"]["value"] for name, found in results["models"].items()}
    differences = [loss["filled"] - loss["plain"], loss["filled-1"] - loss["plain-1"]]
    assert all(abs(one - two) < 1e-9 for one, two in zip(figure["by_seed"], differences, strict=True))
    assert figure["over_seeds"] is None
    assert asked["cost"][0] | {"seconds": 0, "evaluation_seconds": 0} == {
        "group": "without",
        "models": ["plain", "plain-1"],
        "tokens": 2 * 2 * 256,
        "seconds": 0,
        "evaluation_seconds": 0,
    }
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for report in (page, text):
        assert "Do the arms differ?" in report
        assert "The paper (Table 0): nothing of the kind." in report
    assert "Should I use it" not in page + text, "a study answers its own question"
    assert "2 seeds are too few for an interval over seeds" in page

    # another question trains nothing and measures nothing, but is answered
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert run_cascade(make_recipe(study(data, QUESTION, LONGER)), folder)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    page = (folder / "report.html").read_text()
    assert "What do other positions change?" in page
    assert "expected attention" in page
    assert "Not compared: plain has no infilling_loss of validation by problem" in page
    assert not run_cascade(make_recipe(study(data, QUESTION, LONGER)), folder), "nothing is left to do"


def test_the_first_arms_of_a_study_are_compared_before_the_others_are_trained(
    data: dict[str, Any], tmp_path: Path
) -> None:
    folder, recipe = tmp_path / "run", make_recipe(study(data, LONGER))
    console = Console(file=io.StringIO(), width=300)
    assert run_cascade(recipe, folder, until="plain", console=console)
    (asked,) = json.loads((folder / "comparisons.json").read_text())
    assert [figure["second"] for figure in asked["figures"]] == ["seed"]
    assert "long is not measured yet" in asked["missing"]
    assert "Not compared: long is not measured yet" in (folder / "report.html").read_text()
    # What no model will have is said as soon as one is measured that should have it, not at the end of all.
    said = console.file.getvalue()  # type: ignore[attr-defined]
    lacking = (
        "compare[0].figures[1]: can't be compared, for seed-1 has no infilling_loss of validation by problem"
    )
    assert said.count(lacking) == 1 and said.index(lacking) < said.index("plain: step 1 of 2")


def test_models_are_compared_without_any_stage(data: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    bases = {"other": {"random_weights": True, "seed": 5}}
    asked = {**LONGER, "groups": {"one": "base", "other": "other"}, "figures": ["validation.bits_per_byte"]}
    recipe = make_recipe({**data, "bases": bases, "stage": [], "compare": [asked]})
    assert run_cascade(recipe, folder)
    (found,) = json.loads((folder / "comparisons.json").read_text())
    assert found["figures"][0]["first"] == "one" and found["figures"][0]["difference"]["n"] == 4
    assert "tiny before any stage" in (folder / "report.md").read_text()
    assert not run_cascade(recipe, folder)
