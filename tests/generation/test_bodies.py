"""What is sent to a server of a prompt with parts of other files."""

from __future__ import annotations

from typing import Any

from codecascade.generation.backend import InfillingPrompt, Prompt, RepositoryContext, TextPrompt, TextRequest
from codecascade.generation.bodies import CHARACTERS_PER_TOKEN, http_request, trailing_space
from codecascade.generation.requests import SamplingParams
from codecascade.tokens.repository import RepositoryChunk

CHUNKS = (RepositoryChunk("a.py", "y = 2\n"),)
SHOWN = "\n\n--- snippet ---\n\ny = 2\n"


def body(prompt: Prompt, owed: str = "") -> dict[str, Any]:
    return http_request("m", TextRequest(prompt, SamplingParams(max_new_tokens=9)), 0, owed)[1]


def test_parts_of_other_files_go_before_the_prompt_as_text() -> None:
    repository = RepositoryContext(200, "b.py", "shop", CHUNKS)
    continued = TextPrompt("x = ", ("\n",), repository=repository)
    assert body(continued)["prompt"] == SHOWN + "x = "
    # White space at the end is owed by the answer, as always.
    assert body(continued, trailing_space(continued))["prompt"] == SHOWN + "x ="
    filled = body(InfillingPrompt("x = ", "\nz", repository=repository))
    assert (filled["prompt"], filled["suffix"]) == (SHOWN + "x = ", "\nz")


def test_what_does_not_fit_is_left_out() -> None:
    for most in (20, 40, 400):
        repository = RepositoryContext(most, chunks=CHUNKS)
        sent = body(TextPrompt("first\n" * 900 + "x =", repository=repository))["prompt"]
        assert sent.endswith("first\nx =") and len(sent) <= most * CHARACTERS_PER_TOKEN
