"""llama.cpp loads what we write, and gives the same logits and tokens; where its Python package is installed."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from model_variants import VARIANTS

from codecascade.model.gguf.writing import save_gguf
from codecascade.model.llama import Llama
from codecascade.tokens.infilling import add_infilling_tokens, rows_for
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer
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


@pytest.fixture(scope="module")
def sentencepiece_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A vocabulary of the sentencepiece library's, as Llama 2's was made, with infilling tokens."""
    folder = tmp_path_factory.mktemp("spm")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(inspect.getsource(argparse).splitlines()),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=800,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
        num_threads=1,
    )
    return add_infilling_tokens(load_tokenizer(folder))


@pytest.mark.parametrize("kind", ["byte_tokenizer", "sentencepiece_tokenizer"])
def test_the_same_tokens(
    kind: str, request: pytest.FixtureRequest, make_model: Callable[..., Llama], tmp_path: Path
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    shape = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    model = make_model(**shape, vocab_size=rows_for(tokenizer.vocab_size))
    save_gguf(tmp_path / "m.gguf", model.state_dict(), model.config, tokenizer)
    theirs = opened(tmp_path / "m.gguf")
    texts = ("def add(first):\n\treturn 'é'  # 12\n\n", " two  spaces 漢字 \n", inspect.getsource(argparse))
    for text in texts:
        assert theirs.tokenize(text.encode(), add_bos=True) == tokenizer.encode(text, bos=True)
    stops = {token_id for token_id in range(tokenizer.vocab_size) if ends(theirs, token_id)}
    assert stops == set(tokenizer.stop_ids)
    theirs.close()


def ends(model: Any, token_id: int) -> bool:
    """Whether llama.cpp ends a generation on the token."""
    return bool(llama_cpp.llama_vocab_is_eog(llama_cpp.llama_model_get_vocab(model.model), token_id))
