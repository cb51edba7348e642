"""The prompts that ask a language model to judge: text files with places in braces, such as ``{answer}``.

The package's own are in ``judges/prompts/``. A user may name another file (``judge_prompt``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded
from codecascade.ground.files.reading import decode_text, read_bytes

PLACES = ("question", "answer", "right", "wrong", "group", "category")
"""What a prompt may show."""

_PLACE = re.compile(r"\{(\w+)\}")
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class JudgePrompt:
    """A prompt and the name of its file."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        return hashlib.blake2b(self.text.encode(), digest_size=4).hexdigest()

    def filled(self, texts: Mapping[str, str]) -> str:
        """The prompt for one answer. Braces in the texts themselves are left as they are."""
        return _PLACE.sub(lambda place: texts.get(place[1], ""), self.text)


def judge_prompt(name: str, given: str | None, key: str) -> JudgePrompt:
    """The prompt of the package with this name, or the ``given`` file.

    Raises:
        UserError: the file is missing, lacks ``{answer}``, or has a place that does not exist.
    """
    if given is None:
        file = resources.files("codecascade.evaluation.judges") / "prompts" / f"{name}.txt"
        return JudgePrompt(f"{name}.txt", file.read_text(encoding="utf-8"))
    path = expanded(given)
    text = decode_text(read_bytes(path, _MOST_BYTES), path)
    places = _PLACE.findall(text)
    if "answer" not in places:
        raise UserError("must have the place {answer}, where the answer goes", file=path, key=key)
    if unknown := [place for place in places if place not in PLACES]:
        known = ", ".join(f"{{{place}}}" for place in PLACES)
        raise UserError(f"has the unknown place {{{unknown[0]}}}; there are {known}", file=path, key=key)
    return JudgePrompt(path.name, text)
