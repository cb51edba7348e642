"""A model that gives no numbers: refused where it is loaded, else an error of the request, never an empty text."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from engine_models import CODE, NEVER
from llama_runtime import StandIn

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.generator import LocalGenerator, load_generator
from codecascade.generation.engine.output import Output
from codecascade.generation.engine.service import EngineService
from codecascade.generation.engine.weights import held
from codecascade.generation.engine.weights.health import check_weights
from codecascade.generation.llama_cpp.engine import LlamaCppEngine
from codecascade.generation.requests import Request, SamplingParams
from codecascade.ground.errors import RunFailed, UserError
from codecascade.model.folder import save_folder
from codecascade.model.gguf.reading import load_gguf
from codecascade.model.gguf.writing import save_gguf
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


def ask(ids: list[int], new: int = 6, samples: int = 1, temperature: float = 0.0) -> Request:
    return Request(tuple(ids), SamplingParams(new, temperature=temperature), samples=samples, stop_ids=NEVER)


@contextmanager
def poisoned(model: Llama, token: int) -> Iterator[None]:
    """Whatever comes after the token is computed from what is no number."""

    def spoil(_: object, given: tuple[torch.Tensor], out: torch.Tensor) -> torch.Tensor:
        return out.masked_fill((given[0] == token)[..., None], torch.nan)

    handle = model.model.embed_tokens.register_forward_hook(spoil)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"])
def test_a_folder_with_weights_that_are_no_numbers_is_refused(
    model: Llama, tokenizer: Tokenizer, tmp_path: Path, name: str, value: float
) -> None:
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.get_parameter(name)[3, 5] = value
    save_folder(tmp_path / "model", broken, broken.config, tokenizer)
    with pytest.raises(UserError, match=f"{tmp_path}.*{name}: holds values that are no numbers"):
        load_generator(str(tmp_path / "model"))


def test_a_gguf_files_weights_are_looked_at_once(
    model: Llama, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are while they are read; a folder's are memory-mapped, so they are afterwards."""
    looked_at: list[str | None] = []
    monkeypatch.setattr(held, "check_weights", lambda model, name: looked_at.append(name))
    file, folder = tmp_path / "m.gguf", tmp_path / "model"
    save_gguf(file, model.state_dict(), model.config, tokenizer, dtype="f32")
    save_folder(folder, model, model.config, tokenizer)
    for path in (file, folder):
        load_generator(str(path))
    assert looked_at == [str(folder)]
    # a number may be too large for fp16
    assert not load_gguf(file, dtype=torch.float16).finite


def test_weights_whose_sum_overflows_are_numbers() -> None:
    layer = torch.nn.Linear(64, 64)
    torch.nn.init.constant_(layer.weight, 3e38)
    check_weights(layer)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("which", ["ours", "llama.cpp"])
def test_a_request_without_numbers_fails_and_the_others_go_on(
    model: Llama, tokenizer: Tokenizer, which: str, temperature: float, samples: int
) -> None:
    ids = tokenizer.encode(CODE)
    good, bad = ask(ids[:20]), ask([*ids[:9], 7, *ids[9:12]], samples=samples, temperature=temperature)
    (expected,) = LocalGenerator(model, tokenizer).generate([good])
    assert 7 not in (*good.ids, *expected.ids)
    engine: Engine | LlamaCppEngine = Engine(model, tokenizer)
    if which == "llama.cpp":
        engine = LlamaCppEngine(StandIn(model), tokenizer)
    with poisoned(model, 7):
        numbers = [engine.add_request(request) for request in (good, bad, good)]
        outputs: list[Output] = []
        while engine.has_work:
            outputs += engine.step()
        errors = {output.request: output.error for output in outputs if output.error is not None}
        assert list(errors) == [numbers[1]] and "no numbers" in str(errors[numbers[1]])
        done = {output.request: output.completion for output in outputs if output.completion is not None}
        assert sorted(done) == [numbers[0], numbers[2]]
        assert {one.ids for one in done.values()} == {expected.ids}
    # nothing of it is left
    assert engine.load().cache_used == 0 or which == "llama.cpp"
    engine.add_request(ask([*ids[:9], 7, *ids[9:12]]))
    while engine.has_work:
        assert all(output.error is None for output in engine.step())


def test_commands_and_clients_are_told(model: Llama, tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode(CODE)[:9], 7]
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.model.embed_tokens.weight[7] = torch.nan
    generator = LocalGenerator(broken, tokenizer)
    for use in (generator.generate([ask(ids)]), generator.stream(ask(ids))):
        with pytest.raises(UserError, match=r"embed_tokens\.weight: holds values that are no numbers"):
            list(use)
    for pass_tokens in (4, 2_048):
        scorer = LocalGenerator(broken, tokenizer, prefill_tokens=pass_tokens)
        with pytest.raises(UserError, match="no numbers"):
            list(scorer.log_probabilities([[*ids, 5, 6]]))

    async def main() -> None:
        service = EngineService(Engine(broken, tokenizer), "broken")
        with pytest.raises(RunFailed, match=r"failed: model\.embed_tokens\.weight: holds values"):
            async for _ in service.stream(ask(ids)):
                pass
        await service.close()

    asyncio.run(main())
