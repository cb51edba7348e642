"""Models for the engine's tests: a random one, and one that knows a text by heart."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.requests import (
    Completion,
    Request,
    start_id,
)
from codecascade.model.attention import Documents
from codecascade.model.cache import KeyValueCache
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.paged_attention import AttentionMetadata
from codecascade.model.presets import build, initialise
from codecascade.tokens.infilling import rows_for
from codecascade.tokens.tokenizer import Tokenizer

NEVER = frozenset[int]()
CODE = '''def merge(first, second):
    """Return the merged result of two sorted lists."""
    result = []
    while first and second:
        result.append(first.pop(0) if first[0] <= second[0] else second.pop(0))
    return result + first + second


def remove_non_ascii(text: str) -> str:
    return "".join(character for character in text if ord(character) < 128)
'''


def tiny_model(tokenizer: Tokenizer, *, context: int = 128) -> Llama:
    config = LlamaConfig(
        model_type="llama",
        vocab_size=rows_for(tokenizer.vocab_size),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        rope_scaling=None,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        attention_bias=False,
        attention_output_bias=False,
        mlp_bias=False,
    )
    llama = build(config, torch.device("cpu"))
    initialise(llama, seed=0)
    with torch.no_grad():
        for parameter in llama.parameters():
            if parameter.ndim == 2:
                parameter.mul_(12)  # a fresh model hardly prefers any token
    return llama.eval()


def prompts(tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    draw = random.Random(0)
    lengths = (1, 3, 17, 9, 30, 9)
    return [tuple(draw.randrange(10, tokenizer.vocab_size) for _ in range(length)) for length in lengths]


def by_request(completions: Sequence[Completion]) -> dict[tuple[int, int], Completion]:
    found = {(completion.request, completion.sample): completion for completion in completions}
    assert len(found) == len(completions)
    return found


class Parrot(torch.nn.Module):
    """A model that knows one text by heart, by the position of each token; then it writes the pad token."""

    def __init__(self, like: Llama, known: Sequence[int], after: int) -> None:
        super().__init__()
        self.config, self.head_weight = like.config, like.head_weight
        self.known, self.after = known, after
        self.passes: list[int] = []  # tokens of each

    def forward(self, tokens: Tensor, *, cache: KeyValueCache, mask: Documents) -> Tensor:
        new = AttentionMetadata(cache, mask)
        self.passes.append(sum(mask.lengths))
        assert tokens.shape == (1, sum(mask.lengths))
        new.finish()
        return new.positions[None, :, None].float().expand(-1, -1, self.config.hidden_size)

    def logits(self, hidden: Tensor) -> Tensor:
        following = [*self.known[1:], *[self.after] * 300]
        tokens = torch.tensor([following[index] for index in hidden[..., 0].long().flatten().tolist()])
        return torch.nn.functional.one_hot(tokens.view(hidden.shape[:-1]), self.config.vocab_size).float()


def recite(model: Llama, tokenizer: Tokenizer, text: str = CODE, **settings: int) -> LocalGenerator:
    """A generator whose model knows ``text``."""
    return LocalGenerator(
        Parrot(model, [start_id(tokenizer), *tokenizer.encode(text)], tokenizer.pad_id), tokenizer, **settings
    )


def beginning(tokenizer: Tokenizer, tokens: int, **settings: object) -> Request:
    """The first tokens of what :func:`recite` knows."""
    return Request((start_id(tokenizer), *tokenizer.encode(CODE)[:tokens]), **settings)
