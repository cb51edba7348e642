"""Greedy text of every type of model is transformers', token for token, from the folder that both read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_models import NEVER, by_request, prompts
from model_variants import VARIANTS
from transformers import AutoModelForCausalLM

from codecascade.generation.engine.generator import LocalGenerator, load_generator
from codecascade.generation.requests import Request, SamplingParams
from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.tokens.infilling import rows_for
from codecascade.tokens.tokenizer import Tokenizer

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "max_position_embeddings": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


@pytest.mark.parametrize("name", ["mistral", "qwen2", "qwen3", "granite", "granite_biases", "smollm3"])
def test_greedy_equals_transformers(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(**{**SHAPE, **VARIANTS[name], "vocab_size": rows_for(tokenizer.vocab_size)})
    model = Llama(config)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    save_folder(tmp_path / "model", model, config, tokenizer)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    generator = load_generator(str(tmp_path / "model"), precision="fp32", batch_tokens=100)
    requests = [Request(ids, SamplingParams(max_new_tokens=12), stop_ids=NEVER) for ids in prompts(tokenizer)]
    found = by_request(list(generator.generate(requests)))
    for index, request in enumerate(requests):
        expected = theirs.generate(
            torch.tensor([request.ids]),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            suppress_tokens=list(range(tokenizer.vocab_size, config.vocab_size)) or None,
        )
        assert list(found[index, 0].ids) == expected[0, len(request.ids) :].tolist()


def test_nothing_is_computed_beyond_a_sliding_window(tokenizer: Tokenizer) -> None:
    """Attention is full here, so that a longer text would get other logits than the model's own."""
    shape = {**SHAPE, "model_type": "mistral", "vocab_size": rows_for(tokenizer.vocab_size)}
    model = Llama(LlamaConfig(**shape, sliding_window=160))
    assert LocalGenerator(model, tokenizer, context=160).context_length == 160
    with pytest.raises(UserError, match=r"its window, 160 [(]got 161[)]") as caught:
        LocalGenerator(model, tokenizer, context=161)
    assert caught.value.key == "context"
    generator = LocalGenerator(model, tokenizer)
    for tokens, beyond, reason in ((120, False, "length"), (120, True, "length"), (130, True, "context")):
        request = Request((5,) * tokens, SamplingParams(max_new_tokens=50), stop_ids=NEVER)
        (one,) = generator.generate([replace(request, beyond_context=beyond)])
        assert (one.finish_reason, len(one.ids)) == (reason, 8 if reason == "length" else 0)
    [(_, scores)] = generator.log_probabilities([(5,) * 160])
    assert len(scores) == 159
    with pytest.raises(UserError, match="its window, 160"):
        list(generator.log_probabilities([(5,) * 161]))
