"""What questions are asked about, in turn: topics times difficulties, in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded
from codecascade.ground.files.reading import text_lines
from codecascade.ground.seeds import generator

SHIPPED = Path(__file__).with_name("topics.txt")
LONGEST_TOPIC = 300
"""Characters. A longer line is no topic, and the file is likely not a list of topics."""


@dataclass(frozen=True)
class Theme:
    """What one prompt asks for."""

    topic: str
    difficulty: str


def read_topics(path: Path | None = None) -> tuple[str, ...]:
    """The topics in a file, one a line, each once; None: the list that comes with codecascade.

    Raises:
        UserError: the file is missing, holds no topic, or a line is too long for one.
    """
    file = SHIPPED if path is None else expanded(path)
    topics: dict[str, None] = {}
    for number, line in enumerate(text_lines(file), 1):
        topic = " ".join(line.removeprefix("\ufeff").split())
        if len(topic) > LONGEST_TOPIC:
            raise UserError(
                f"is no topic: it has {len(topic):,} characters, and a topic is a few words on a line",
                file=f"{file}:{number}",
            )
        if topic and not topic.startswith("#"):
            topics[topic] = None
    if not topics:
        raise UserError("holds no topics; write one a line", file=file)
    return tuple(topics)


def theme(number: int, topics: Sequence[str], difficulties: Sequence[str], seed: int) -> Theme:
    """The theme of prompt ``number``, counted from 0.

    Every topic is asked for once before any comes again, in an order that is new in each round. A topic's
    difficulties follow each other from round to round, beginning with another one for each topic, so that both are
    equally frequent at any time.
    """
    round_, position = divmod(number, len(topics))
    order = list(range(len(topics)))
    generator(seed, "topics", round_).shuffle(order)
    chosen = order[position]
    return Theme(topics[chosen], difficulties[(chosen + round_) % len(difficulties)])


def path_of(name: str | None) -> Path | None:
    """A path of the settings; ``~`` is the user's home."""
    return None if name is None else expanded(name)
