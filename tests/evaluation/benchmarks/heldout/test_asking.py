"""``infilling_heldout``: what stands behind a gap, and how tokens are counted."""

from __future__ import annotations

from typing import Any

import pytest

from codecascade.evaluation.benchmarks.heldout.figures import heldout_notes
from codecascade.evaluation.benchmarks.heldout.heldout import tasks
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, InfillingPrompt


def settings(**own: Any) -> EvaluateSettings:
    return EvaluateSettings(infilling_heldout={"problems": 28, **own})


def test_a_wrong_suffix_comes_from_another_file(corpus: Any, tokenizer: Any) -> None:
    model = EvaluatedModel(infilling_formats=("spm",), count_tokens=lambda text: len(tokenizer.encode(text)))
    own, wrong = (
        tasks(EvaluationContext(settings(suffix=suffix, layouts=()), model, corpus=corpus))
        for suffix in ("own", "shuffled")
    )
    assert [task.task_id for task in own] == [task.task_id for task in wrong]
    for one, two in zip(own, wrong, strict=True):
        assert one.prompt.prefix == two.prompt.prefix and one.expected == two.expected
        at_the_end = len(one.prompt.suffix) < 2
        assert two.prompt.suffix != one.prompt.suffix or at_the_end
        assert model.count_tokens(two.prompt.suffix) <= model.count_tokens(one.prompt.suffix)
        assert one.references(tokenizer) != two.references(tokenizer) or at_the_end
    continued = [
        [
            task.references(tokenizer)
            for task in tasks(EvaluationContext(of_suffix, EvaluatedModel(), corpus=corpus))
        ]
        for of_suffix in (
            settings(suffix=suffix, format="left_to_right", layouts=()) for suffix in ("own", "shuffled")
        )
    ]
    assert continued[0] == continued[1], "left to right no suffix is seen"
    alone = corpus.texts[0]
    corpus.texts = [alone]
    of_one = tasks(EvaluationContext(settings(suffix="shuffled", layouts=()), model, corpus=corpus))
    assert of_one, "a single file has other gaps"


@pytest.mark.parametrize(
    ("layout", "ids", "said"),
    [
        ("spm", ("a/1", "b/1"), "behind a gap of another file"),
        ("spm", ("a/1", "a/2"), "behind another gap of the file"),
        ("left_to_right", ("a/1", "b/1"), ""),
    ],
)
def test_a_wrong_suffix_is_said_where_one_was_seen(layout: str, ids: tuple[str, ...], said: str) -> None:
    rows = [{"task_id": each, "format": layout, "kind": "line", "language": "python"} for each in ids]
    notes = [
        note
        for note in heldout_notes(rows, EvaluationContext(settings(suffix="shuffled")))
        if "behind" in note
    ]
    assert len(notes) == bool(said) and all(said in note for note in notes)


def test_a_server_counts_each_file_once(corpus: Any) -> None:
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(text) // 3

    corpus.texts = ["".join(corpus.texts), "".join(reversed(corpus.texts))]
    model = EvaluatedModel(context_length=256, count_tokens=count, counts_remotely=True)
    made = tasks(EvaluationContext(settings(context_tokens=256), model, corpus=corpus))
    assert sorted(asked) == sorted(corpus.texts) and made
    shown = [
        len(task.prompt.prefix + task.prompt.suffix)
        for task in made
        if isinstance(task.prompt, InfillingPrompt) and task.max_new_tokens == 64
    ]
    # 64 tokens are the answer's, and a few the control tokens'
    assert 120 < max(shown) / 3 <= 256 - 64 - 8
