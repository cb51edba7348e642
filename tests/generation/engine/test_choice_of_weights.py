"""Which weights a machine gets, by its memory, its kernels and a timing."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from quantised_models import KINDS, needs_kernels, quantised_model
from torch import Tensor

from codecascade.generation.engine.weights import cuda, held, packed, timing
from codecascade.generation.engine.weights.held import hold_weights
from codecascade.generation.engine.weights.kernels import quantise
from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer


@needs_kernels
def test_copies_are_kept_only_if_there_is_memory_and_something_is_gained(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = quantised_model(tokenizer, tied=True)
    for free, most, copies in ((0, 4, False), (1 << 40, 4, True), (1 << 40, timing.ROWS[-1], False)):
        monkeypatch.setattr(held, "free_memory", lambda free=free: free)
        monkeypatch.setattr(held, "most_rows", lambda *_, most=most: most)
        monkeypatch.setattr(held, "_most_rows", {})
        about = hold_weights(copy.deepcopy(model), "int8")
        assert (about.copy_bytes > 0, about.few_rows) == (copies, most)
        assert ("copies" in str(about)) == copies and f"more than {most} rows" in str(about)


def test_plain_weights_are_kept_in_fp32_where_few_rows_are_faster_so(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packed.can_pack(torch.device("cpu"), torch.float32):
        pytest.skip("this machine's PyTorch has no kernels for packed weights")
    model = quantised_model(tokenizer, tied=True)
    linear = sum(
        module.weight.nbytes
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    )
    tokens = torch.arange(3)[None]
    with torch.inference_mode():
        expected = model.logits(model(tokens))
    monkeypatch.setattr(packed, "most_rows", lambda *_: 3)
    monkeypatch.setattr(packed, "_rows_for_plain", {})
    # a small model stays in the processor's caches
    assert hold_weights(copy.deepcopy(model), "fp32").copy_bytes == 0
    monkeypatch.setattr(packed, "SAMPLE_BYTES", 1)
    for free, kept in ((0, False), (1 << 40, True)):
        monkeypatch.setattr(held, "free_memory", lambda free=free: free)
        twice = copy.deepcopy(model)
        about = hold_weights(twice, "fp32")
        # The head's plain weight is the embedding, which is there.
        assert about.copy_bytes == (linear if kept else 0)
        assert ("copies for few rows" in str(about)) == kept
        with torch.inference_mode():
            torch.testing.assert_close(twice.logits(twice(tokens)), expected, rtol=1e-4, atol=1e-4)
    half = copy.deepcopy(model).bfloat16()
    assert packed.rows_for_plain(half) == 0


def test_the_timing_says_up_to_which_rows_few_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def product(seconds: float, for_each_row: float):  # type: ignore[no-untyped-def]
        def multiply(x: Tensor) -> Tensor:
            nonlocal clock
            clock += seconds + for_each_row * len(x)
            return x

        return multiply

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock)
    few, many = [product(0, 1e-6)] * 3, [product(10e-6, 0)] * 3
    assert timing.most_rows(few, many, 32, torch.float32) == 8
    assert timing.most_rows(many, few, 32, torch.float32) == 0
    assert timing.most_rows(few, [product(1e-3, 0)], 32, torch.float32) == timing.ROWS[-1]
    # a machine that is very slow ends it
    slow = [product(10, 0)]
    assert timing.most_rows(slow, [product(11, 0)], 32, torch.float32) == 1


@needs_kernels
@pytest.mark.parametrize("ratio", [0.5, 0.95])
def test_auto_is_int8_only_where_a_timing_finds_it_much_faster(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    model = quantised_model(tokenizer, tied=False)
    monkeypatch.setattr(held, "seconds_of", lambda *_: [1.0, ratio])
    monkeypatch.setattr(held, "_int8_faster", {})
    # a small model stays in the processor's caches
    assert hold_weights(copy.deepcopy(model), "auto", timed=True).kind == "fp32"
    monkeypatch.setattr(held, "SAMPLE_BYTES", 1)
    assert hold_weights(copy.deepcopy(model), "auto").kind == "fp32"
    expected = "int8" if ratio < 0.8 else "fp32"
    assert hold_weights(copy.deepcopy(model), "auto", timed=True).kind == expected


@needs_kernels
def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"o_proj.*48 columns.*groups of 32.*int8, bf16 or fp32"):
        quantise(torch.zeros(8, 48), "int4", "o_proj")
    # the kernel would read beyond the row
    with pytest.raises(UserError, match=r"40 columns.*steps of 16.*take bf16 or fp32"):
        quantise(torch.zeros(8, 40), "int8")
    for kind in KINDS:
        with pytest.raises(UserError, match="no numbers"):
            quantise(torch.full((8, 32), float("nan")), kind)


def test_cuda_without_torchao_says_what_to_install(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(UserError, match=r"need torchao: pip install 'codecascade\[torchao\]'"):
        cuda.quantise_model(quantised_model(tokenizer, tied=True), "int8")
