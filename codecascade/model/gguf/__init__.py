"""GGUF files, llama.cpp's format: weights, shape and tokenizer in one."""

from codecascade.model.gguf.reading import (
    load_gguf,
    open_gguf,
    read_gguf_config,
    read_gguf_quantisation,
    read_gguf_tokenizer,
)

__all__ = ["load_gguf", "open_gguf", "read_gguf_config", "read_gguf_quantisation", "read_gguf_tokenizer"]
