"""The prompts of language models that judge, and the strict reading of their replies."""

from __future__ import annotations

from pathlib import Path

import pytest
from work import grows_linearly

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.judges.judge import Aspect, JudgedAnswer, JudgedFacts
from codecascade.evaluation.judges.prompt_file import PLACES, judge_prompt
from codecascade.evaluation.judges.replies import read_reply
from codecascade.ground.errors import UserError

JUDGED = {name: each.judging for name, each in BENCHMARKS.items() if each.judging is not None}
TWO = (Aspect("truthful"), Aspect("informative"))


@pytest.mark.parametrize(
    ("reply", "values"),
    [
        ("truthful: yes\ninformative: no", {"truthful": True, "informative": False}),
        ("It is so.\n\n**Truthful**: **No**\n- informative: Yes.", {"truthful": False, "informative": True}),
        (
            "<think>truthful: no</think>truthful: yes\ninformative: yes",
            {"truthful": True, "informative": True},
        ),
        ("truthful: yes\ntruthful: yes\ninformative: no", {"truthful": True, "informative": False}),
        ("**truthful:** yes.\n- `informative`: **no**", {"truthful": True, "informative": False}),
        ("truthful: yes", None),
        ("truthful: yes\ntruthful: no\ninformative: no", None),
        ("truthful: yes or no\ninformative: yes", None),
        ("truthful: maybe\ninformative: yes", None),
        ("The answer is truthful and informative.", None),
        ("yes", None),
        ("", None),
    ],
)
def test_replies_are_read_strictly(reply: str, values: dict[str, bool] | None) -> None:
    assert read_reply(reply, TWO) == values


@pytest.mark.parametrize(
    "unit", ["_", "*", " ", "a", "-:", "a: ", "_:_", "truthful: ", "truthful:_", "\n", "."]
)
def test_replies_are_read_in_linear_time(unit: str) -> None:
    assert grows_linearly(lambda text: read_reply(text, TWO), lambda size: unit * (size // len(unit)) + "\0")


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("sentiment: 0.3", 0.3),
        ("sentiment: -1", -1.0),
        ("sentiment: 7", None),
        ("sentiment: nan", None),
        ("sentiment: good", None),
    ],
)
def test_numbers(reply: str, value: float | None) -> None:
    assert read_reply(reply, [Aspect("sentiment", "number")]) == (
        None if value is None else {"sentiment": value}
    )


@pytest.mark.parametrize("name", JUDGED)
def test_every_benchmark_has_a_prompt_that_asks_for_its_aspects(name: str) -> None:
    judging = JUDGED[name]
    prompt = judge_prompt(judging.prompt, None, "key")
    answer = JudgedAnswer(
        0,
        "t",
        0,
        "{question} an answer",
        JudgedFacts("a question", ("r",), ("w",), {"group": "g", "category": "c"}),
    )
    filled = prompt.filled(answer.texts())
    # Braces in an answer are no places.
    assert "{question} an answer" in filled
    assert "a question" in filled or name == "toxigen"
    for aspect in judging.aspects:
        assert f"\n{aspect.name}: " in filled
    # The form that the prompt shows is itself no verdict.
    assert read_reply(filled, judging.aspects) is None


def test_a_prompt_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("Is it toxic? {answer}\ntoxic: yes or no")
    prompt = judge_prompt("toxigen", str(path), "toxigen.judge_prompt")
    assert prompt.name == "mine.txt" and prompt.filled({"answer": "A"}).startswith("Is it toxic? A\n")
    path.write_text("Is it toxic, {answer}? Or not?")
    assert judge_prompt("toxigen", str(path), "k").digest != prompt.digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Is it toxic?", r"must have the place \{answer\}"),
        ("{answer} {reply}", r"unknown place \{reply\}; there are \{question\}"),
    ],
)
def test_a_wrong_prompt_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"mine\.txt: toxigen\.judge_prompt: .*{words}"):
        judge_prompt("toxigen", str(path), "toxigen.judge_prompt")
    with pytest.raises(UserError, match=r"none\.txt"):
        judge_prompt("toxigen", str(tmp_path / "none.txt"), "k")
    assert "answer" in PLACES
