"""Models as Meta publishes them: ``params.json``, ``consolidated.NN.pth`` and ``tokenizer.model``."""

from codecascade.model.meta.reading import (
    is_meta_folder,
    load_meta,
    open_meta,
    read_meta_config,
    read_meta_tokenizer,
)

__all__ = ["is_meta_folder", "load_meta", "open_meta", "read_meta_config", "read_meta_tokenizer"]
