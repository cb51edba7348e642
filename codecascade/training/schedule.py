"""The learning rate over a run."""

from __future__ import annotations

import math


def default_warmup(steps: int) -> int:
    """2 % of the steps, at most the paper's 1,000."""
    return min(1000, steps // 50)


def learning_rate_factor(step: int, steps: int, warmup: int, min_ratio: float) -> float:
    """Fraction of the peak rate in step ``step`` of 1 to ``steps``.

    Linear from ``1 / warmup`` to 1 over the warm-up, then half a cosine that ends at ``min_ratio`` in the
    last step (paper, section 2.6: 1,000 steps, 1/30).
    """
    if step <= warmup:
        return step / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))
