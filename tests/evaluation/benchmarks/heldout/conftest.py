"""A model for tests of held-out gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from codecascade.tokens.reference import ReferenceTokens


@pytest.fixture
def scoring(oracle: Any) -> Any:
    """A model that answers by a function of the request's place in the list, and tells probabilities."""

    class Scoring(oracle):  # type: ignore[misc]
        scored = 0

        def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
            for index, ids in reversed(list(enumerate(sequences))):
                type(self).scored += 1
                # Each token costs its own number of nats.
                yield index, [-(token % 7) / 10 for token in ids[1:]]

        def reference_scores(
            self, references: Sequence[ReferenceTokens]
        ) -> Iterator[tuple[int, list[float]]]:
            for index, scores in self.log_probabilities([each.ids for each in references]):
                yield index, scores[references[index].first - 1 :]

    return Scoring
