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


@pytest.mark.parametrize("layout", ["spm", "psm"])
def test_a_gap_is_healed_however_it_is_written(
    client: TestClient, generator: ScriptedGenerator, layout: str
) -> None:
    """With log-probabilities, too; only a plain text is then taken as it is."""
    prefix, suffix = "def f(a):\n    retu", "\n\nf(1)\n"
    body = {"logprobs": 1, "editor_stops": layout == "spm"}
    client.post("/v1/completions", json=body | {"prompt": prefix, "suffix": suffix})
    template = f"<fim_prefix>{prefix}<fim_suffix>{suffix}<fim_middle>"
    client.post("/v1/completions", json=body | {"prompt": template})
    client.post("/v1/completions", json=body | {"prompt": prefix})
    first, second, text = generator.requests
    assert (first.ids, first.required) == (second.ids, second.required) and first.required
    assert not text.required


def test_a_prompt_is_shown_in_the_order_in_which_it_is_read(client: TestClient) -> None:
    """What healing took off the prefix stands behind it, not behind the suffix."""
    body = {"prompt": "def f(a):\n    retu", "suffix": "\n\nf(1)\n", "editor_stops": False, "echo": True}
    (choice,) = client.post("/v1/completions", json=body | {"truncate_prompt_tokens": -1}).json()["choices"]
    assert choice["text"].startswith(body["prompt"])
