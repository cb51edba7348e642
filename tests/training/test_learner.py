"""One optimiser step: the same whatever the micro-batch, the checkpointing and the precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_run import LENGTH, CountingStream, tiny_model, tiny_settings
from torch import Tensor

from codecascade.ground.errors import RunFailed, UserError
from codecascade.model.llama import Llama
from codecascade.model.precision import choose_precision, matmul_peak
from codecascade.training.learner import Learner, measure_step_seconds, rows_of_rank
from codecascade.training.parallel.device_memory import memory_errors
from codecascade.training.parallel.ranks import World

CPU = torch.device("cpu")
ALONE = World(0, 1, CPU, None)
HAS_BF16 = choose_precision(CPU).dtype == torch.bfloat16


def gradients(**changes: Any) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of the first batch of four rows (of very unequal weight)."""
    model = tiny_model()
    learner = Learner(model, tiny_settings(**changes), 20, ALONE)
    loss = learner._accumulate_gradients(CountingStream(weight_of_row=3.0).batch(range(4)))
    return loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same(
    left: tuple[float, dict[str, Tensor]], right: tuple[float, dict[str, Tensor]], **tolerance: float
) -> None:
    assert left[0] == pytest.approx(right[0], rel=tolerance["rtol"])
    assert left[1].keys() == right[1].keys()
    for name, gradient in left[1].items():
        torch.testing.assert_close(
            gradient, right[1][name], **tolerance, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_gradient_does_not_depend_on_the_micro_batch(rows: int) -> None:
    assert_same(gradients(micro_batch_rows=rows), gradients(micro_batch_rows=4), rtol=1e-4, atol=1e-6)


def test_activation_checkpointing_changes_nothing() -> None:
    assert_same(gradients(activation_checkpointing="full"), gradients(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("masks", [False, True])
def test_compiled_layers_compute_the_same(monkeypatch: pytest.MonkeyPatch, masks: bool) -> None:
    compile_layer, compiled = torch.nn.Module.compile, []

    def without_code_generation(layer: torch.nn.Module) -> None:
        compiled.append(layer)
        compile_layer(layer, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", without_code_generation)
    assert_same(
        gradients(compile=True, document_masks=masks), gradients(document_masks=masks), rtol=1e-4, atol=1e-6
    )
    assert len(compiled) == 2


@pytest.mark.skipif(not HAS_BF16, reason="bf16 is emulated on this CPU")
def test_bf16_products_leave_master_weights_and_gradients_in_fp32() -> None:
    exact, rounded = gradients(), gradients(precision="bf16")
    assert rounded[0] == pytest.approx(exact[0], rel=5e-3)
    assert rounded[0] != exact[0]
    for name, gradient in rounded[1].items():
        assert gradient.dtype == torch.float32
        similarity = torch.cosine_similarity(gradient.flatten(), exact[1][name].flatten(), dim=0)
        assert similarity > 0.99, name


def test_loss_is_the_weighted_mean() -> None:
    model, batch = tiny_model(), CountingStream(weight_of_row=3.0).batch(range(4))
    with torch.no_grad():
        logits = model.logits(model(batch.tokens[:, :-1]))
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), batch.tokens[:, 1:], reduction="none"
        )
        expected = float((losses * batch.weights).sum() / batch.weights.sum())
    assert gradients()[0] == pytest.approx(expected, rel=1e-5)


def test_document_masks_hide_the_other_document() -> None:
    """The gradient of the second document's loss does not depend on what the first one was."""

    def gradient(first: int, masks: bool) -> Tensor:
        batch = CountingStream().batch(range(1))
        batch.tokens[:, : LENGTH // 2] = first
        batch.weights[:, : LENGTH // 2] = 0
        model = tiny_model()
        Learner(model, tiny_settings(document_masks=masks), 20, ALONE)._accumulate_gradients(batch)
        return model.model.layers[0].mlp.up_proj.weight.grad  # type: ignore[return-value]

    torch.testing.assert_close(gradient(3, True), gradient(5, True))
    assert not torch.allclose(gradient(3, False), gradient(5, False))


def test_a_loss_that_is_not_finite_leaves_the_weights_and_names_the_documents() -> None:
    model = tiny_model()
    learner = Learner(model, tiny_settings(), 20, ALONE)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = CountingStream().batch(range(4))
    batch.weights[0, 0] = float("nan")
    with pytest.raises(RunFailed, match=r"step 7: the loss is nan.*0/0/a, 0/0/b, 1/0/a"):
        learner.step(batch, 7)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_batch_without_weight_is_no_accident() -> None:
    batch = CountingStream().batch(range(4))
    batch.weights.zero_()
    assert Learner(tiny_model(), tiny_settings(), 20, ALONE).step(batch, 1).loss == 0


def test_rows_are_shared_out_evenly_or_refused() -> None:
    settings = tiny_settings(batch_tokens=6 * LENGTH)
    shares = [rows_of_rank(World(rank, 3, CPU, None), settings) for rank in range(3)]
    assert [row for share in shares for row in share] == list(range(6))
    with pytest.raises(UserError, match=f"multiple of {4 * LENGTH}"):
        rows_of_rank(World(0, 4, CPU, None), settings)


@pytest.mark.parametrize("train", ["all", "lora"])
def test_measuring_a_step_changes_no_stream(train: str) -> None:
    stream = CountingStream()
    stream.batch(range(2))
    state = stream.state_dict(range(4))
    settings = tiny_settings(train=train, learning_rate=1e38)
    assert measure_step_seconds(tiny_model().config, stream, settings) > 0, "whatever the rate"
    assert stream.state_dict(range(4)) == state


def test_precision_says_why() -> None:
    assert str(choose_precision(CPU, "fp32")) == "fp32 (asked for)"
    chosen = choose_precision(CPU)
    assert "bf16 instructions" in str(chosen)


def test_emulated_bf16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codecascade.model.precision._has_bf16", lambda device: (False, "no instructions"))
    assert choose_precision(CPU).dtype == torch.float32
    with pytest.raises(UserError, match="no instructions"):
        choose_precision(CPU, "bf16")


def test_matmul_peak_is_a_speed() -> None:
    assert matmul_peak(CPU, torch.float32, seconds=0.01) > 1e8


def test_the_model_is_taken_over_in_fp32() -> None:
    model: Llama = tiny_model().bfloat16()
    Learner(model, tiny_settings(), 20, ALONE)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "1 PB does not fit into the memory of the machine; buy more"
    with pytest.raises(UserError, match=message), memory_errors(CPU, "1 PB", "buy more"):
        torch.empty(1 << 50)
    with pytest.raises(RuntimeError, match="another error"), memory_errors(CPU, "1 PB", "buy more"):
        raise RuntimeError("another error")

    def no_memory(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    learner = Learner(tiny_model(), tiny_settings(), 20, ALONE)
    monkeypatch.setattr(torch.nn.Module, "to_empty", no_memory)
    with pytest.raises(
        UserError, match=r"this rank's share of the weights, .*, does not fit .*use more ranks"
    ):
        Learner(tiny_model(), tiny_settings(), 20, ALONE)
    monkeypatch.setattr(learner.optimizer, "clip", no_memory)
    with pytest.raises(
        UserError, match=r"step 3, with 2 rows of 24 tokens, does not fit .* micro_batch_rows"
    ):
        learner.step(CountingStream().batch(range(4)), 3)
