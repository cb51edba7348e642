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

_SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
TABLE, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_PREFIXES = ("model.", "lm_head.")
# What old folders hold beside the weights: numbers that follow from the configuration.
_BUFFER = re.compile(r"(?:.*\.)?(?:rotary_emb\.\w+|position_ids)")
# What torch.compile, data parallelism and their like put into the names of what they wrap.
_WRAPPER = re.compile(r"^module\.|(?:^|(?<=\.))_(?:orig_mod|fsdp_wrapped_module|checkpoint_wrapped_module)\.")
_OF_BASE_MODEL = ("embed_tokens.", "layers.", "norm.")
_STORED = ("F32", "BF16", "F16", "F64")
_SHARD = ".safetensors"
_MOST_INDEX = 32 << 20
# How many tensors a message names.
_NAMED = 5
Device = torch.device | str


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder.

    Raises:
        UserError: there are none, one is missing, or the index is broken.
    """
    if os.path.lexists(folder / _SINGLE):
        return [folder / _SINGLE]
    if not os.path.lexists(folder / INDEX):
        pickled = next(folder.glob("*.bin"), next(folder.glob("*.pth"), None))
        hint = f"; {pickled.name} can't be opened safely, so convert it to safetensors" if pickled else ""
        raise UserError(f"holds neither {_SINGLE} nor {INDEX}{hint}", file=folder)
    index = read_json(folder / INDEX, _MOST_INDEX)
    if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
        raise UserError("is missing", file=folder / INDEX, key="weight_map")
    for name, file in index["weight_map"].items():
        if not isinstance(file, str) or not _is_inside(file):
            raise UserError(
                f"must name a file of this folder (got {short(file)})",
                file=folder / INDEX,
                key=f"weight_map.{short(name)}",
            )
    files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    for path in files:
        if not os.path.lexists(path):
            raise UserError(f"is missing, though {INDEX} lists it; fetch the model again", file=path)
    return files


def _is_inside(file: str) -> bool:
    """Whether the name of a shard leads to a file of the folder that its index is in, and nowhere else."""
    parts = file.split("/")
    return file.isprintable() and file.endswith(_SHARD) and not {"", ".", ".."} & {*parts}


def header_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights in a file's header, whose offsets the library has compared with its size.

    Raises:
        UserError: the file is missing or broken, or its tensors are quantised.
    """
    open_regular(file).close()
    with safetensors_errors(file), safe_open(file, framework="pt") as opened:
        shapes = {}
        for name in opened.keys():  # noqa: SIM118  (no mapping)
            if _BUFFER.fullmatch(name):
                continue
            part = opened.get_slice(name)
            if (kind := part.get_dtype()) not in _STORED:
                raise UserError(
                    f"is {kind}; integers and quantised weights are not supported", file=file, key=short(name)
                )
            shapes[name] = tuple(part.get_shape())
    return shapes


@contextmanager
def safetensors_errors(file: Path) -> Iterator[None]:
    """What the library or the file system raises of a broken file, as a :class:`UserError`."""
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
    sizes = {
        name: tensor.numel() * (tensor.element_size() if dtype is None else dtype.itemsize)
        for name, tensor in tensors.items()
    }
    shards = share_out(sizes, shard_bytes)
    files = shard_names(len(shards))
    for file, names in zip(files, shards, strict=True):
        shard = {name: tensors[name].detach().to(device="cpu", dtype=dtype).contiguous() for name in names}
        _write(folder / file, shard)
    if len(files) > 1:
        weight_map = {name: file for file, names in zip(files, shards, strict=True) for name in names}
        write_json(
            folder / INDEX, {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        )


def check_numbers(name: str, tensor: Tensor, dtype: torch.dtype, kind: str) -> None:
    """Whether a tensor's values are numbers in another type, too.

    Args:
        kind: what the user calls the type.

    Raises:
        UserError: one is none (NaN or infinite), or is too large for ``dtype``.
    """
    if not tensor.isfinite().all():
        raise UserError("holds values that are no numbers (NaN or infinite)", key=name)
    if dtype != tensor.dtype and not tensor.to(dtype).isfinite().all():
        others = "bf16 or f32" if dtype == torch.float16 else "f32"
        raise UserError(f"holds weights too large for {kind}; choose {others}", key=name)


def share_out(sizes: Mapping[str, int], shard_bytes: float) -> list[list[str]]:
    """The names of the tensors of each file, in order, at most ``shard_bytes`` in one if no tensor is larger."""
    shards: list[list[str]] = [[]]
    taken = 0
    for name, size in sizes.items():
        if shards[-1] and taken + size > shard_bytes:
            shards.append([])
            taken = 0
        shards[-1].append(name)
        taken += size
    return shards


def shard_names(count: int) -> list[str]:
    """The names of ``count`` weights files."""
    if count == 1:
        return [_SINGLE]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


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
    yield TABLE, (config.vocab_size, hidden)
    yield "model.norm.weight", (hidden,)
    if not config.tie_word_embeddings:
        yield HEAD, (config.vocab_size, hidden)
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
    known = {name: shapes[stored] for name, stored in model_names(config, shapes).items()}
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


def model_names(config: LlamaConfig, names: Iterable[str]) -> dict[str, str]:
    """For each of a model's tensors the name of the stored one, given all stored names.

    Old folders also have the rotary frequencies and the like. Those of a tied model may have the head instead of the
    table, or both, which are then equal.
    """
    found = {name: name for name in names if not _BUFFER.fullmatch(name)}
    if config.tie_word_embeddings and HEAD in found:
        found.setdefault(TABLE, found.pop(HEAD))
    return found


def usual_name(name: str) -> str:
    """The name that a tensor of a folder has in a model: without what wrapped the model when it was saved.

    A folder of a model without its head lacks the prefix of all names.
    """
    name = _WRAPPER.sub("", name)
    return f"model.{name}" if name.startswith(_OF_BASE_MODEL) else name


def hf_names(names: Iterable[str], rename: Callable[[str], str]) -> dict[str, str]:
    """Hugging Face's names of a file's tensors, by the file's own.

    Args:
        rename: gives a name that it does not know back as it is.

    Raises:
        UserError: one has Hugging Face's name already: such a file was made by something else than a converter, and
            may hold rows in any order.
    """
    renamed = {name: rename(name) for name in names}
    for name, hf_name in renamed.items():
        if name == hf_name and name.startswith(_PREFIXES):
            raise UserError(
                "is a tensor's name in a Hugging Face folder, which tells nothing about the order of its rows in a "
                "file of another form; use the folder that the model comes from, or convert that one",
                key=short(name),
            )
    return renamed


def assemble(config: LlamaConfig, tensors: Mapping[str, Tensor], *, file: str | Path) -> Llama:
    """A model whose parameters are these tensors themselves, not copies.

    Args:
        file: where they come from, for messages.

    Raises:
        UserError: tensors are missing, too many, or of another shape than ``config`` says.
    """
    check_shapes(config, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, file=file)
    model = build(config, "meta")
    stored = model_names(config, tensors)
    model.load_state_dict({name: tensors[name_] for name, name_ in stored.items()}, assign=True)
    return model


def _names(names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return f"the tensors {listed([name if name.isprintable() else short(name) for name in names])}{more}"
