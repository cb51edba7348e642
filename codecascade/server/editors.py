"""How to point editors at a server."""

from __future__ import annotations

_KEY = "YOUR-KEY"


def editor_settings(address: str, model: str, *, with_key: bool) -> str:
    """The playground's address, lines for the settings of editors, and a command to try the server with."""
    vim, vscode, continue_, tabby, curl = (
        (
            f", 'api_key': '{_KEY}'",
            f', "llama-vscode.api_key": "{_KEY}"',
            f", apiKey: {_KEY}",
            f', token = "{_KEY}"',
            f" -H 'Authorization: Bearer {_KEY}'",
        )
        if with_key
        else ("",) * 5
    )
    lines = [
        ("browser", f"{address}/"),
        (
            "llama.vim",
            f"let g:llama_config = {{'endpoint_fim': '{address}/infill', "
            f"'endpoint_inst': '{address}/v1/chat/completions'{vim}}}",
        ),
        ("llama.vscode", f'"llama-vscode.endpoint": "{address}"{vscode}'),
        (
            "Continue",
            f"{{provider: mistral, model: {model}, apiBase: {address}/v1{continue_}, roles: [autocomplete]}}",
        ),
        ("Tabby", f'server = {{ endpoint = "{address}"{tabby} }} in ~/.tabby-client/agent/config.toml'),
        ("llm-ls", f'"llm.backend": "openai", "llm.url": "{address}/v1", "llm.modelId": "{model}"'),
        ("Ollama", f"OLLAMA_HOST={address}"),
        (
            "curl",
            f"curl {address}/infill{curl} "
            """-d '{"input_prefix": "def add(a, b):\\n    return ", "input_suffix": "\\n", "n_predict": 16}'""",
        ),
    ]
    return "\n".join(f"{name:13} {text}" for name, text in lines)
