"""Loads a GGUF file for llama.cpp to compute: the engine behind a server, and the generator of the commands."""

from __future__ import annotations

from codecascade.generation.engine.generator import PassGenerator
from codecascade.generation.llama_cpp.engine import LlamaCppEngine
from codecascade.generation.llama_cpp.runtime import LlamaCpp
from codecascade.ground.errors import UserError
from codecascade.model.gguf import read_gguf_tokenizer
from codecascade.model.sources import resolve


def load_llama_cpp_engine(
    model: str, *, context: int | None = None, max_waiting: int | None = None
) -> LlamaCppEngine:
    """The engine over a GGUF file, or over the one that a package carries.

    Args:
        context: tokens of prompt and completion together; None: what the model was made for.
        max_waiting: requests that may wait; None for any number.

    Raises:
        UserError: it is no such file, llama.cpp can't load it, or is not installed.
    """
    source = resolve(model)
    if source.path is None or source.path.is_dir():
        raise UserError("llama.cpp reads GGUF files; convert the model with --to gguf", file=model)
    if source.config is not None and context is not None:
        source.config.check_window(context, key="context")
    tokenizer = read_gguf_tokenizer(source.path)
    return LlamaCppEngine(LlamaCpp(source.path, context=context), tokenizer, max_waiting=max_waiting)


def load_llama_cpp_generator(model: str, *, context: int | None = None) -> PassGenerator[LlamaCppEngine]:
    """A generator over a GGUF file. Arguments and errors are those of :func:`load_llama_cpp_engine`."""
    return PassGenerator(load_llama_cpp_engine(model, context=context))
