"""One form of a model to another: what ``codecascade convert`` does."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from codecascade.ground.choices import ConvertedWeightType, ModelFormat
from codecascade.ground.errors import UserError
from codecascade.model.folder import save_folder
from codecascade.model.gguf.writing import save_gguf
from codecascade.model.sources import load
from codecascade.model.stored.model import LoadedModel
from codecascade.model.weights import check_numbers

_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
_GGUF = ".gguf"


def convert(
    name: str, out: str | Path, *, to: ModelFormat = "hf", dtype: ConvertedWeightType | None = None
) -> LoadedModel:
    """Write the model that ``name`` stands for as a Hugging Face folder or a GGUF file ``out``, and return it.

    Args:
        name: anything that :func:`~codecascade.model.sources.load` takes.
        out: what is not there yet: a folder (an empty one is fine), or a file whose name ends in ``.gguf``.
        dtype: of the weights; None leaves them as they are stored (fp32 for a quantised GGUF file).

    Raises:
        UserError: the model can't be loaded, ``out`` is there already, the format or the dtype is unknown, the
            format can't hold the model, or a weight is no number or too large for the dtype.
    """
    out = Path(out)
    for key, value, choices in (
        ("to", to, get_args(ModelFormat)),
        ("dtype", dtype, get_args(ConvertedWeightType)),
    ):
        if value is not None and value not in choices:
            raise UserError(f"must be one of {', '.join(choices)} (got {value!r})", key=key)
    if dtype == "q8_0" and to == "hf":
        raise UserError(
            "q8_0 is a type of GGUF files; choose f32, f16 or bf16, or add --to gguf", key="dtype"
        )
    if to == "gguf" and out.suffix != _GGUF:
        raise UserError(f"must end in {_GGUF}, or no command will take it for a GGUF file", file=out)
    if out.exists() and (to == "gguf" or not out.is_dir() or any(out.iterdir())):
        raise UserError("is there already; choose another name", file=out)
    if to == "gguf":
        # each tensor is converted as it is written
        loaded = load(name)
        save_gguf(
            out, loaded.model.state_dict(), loaded.config, loaded.tokenizer, dtype=dtype, name=Path(name).stem
        )
        return loaded
    written = None if dtype is None else _DTYPES[dtype]

    def check(key: str, tensor: Tensor) -> None:
        check_numbers(key, tensor, written or tensor.dtype, dtype or "its type")

    loaded = load(name, dtype=written, check=check)
    save_folder(
        out,
        loaded.model,
        loaded.config,
        loaded.tokenizer,
        generation=loaded.generation,
        quantisation=loaded.quantisation,
    )
    return loaded
