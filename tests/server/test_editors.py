"""What is printed for an editor is what the named file can hold, and the page has the same."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from codecascade.server.editors import EditorSettings, editor_settings, settings_of_editors

PAGE = Path(__file__).parents[2] / "docs" / "server.md"
TWINNY = "twinny (not tried here)"
ADDRESS = "http://127.0.0.1:8012"
PLACES = {
    "vim": "vimrc",
    "json": "settings.json",
    "yaml": ".yaml",
    "toml": ".toml",
    "shell": "",
    "text": "form",
}

names = st.text(
    st.characters(whitelist_categories=("L", "N", "P", "S"), whitelist_characters=" "), min_size=1
)


def by_name(model: str, key: str | None) -> dict[str, EditorSettings]:
    return {each.name: each for each in settings_of_editors(ADDRESS, model, key=key)}


def parsed(settings: EditorSettings) -> Any:
    match settings.format:
        case "json":
            return json.loads(settings.text)
        case "toml":
            return tomllib.loads(settings.text)
        case "yaml":
            return yaml.safe_load(settings.text)
        case "shell":
            return shlex.split(settings.text)
        case "text":
            return dict(line.split(": ", 1) for line in settings.text.split("\n"))
        case "vim":
            # a dictionary of strings without quotes in them is one of Python, too
            command, name, equals, value = settings.text.split(" ", 3)
            assert (command, equals) == ("let", "=") and name == "g:llama_config" and "\n" not in value
            return json.loads(value.replace("'", '"'))


@given(model=names)
@pytest.mark.parametrize("key", [None, "YOUR-KEY"])
def test_all_settings_are_in_the_form_of_their_file(key: str | None, model: str) -> None:
    found = by_name(model, key)
    for each in found.values():
        assert PLACES[each.format] in each.place
        assert parsed(each)
    with_key = {} if key is None else {"apiKey": key}
    assert parsed(found["Continue"]) == {
        "models": [
            {"name": model, "provider": "mistral", "model": model, "apiBase": f"{ADDRESS}/v1"}
            | with_key
            | {"roles": ["autocomplete"]}
        ]
    }
    assert parsed(found["llm-vscode"])["llm.modelId"] == model
    assert parsed(found[TWINNY])["model"] == model


def test_the_settings_name_the_server() -> None:
    found = {name: parsed(each) for name, each in by_name("mine", "the-key").items()}
    assert found["llama.vim"] == {
        "endpoint_fim": f"{ADDRESS}/infill",
        "endpoint_inst": f"{ADDRESS}/v1/chat/completions",
        "api_key": "the-key",
    }
    assert found["llama.vscode"] == {
        "llama-vscode.endpoint": ADDRESS,
        "llama-vscode.api_key": "the-key",
    }
    assert found["Tabby's plug-ins"] == {"server": {"endpoint": ADDRESS, "token": "the-key"}}
    assert found[TWINNY] == {
        "provider": "ollama",
        "protocol": "http",
        "host": "127.0.0.1",
        "port": "8012",
        "path": "/api/generate",
        "model": "mine",
        "API key": "the-key",
    }
    assert found["Ollama's clients"] == ["export", f"OLLAMA_HOST={ADDRESS}"]
    curl = found["curl"]
    assert curl[:4] == ["curl", f"{ADDRESS}/infill", "-H", "Authorization: Bearer the-key"]
    assert json.loads(curl[-1])["input_suffix"] == "\n"


@pytest.mark.parametrize("with_key", [False, True])
def test_what_is_printed_has_the_place_before_the_settings(with_key: bool) -> None:
    browser, *blocks = editor_settings(ADDRESS, "mine", with_key=with_key).split("\n\n")
    assert browser == f"browser: {ADDRESS}/"
    table = settings_of_editors(ADDRESS, "mine", key="YOUR-KEY" if with_key else None)
    for block, each in zip(blocks, table, strict=True):
        heading, _, settings = block.partition("\n")
        assert heading.startswith(f"{each.name}, in {each.place}") and heading[-1] == ":"
        assert settings == each.text
        # in the settings, or said beside them
        assert with_key == ("YOUR-KEY" in block or "asks for the key" in block)


def test_the_page_has_the_same_settings() -> None:
    wanted = "\n\n".join(
        f"**{each.name}**, in {each.place}. With a key: {each.key}\n\n```{each.format}\n{each.text}\n```"
        for each in settings_of_editors(ADDRESS, "NAME", key=None)
    )
    assert wanted in PAGE.read_text(encoding="utf-8"), f"docs/server.md, Editors, must have:\n\n{wanted}"
