"""Layers whose products are joined compute what the plain ones do, with and without a cache, padded or not."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from model_variants import VARIANTS

from codecascade.generation.engine.weights.fused import FusedLayer, fuse
from codecascade.generation.engine.weights.packed import can_pack, pack_weights
from codecascade.model.attention import Documents
from codecascade.model.cache import KeyValueCache
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "max_position_embeddings": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def random_model(name: str) -> Llama:
    torch.manual_seed(0)
    model = Llama(LlamaConfig(**{**SHAPE, **VARIANTS[name]}))
    for key, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=1.0 if "norm" in key else 0.0, std=0.2)
    return model.eval()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("packed", [False, True])
@torch.inference_mode()
def test_hidden_states_are_those_of_the_plain_layers(name: str, packed: bool) -> None:
    plain = random_model(name)
    fused = deepcopy(plain)
    if packed:
        if not can_pack(torch.device("cpu"), torch.float32):
            pytest.skip("this PyTorch has no such kernels")
        pack_weights(fused)
    else:
        names = [layer for layer, _ in fuse(fused)]
        assert len(names) == 5 * fused.config.num_hidden_layers + (not plain.config.tie_word_embeddings)
    assert all(isinstance(layer, FusedLayer) for layer in fused.model.layers)
    tokens = torch.arange(60).view(3, 20) % 64
    torch.testing.assert_close(fused(tokens), plain(tokens), atol=2e-5, rtol=1e-4)
    cache, other = (
        KeyValueCache.allocate(model.config, 3, 40, torch.float32, torch.device("cpu"))
        for model in (plain, fused)
    )
    # read in two passes; the second one with padding behind it
    first = tokens[:, :15].flatten()[None]
    for passed, mask in (
        (first, Documents((15,) * 3)),
        (tokens[:, 15:18].flatten()[None], Documents((3,) * 3)),
    ):
        expected = plain(passed, cache=cache, mask=mask)
        padded = torch.nn.functional.pad(passed, (0, 7))
        found = fused(padded, cache=other, mask=mask)[:, : passed.shape[1]]
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert other.lengths == cache.lengths == [18] * 3
