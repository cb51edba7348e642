"""RoPE's base and its scaling, as a ``config.json`` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import integer, number, short

DEFAULT_THETA = 10_000.0
MOST_POSITIONS = 2**31
MOST_THETA = 1e15
_MOST_FACTOR = 1e6
_SMALLEST = 1e-30
_ORIGINAL = "original_max_position_embeddings"


@dataclass(frozen=True)
class RopeScaling:
    """A change of the rotary frequencies after pre-training.

    ``linear`` divides all by ``factor`` (position interpolation); ``llama3`` divides the slow ones only and blends in
    between (Llama 3.1): the last three fields are its own.
    """

    kind: Literal["linear", "llama3"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192

    def __post_init__(self) -> None:
        if self.kind == "llama3" and self.high_freq_factor <= self.low_freq_factor:
            raise UserError(
                f"must be larger than low_freq_factor, {self.low_freq_factor} (got {self.high_freq_factor})",
                key="high_freq_factor",
            )


def read_rope(
    data: Mapping[str, Any], positions: int, default: float = DEFAULT_THETA
) -> tuple[float, RopeScaling | None]:
    """Theta and scaling from transformers 4's two keys and transformers 5's one; where both are, they must agree.

    Args:
        data: the content of a ``config.json``.
        positions: the model's ``max_position_embeddings``.
        default: theta where the file is silent.

    Raises:
        UserError: a value is wrong, the two ways disagree, or the scaling is not supported.
    """
    entries = {key: data[key] for key in ("rope_parameters", "rope_scaling") if data.get(key)}
    for key, entry in entries.items():
        if not isinstance(entry, Mapping) or any(isinstance(value, Mapping) for value in entry.values()):
            raise UserError("must be one object for all layers", key=key)
    objects = (data, *entries.values())
    if any(values.get("partial_rotary_factor") not in (None, 1) for values in objects):
        raise UserError("partial rotary embeddings are not supported", key="partial_rotary_factor")
    thetas = {
        _positive(values, "rope_theta", MOST_THETA)
        for values in objects
        if values.get("rope_theta") is not None
    }
    # what a file says outside of these objects counts for more, as for transformers
    outside = {key: data[key] for key in (_ORIGINAL,) if data.get(key) is not None}
    scalings = {_read_scaling(entry, key, positions, outside) for key, entry in entries.items()}
    if len(thetas) > 1:
        raise UserError(
            f"is given as {' and as '.join(map(str, sorted(thetas)))}; keep one", key="rope_theta"
        )
    if len(scalings) > 1:
        raise UserError("differs from rope_parameters; keep one", key="rope_scaling")
    return next(iter(thetas), default), next(iter(scalings), None)


def _read_scaling(
    entry: Mapping[str, Any], key: str, positions: int, outside: Mapping[str, Any]
) -> RopeScaling | None:
    kind = entry.get("rope_type", entry.get("type", "default"))
    if kind == "default":
        return None
    try:
        if kind == "linear":
            return RopeScaling("linear", _positive(entry, "factor", _MOST_FACTOR))
        if kind == "llama3":
            return RopeScaling(
                "llama3",
                _positive(entry, "factor", _MOST_FACTOR),
                _positive(entry, "low_freq_factor", _MOST_FACTOR),
                _positive(entry, "high_freq_factor", _MOST_FACTOR),
                integer({**entry, **outside}, _ORIGINAL, positions, least=1, most=MOST_POSITIONS),
            )
    except UserError as error:
        raise UserError(
            error.message, key=error.key if error.key in outside else f"{key}.{error.key}"
        ) from None
    raise UserError(
        f"{short(kind)} is not supported; supported are linear and llama3", key=f"{key}.rope_type"
    )


def write_rope(theta: float, scaling: RopeScaling | None) -> dict[str, Any]:
    """The entries of a ``config.json``.

    RoPE is written twice: as ``rope_theta`` and ``rope_scaling`` for transformers 4, vLLM and llama.cpp's
    converter, and as ``rope_parameters`` for transformers 5; each of them reads one or both.
    """
    entry = None if scaling is None else _write_scaling(scaling)
    return {
        "rope_theta": theta,
        "rope_scaling": entry,
        "rope_parameters": {"rope_theta": theta, **(entry or {"rope_type": "default"})},
    }


def _write_scaling(scaling: RopeScaling) -> dict[str, Any]:
    # old readers look for "type", new ones for "rope_type"
    data: dict[str, Any] = {"rope_type": scaling.kind, "type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
        data |= {
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_position_embeddings,
        }
    return data


def _positive(data: Mapping[str, Any], key: str, most: float) -> float:
    return number(data, key, least=_SMALLEST, most=most)
