"""Reads models as Meta publishes them: ``params.json``, ``consolidated.NN.pth`` and ``tokenizer.model``.

Each ``.pth`` file is what one process of a model-parallel group had: a part of each matrix, cut by rows or by
columns, and all of each norm. Queries and keys are ordered for a rotation of neighbours. Source: ``llama/model.py``
of meta-llama/llama and ``convert_llama_weights_to_hf.py`` of transformers.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import open_regular, read_object
from codecascade.ground.files.values import flag, integer, number
from codecascade.ground.format import listed
from codecascade.model.config import LIMITS, LlamaConfig
from codecascade.model.meta.pickled import read_pickled_tensors
from codecascade.model.meta.weights import MetaTensor, MetaWeights, Shards
from codecascade.model.rope_scaling import DEFAULT_THETA, RopeScaling
from codecascade.model.stored.model import LoadedModel, StoredModel
from codecascade.model.weights import Device, check_shapes, hf_names, model_names
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

log = logging.getLogger(__name__)

_PARAMS = "params.json"
_MOST_PARAMS = 1 << 20
_SHARD = re.compile(r"consolidated(?:\.(\d{2}))?\.pth")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model")
_TIKTOKEN = re.compile(rb"[A-Za-z0-9+/=]+ \d+\n")
_READ = {
    *("dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size", "multiple_of"),
    *(
        "ffn_dim_multiplier",
        "norm_eps",
        "rope_theta",
        "use_scaled_rope",
        "rope_scaling_factor",
        "max_seq_len",
    ),
    "max_batch_size",
}
_CHANGES = ("moe", "moe_args", "quantization_args", "lora_args", "sliding_window", "vision_chunk_size")
# Our name, and how a model-parallel group cuts it: by rows (0), by columns (1), or not at all.
_TENSORS: dict[str, tuple[str, int | None]] = {
    "attention.wq": ("self_attn.q_proj", 0),
    "attention.wk": ("self_attn.k_proj", 0),
    "attention.wv": ("self_attn.v_proj", 0),
    "attention.wo": ("self_attn.o_proj", 1),
    "feed_forward.w1": ("mlp.gate_proj", 0),
    "feed_forward.w2": ("mlp.down_proj", 1),
    "feed_forward.w3": ("mlp.up_proj", 0),
    "attention_norm": ("input_layernorm", None),
    "ffn_norm": ("post_attention_layernorm", None),
    "output": ("lm_head", 0),
    "norm": ("model.norm", None),
}
_FIRST_QUERIES = "layers.0.attention.wq.weight"
_TABLE, _HEAD, _FREQUENCIES = "tok_embeddings.weight", "output.weight", "rope.freqs"


def is_meta_folder(folder: str | Path) -> bool:
    """Whether a folder holds a model in Meta's form, and none in Hugging Face's."""
    folder = Path(folder)
    return (
        os.path.lexists(folder / _PARAMS)
        and not os.path.lexists(folder / "config.json")
        and any(_SHARD.fullmatch(name) for name in os.listdir(folder))
    )


def read_meta_config(folder: str | Path) -> LlamaConfig:
    """The shape of a model in Meta's form; the weights' files are opened, and no weight is read.

    Raises:
        UserError: a file is missing, broken or hostile, or the model is not supported.
    """
    return _config(Path(folder), _shards(Path(folder)))


def read_meta_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a model in Meta's form, which may lie beside the folders of several models.

    Raises:
        UserError: there is none, or it can't be read.
    """
    return _tokenizer(Path(folder), read_meta_config(folder))


def load_meta(path: str | Path, *, dtype: torch.dtype | None = None, device: Device = "cpu") -> LoadedModel:
    """A model in Meta's form and its tokenizer.

    Args:
        dtype: of the weights; None leaves them as they are stored.

    Raises:
        UserError: as :func:`open_meta`.
    """
    return open_meta(path).load(dtype=dtype, device=device)


def open_meta(path: str | Path) -> StoredModel:
    """A model in Meta's form and its tokenizer; the weights stay in their files until they are asked for.

    Raises:
        UserError: a file is missing, broken or hostile, or the model is not supported.
    """
    folder = Path(path)
    shards = _shards(folder)
    config = _config(folder, shards)
    params = read_object(folder / _PARAMS, _MOST_PARAMS)
    if unknown := [key for key in params if key not in _READ and key not in _CHANGES]:
        log.warning(
            "%s: these keys are not known, and are passed over: %s", folder / _PARAMS, listed(unknown)
        )
    try:
        names = hf_names((name for name in shards[0] if name != _FREQUENCIES), _hf_name)
    except UserError as error:
        raise UserError(error.message, file=folder, key=error.key) from None
    _check_parts(names, shards, config, folder)
    check_shapes(config, {hf: _whole_shape(name, shards, config) for name, hf in names.items()}, file=folder)
    tokenizer = _tokenizer(folder, config)
    tensors = {hf: _tensor(name, hf, shards, config) for name, hf in names.items()}
    stored = {name: tensors[hf] for name, hf in model_names(config, tensors).items()}
    return StoredModel(config, tokenizer, MetaWeights(folder, shards, stored), folder, str(path))


def _tensor(name: str, hf_name: str, shards: Shards, config: LlamaConfig) -> MetaTensor:
    heads = None
    if ".q_proj." in hf_name or ".k_proj." in hf_name:
        heads = config.num_attention_heads if ".q_proj." in hf_name else config.num_key_value_heads
    axis = _axis(name, shards, config) if len(shards) > 1 else None
    return MetaTensor(name, _whole_shape(name, shards, config), axis, heads)


def _shards(folder: Path) -> Shards:
    files = sorted(name for name in os.listdir(folder) if _SHARD.fullmatch(name))
    expected = [f"consolidated.{number:02}.pth" for number in range(len(files))]
    if files not in (expected, ["consolidated.pth"]):
        missing = next(
            (name for name in expected if name not in files), files[0] if files else "consolidated.00.pth"
        )
        raise UserError(f"is missing; there are {', '.join(files) or 'no weights'}", file=folder / missing)
    shards = [read_pickled_tensors(folder / name) for name in files]
    for name, shard in zip(files, shards, strict=True):
        if shard.keys() != shards[0].keys():
            raise UserError(f"does not hold the same tensors as {files[0]}", file=folder / name)
    return shards


def _config(folder: Path, shards: Shards) -> LlamaConfig:
    params = read_object(folder / _PARAMS, _MOST_PARAMS)
    try:
        return _from_params(params, shards)
    except UserError as error:
        raise UserError(error.message, file=folder / _PARAMS, key=error.key) from None


def _from_params(params: Mapping[str, Any], shards: Shards) -> LlamaConfig:
    for key, value in params.items():
        if key in _CHANGES and value not in (None, False, 0):
            raise UserError("changes what the model computes, and is not supported", key=key)
    hidden_size, heads = _size(params, "dim", "hidden_size"), _size(params, "n_heads", "num_attention_heads")
    if params.get("head_dim") is None and hidden_size % heads:
        raise UserError(f"must divide dim, {hidden_size} (got {heads})", key="n_heads")
    theta = number(params, "rope_theta", DEFAULT_THETA, least=1e-30, most=LIMITS["rope_theta"])
    eps = number(params, "norm_eps", 1e-5, least=1e-30, most=LIMITS["rms_norm_eps"])
    scaling = _scaling(params, hidden_size)
    return LlamaConfig(
        vocab_size=_vocabulary(params, shards, hidden_size),
        hidden_size=hidden_size,
        intermediate_size=_intermediate_size(params, hidden_size),
        num_hidden_layers=_size(params, "n_layers", "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=_size(params, "n_kv_heads", "num_key_value_heads", heads),
        head_dim=_size(params, "head_dim", "head_dim", hidden_size // heads),
        max_position_embeddings=_positions(params, theta, eps, scaling),
        rms_norm_eps=eps,
        rope_theta=theta,
        rope_scaling=scaling,
        tie_word_embeddings=_HEAD not in shards[0],
    )


def _vocabulary(params: Mapping[str, Any], shards: Shards, hidden_size: int) -> int:
    """Stated, or (as in most releases, where it is -1) the rows of the vocabulary table."""
    stated = integer(params, "vocab_size", -1, least=-1, most=int(LIMITS["vocab_size"]))
    if stated > 0:
        return stated
    table = shards[0].get(_TABLE)
    if table is None or table.ndim != 2:
        raise UserError(f"is not stated, and the weights have no table {_TABLE}", key="vocab_size")
    rows = len(table)
    return rows * len(shards) if table.shape[1] == hidden_size else rows


def _intermediate_size(params: Mapping[str, Any], hidden_size: int) -> int:
    """Two thirds of four times the width, times a factor, up to the next multiple."""
    if params.get("hidden_dim") is not None:
        return _size(params, "hidden_dim", "intermediate_size")
    most = int(LIMITS["intermediate_size"])
    multiple = integer(params, "multiple_of", 256, least=1, most=most)
    factor = number(params, "ffn_dim_multiplier", 1.0, least=1e-3, most=1e3)
    width = int(factor * int(2 * 4 * hidden_size / 3))
    return multiple * -(-width // multiple)


def _scaling(params: Mapping[str, Any], hidden_size: int) -> RopeScaling | None:
    if not flag(params, "use_scaled_rope"):
        return None
    # Llama 3.2's small models were scaled by 32, which their files do not say
    usual = 32.0 if hidden_size < 4096 else 8.0
    return RopeScaling("llama3", number(params, "rope_scaling_factor", usual, least=1e-3, most=1e6))


def _positions(params: Mapping[str, Any], theta: float, eps: float, scaling: RopeScaling | None) -> int:
    """What the files do not say: each generation of Meta's models is recognised by what is its own."""
    if params.get("max_seq_len") is not None:
        return _size(params, "max_seq_len", "max_position_embeddings")
    if scaling is not None:
        return 131_072
    if theta == DEFAULT_THETA:
        # Llama 1 has another eps than Llama 2
        return 2048 if eps < 5e-6 else 4096
    return 8192 if theta == 500_000.0 else 16_384


def _tokenizer(folder: Path, config: LlamaConfig) -> Tokenizer:
    for beside in (folder, folder.absolute().parent):
        if any(os.path.lexists(beside / name) for name in _TOKENIZERS):
            model = beside / "tokenizer.model"
            if not os.path.lexists(beside / "tokenizer.json"):
                with open_regular(model) as opened:
                    if _TIKTOKEN.match(opened.read(1000)):
                        raise UserError(
                            "is in tiktoken's form (Llama 3), which is not read; put the model's tokenizer.json and "
                            "tokenizer_config.json beside it",
                            file=model,
                        )
            return load_tokenizer(beside).within(config.vocab_size, folder)
    raise UserError(
        "holds neither tokenizer.json nor tokenizer.model, nor does the folder around it", file=folder
    )


def _hf_name(name: str) -> str:
    """Hugging Face's name; one that is not known stays as it is."""
    stem, _, kind = name.rpartition(".")
    if name == _TABLE:
        return "model.embed_tokens.weight"
    match = re.fullmatch(r"layers\.(\d+)\.(.+)", stem)
    if match and match[2] in _TENSORS:
        return f"model.layers.{match[1]}.{_TENSORS[match[2]][0]}.{kind}"
    return f"{_TENSORS[stem][0]}.{kind}" if stem in _TENSORS else name


def _axis(name: str, shards: Shards, config: LlamaConfig) -> int | None:
    """Where the parts of a tensor are put together; None if each shard holds the whole."""
    if name == _TABLE:
        # Llama 1 and 2 cut it by columns, Llama 3 by rows
        return 0 if shards[0][name].shape[-1] == config.hidden_size else 1
    stem = name.rpartition(".")[0]
    layer = re.fullmatch(r"layers\.\d+\.(.+)", stem)
    return _TENSORS.get(layer[1] if layer else stem, ("", None))[1]


def _check_parts(names: Iterable[str], shards: Shards, config: LlamaConfig, folder: Path) -> None:
    """See that all parts of a tensor have one shape, and that there are as many files as those shapes tell."""
    for name in names:
        first = shards[0][name].shape
        if any(shard[name].shape != first for shard in shards):
            raise UserError(
                "has parts that do not fit together: another shape in one file than in another",
                file=folder,
                key=name,
            )
    rows = len(shards[0].get(_FIRST_QUERIES, ()))
    whole = config.num_attention_heads * config.head_dim
    if rows and whole % rows == 0 and whole // rows != len(shards):
        raise UserError(
            f"holds {len(shards)} of the files consolidated.*.pth, but each is one of {whole // rows} parts of the "
            "model; fetch all of them, and no others",
            file=folder,
        )


def _whole_shape(name: str, shards: Shards, config: LlamaConfig) -> tuple[int, ...]:
    shapes = [tuple(shard[name].shape) for shard in shards]
    axis = _axis(name, shards, config)
    if axis is None or len(shapes[0]) <= axis or len(shards) == 1:
        return shapes[0]
    whole = list(shapes[0])
    whole[axis] = sum(shape[axis] for shape in shapes if len(shape) > axis)
    return tuple(whole)


def _size(params: Mapping[str, Any], key: str, limit: str, default: int | None = None) -> int:
    return integer(params, key, default, least=1, most=int(LIMITS[limit]))
