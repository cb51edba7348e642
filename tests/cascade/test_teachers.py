"""Models that are asked for data: one in memory at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_tiny_model

from codecascade.cascade.dialogues import teachers as module
from codecascade.cascade.dialogues.teachers import ModelSlot, open_teacher
from codecascade.generation.backend import TextPrompt, TextRequest
from codecascade.generation.local_backend import LocalBackend
from codecascade.generation.requests import SamplingParams
from codecascade.ground.errors import UserError
from codecascade.recipe.self_instruct import TeacherSettings


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "one")


def test_one_model_at_a_time(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = module.load_generator

    def counted(name: str, **options: Any) -> Any:
        loaded.append(name)
        return load(name, **options)

    monkeypatch.setattr(module, "load_generator", counted)
    slot, other = ModelSlot(), f"{model}/."
    first = open_teacher(TeacherSettings(stage="code"), str(model), slot)
    second = open_teacher(TeacherSettings(model=other), other, slot)
    assert isinstance(first, LocalBackend)
    assert (first.name, second.name) == ("code", "one")
    assert first.is_chat and first.count_tokens("abc") > 0
    assert first.describe() == second.describe() != {}, "the same files, by their content"
    assert loaded == [], "its tokenizer is enough to prepare a prompt"
    request = TextRequest(TextPrompt("def f"), SamplingParams(max_new_tokens=2))
    for teacher in (first, first, second, first):
        assert len(list(teacher.complete([request]))) == 1
    assert loaded == [str(model), other, str(model)]


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError):
        open_teacher(TeacherSettings(model="x", endpoint="not an address"), "", ModelSlot())
