"""A tiny model that can infill and chat."""

from __future__ import annotations

import argparse
import inspect
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from codecascade.model.folder import save_folder
from codecascade.model.presets import PRESETS, build, initialise
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.infilling import add_infilling_tokens, rows_for
from codecascade.tokens.training import train_tokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))  # the server for tests


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("cli") / "model"
    tokenizer = with_chat_format(
        add_infilling_tokens(train_tokenizer([inspect.getsource(argparse)], 400, kind="bytes")), "chatml"
    )
    llama = build(replace(PRESETS["tiny"], vocab_size=rows_for(tokenizer.vocab_size)))
    initialise(llama, seed=1)
    save_folder(folder, llama, llama.config, tokenizer)
    return str(folder)
