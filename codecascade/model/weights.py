"""Tensors in safetensors files as transformers lays them out: one file, or shards and an index."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from codecascade.errors import UserError
from codecascade.files import read_json, write_json
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.presets import build

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_NAMED = 5  # tensors that a message names
Device = torch.device | str


def read_weights(
    folder: Path, *, dtype: torch.dtype | None = None, device: Device = "cpu"
) -> dict[str, Tensor]:
    """All tensors of a folder; those whose dtype and device stay are memory-mapped, not read.

    Args:
        dtype: to turn them to; None keeps each as it is.

    Raises:
        UserError: no safetensors are there, a file is missing or broken, or its tensors are quantised.
    """
    tensors = {}
    for file in _files(folder):
        for name, tensor in _read(file):
            if tensor.dtype not in _DTYPES:
                raise UserError(
                    f"is {tensor.dtype}; quantised weights are not supported", file=file, key=name
                )
            tensors[name] = tensor.to(device=device, dtype=dtype)
    return tensors


def _files(folder: Path) -> list[Path]:
    if (folder / _SINGLE).exists():
        return [folder / _SINGLE]
    if not (folder / _INDEX).exists():
        pickled = next(folder.glob("*.bin"), next(folder.glob("*.pth"), None))
        hint = f"; {pickled.name} can't be opened safely, so convert it to safetensors" if pickled else ""
        raise UserError(f"holds neither {_SINGLE} nor {_INDEX}{hint}", file=folder)
    index = read_json(folder / _INDEX)
    if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
        raise UserError("is missing", file=folder / _INDEX, key="weight_map")
    files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    for file in files:
        if not file.exists():
            raise UserError(f"is missing, though {_INDEX} lists it; fetch the model again", file=file)
    return files


def _read(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  (no mapping)
                yield name, opened.get_tensor(name)
    except SafetensorError as error:
        raise UserError(
            f"is not a whole safetensors file ({error}); fetch or save it again", file=file
        ) from None


def write_weights(
    folder: Path, tensors: Mapping[str, Tensor], *, dtype: torch.dtype | None = None, shard_bytes: float = 5e9
) -> None:
    """Write one file, or several of at most ``shard_bytes`` each (if no tensor is larger) and their index.

    Only one shard at a time is converted to ``dtype``.

    Raises:
        OSError: of the file system, such as a full disk.
    """
    shards: list[list[str]] = [[]]
    size = total = 0
    for name, tensor in tensors.items():
        width = tensor.element_size() if dtype is None else dtype.itemsize
        if shards[-1] and size + tensor.numel() * width > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.numel() * width
        total += tensor.numel() * width
    files = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for file, names in zip(files if len(files) > 1 else [_SINGLE], shards, strict=True):
        shard = {name: tensors[name].detach().to(device="cpu", dtype=dtype).contiguous() for name in names}
        _write(folder / file, shard)
    if len(files) > 1:
        weight_map = {name: file for file, names in zip(files, shards, strict=True) for name in names}
        write_json(folder / _INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _write(file: Path, tensors: dict[str, Tensor]) -> None:
    try:
        save_file(tensors, file, metadata={"format": "pt"})  # transformers wants the entry
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), str(error), str(file)) from error
        raise


def assemble(config: LlamaConfig, tensors: Mapping[str, Tensor], *, file: str | Path) -> Llama:
    """A model that holds these very tensors.

    Args:
        file: where they come from, for messages.

    Raises:
        UserError: tensors are missing, too many, or of another shape than ``config`` says.
    """
    model = build(config, "meta")
    expected = model.state_dict()
    # old folders hold the rotary frequencies; tied ones may hold the head once more
    known = {name: tensor for name, tensor in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if config.tie_word_embeddings:
        known.pop("lm_head.weight", None)
    if missing := expected.keys() - known.keys():
        raise UserError(f"lacks {_names(missing)}", file=file)
    if unexpected := known.keys() - expected.keys():
        raise UserError(f"holds {_names(unexpected)}, for which {config.model_type} has no place", file=file)
    for name, tensor in known.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, and by config.json should have {tuple(expected[name].shape)}"
            raise UserError(f"has the shape {shapes}", file=file, key=name)
    model.load_state_dict(known, assign=True)
    return model


def _names(names: set[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return f"the tensors {', '.join(listed[:_NAMED])}{more}"
