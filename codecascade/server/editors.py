"""How to point editors at a server."""

from __future__ import annotations

_KEY = "YOUR-KEY"


def editor_settings(address: str, model: str, *, with_key: bool) -> str:
    """Lines to copy into the settings of editors, and a command to try the server with."""
    key = {
        "vim": f", 'api_key': '{_KEY}'" if with_key else "",
        "vscode": f', "llama-vscode.api_key": "{_KEY}"' if with_key else "",
        "continue": f", apiKey: {_KEY}" if with_key else "",
        "curl": f" -H 'Authorization: Bearer {_KEY}'" if with_key else "",
        "tabby": f', "token": "{_KEY}"' if with_key else "",
        "llm": f', "llm.apiToken": "{_KEY}"' if with_key else "",
    }
    lines = [
        ("llama.vim", f"let g:llama_config = {{'endpoint_fim': '{address}/infill'{key['vim']}}}"),
        ("llama.vscode", f'"llama-vscode.endpoint": "{address}"{key["vscode"]}'),
        (
            "Continue",
            f"{{provider: mistral, model: {model}, apiBase: {address}/v1, roles: [autocomplete]{key['continue']}}}",
        ),
        ("Tabby", f'"server": {{"endpoint": "{address}"{key["tabby"]}}}'),
        (
            "llm-ls",
            f'"llm.backend": "openai", "llm.url": "{address}/v1", "llm.modelId": "{model}"{key["llm"]}',
        ),
        ("Ollama", f"OLLAMA_HOST={address}"),
        (
            "curl",
            f"curl {address}/infill{key['curl']} "
            """-d '{"input_prefix": "def add(a, b):\\n    return ", "input_suffix": "\\n", "n_predict": 16}'""",
        ),
    ]
    return "\n".join(f"{name:13} {text}" for name, text in lines)
