"""A prompt with its reference answer in token ids, whose probability tells how near a model is to it."""

from __future__ import annotations

from dataclasses import dataclass

from codecascade.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class ReferenceTokens:
    """A prompt with the reference answer behind it, whose log-probability is measured.

    Attributes:
        ids: the tokens of both.
        first: the index of the first token that has a character of the answer; at least 1.
        ends: the last token is none of the text, but ends the answer.
        any_last: tokens any of which may be the last one, that of ``ids`` among them; the answer's probability is of
            all of them together. Empty: of that one alone.
    """

    ids: tuple[int, ...]
    first: int
    ends: bool = False
    any_last: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.any_last and self.ids[-1] not in self.any_last:
            raise ValueError(f"the last token, {self.ids[-1]}, is not among those that may be it")

    @classmethod
    def continued(cls, tokenizer: Tokenizer, prompt: str, answer: str) -> ReferenceTokens:
        """A text and what comes after it, encoded together, as a model has read it in training."""
        before, ids = tokenizer.encode(prompt), tokenizer.encode(prompt + answer)
        # A token that holds the border belongs to the answer.
        same = next(
            (index for index, (one, two) in enumerate(zip(before, ids, strict=False)) if one != two),
            min(len(before), len(ids)),
        )
        begin = tokenizer.bos() or [tokenizer.end_of_document_id]
        return cls((*begin, *ids), len(begin) + same)
