"""Loads the model that the user names as a backend, with what tells it from another."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub

from codecascade.generation.engine.generator import load_generator
from codecascade.generation.local_backend import LocalBackend
from codecascade.ground.choices import Weights
from codecascade.ground.files.atomic import content_digest
from codecascade.model.folder import read_quantisation
from codecascade.model.gguf import read_gguf_quantisation
from codecascade.model.sources import resolve


def load_backend(
    model: str,
    *,
    name: str | None = None,
    device: str | None = None,
    precision: Weights = "auto",
    context: int | None = None,
) -> LocalBackend:
    """The model behind a folder, GGUF file, packaged model or hub name.

    Args:
        name: what tables call it; None: the folder's or file's own name, or the hub's.
        precision: of its weights; see :func:`~codecascade.generation.engine.generator.load_generator`.
        context: see :func:`~codecascade.generation.engine.generator.load_generator`.

    Raises:
        UserError: there is no such model, or it can't be used.
    """
    generator = load_generator(model, device=device, precision=precision, context=context)
    weight = next(generator.model.parameters())
    source = resolve(model)
    about = {
        "revision": revision(model, source.path),
        "precision": str(weight.dtype).removeprefix("torch."),
        "device": weight.device.type,
    }
    if context is not None:
        about["context"] = f"{context:,} tokens"
    kind = quantisation(model)
    if precision in ("int8", "int4"):
        kind = precision if kind is None else f"{kind}, held in {precision}"
    if kind is not None:
        about["quantisation"] = kind
    return LocalBackend(generator, name or shown_name(model), about)


def shown_name(model: str) -> str:
    """What tables call a model: the folder's or file's own name, or the hub's."""
    source = resolve(model)
    if source.path is not None and source.kind in ("folder", "meta", "gguf"):
        return source.path.resolve().name.removesuffix(".gguf")
    return model


def quantisation(model: str) -> str | None:
    """How the weights behind a name are quantised, or were before they were converted (``Q4_1``).

    None if they never were, or if they are not here.

    Raises:
        UserError: there is no such model, or its file is broken.
    """
    source = resolve(model)
    if source.path is None:
        return None
    if source.kind == "folder":
        return read_quantisation(source.path)
    return read_gguf_quantisation(source.path) if source.path.suffix == ".gguf" else None


def revision(model: str, path: Path | None) -> str:
    """The hub's commit, or a digest of the local files."""
    if path is not None:
        return content_digest(path)
    return Path(huggingface_hub.hf_hub_download(model, "config.json")).parent.name
