"""How often the sources are read: over a corpus that is here, and as text for one pass where none is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codecascade.corpus.build import build_corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.plan.display import plan_json
from codecascade.plan.passes import Passes, read_too_little
from codecascade.plan.plan import make_plan
from codecascade.recipe import Recipe, make_recipe
from codecascade.training.stream.tokenized.shard import BYTES_PER_TOKEN


def recipe_of(corpus: str, token_cache: str | None = None, **stage: Any) -> Recipe:
    mixture = [{"source": "python", "share": 3.0}, {"source": "code", "share": 1.0}]
    one = {"name": "code", "kind": "code", "parent": "base", "mixture": mixture, **stage}
    run = {} if token_cache is None else {"token_cache": token_cache}
    return make_recipe({"name": "x", "base": "smollm2-135m", "corpus": corpus, "run": run, "stage": [one]})


def test_passes_over_a_corpus(tmp_path: Path) -> None:
    for number in range(40):
        path = tmp_path / "source" / f"repository{number}" / "module.py"
        path.parent.mkdir(parents=True)
        lines = [
            f"def function_{number}_{line}():\n    return {number * line} + {line}\n" for line in range(20)
        ]
        path.write_text("\n".join(lines))
    manifest = build_corpus([str(tmp_path / "source")], tmp_path / "corpus", CorpusSettings())
    there = manifest.splits["train"].total.bytes
    assert there > 0
    plan = make_plan(recipe_of(str(tmp_path / "corpus"), steps=2, batch_tokens=8192))
    tokens = 2 * 8192
    assert [(each.source, each.tokens) for each in plan.passes] == [
        ("python", 0.75 * tokens),
        ("code", 0.25 * tokens),
    ]
    assert plan.passes[0].passes == pytest.approx(0.75 * tokens * BYTES_PER_TOKEN / there)
    assert plan.passes[1].passes == pytest.approx(0.25 * tokens * BYTES_PER_TOKEN / there)
    assert "passes" in str(plan.passes[0])
    assert plan.kept_tokens is None

    kept = recipe_of(str(tmp_path / "corpus"), "tokens", steps=1, batch_tokens=4096)
    plan = make_plan(kept)
    assert plan.kept_tokens is not None and plan.kept_tokens.bytes == round(there / BYTES_PER_TOKEN * 2)
    assert str(plan.kept_tokens).endswith("; code only those that are not infilled")
    (warning,) = [warning for warning in plan.warnings if "token_cache" in warning]
    assert "passes of 'python'" in warning and "passes of 'code'; to tokenise it all takes longer" in warning


def test_minutes_end_with_the_last_pass_over_a_corpus_that_is_here(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    text = "\n".join(f"def function_{n}():\n    return {n} + {n * n}\n" for n in range(400))
    (tmp_path / "source" / "module.py").write_text(text)
    (tmp_path / "source" / "other.py").write_text("import os\n\nprint(os.getcwd())\n" * 3)
    build_corpus([str(tmp_path / "source")], tmp_path / "corpus", CorpusSettings())
    budget = {"minutes": 10, "batch_tokens": 4096}
    free = make_plan(recipe_of(str(tmp_path / "corpus"), **budget), device_flops=1e13)
    limited = make_plan(recipe_of(str(tmp_path / "corpus"), **budget, most_passes=20), device_flops=1e13)
    one, other = free["code"], limited["code"]
    assert one.steps and other.steps and 0 < other.steps < one.steps
    assert (
        max(each.passes or 0 for each in limited.passes) <= 20 < max(each.passes or 0 for each in free.passes)
    )
    assert other.tokens == 4096 * other.steps
    assert (other.flops, other.seconds) == (
        pytest.approx(other.steps * (one.flops or 0) / one.steps),
        pytest.approx(other.steps * (one.seconds or 0) / one.steps),
    )
    (stage,) = json.loads(plan_json(limited))["stages"]
    assert (stage["minutes"], stage["most_passes"], stage["steps"]) == (10, 20, other.steps)


def test_sources_of_one_name_in_two_corpora_are_two() -> None:
    one, other = Passes("code", "python", 6e6, 0.6, "a"), Passes("more", "python", 6e6, 0.6, "b")
    (warning,) = read_too_little([one, other])
    assert "0.6 passes of 'python' in a, 0.6 passes of 'python' in b;" in warning
    assert not read_too_little([one, replace(other, corpus="a")])


def test_without_a_corpus_the_text_of_one_pass_is_shown() -> None:
    plan = make_plan(recipe_of("corpora/absent", steps=1000, batch_tokens=2**22))
    assert [each.passes for each in plan.passes] == [None, None]
    assert str(plan.passes[0]) == "python 3.15B tokens, about 11 GB of text"


def test_tokens_that_are_kept_without_a_corpus() -> None:
    recipe = recipe_of("corpora/absent", "tokens", steps=2, infilling={"rate": 0.0})
    plan = make_plan(recipe)
    said = "token_cache tokens: the corpora take 2 bytes a token; code read all documents there"
    assert str(plan.kept_tokens) == said
    assert json.loads(plan_json(plan))["token_cache"]["whole"] == ["code"]
    functions = [{"source": "python", "share": 1, "granularity": "function"}]
    none = make_plan(recipe_of("corpora/absent", "tokens", steps=2, mixture=functions)).kept_tokens
    assert str(none).endswith("no stage reads there")


def test_dialogues_beside_tokens_that_are_kept() -> None:
    """Their source has a table of columns, and is no document whose tokens are kept."""
    columns = {"source": "d.jsonl", "format": "messages", "columns": {"messages": "turns"}}
    mixture = [{"source": "dialogues", "share": 1.0}, {"source": "code", "share": 1.0}]
    stage = {"kind": "instruct", "mixture": mixture, "dialogues": columns, "steps": 1, "batch_tokens": 4096}
    kept = make_plan(recipe_of("nowhere", "tokens", **stage)).kept_tokens
    assert kept is not None and "code read all documents there" in str(kept)
