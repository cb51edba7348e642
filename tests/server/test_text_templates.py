"""Infilling prompts that clients write as text are filled as gaps, in the served model's own layout."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from scripted_generator import ScriptedGenerator

from codecascade.generation.editing.prompt import (
    EditorPrompt,
    editor_format,
    editor_prompt,
)
from codecascade.tokens.healing import heal
from codecascade.tokens.infilling import infilling_prompt
from codecascade.tokens.repository import RepositoryChunk
from codecascade.tokens.tokenizer import Tokenizer

PREFIX, SUFFIX = "def f(a):\n    return ", "\n\nprint(f(1))\n"
TEMPLATES = {
    "Code Llama": f"<PRE> {PREFIX} <SUF>{SUFFIX} <MID>",
    "Code Llama, SPM": f"<PRE> <SUF>{SUFFIX} <MID> {PREFIX}",
    "StarCoder": f"<fim_prefix>{PREFIX}<fim_suffix>{SUFFIX}<fim_middle>",
    "Qwen": f"<|fim_prefix|>{PREFIX}<|fim_suffix|>{SUFFIX}<|fim_middle|>",
    "DeepSeek": f"<｜fim▁begin｜>{PREFIX}<｜fim▁hole｜>{SUFFIX}<｜fim▁end｜>",
    "Codestral": f"[SUFFIX]{SUFFIX}[PREFIX]{PREFIX}",
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("path", ["/v1/completions", "/completion", "/api/generate", "/generate"])
@pytest.mark.parametrize("raw", [True, False])
def test_each_familys_template_becomes_the_models_own(
    client: TestClient,
    generator: ScriptedGenerator,
    tokenizer: Tokenizer,
    template: str,
    path: str,
    raw: bool,
) -> None:
    # Continue's stop strings
    stop = ["<PRE>", "<SUF>", "<MID>", "<EOT>"]
    body = {
        "model": "tiny",
        "prompt": template,
        "inputs": template,
        "stop": stop,
        "raw": raw,
        "stream": False,
    }
    assert client.post(path, json=body).status_code == 200
    request = generator.requests[0]
    own = infilling_prompt(tokenizer, PREFIX, SUFFIX, format=editor_format(tokenizer))
    assert (list(request.ids), request.required) == heal(tokenizer, own)
    assert request.editor is not None
    assert (request.editor.prefix, request.editor.suffix) == (PREFIX, SUFFIX)


REPOSITORY = "<|repo_name|>shop\n<|file_sep|>a.py\nA = 1\n<|file_sep|>b.py\nB = 2\n<|file_sep|>c.py\n"


@pytest.mark.parametrize("truncate", [None, 4096])
@pytest.mark.parametrize("path", ["/v1/completions", "/completion", "/api/generate", "/generate"])
def test_parts_of_other_files_before_a_template_are_context(
    client: TestClient, generator: ScriptedGenerator, tokenizer: Tokenizer, path: str, truncate: int | None
) -> None:
    prompt = REPOSITORY + TEMPLATES["Qwen"]
    body = {"prompt": prompt, "inputs": prompt, "raw": True, "stream": False, "model": "tiny"}
    if truncate is not None:
        body |= {"truncate_prompt_tokens": truncate} if path == "/v1/completions" else {}
    if path == "/api/generate":
        # Else half of the context is the most that other files get.
        body["truncate"] = False
    assert client.post(path, json=body).status_code == 200
    (request,) = generator.requests
    chunks = (RepositoryChunk("a.py", "A = 1\n"), RepositoryChunk("b.py", "B = 2\n"))
    around = EditorPrompt(PREFIX, SUFFIX, "c.py", "shop", chunks)
    assert (list(request.ids), request.required) == heal(tokenizer, editor_prompt(tokenizer, around, 4096))
    assert len(request.ids) > len(infilling_prompt(tokenizer, PREFIX, SUFFIX, format="spm")) + 10
    assert request.editor is not None and request.editor.prefix == PREFIX


def test_other_files_that_do_not_fit_are_refused_with_the_numbers(
    client: TestClient, generator: ScriptedGenerator
) -> None:
    """The client has written the whole prompt, and has not asked for a shorter one."""
    prompt = REPOSITORY.replace("A = 1", "A = 1  # x" * 2_000) + TEMPLATES["Qwen"]
    refused = client.post("/v1/completions", json={"prompt": prompt})
    assert refused.status_code == 400 and "tokens" in refused.text and generator.requests == []


@pytest.mark.parametrize(
    "text",
    [
        f"# <PRE> x\n{PREFIX}",
        f"<PRE> {PREFIX}",
        f"<PRE> {PREFIX} <SUF>{SUFFIX}",
        f"{TEMPLATES['StarCoder']}\nmore",
    ],
)
def test_a_text_that_merely_holds_a_mark_is_a_text(
    client: TestClient, generator: ScriptedGenerator, tokenizer: Tokenizer, text: str
) -> None:
    client.post("/v1/completions", json={"prompt": text})
    (request,) = generator.requests
    assert request.editor is None
    assert set(request.ids) & tokenizer.special_ids == {tokenizer.bos_id}


def test_a_model_that_can_not_infill_goes_on_with_the_text(plain_tokenizer: Tokenizer) -> None:
    from codecascade.server.app import create_app
    from codecascade.server.settings import ServerSettings

    generator = ScriptedGenerator(plain_tokenizer)
    with TestClient(create_app(generator, ServerSettings(names=("plain",)))) as client:
        assert client.post("/v1/completions", json={"prompt": TEMPLATES["Code Llama"]}).status_code == 200
    assert generator.requests[0].editor is None
