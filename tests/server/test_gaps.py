"""Gaps in a text: what their prompts are in the layouts of a model."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from scripted_generator import ScriptedGenerator

from codecascade.tokens.healing import heal_infilling
from codecascade.tokens.infilling import infilling_prompt
from codecascade.tokens.tokenizer import Tokenizer


@pytest.mark.parametrize("editor_stops", [True, False])
def test_the_prefix_of_a_gap_may_end_inside_a_token(
    client: TestClient, generator: ScriptedGenerator, tokenizer: Tokenizer, editor_stops: bool
) -> None:
    """Also in PSM, which is the layout without editor stops."""
    body = {"prompt": "def f(a):\n    retu", "suffix": "\n\nf(1)\n", "editor_stops": editor_stops}
    layout = "spm" if editor_stops else "psm"
    assert client.post("/v1/completions", json=body).status_code == 200
    whole = infilling_prompt(tokenizer, body["prompt"], body["suffix"], format=layout)
    assert generator.requests[0].required
    assert (list(generator.requests[0].ids), generator.requests[0].required) == heal_infilling(
        tokenizer, whole, layout
    )
    few = client.post("/v1/completions", json=body | {"allowed_token_ids": [20, 21]})
    # Editor stops and few tokens do not go together.
    assert few.status_code == (400 if editor_stops else 200)
    assert [list(request.ids) for request in generator.requests[1:]] == ([] if editor_stops else [whole])
