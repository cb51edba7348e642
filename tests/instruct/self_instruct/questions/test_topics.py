"""Topics and difficulties in turn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from codecascade.ground.errors import UserError
from codecascade.instruct.self_instruct.questions.topics import read_topics, theme


def test_the_shipped_topics() -> None:
    topics = read_topics()
    assert len(topics) >= 100
    assert not [topic for topic in topics if topic.startswith("#")]


def test_topics_and_difficulties_are_equally_frequent() -> None:
    topics = read_topics()
    themes = [theme(number, topics, ("easy", "medium"), seed=3) for number in range(4 * len(topics))]
    assert set(Counter(each.topic for each in themes).values()) == {4}
    assert set(Counter(themes).values()) == {2}
    first = [each.topic for each in themes[: len(topics)]]
    assert len(set(first)) == len(topics), "each once before any comes again"
    assert first != list(topics)
    assert first != [theme(number, topics, ("easy",), seed=4).topic for number in range(len(topics))]
    assert abs(Counter(each.difficulty for each in themes[: len(topics)])["easy"] - len(topics) / 2) <= 1


def test_own_topics(tmp_path: Path) -> None:
    file = tmp_path / "topics.txt"
    file.write_text("\ufeff# mine\n\n  trains   and trams \ntrains and trams\nships\n", encoding="utf-8")
    assert read_topics(file) == ("trains and trams", "ships")
    file.write_text("# none\n")
    with pytest.raises(UserError, match="holds no topics; write one a line"):
        read_topics(file)
    file.write_text("a\n" + "b" * 400)
    with pytest.raises(UserError, match=r"topics.txt:2: is no topic"):
        read_topics(file)
    with pytest.raises(UserError, match="absent"):
        read_topics(tmp_path / "absent")
