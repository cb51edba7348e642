"""A step that stands in the table is run, counted and shown: nothing else must know of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from source_trees import Build, MakeTree, many, module

from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps import filters, table
from codecascade.corpus.steps.decontamination import NO_BENCHMARKS, BenchmarkIndex
from codecascade.corpus.steps.step import StepOutcome, drop_documents
from codecascade.corpus.steps.table import CorpusStep

PLANTED = "src/haiku.py"


def _no_haiku(batch: pa.RecordBatch) -> StepOutcome:
    texts = batch.column("text").to_pylist()
    return drop_documents(
        batch, "no haiku", ["counts <cherries>" if "cherry" in text else None for text in texts]
    )


def _add(monkeypatch: pytest.MonkeyPatch, samples: str | None) -> None:
    """Put the toy behind the filters."""
    toy = CorpusStep("no haiku", "are no haiku", lambda settings, _: _no_haiku, samples)
    behind = table.step_names().index(filters.STEP) + 1
    monkeypatch.setattr(table, "STEPS", (*table.STEPS[:behind], toy, *table.STEPS[behind:]))


@pytest.mark.parametrize(
    ("samples", "heading", "note"),
    [
        ("verses: {reason}", "verses: counts &lt;cherries&gt;", None),
        ("was a haiku", "was a haiku", "counts &lt;cherries&gt;, "),
        (None, None, None),
    ],
)
def test_a_toy_step_is_found_everywhere(
    samples: str | None,
    heading: str | None,
    note: str | None,
    tree: MakeTree,
    build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _add(monkeypatch, samples)
    manifest, corpus = build(tree(many() | {f"r0/{PLANTED}": module("cherry")}))
    out = tmp_path / "corpus"

    account = pq.read_table(out / "dropped.parquet").filter(pc.field("step") == "no haiku").to_pylist()
    assert [(row["path"], row["reason"]) for row in account] == [(PLANTED, "counts <cherries>")]
    steps = [step.step for step in manifest.steps]
    assert steps.index("no haiku") == steps.index(filters.STEP) + 1
    own = manifest.steps[steps.index("no haiku")]
    assert (own.left.documents, own.dropped) == (20, {"counts <cherries>": 1})
    assert manifest.dropped["no haiku"] == own.dropped
    assert len(corpus.documents("train")) + len(corpus.documents("heldout")) == 20

    assert "| no haiku: are no haiku | 20 |" in (out / "README.md").read_text()
    page = (out / "corpus.html").read_text()
    assert "<td>no haiku</td>" in page
    assert ("total_cherry" in page) == (samples is not None)
    if heading is not None:
        assert heading in page
    if note is not None:
        assert note in page


def test_a_step_that_the_settings_switch_off_is_not_named(
    tree: MakeTree, build: Build, tmp_path: Path
) -> None:
    manifest, _ = build(tree(many()), redact=False, near_duplicates=False)
    off = {"redact", "near duplicate"}
    assert [step.step for step in manifest.steps] == [name for name in table.step_names() if name not in off]
    assert not any(f"| {name}: " in (tmp_path / "corpus/README.md").read_text() for name in off)


def test_names_are_unique_and_every_step_says_what_it_leaves() -> None:
    names = table.step_names()
    assert len(set(names)) == len(names)
    assert all(step.result for step in table.STEPS)
    no_benchmarks = BenchmarkIndex(NO_BENCHMARKS.texts, 0.5)
    run = [step.name for step in table.document_steps(CorpusSettings(), no_benchmarks)]
    assert run == [step.name for step in table.STEPS if step.factory is not None]
