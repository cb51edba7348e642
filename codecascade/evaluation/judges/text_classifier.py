"""A text classifier of transformers: its labels, and the probability of each for a text.

What transformers only warns about is refused here, because the probabilities would mean nothing: a folder without
the weights of a classifier gets random ones, and one without a tokenizer gets a tokenizer that knows no words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codecascade.ground.format import listed

_LONGEST = 512
"""Tokens of a text that are read, if the classifier's own limit is not lower."""
_MOST_NAMED = 3


class UnusableClassifier(Exception):
    """A classifier that can't be loaded, or whose probabilities would mean nothing. The message says why."""


@dataclass(frozen=True)
class TextClassifier:
    """A loaded classifier. Made by :meth:`load`."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, name: str) -> TextClassifier:
        """The classifier of a folder, or of the hub.

        Raises:
            UnusableClassifier: it can't be loaded, or its probabilities would mean nothing.
        """
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
            model, report = AutoModelForSequenceClassification.from_pretrained(name, output_loading_info=True)
            _check(model, tokenizer, report["missing_keys"])
            device = "cuda" if torch.cuda.is_available() else "cpu"
            loaded = cls(model.eval().to(device), tokenizer)
            # What is wrong with the files in other ways shows at the first text.
            loaded.probabilities(["A sentence to try it with."])
        except UnusableClassifier:
            raise
        # The libraries that read weights and tokenizers each have exceptions of their own.
        except Exception as error:
            raise UnusableClassifier(_first_line(error)) from error
        return loaded

    @property
    def labels(self) -> dict[int, str]:
        """The names of the labels by their index."""
        return {int(index): str(name) for index, name in self.model.config.id2label.items()}

    @property
    def revision(self) -> str:
        """The commit of the hub that was loaded; empty for a folder."""
        return str(getattr(self.model.config, "_commit_hash", None) or "")[:12]

    def probabilities(self, texts: Sequence[str]) -> list[list[float]]:
        """For each text the probability of each label. A text is cut at the classifier's longest input.

        Labels that exclude each other share a probability of 1. A classifier of independent labels
        (``problem_type`` is ``multi_label_classification``), or of one label, gives each its own.
        """
        import torch

        config = self.model.config
        own_limit = getattr(config, "max_position_embeddings", _LONGEST + 2) - 2
        limit = min(_LONGEST, own_limit if own_limit > 0 else _LONGEST)
        independent = config.num_labels == 1 or config.problem_type == "multi_label_classification"
        # Without a token that pads, texts of several lengths do not fit into one batch.
        at_once = 1 if self.tokenizer.pad_token_id is None else len(texts)
        found: list[list[float]] = []
        for start in range(0, len(texts), at_once):
            inputs = self.tokenizer(
                list(texts[start : start + at_once]),
                return_tensors="pt",
                padding=at_once > 1,
                truncation=True,
                max_length=limit,
            )
            with torch.inference_mode():
                logits = self.model(**inputs.to(self.model.device)).logits.float()
            found += (logits.sigmoid() if independent else logits.softmax(-1)).tolist()
        return found


def _check(model: Any, tokenizer: Any, missing: Sequence[str]) -> None:
    if missing:
        raise UnusableClassifier(
            f"its weights lack {listed(sorted(missing), _MOST_NAMED)}: it is no trained classifier"
        )
    if len(tokenizer) <= len({*tokenizer.all_special_tokens}):
        raise UnusableClassifier("its tokenizer is missing, or knows no words")
    if model.config.problem_type == "regression":
        raise UnusableClassifier("it gives a number of its own scale (regression) instead of probabilities")
    room = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > room:
        raise UnusableClassifier(f"its tokenizer has {len(tokenizer)} tokens, and the model knows {room}")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
