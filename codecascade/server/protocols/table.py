"""The protocols that the server speaks. A new one is a file here and a line in this table."""

from __future__ import annotations

from codecascade.server.http import errors
from codecascade.server.protocols import (
    llama_cpp,
    mistral,
    monitoring,
    ollama,
    openai_chat,
    openai_completions,
    openai_models,
    tabby,
    tgi,
)
from codecascade.server.protocols.protocol import Protocol

PROTOCOLS = (
    Protocol("llama.cpp", llama_cpp.routes, errors.llama_cpp, ("/",)),
    Protocol("OpenAI: completions", openai_completions.routes, errors.openai, ("/v1/",)),
    Protocol("OpenAI: chat", openai_chat.routes, errors.openai, ("/v1/chat/",)),
    Protocol("OpenAI: models", openai_models.routes, errors.openai, ("/v1/models",)),
    Protocol("Mistral", mistral.routes, errors.mistral, ("/v1/fim/",), invalid=422),
    Protocol("Tabby", tabby.routes, errors.openai, ("/v1/health", "/v1/events", "/v1beta/")),
    Protocol("Ollama", ollama.routes, errors.ollama, ("/api/",)),
    Protocol(
        "Text Generation Inference",
        tgi.routes,
        errors.text_generation_inference,
        ("/generate", "/info"),
        invalid=422,
    ),
    Protocol("Monitoring", monitoring.routes, errors.llama_cpp, ("/health", "/metrics")),
)


def protocol_of(path: str) -> Protocol:
    """The protocol that an address belongs to, also one that is not there."""
    fitting = [
        (len(start), -index)
        for index, protocol in enumerate(PROTOCOLS)
        for start in protocol.paths
        if path.startswith(start)
    ]
    return PROTOCOLS[-max(fitting)[1]] if fitting else PROTOCOLS[0]
