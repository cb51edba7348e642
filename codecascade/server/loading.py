"""The generator behind a model's name: an engine in a thread of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.memory import free_bytes
from codecascade.generation.engine.model_runner import token_bytes
from codecascade.generation.engine.service import EngineService
from codecascade.generation.engine.weights.held import HeldWeights, load_model
from codecascade.generation.gateway.gateway import Gateway
from codecascade.generation.llama_cpp.loading import load_llama_cpp_engine
from codecascade.ground.choices import Weights
from codecascade.ground.errors import UserError
from codecascade.model.llama import Llama
from codecascade.model.sources import resolve, tokenizer_of

_MOST_CHUNK, _MOST_CPU_CHUNK, _LEAST_CHUNK = 2048, 512, 128
_CHUNK_WORK = 100_000_000_000
"""Parameters times tokens of a pass."""


def served_names(model: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """What a model is called in requests: ``names``, else the folder's or file's own name, or the hub's.

    Raises:
        UserError: there is no such model.
    """
    if names:
        return names
    source = resolve(model)
    if source.path is None or source.kind not in ("folder", "gguf"):
        return tuple(dict.fromkeys((model, model.rsplit("/", 1)[-1])))
    return (Path(source.path).resolve().name.removesuffix(".gguf"),)


def load_service(
    model: str,
    name: str,
    *,
    context: int | None = None,
    weights: Weights = "auto",
    max_waiting: int | None = None,
) -> tuple[EngineService, HeldWeights]:
    """Load a folder, a GGUF file or a hub's model.

    Args:
        name: what clients call it.
        context: tokens of prompt and completion together; None: the model's own limit.
        weights: how they are held; ``auto``: as this machine computes fastest with them, by a short timing.
        max_waiting: prompts that may wait; more are refused.

    Raises:
        UserError: there is no such model, or it can't be used.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded, held = load_model(model, device, weights, timed=True)
    _check_memory(loaded.model, context, device)
    engine = Engine(
        loaded.model,
        loaded.tokenizer,
        context=context,
        speculate=True,
        chunk_tokens=chunk_tokens(loaded.model.config.num_parameters(), device.type),
        max_waiting=max_waiting,
    )
    return EngineService(engine, name), held


def _check_memory(model: Llama, context: int | None, device: torch.device) -> None:
    """See that there is memory for one request of a context that was asked for.

    An operating system gives memory that it has not, and ends the process when it is used.

    Raises:
        UserError: there is not.
    """
    if context is None:
        return
    free, of_token = free_bytes(device), token_bytes(model)
    if free is not None and context * of_token > free:
        raise UserError(
            f"there is memory for {free // of_token:,} tokens of this model, but not for {context:,}",
            key="--context",
        )


def chunk_tokens(parameters: int, device: str) -> int:
    """Tokens of a pass at most: a text goes on, and a cancel acts, only between two passes.

    On a GPU a long pass is a short time. On a processor it is not: a pass is to take about as long as a person
    takes to notice, on two cores, as far as a pass of so few tokens is not much slower a token.

    >>> chunk_tokens(135_000_000, "cpu"), chunk_tokens(7_000_000_000, "cpu"), chunk_tokens(7_000_000_000, "cuda")
    (512, 128, 2048)
    """
    if device != "cpu":
        return _MOST_CHUNK
    tokens = _CHUNK_WORK // max(parameters, 1)
    return max(_LEAST_CHUNK, min(_MOST_CPU_CHUNK, 1 << max(tokens, 1).bit_length() - 1))


def load_llama_cpp(
    model: str, name: str, *, context: int | None = None, max_waiting: int | None = None
) -> EngineService:
    """Load a GGUF file with llama.cpp.

    Raises:
        UserError: it is no such file, llama.cpp can't load it, or is not installed.
    """
    return EngineService(load_llama_cpp_engine(model, context=context, max_waiting=max_waiting), name)


def load_gateway(
    endpoint: str,
    model: str,
    tokenizer: str,
    name: str,
    *,
    context: int | None = None,
    connections: int = 256,
) -> Gateway:
    """Stand in front of an OpenAI-compatible server.

    Args:
        model: what the server calls it.
        tokenizer: a folder, a GGUF file or a hub's name.
        connections: requests at a time.

    Raises:
        UserError: there is no such server, model or tokenizer, or they do not belong together.
    """
    return Gateway(
        endpoint, model, tokenizer_of(tokenizer), name=name, context=context, connections=connections
    )
