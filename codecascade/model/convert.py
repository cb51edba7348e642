"""One form of a model to another: what ``codecascade convert`` does."""

from __future__ import annotations

from pathlib import Path

import torch

from codecascade.ground.errors import UserError
from codecascade.model.folder import LoadedModel, save_folder
from codecascade.model.sources import load

FORMATS = ("hf",)
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def convert(name: str, out: str | Path, *, to: str = "hf", dtype: str | None = None) -> LoadedModel:
    """Write the model that ``name`` stands for as a Hugging Face folder ``out``, and return it.

    Args:
        name: anything that :func:`~codecascade.model.sources.load` takes.
        out: a folder that is not there yet, or is empty.
        dtype: ``f32``, ``bf16`` or ``f16``; None leaves the weights as they are stored (fp32 for a GGUF file).

    Raises:
        UserError: the model can't be loaded, ``out`` is there already, or format or dtype is unknown.
    """
    out = Path(out)
    if to not in FORMATS:
        raise UserError(f"must be one of {', '.join(FORMATS)} (got {to!r})", key="to")
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"must be one of {', '.join(DTYPES)} (got {dtype!r})", key="dtype")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("is there already; choose another name", file=out)
    loaded = load(name, dtype=DTYPES[dtype] if dtype else None)
    save_folder(out, loaded.model, loaded.config, loaded.tokenizer, generation=loaded.generation)
    return loaded
