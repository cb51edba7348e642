"""Grammars that are not read before a test says so."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from codecascade.generation.engine.sampling import grammar_compiler
from codecascade.generation.grammar import Grammar


def slow_grammars(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """From now on a grammar that is begun is read once the event is set."""
    ready, original = threading.Event(), grammar_compiler._matcher

    def slow(grammar: Grammar, library_tokenizer: Any, begun: threading.Event) -> Any:
        begun.set()
        ready.wait(120)
        return original(grammar, library_tokenizer, begun)

    monkeypatch.setattr(grammar_compiler, "_matcher", slow)
    return ready
