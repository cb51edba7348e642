"""llama.cpp loads what we write, and gives the same logits and tokens; where its Python package is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_variants import VARIANTS

from codecascade.model.gguf.writing import save_gguf
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

llama_cpp = pytest.importorskip("llama_cpp")
FP32 = 0


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    return train_tokenizer(["def add(first, second):\n    return first + second\n"] * 4, 300, kind="bytes")


def opened(path: Path) -> Any:
    """Its cache in fp32, so that nothing is rounded on the way."""
    return llama_cpp.Llama(
        str(path),
        n_ctx=128,
        logits_all=True,
        verbose=False,
        n_threads=1,
        type_k=FP32,
        type_v=FP32,
        flash_attn=False,
    )


@pytest.mark.parametrize(
    "name", [name for name in VARIANTS if name not in ("qwen3_bias", "smollm3_other_layers")]
)
def test_the_same_logits(
    name: str, make_model: Callable[..., Llama], byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    # its kernels want heads and rows of some length
    shape = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    changes = VARIANTS[name]
    head_dim = {"head_dim": 24} if changes.get("head_dim") == 12 else {}
    model = make_model(**{**shape, **changes, **head_dim})
    save_gguf(tmp_path / "m.gguf", model.state_dict(), model.config, byte_tokenizer, dtype="f32")
    ids = torch.randint(3, 300, (40,), generator=torch.Generator().manual_seed(1))
    theirs = opened(tmp_path / "m.gguf")
    theirs.eval(ids.tolist())
    with torch.no_grad():
        ours = model.logits(model(ids[None]))[0]
    torch.testing.assert_close(torch.tensor(theirs.scores[: len(ids)]), ours, atol=1e-3, rtol=0)
    theirs.close()


def test_the_same_tokens(make_model: Callable[..., Llama], byte_tokenizer: Tokenizer, tmp_path: Path) -> None:
    shape = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    model = make_model(**shape)
    save_gguf(tmp_path / "m.gguf", model.state_dict(), model.config, byte_tokenizer)
    theirs = opened(tmp_path / "m.gguf")
    for text in ("def add(first):\n\treturn 'é'  # 12\n\n", Path(__file__).read_text(encoding="utf-8")):
        assert theirs.tokenize(text.encode(), add_bos=True) == byte_tokenizer.encode(text, bos=True)
    theirs.close()
