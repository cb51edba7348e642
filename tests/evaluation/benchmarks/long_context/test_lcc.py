from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.answers.similarity import code_bleu4, edit_similarity, equal_tokens
from codecascade.evaluation.benchmarks.long_context import lcc
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.execution import verdict_on
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, TextPrompt
from codecascade.ground.errors import UserError


def row(words: int, **more: Any) -> dict[str, Any]:
    return {"context": "x " * (words - 1) + "y\n", "gt": "    return x", **more}


@pytest.fixture
def long_tokenizer() -> Any:
    """A model in memory has one; nothing of it is used."""
    return object()


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))


@given(
    st.lists(st.integers(0, 5000), max_size=60),
    st.integers(1, 20),
    st.integers(0, 3),
)
def test_each_length_is_drawn_equally_often(lengths: list[int], most: int, seed: int) -> None:
    places = lcc.balanced(lengths, width=1000, most=most, rng=random.Random(seed))
    assert len(set(places)) == len(places) and bool(places) == bool(lengths)
    counts = Counter(lengths[place] // 1000 for place in places)
    assert len(set(counts.values())) <= 1 and max(counts.values(), default=0) <= most
    of_all = Counter(length // 1000 for length in lengths)
    largest = max(
        (min(most, n) * sum(o >= min(most, n) for o in of_all.values()) for n in of_all.values()), default=0
    )
    # As many as can be had.
    assert len(places) == largest


def test_the_draw_is_the_seeds(tmp_path: Path) -> None:
    write(tmp_path / "python.jsonl", [row(words) for words in range(10, 90)])
    settings = {"lcc": {"bucket_tokens": 20, "examples_per_bucket": 3}}

    def ids(seed: int) -> list[str]:
        context = EvaluationContext(EvaluateSettings(seed=seed, **settings), data=tmp_path / "python.jsonl")
        return [task.task_id for task in lcc.tasks(context)]

    assert ids(1) == ids(1) != ids(2) and len(ids(1)) == 5 * 3


def test_three_languages_from_a_folder_and_one_file_that_names_them(tmp_path: Path) -> None:
    write(tmp_path / "folder/LCC_python/test.jsonl", [row(9)])
    write(tmp_path / "folder/LCC_python/train.jsonl", [row(9), row(9)])
    write(tmp_path / "folder/java_test.jsonl", [row(9), row(9)])
    tasks = lcc.tasks(EvaluationContext(EvaluateSettings(), data=tmp_path / "folder"))
    assert [task.task_id for task in tasks] == ["python/0", "java/0", "java/1"]
    write(tmp_path / "all.jsonl", [row(9, language="csharp"), row(9, language="java")])
    tasks = lcc.tasks(EvaluationContext(EvaluateSettings(), data=tmp_path / "all.jsonl"))
    assert [task.fields["language"] for task in tasks] == ["csharp", "java"]
    write(tmp_path / "all.jsonl", [row(9, language="csharp"), row(9)])
    with pytest.raises(UserError, match=r"all\.jsonl:2: language: must be one of python, java, csharp"):
        lcc.tasks(EvaluationContext(EvaluateSettings(), data=tmp_path / "all.jsonl"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no data of lcc"):
        lcc.tasks(EvaluationContext(EvaluateSettings(), data=tmp_path / "empty"))
    write(tmp_path / "python.jsonl", [{"context": "x"}])
    with pytest.raises(UserError, match=r"python\.jsonl:1: gt: is missing"):
        lcc.tasks(EvaluationContext(EvaluateSettings(), data=tmp_path / "python.jsonl"))


@pytest.mark.parametrize(
    ("context_length", "seen"), [(4096, 3967), (8192, 4000), (16_384, 16_255), (None, 16_256)]
)
def test_how_much_of_a_file_a_model_sees(tmp_path: Path, context_length: int | None, seen: int) -> None:
    write(tmp_path / "python.jsonl", [row(20_000), row(50)])

    def words(text: str) -> int:
        return len(text.split())

    model = EvaluatedModel(context_length=context_length, count_tokens=words)
    context = EvaluationContext(
        EvaluateSettings(lcc={"examples_per_bucket": 1}), model, tmp_path / "python.jsonl"
    )
    long, short = lcc.tasks(context)
    assert isinstance(long.prompt, TextPrompt) and isinstance(short.prompt, TextPrompt)
    assert 0.97 * seen <= words(long.prompt.prompt) <= seen and long.prompt.prompt.endswith("x y\n")
    assert long.fields["cut"] and not short.fields["cut"] and words(short.prompt.prompt) == 50
    kind, note = lcc.notes([{**long.fields}, {**short.fields}], context)
    assert f"one with{'' if seen > 4000 else 'out'} long-context training, by the positions" in kind
    assert note == f"Of 1 of 2 files the model saw the last {seen:,} tokens at most."


def test_long_context_training_is_a_setting_and_sees_whole_files(tmp_path: Path, long_tokenizer: Any) -> None:
    write(tmp_path / "python.jsonl", [row(20_000), row(50)])

    def seen(length: int, said: bool | None) -> tuple[int, bool]:
        model = EvaluatedModel(
            context_length=length, count_tokens=lambda text: len(text.split()), tokenizer=long_tokenizer
        )
        settings = EvaluateSettings(lcc={"examples_per_bucket": 1, "long_context": said})
        task, _ = lcc.tasks(EvaluationContext(settings, model, tmp_path / "python.jsonl"))
        assert isinstance(task.prompt, TextPrompt)
        return len(task.prompt.prompt.split()), task.prompt.beyond_context

    assert seen(16_384, None) == seen(4096, True) == (20_000, True)
    for length, said in ((8192, None), (32_768, False)):
        words, beyond = seen(length, said)
        assert 3_900 < words <= 4_000 and not beyond


def test_validation_and_test_sets_are_drawn_from(tmp_path: Path) -> None:
    for name, count in (("test", 2), ("valid", 3), ("train", 9)):
        write(tmp_path / f"LCC_python/{name}.jsonl", [row(9)] * count)
        write(tmp_path / f"java_{name}.jsonl", [row(9)] * count)
    ids = [task.task_id for task in lcc.tasks(EvaluationContext(EvaluateSettings(), data=tmp_path))]
    assert ids == [f"{language}/{number}" for language in ("python", "java") for number in range(5)]


@pytest.mark.parametrize(
    ("line", "same", "other"),
    [
        ("foo(a,b)", ["foo(a, b)", " foo ( a , b ) "], ["foo(a b)", "foo(ab)", "foo(a,b);"]),
        ("x+=1", ["x += 1"], ["x + = 1", "x =+ 1"]),
        ("i++ + j", ["i++ +j", "i ++ + j"], ["i + ++j", "i+ ++j"]),
        (
            'print("a b",1.5)',
            ['print( "a b", 1.5 )'],
            ['print("ab",1.5)', 'print("a  b",1.5)', 'print("a b",1 .5)'],
        ),
        ("return x", ["return  x"], ["returnx"]),
        ("it's", ["it 's"], ["its"]),
        ("", [" "], ["x"]),
    ],
)
def test_exact_match_is_of_tokens(line: str, same: list[str], other: list[str]) -> None:
    assert all(equal_tokens(line, each) and equal_tokens(each, line) for each in [line, *same])
    assert not any(equal_tokens(line, each) or equal_tokens(each, line) for each in other)


def test_a_context_that_holds_no_more_than_an_answer(tmp_path: Path) -> None:
    write(tmp_path / "python.jsonl", [row(500)])
    model = EvaluatedModel(context_length=100, count_tokens=lambda text: len(text.split()) + 1)
    (task,) = lcc.tasks(EvaluationContext(EvaluateSettings(), model, tmp_path / "python.jsonl"))
    assert isinstance(task.prompt, TextPrompt) and not task.prompt.prompt.strip() and task.fields["cut"]


def test_the_next_line_by_three_scores(tmp_path: Path) -> None:
    write(
        tmp_path / "python.jsonl",
        [{"context": 'a = "<STR_LIT:b>"', "gt": "return  <NUM_LIT> + <NUM_LIT:2>"}] * 2,
    )
    context = EvaluationContext(EvaluateSettings(), data=tmp_path / "python.jsonl")
    one, other = lcc.tasks(context)
    assert one.prompt == TextPrompt('a = "b"\n', ("\n",)) and one.expected == "return  0 + 2"
    rows = [
        {
            "task_id": one.task_id,
            **one.fields,
            **verdict_on(one, one.completion("    return 0 + 2\nmore", "length"), []),
        },
        {
            "task_id": other.task_id,
            **other.fields,
            **verdict_on(other, other.completion("    return <NUM_LIT:0>", "stop"), []),
        },
    ]
    assert rows[0]["exact_match"] and rows[0]["bleu"] == pytest.approx(1.0) and not rows[1]["exact_match"]
    found = metrics_of(lcc.scores(rows))
    assert found["exact_match"].value == found["exact_match_python"].value == 0.5
    assert found["bleu"].value == pytest.approx((1 + code_bleu4("return 0 + 2", "return 0")) / 2)
    similarity = (
        edit_similarity("return  0 + 2", "return 0 + 2") + edit_similarity("return  0 + 2", "return 0")
    ) / 2
    assert found["edit_similarity_python"].value == pytest.approx(similarity)
