"""How to point editors at a server."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Format = Literal["vim", "json", "yaml", "toml", "shell", "text"]

_KEY = "YOUR-KEY"


@dataclass(frozen=True)
class EditorSettings:
    """What makes one editor, plug-in or client use a server.

    Attributes:
        name: of the editor's plug-in or of the client.
        place: the file that the settings are for, or where else they are given.
        format: of the settings, which is that of the file.
        text: the settings. With a key they have it, where the place can hold one.
        key: how a key is given, for a page; Markdown.
        key_apart: the same as plain text where ``text`` can't have the key; "" where it can.
    """

    name: str
    place: str
    format: Format
    text: str
    key: str
    key_apart: str = ""


def settings_of_editors(address: str, model: str, *, key: str | None) -> tuple[EditorSettings, ...]:
    """The settings of all editors for a server at ``address``, and a command to try it with.

    Args:
        model: the name that the server calls its model by.
        key: what stands for the API key; None: the server asks for none.
    """
    shown = key or "KEY"
    bearer = f"Authorization: Bearer {shown}"
    parts = urlsplit(address)
    with_key = key is not None
    vim = {
        "endpoint_fim": f"{address}/infill",
        "endpoint_inst": f"{address}/v1/chat/completions",
        **({"api_key": shown} if with_key else {}),
    }
    vscode = {"llama-vscode.endpoint": address, **({"llama-vscode.api_key": shown} if with_key else {})}
    llm_vscode = {"llm.backend": "openai", "llm.url": f"{address}/v1", "llm.modelId": model}
    entry = {
        "name": model,
        "provider": "mistral",
        "model": model,
        "apiBase": f"{address}/v1",
        **({"apiKey": shown} if with_key else {}),
    }
    tabby = {"endpoint": address, **({"token": shown} if with_key else {})}
    form = {
        "provider": "ollama",
        "protocol": parts.scheme,
        "host": parts.hostname or "",
        "port": str(parts.port or ""),
        "path": "/api/generate",
        "model": model,
        **({"API key": shown} if with_key else {}),
    }
    question = {"input_prefix": "def add(a, b):\n    return ", "input_suffix": "\n", "n_predict": 16}
    curl = ["curl", f"{address}/infill", *(["-H", bearer] if with_key else []), "-d", json.dumps(question)]
    return (
        EditorSettings(
            "llama.vim", "~/.vimrc (Neovim: init.vim)", "vim", f"let g:llama_config = {_vim(vim)}",
            f"`'api_key': '{shown}'`",
        ),
        EditorSettings(
            "llama.vscode", "settings.json of VS Code", "json", _json(vscode),
            f'`"llama-vscode.api_key": "{shown}"`',
        ),
        EditorSettings(
            "Continue", "~/.continue/config.yaml", "yaml",
            "models:\n"
            + "".join(
                f"  {' ' if index else '-'} {name}: {_quoted(value)}\n"
                for index, (name, value) in enumerate(entry.items())
            )
            + "    roles: [autocomplete]",
            f'`apiKey: "{shown}"`',
        ),
        EditorSettings(
            "Tabby's plug-ins", "~/.tabby-client/agent/config.toml", "toml",
            "\n".join(["[server]", *(f"{name} = {_quoted(value)}" for name, value in tabby.items())]),
            f'`token = "{shown}"`',
        ),
        EditorSettings(
            "llm-vscode", "settings.json of VS Code", "json", _json(llm_vscode),
            "the command `Llm: Login` asks for it", "the command Llm: Login asks for the key",
        ),
        EditorSettings(
            "twinny (not tried here)", "the form of a provider", "text",
            "\n".join(f"{name}: {value}" for name, value in form.items()),
            "the form's API key",
        ),
        EditorSettings(
            "Ollama's clients", "the environment", "shell", f"export OLLAMA_HOST={shlex.quote(address)}",
            f"a header `{bearer}`", f"the key is a header: {bearer}",
        ),
        EditorSettings("curl", "a terminal", "shell", shlex.join(curl), f"`-H '{bearer}'`"),
    )  # fmt: skip


def editor_settings(address: str, model: str, *, with_key: bool) -> str:
    """The playground's address, and for each editor where its settings are given, and below that the settings."""
    parts = [f"browser: {address}/"]
    for each in settings_of_editors(address, model, key=_KEY if with_key else None):
        apart = f" ({each.key_apart})" if with_key and each.key_apart else ""
        # not indented, so that it can be copied as it is
        parts.append(f"{each.name}, in {each.place}{apart}:\n{each.text}")
    return "\n\n".join(parts)


def _quoted(text: str) -> str:
    """As a string of JSON, which is one of TOML and of YAML, too."""
    return json.dumps(text, ensure_ascii=False)


def _json(settings: dict[str, str]) -> str:
    return json.dumps(settings, ensure_ascii=False, indent=2)


def _vim(settings: dict[str, str]) -> str:
    """A dictionary of Vim's; in its strings a quote is written twice."""
    doubled = {name: value.replace("'", "''") for name, value in settings.items()}
    return "{" + ", ".join(f"'{name}': '{value}'" for name, value in doubled.items()) + "}"
