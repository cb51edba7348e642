"""Memory by what is kept in it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from codecascade.ground.format import show_bytes


@dataclass(frozen=True)
class Memory:
    """Bytes on one device, by kind.

    Attributes:
        weights: fp32 masters, or frozen weights in the format of the products.
        moments: AdamW's two.
        activations: what the backward pass needs, and its gradients of activations.
        communication: what is gathered for use or sent: a layer's weights, and gradients on their way.
        logits: of one chunk, and the gradients of the head and of the hidden states.
    """

    weights: int = 0
    gradients: int = 0
    moments: int = 0
    activations: int = 0
    communication: int = 0
    logits: int = 0

    @property
    def state(self) -> int:
        """What smaller micro-batches and activation checkpointing don't reduce."""
        return self.weights + self.gradients + self.moments + self.communication

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())

    @property
    def by_kind(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        return ", ".join(f"{name} {show_bytes(count)}" for name, count in self.by_kind.items() if count)
