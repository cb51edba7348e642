"""What a chat template is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codecascade.tokens.tokenizer import Tokenizer


def template_variables(
    tokenizer: Tokenizer, messages: Sequence[tuple[str, str]], *, prompt: bool
) -> dict[str, Any]:
    """The variables that transformers passes to a template: messages, and the tokenizer's named tokens.

    Args:
        messages: role and content of each.
        prompt: an answer is to follow (``add_generation_prompt``).
    """
    named = {
        key: value.get("content") if isinstance(value, dict) else value
        for key, value in tokenizer.config.items()
        if key.endswith("_token")
    }
    return {
        **{key: name for key, name in named.items() if isinstance(name, str)},
        "messages": [{"role": role, "content": content} for role, content in messages],
        "tools": None,
        "documents": None,
        "add_generation_prompt": prompt,
    }
