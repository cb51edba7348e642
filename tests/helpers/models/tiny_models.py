"""A folder of a tiny model, for tests of what users call."""

from __future__ import annotations

import argparse
import inspect
from dataclasses import replace
from pathlib import Path

from codecascade.model.folder import save_folder
from codecascade.model.presets import PRESETS, build, initialise
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.infilling import add_infilling_tokens, rows_for
from codecascade.tokens.training import train_tokenizer


def save_tiny_model(folder: Path) -> Path:
    """Write a random model that can infill and chat to ``folder``, which is returned."""
    tokenizer = with_chat_format(
        add_infilling_tokens(train_tokenizer([inspect.getsource(argparse)], 400, kind="bytes")), "chatml"
    )
    llama = build(replace(PRESETS["tiny"], vocab_size=rows_for(tokenizer.vocab_size)))
    initialise(llama, seed=1)
    save_folder(folder, llama, llama.config, tokenizer)
    return folder
