"""The judge ``classifier``: a text classifier from the hub or a folder, run by transformers.

The paper's judge of ToxiGen is one, a RoBERTa. :mod:`.text_classifier` runs it.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from codecascade.evaluation.judges.judge import ExpectedSample, JudgedAnswer, Judgement, Judging
from codecascade.evaluation.judges.settings import JudgeSettings, is_default
from codecascade.evaluation.judges.text_classifier import TextClassifier, UnusableClassifier
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.files.atomic import content_digest
from codecascade.ground.files.paths import expanded

_BATCH = 16


class ClassifierJudge:
    """See :class:`~codecascade.evaluation.judges.judge.Judge`."""

    reads: ClassVar[frozenset[str]] = frozenset({"judge_model", "judge_label", "judge_threshold"})

    def __init__(self, judging: Judging, settings: JudgeSettings) -> None:
        self._key = settings.key
        if judging.classifier is None:
            raise UserError(
                "no classifier decides all that is judged here; use rule, llm or file",
                key=f"{self._key}.judge",
            )
        self._use = judging.classifier
        self._aspect = next(each for each in judging.aspects if each.name == self._use.aspect)
        self._threshold, self._label = settings.judge_threshold, settings.judge_label
        if self._aspect.kind == "number" and not is_default("judge_threshold", settings):
            raise UserError(
                f"is not used: here the classifier gives a number ({self._aspect.name}), not a yes or no",
                key=f"{self._key}.judge_threshold",
            )
        name = settings.judge_model or self._use.model
        if not name:
            raise UserError(
                "the judge 'classifier' needs a text classifier: its name on the hub, or its folder",
                key=f"{self._key}.judge_model",
            )
        self._name = name

    @property
    def label(self) -> str:
        return self._described() + (f" at {self._revision}" if self._revision else "")

    def _described(self) -> str:
        """The label without the revision, which is known only when the classifier was loaded."""
        name = self._name
        if self._is_folder:
            name = f"{Path(name).name} (digest {content_digest(expanded(name))})"
        wanted = f", label {self._label}" if self._label else ""
        at = "" if self._threshold == 0.5 else f" from a probability of {self._threshold:g}"
        return f"the classifier {name}{wanted}{at}"

    @property
    def _revision(self) -> str:
        """The commit of the hub that was loaded; empty for a folder, and before loading."""
        loaded = self.__dict__.get("_loaded")
        return "" if loaded is None else loaded.revision

    @property
    def _is_folder(self) -> bool:
        return expanded(self._name).is_dir()

    def identity(self) -> dict[str, str]:
        return {"judge": self._described()}

    def check(self) -> None:
        if importlib.util.find_spec("transformers") is None:
            raise UserError(
                "the judge 'classifier' needs the package transformers: pip install 'codecascade[judges]'",
                key=f"{self._key}.judge",
            )
        _ = self._yes

    @cached_property
    def _loaded(self) -> TextClassifier:
        name = str(expanded(self._name)) if self._is_folder else self._name
        try:
            return TextClassifier.load(name)
        except UnusableClassifier as error:
            raise UserError(
                f"the classifier {self._name!r} can't be used ({error}); name a folder that holds one, or use "
                "another judge",
                key=f"{self._key}.judge_model",
            ) from None

    @cached_property
    def _yes(self) -> tuple[int, int | None]:
        """The index of the label that means yes and, for a number, of the one that means no."""
        labels = self._loaded.labels
        named = ", ".join(labels.values())

        def find(words: Sequence[str]) -> int | None:
            found = [
                index
                for index, name in labels.items()
                if any(word in name.lower() for word in words)
                and not any(part in name.lower() for part in ("non", "not"))
            ]
            return found[0] if len(found) == 1 else None

        if self._label is not None:
            chosen = [index for index, name in labels.items() if name.lower() == self._label.lower()]
            if not chosen:
                raise UserError(
                    f"the classifier has no label {self._label!r}; it has {named}",
                    key=f"{self._key}.judge_label",
                )
            yes: int | None = chosen[0]
        else:
            yes = find(self._use.positive)
            if (
                yes is None
                and len(labels) == 2
                and all(name.startswith("LABEL_") for name in labels.values())
            ):
                # Labels without names. By convention the second one means yes.
                yes = 1
        no = find(self._use.negative) if self._aspect.kind == "number" else None
        if yes is None or (self._aspect.kind == "number" and no is None):
            raise UserError(
                f"which label means {self._use.aspect} is unclear by their names ({named}); say it",
                key=f"{self._key}.judge_label",
            )
        return yes, no

    def expect(self, samples: Iterable[ExpectedSample], known: frozenset[str]) -> None: ...

    def judge(self, answers: Sequence[JudgedAnswer]) -> Iterator[tuple[int, Judgement]]:
        loaded, (yes, no) = self._loaded, self._yes
        for start in range(0, len(answers), _BATCH):
            batch = answers[start : start + _BATCH]
            shares = loaded.probabilities([self._use.text(answer) for answer in batch])
            for answer, share in zip(batch, shares, strict=True):
                if not all(map(math.isfinite, share)):
                    raise RunFailed(f"the judge of {self._key}: the classifier {self._name} gives no numbers")
                yield answer.index, self._judgement(share[yes], None if no is None else share[no])

    def _judgement(self, yes: float, no: float | None) -> Judgement:
        if no is not None:
            return Judgement({self._aspect.name: yes - no}, f"positive {yes:.2f}, negative {no:.2f}")
        holds = (yes >= self._threshold) != self._use.inverted
        return Judgement({self._aspect.name: holds}, f"the classifier's probability is {yes:.2f}")

    def shown(self) -> str:
        return ""
