"""The real stream in the real loop: a run that dies and goes on sees the batches of one that never did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stream_fakes import make_stream, random_dialogues, random_documents, tiny_tokenizer
from tiny_run import losses, read_log, tiny_settings, tiny_train

from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.presets import initialise
from codecascade.training.logs import StepReport
from codecascade.training.stream.stream import TokenStream
from codecascade.training.stream.stream_sources import StreamSource


def model() -> Llama:
    config = LlamaConfig(
        vocab_size=tiny_tokenizer().vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
    )
    llama = Llama(config)
    initialise(llama, 0)
    return llama


def stream() -> TokenStream:
    sources = [
        StreamSource("code", 3, random_documents([20, 200, 60, 45, 33])),
        StreamSource("dialogues", 1, random_dialogues([5, 8, 2]), "dialogues"),
    ]
    return make_stream(*sources, sequence_length=64, rows=4, document_masks=True)


class Killed(BaseException):
    pass


def test_a_run_that_dies_goes_on_with_the_same_batches(tmp_path: Path) -> None:
    settings = tiny_settings(steps=8, sequence_length=64, batch_tokens=256, document_masks=True)

    def run(folder: str, **changes: Any) -> list[float]:
        (tmp_path / folder).mkdir(exist_ok=True)
        tiny_train(tmp_path / folder, settings, model=model(), stream=stream(), **changes)
        return losses(tmp_path / folder)

    def die(report: StepReport) -> None:
        if report.step == 5:
            raise Killed

    straight = run("straight")
    with pytest.raises(Killed):
        run("killed", progress=die)
    assert run("killed") == straight and len(straight) == 8
    assert [row["counts"] for row in read_log(tmp_path / "killed")] == [
        row["counts"] for row in read_log(tmp_path / "straight")
    ]
    assert straight[-1] < straight[0]
