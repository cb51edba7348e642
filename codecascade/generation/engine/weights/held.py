"""Chooses how a model's weights are held while it generates, and holds them so.

``bf16`` and ``fp32`` are the model as it is. ``int8`` and ``int4`` quantise the weights of the layers, of the head
and of the embedding; what is multiplied with them, the norms and the cache stay in the model's type. ``auto`` is one
of the first two unless the caller lets a timing decide, for then a text may be another one on the next day.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codecascade.generation.engine.weights import cuda
from codecascade.generation.engine.weights.calibration import calibration_tokens, layers_and_moments
from codecascade.generation.engine.weights.fused import fuse
from codecascade.generation.engine.weights.health import check_weights
from codecascade.generation.engine.weights.kernels import (
    INT8_COLUMNS,
    Int8Weight,
    QuantisedType,
    check_columns,
    quantise,
    why_not,
)
from codecascade.generation.engine.weights.layers import QuantisedEmbedding, QuantisedLinear, as_linear
from codecascade.generation.engine.weights.memory import weight_bytes
from codecascade.generation.engine.weights.packed import can_pack, pack_weights, rows_for_plain
from codecascade.generation.engine.weights.timing import (
    ROWS,
    SAMPLE_BYTES,
    layers_to_try,
    most_rows,
    seconds_of,
)
from codecascade.generation.progress_lines import ProgressLines
from codecascade.ground.choices import Precision, Weights
from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes
from codecascade.ground.memory import free_memory
from codecascade.model.llama import Llama
from codecascade.model.precision import choose_precision
from codecascade.model.sources import load
from codecascade.model.stored.model import LoadedModel

_log = logging.getLogger(__name__)

# int8 loses a little, so it must gain more than that: its product for one row takes at most this share of the time.
_WORTH = 0.8
# Of the memory that is free, copies for products of many rows may take this share.
_COPIES = 0.25

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}

# What was timed in this process, so that a second model is held as the first was.
_most_rows: dict[tuple[object, ...], int] = {}
_int8_faster: dict[tuple[object, ...], bool] = {}


@dataclass(frozen=True)
class HeldWeights:
    """How weights are held, and the memory that they take.

    Attributes:
        kind: ``fp32``, ``bf16``, ``fp16``, ``int8`` or ``int4``.
        nbytes: of all weights, without copies for many rows.
        copy_bytes: of those copies, or of plain weights for few rows beside those in a layout of their own.
        few_rows: most rows of a product that is computed from quantised weights directly; None if none are.
        reason: why it is this kind.
    """

    kind: str
    nbytes: int
    copy_bytes: int = 0
    few_rows: int | None = None
    reason: str = "asked for"

    def __str__(self) -> str:
        text = f"weights in {self.kind}, {self.reason}: {show_bytes(self.nbytes)}"
        if self.few_rows is None:
            return (
                f"{text}, and {show_bytes(self.copy_bytes)} of copies for few rows"
                if self.copy_bytes
                else text
            )
        rows = f"products of more than {self.few_rows} row{'s' * (self.few_rows != 1)}"
        if self.copy_bytes:
            return f"{text}, and {show_bytes(self.copy_bytes)} of copies for {rows}"
        return f"{text}; unpacked for {rows}"


def load_model(
    name: str, device: torch.device, weights: Weights = "auto", *, timed: bool = False
) -> tuple[LoadedModel, HeldWeights]:
    """Load a model to generate with.

    Args:
        name: what :func:`~codecascade.model.sources.load` takes.
        timed: whether ``auto`` may be int8, if a short timing of this machine's kernels finds it much faster.

    Raises:
        UserError: there is no such model, its weights are no numbers, or they can't be held so.
    """
    precision: Precision = "auto" if weights in ("int8", "int4") else weights  # type: ignore[assignment]
    chosen = choose_precision(device, precision)
    loaded = load(name, dtype=chosen.dtype, device=device)
    if not loaded.finite:
        check_weights(loaded.model, name)
    reason = chosen.reason if weights == "auto" else "asked for"
    text = calibration_tokens(loaded.tokenizer) if weights == "int4" else None
    return loaded, hold_weights(loaded.model, weights, timed=timed, reason=reason, calibration=text)


@torch.no_grad()
def hold_weights(
    model: Llama,
    weights: Weights,
    *,
    timed: bool = False,
    keep_copies: bool | None = None,
    reason: str = "asked for",
    calibration: Tensor | None = None,
) -> HeldWeights:
    """Hold a model's weights so, in place; it can't be trained or saved after that.

    Args:
        timed: see :func:`load_model`.
        keep_copies: whether weights are kept twice where products of many or few rows are faster so; None: if the
            memory for it is there.
        calibration: (rows, T) int64, tokens of texts: int4 weights are chosen so that the products with what these
            make of the layers' inputs change least; None: so that the weights themselves do.

    Raises:
        UserError: this machine has no such kernels, or the model's weights do not fit them.
    """
    weight = model.head_weight
    kind: QuantisedType | None = None
    if weights in ("int8", "int4"):
        kind = "int8" if weights == "int8" else "int4"
    elif weights == "auto" and timed and weight.device.type == "cpu" and _int8_is_much_faster(model):
        kind, reason = "int8", "the fastest here by a timing"
    if kind is None:
        if can_pack(weight.device, weight.dtype):
            pack_weights(model, _plain_rows(model, keep_copies))
        return HeldWeights(_NAMES[weight.dtype], *weight_bytes(model), reason=reason)
    if weight.device.type == "cuda":
        return HeldWeights(kind, cuda.quantise_model(model, kind), reason=reason)
    if weight.device.type != "cpu":
        raise UserError(f"{kind} is for cpu and cuda, not for {weight.device.type}", key="weights")
    if (missing := why_not(kind)) is not None:
        raise UserError(f"{missing}; take bf16 or fp32", key="weights")
    _quantise(model, kind, calibration if kind == "int4" else None)
    few = _share_out(model, keep_copies)
    return HeldWeights(kind, *weight_bytes(model), few, reason)


def _plain_rows(model: Llama, keep_copies: bool | None) -> int:
    """Up to how many rows products shall be computed from plain weights that are kept beside those for the CPU."""
    if keep_copies is False:
        return 0
    layers = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    if keep_copies is None and sum(weight.nbytes for weight in layers) > _COPIES * free_memory():
        return 0
    return rows_for_plain(model)


def _quantise(model: Llama, kind: QuantisedType, calibration: Tensor | None) -> None:
    """Replace the linear layers, the head and the embedding of ``model``.

    Head and embedding are int8 always. What an int4 head gets wrong is felt most, and a tied one would have to be
    held twice, since single rows of the kernel's layout can't be read.
    """
    dtype = model.head_weight.dtype
    layers: Iterator[tuple[str, nn.Linear, Tensor | None]]
    layers = ((name, module, None) for name, module in fuse(model) if name != "lm_head")
    if calibration is not None:
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                check_columns(module.in_features, kind if name != "lm_head" else "int8", f"{name}.weight")
        layers = layers_and_moments(model, calibration)
    # One at a time, so that memory is never needed for all weights twice.
    total = len(model.model.layers)
    with ProgressLines(f"quantising weights to {kind}", total, _log.info) as progress:
        for name, layer, moments in layers:
            weight = quantise(layer.weight, kind, f"{name}.weight", moments)
            model.set_submodule(name, QuantisedLinear(weight, layer.bias, dtype))
            # model.layers.INDEX.NAME
            progress.update(int(name.split(".")[2]), total)
    table = quantise(model.model.embed_tokens.weight, "int8", "model.embed_tokens.weight")
    head = table
    if not model.config.tie_word_embeddings:
        head = quantise(model.lm_head.weight, "int8", "lm_head.weight")
    model.add_module("lm_head", QuantisedLinear(head, None, dtype))
    assert isinstance(table, Int8Weight)
    model.model.add_module("embed_tokens", QuantisedEmbedding(table, dtype))


def _share_out(model: Llama, keep_copies: bool | None) -> int:
    """Decide from how many rows on products are computed in the model's type, and keep the copies for them.

    Returns:
        The most rows of a product with quantised weights.
    """
    layers = [module for module in model.modules() if isinstance(module, QuantisedLinear)]
    inner = [module for module in model.model.modules() if isinstance(module, QuantisedLinear)]
    dtype = layers[0].dtype
    needed = dtype.itemsize * sum(math.prod(layer.weight.shape) for layer in layers)
    keep = needed <= _COPIES * free_memory() if keep_copies is None else keep_copies
    tried = layers_to_try(inner, lambda layer: layer.weight.shape)
    largest = tried[0].weight
    if keep:
        for layer in tried:
            layer.keep_copy()
    key = (type(largest), largest.shape, dtype, keep, torch.get_num_threads())
    if key not in _most_rows:
        _most_rows[key] = most_rows(
            [layer.multiply_few for layer in tried],
            [layer.multiply_many for layer in tried],
            largest.shape[1],
            dtype,
        )
    few = _most_rows[key]
    # Where copies gain nothing for any number of rows that was tried, they are not worth their memory.
    keep = keep and few < ROWS[-1]
    for layer in layers:
        layer.few_rows = few
        if not keep:
            layer.copy = None
        elif layer.copy is None:
            layer.keep_copy()
    return few


def _int8_is_much_faster(model: Llama) -> bool:
    """Whether one row is multiplied so much faster with int8 weights that they are worth what they lose."""
    weights = [module.weight for module in model.model.modules() if isinstance(module, nn.Linear)]
    # What stays in the processor's caches is fast enough, and a timing of it would be chance.
    if 2 * sum(weight.numel() for weight in weights) < SAMPLE_BYTES or why_not("int8") is not None:
        return False
    if any(weight.shape[1] % INT8_COLUMNS for weight in (*weights, model.head_weight)):
        return False
    tried = layers_to_try(weights, lambda weight: weight.shape)
    largest = tried[0]
    key = (largest.shape, largest.dtype, torch.get_num_threads())
    if key not in _int8_faster:
        plain = [as_linear(weight, None) for weight in tried]
        small = [
            QuantisedLinear(quantise(weight, "int8"), None, weight.dtype).multiply_few for weight in tried
        ]
        of_plain, of_small = seconds_of((plain, small), largest.shape[1], 1, largest.dtype)
        _int8_faster[key] = of_small <= _WORTH * of_plain
    return _int8_faster[key]
