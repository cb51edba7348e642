"""Tensors in safetensors files as transformers lays them out: one file, or shards and an index."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import write_json
from codecascade.ground.files.reading import open_regular, read_json
from codecascade.ground.files.values import first_words, short
from codecascade.ground.format import listed
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.presets import build

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TABLE, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_OLD_FREQUENCIES = "rotary_emb.inv_freq"
_STORED = ("F32", "BF16", "F16", "F64")
_SHARD = re.compile(r"(?:[\w.-]+/)*[\w-][\w.-]*\.safetensors", re.ASCII)
_MOST_INDEX = 32 << 20
# How many tensors a message names.
_NAMED = 5
Device = torch.device | str


def read_weights(
    folder: Path, config: LlamaConfig, *, dtype: torch.dtype | None = None, device: Device = "cpu"
) -> dict[str, Tensor]:
    """All tensors of a folder. A tensor whose dtype and device stay the same is memory-mapped, not read.

    The files' headers are compared with ``config`` first, before any weight is read.

    Args:
        dtype: to turn them to; None keeps each as it is.

    Raises:
        UserError: no safetensors are there, a file is missing or broken, its tensors are quantised, or their names or
            shapes are not those of ``config``.
    """
    files = _files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        shapes |= _shapes(file)
    check_shapes(config, shapes, file=folder)
    tensors = {}
    for file in files:
        for name, tensor in _read(file):
            tensors[name] = tensor.to(device=device, dtype=dtype)
    return tensors


def _files(folder: Path) -> list[Path]:
    if os.path.lexists(folder / _SINGLE):
        return [folder / _SINGLE]
    if not os.path.lexists(folder / _INDEX):
        pickled = next(folder.glob("*.bin"), next(folder.glob("*.pth"), None))
        hint = f"; {pickled.name} can't be opened safely, so convert it to safetensors" if pickled else ""
        raise UserError(f"holds neither {_SINGLE} nor {_INDEX}{hint}", file=folder)
    index = read_json(folder / _INDEX, _MOST_INDEX)
    if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
        raise UserError("is missing", file=folder / _INDEX, key="weight_map")
    for name, file in index["weight_map"].items():
        if not isinstance(file, str) or not _SHARD.fullmatch(file) or ".." in file:
            raise UserError(
                f"must name a file of this folder (got {short(file)})",
                file=folder / _INDEX,
                key=f"weight_map.{short(name)}",
            )
    files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    for path in files:
        if not os.path.lexists(path):
            raise UserError(f"is missing, though {_INDEX} lists it; fetch the model again", file=path)
    return files


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes from a file's header, whose offsets the library has compared with its size."""
    open_regular(file).close()
    with _safetensors_errors(file), safe_open(file, framework="pt") as opened:
        shapes = {}
        for name in opened.keys():  # noqa: SIM118  (no mapping)
            part = opened.get_slice(name)
            if (kind := part.get_dtype()) not in _STORED:
                raise UserError(f"is {kind}; quantised weights are not supported", file=file, key=short(name))
            shapes[name] = tuple(part.get_shape())
    return shapes


def _read(file: Path) -> Iterator[tuple[str, Tensor]]:
    with _safetensors_errors(file), safe_open(file, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118  (no mapping)
            yield name, opened.get_tensor(name)


@contextmanager
def _safetensors_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"is not a whole safetensors file ({first_words(error)}); fetch or save it again", file=file
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
        # transformers refuses a file without this entry
        save_file(tensors, file, metadata={"format": "pt"})
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), str(error), str(file)) from error
        raise


def expected_shapes(config: LlamaConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The names and shapes of a model's tensors, layer after layer; nothing is made for them."""
    hidden, ffn = config.hidden_size, config.intermediate_size
    queries, keys = (
        heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
    )
    yield _TABLE, (config.vocab_size, hidden)
    yield "model.norm.weight", (hidden,)
    if not config.tie_word_embeddings:
        yield _HEAD, (config.vocab_size, hidden)
    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        yield f"{prefix}input_layernorm.weight", (hidden,)
        yield f"{prefix}post_attention_layernorm.weight", (hidden,)
        for name, rows, columns, bias in (
            ("self_attn.q_proj", queries, hidden, config.attention_bias),
            ("self_attn.k_proj", keys, hidden, config.attention_bias),
            ("self_attn.v_proj", keys, hidden, config.attention_bias),
            ("self_attn.o_proj", hidden, queries, config.attention_output_bias),
            ("mlp.gate_proj", ffn, hidden, config.mlp_bias),
            ("mlp.up_proj", ffn, hidden, config.mlp_bias),
            ("mlp.down_proj", hidden, ffn, config.mlp_bias),
        ):
            yield f"{prefix}{name}.weight", (rows, columns)
            if bias:
                yield f"{prefix}{name}.bias", (rows,)
        if config.query_key_norm:
            yield f"{prefix}self_attn.q_norm.weight", (config.head_dim,)
            yield f"{prefix}self_attn.k_norm.weight", (config.head_dim,)


def check_shapes(config: LlamaConfig, shapes: Mapping[str, tuple[int, ...]], *, file: str | Path) -> None:
    """Compare tensors with what a model of this shape has, before memory is taken for either.

    Args:
        shapes: by name; a tied model may have the head instead of the table, or both.
        file: where they come from, for messages.

    Raises:
        UserError: tensors are missing, too many, or of another shape.
    """
    known = {name: shape for name, shape in shapes.items() if not name.endswith(_OLD_FREQUENCIES)}
    if config.tie_word_embeddings and _HEAD in known:
        known.setdefault(_TABLE, known.pop(_HEAD))
    missing: list[str] = []
    left, count = dict(known), 0
    for name, shape in expected_shapes(config):
        if name not in known:
            count += 1
            missing += [name] * (count <= _NAMED)
        elif left.pop(name) != shape:
            shapes_ = f"{short(known[name])}, and by the configuration should have {shape}"
            raise UserError(f"has the shape {shapes_}", file=file, key=name)
    if missing:
        raise UserError(f"lacks {_names(missing, count)}", file=file)
    if left:
        raise UserError(
            f"holds {_names(sorted(left)[:_NAMED], len(left))}, for which a {config.model_type} model has no place",
            file=file,
        )


def hf_names(names: Iterable[str], rename: Callable[[str], str]) -> dict[str, str]:
    """Hugging Face's names of a file's tensors, by the file's own.

    Raises:
        UserError: two tensors stand for the same one.
    """
    renamed = {name: rename(name) for name in names}
    found: set[str] = set()
    for name, hf_name in renamed.items():
        if hf_name in found:
            raise UserError(f"stands for {hf_name}, as another tensor does", key=short(name))
        found.add(hf_name)
    return renamed


def assemble(config: LlamaConfig, tensors: Mapping[str, Tensor], *, file: str | Path) -> Llama:
    """A model whose parameters are these tensors themselves, not copies.

    Args:
        file: where they come from, for messages.

    Raises:
        UserError: tensors are missing, too many, or of another shape than ``config`` says.
    """
    check_shapes(config, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, file=file)
    # old folders also have the rotary frequencies; tied ones may have the head instead of the table, or both
    known = {name: tensor for name, tensor in tensors.items() if not name.endswith(_OLD_FREQUENCIES)}
    if config.tie_word_embeddings and _HEAD in known:
        known.setdefault(_TABLE, known.pop(_HEAD))
    model = build(config, "meta")
    model.load_state_dict(known, assign=True)
    return model


def _names(names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return f"the tensors {listed([name if name.isprintable() else short(name) for name in names])}{more}"
