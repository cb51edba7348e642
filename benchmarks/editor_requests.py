"""What editors' plug-ins send to a server, field for field, and what they read in its answer.

Written down from the plug-ins' sources: llama.vim and llama.vscode (ggml-org), llm-ls (huggingface), Continue
(continuedev) and Tabby (TabbyML), each as of the middle of 2026.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx

PREFIX = "def add(first, second):\n    "
SUFFIX = "\n\n\nprint(add(1, 2))\n"
NEW_TOKENS = 24

Check = Callable[[httpx.Client, str], str]
"""Sends requests to a server whose model has the name, and returns the text that came; fails by an exception."""


def llama_vim(client: httpx.Client, model: str) -> str:
    """The request that warms the cache, the first one, and the one for the position behind its answer."""
    chunk = {"text": "import os\n\nHOME = os.sep\n", "time": [1, 2], "filename": "paths.py"}
    common = {"id_slot": 0, "stream": False, "cache_prompt": True, "input_extra": [chunk], "model": ""}
    warm = common | {"input_prefix": "", "input_suffix": "", "prompt": "", "n_predict": 0}
    warm |= {"temperature": 0.0, "samplers": [], "t_max_prompt_ms": 1, "t_max_predict_ms": 1}
    response = client.post("/infill", json=warm | {"response_fields": [""]})
    assert response.json() == {}, response.text
    timings = [
        f"timings/{kind}_{unit}"
        for kind in ("prompt", "predicted")
        for unit in ("n", "ms", "per_token_ms", "per_second")
    ]
    above, _, line = PREFIX.rpartition("\n")
    ask = common | {"input_prefix": above + "\n", "prompt": line, "input_suffix": SUFFIX}
    ask |= {"n_predict": NEW_TOKENS, "stop": [], "n_indent": 4, "top_k": 40, "top_p": 0.9}
    ask |= {"samplers": ["top_k", "top_p", "infill"], "t_max_prompt_ms": 500, "t_max_predict_ms": 250}
    fields = ["content", *timings, "truncated", "tokens_cached"]
    ask["response_fields"] = fields
    response = client.post("/infill", json=ask)
    # The plug-in looks at the text before it decodes it.
    assert re.match(r"\s*\{", response.text) and '"content":"' in response.text, response.text
    answer: dict[str, Any] = response.json()
    assert answer.keys() == set(fields), answer
    assert all(isinstance(answer[name], int | float) for name in timings), answer
    content: str = answer["content"]
    further = ask | {"prompt": line + content.split("\n")[0], "t_max_predict_ms": 1000}
    assert "content" in client.post("/infill", json=further).json()
    return content


def llama_vscode(client: httpx.Client, model: str) -> str:
    """Three completions at once."""
    assert client.get("/health").json() == {"status": "ok"}
    above, _, line = PREFIX.rpartition("\n")
    chunk = {"text": "import os\n", "time": 1_800_000_000_000, "filename": "file:///paths.py"}
    body = {"id_slot": 0, "input_prefix": above + "\n", "input_suffix": SUFFIX, "prompt": line}
    body |= {"input_extra": [chunk], "n_predict": NEW_TOKENS, "n_cmpl": 3, "top_k": 40, "top_p": 0.99}
    body |= {"stream": False, "samplers": ["top_k", "top_p", "infill"], "cache_prompt": True, "n_indent": 4}
    body |= {"t_max_prompt_ms": 500, "t_max_predict_ms": 500}
    answers = _read(client.post("/infill", json=body))
    assert isinstance(answers, list) and len(answers) == 3, answers
    many = client.post("/infill", json=body | {"n_cmpl": 10_000})
    assert many.status_code == 400
    assert many.json()["error"]["message"].startswith("Field 'n_cmpl': Value must be between"), many.text
    budget = client.post("/tokenize", json={"content": PREFIX}).json()["tokens"]
    assert budget and client.get("/props").json()["default_generation_settings"]["n_ctx"] > 0
    return str(answers[0]["content"])


def llama_vscode_edit(client: httpx.Client, model: str) -> str:
    """A change that is asked for in words."""
    messages = [
        {"role": "system", "content": "You are an expert coder.\n"},
        {"role": "user", "content": f"Instructions: add a docstring\n\nOriginal code:\n{PREFIX}pass"},
    ]
    body = {"messages": messages, "stream": False, "cache_prompt": True, "temperature": 0.8, "top_p": 0.95}
    answer = _read(client.post("/v1/chat/completions", json=body | {"max_tokens": NEW_TOKENS}))
    return str(answer["choices"][0]["message"]["content"])


def llm_ls(client: httpx.Client, model: str) -> str:
    """Each of its backends: the template of an infilling prompt as text."""
    mark = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
    prompt = f"{mark[0]}{PREFIX}{mark[1]}{SUFFIX}{mark[2]}"
    openai = {"prompt": prompt, "model": model, "stream": False, "max_tokens": NEW_TOKENS, "temperature": 0.2}
    text = str(_read(client.post("/v1/completions", json=openai | {"top_p": 0.95}))["choices"][0]["text"])
    parameters = {"max_new_tokens": NEW_TOKENS, "temperature": 0.2, "top_p": 0.95, "return_full_text": False}
    tgi = _read(client.post("/generate", json={"inputs": prompt, "parameters": parameters}))
    assert isinstance(tgi, dict) and isinstance(tgi["generated_text"], str), tgi
    options = {"num_predict": NEW_TOKENS, "temperature": 0.2, "top_p": 0.95}
    ollama = {"prompt": prompt, "model": model, "stream": False, "options": options}
    assert isinstance(_read(client.post("/api/generate", json=ollama))["response"], str)
    # What it can read of errors, one form a backend.
    wrong = client.post("/v1/completions", json=openai | {"max_tokens": "many"}).json()
    assert all({"loc", "msg", "type"} <= detail.keys() for detail in wrong["detail"]), wrong
    for address, body in (("/generate", {"inputs": 1}), ("/api/generate", {"prompt": 1, "model": model})):
        assert isinstance(client.post(address, json=body).json()["error"], str), address
    return text


def continue_mistral(client: httpx.Client, model: str) -> str:
    """Its way with an infilling address of its own."""
    body = {"model": model, "prompt": PREFIX, "suffix": SUFFIX, "max_tokens": NEW_TOKENS, "temperature": 0.01}
    body |= {"stop": ["/src/", "#- coding: utf-8", "```"], "stream": True}
    key = client.headers.get("Authorization", "Bearer ").removeprefix("Bearer ")
    headers = {"Accept": "application/json", "x-api-key": key}
    # It writes whatever the field holds, also ``undefined``.
    return "".join(
        chunk["choices"][0]["delta"]["content"]
        for chunk in _events(client, "/v1/fim/completions", body, headers)
    )


def continue_llama_cpp(client: httpx.Client, model: str) -> str:
    """The text of a template that it chose by the model's name."""
    prompt = f"<PRE> {PREFIX} <SUF>{SUFFIX} <MID>"
    body = {"model": model, "prompt": prompt, "stream": True, "n_predict": NEW_TOKENS, "temperature": 0.01}
    body["stop"] = ["<PRE>", "<SUF>", "<MID>", "<EOT>", "/src/", "```"]
    return "".join(chunk["content"] for chunk in _events(client, "/completion", body))


def continue_ollama(client: httpx.Client, model: str) -> str:
    """It asks for the template first: one with a suffix says that the model infills."""
    shown = _read(client.post("/api/show", json={"name": model}))
    assert ".Suffix" in shown["template"], shown
    body = {"model": model, "prompt": PREFIX, "suffix": SUFFIX, "keep_alive": 1800, "stream": True}
    body["options"] = {"num_predict": NEW_TOKENS, "temperature": 0.01, "num_ctx": 8192, "stop": ["/src/"]}
    text = ""
    with client.stream("POST", "/api/generate", json=body) as response:
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            part = json.loads(line)
            assert "error" not in part, part
            text += part.get("response", "")
    assert part["done"] is True and part["done_reason"] in ("stop", "length"), part
    return text


def tabby_plugin(client: httpx.Client, model: str) -> str:
    """Health, settings, a completion, and the report that it was shown."""
    health = client.get("/v1/health").json()
    assert re.match(r"v?\d+\.\d+\.\d+", health["version"]["git_describe"]), health
    assert client.get("/v1beta/server_setting").json().keys() == {"disable_client_side_telemetry"}
    declaration = {"filepath": "paths.py", "body": "HOME = '/'\n"}
    segments: dict[str, Any] = {
        "prefix": PREFIX,
        "suffix": SUFFIX,
        "filepath": "add.py",
        "git_url": "git@x:a/b.git",
    }
    segments |= {"declarations": [declaration], "clipboard": "x"}
    segments["relevant_snippets_from_changed_files"] = [declaration | {"score": 0.5}]
    body = {"language": "python", "segments": segments, "user": "me", "temperature": 0.1}
    answer = _read(client.post("/v1/completions", json=body))
    event = {"type": "view", "completion_id": answer["id"], "choice_index": 0, "view_id": "v"}
    assert client.post("/v1/events", json=event).is_success
    return str(answer["choices"][0]["text"])


def tabby_server(client: httpx.Client, model: str) -> str:
    """Its three kinds of a completion server behind it."""
    common = {"temperature": 0.1, "stream": True}
    openai = common | {"model": model, "prompt": PREFIX, "suffix": SUFFIX, "max_tokens": NEW_TOKENS}
    chunks = _events(client, "/v1/completions", openai | {"presence_penalty": 0.0})
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks if chunk["choices"])
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks].count(None) == len(chunks) - 1, chunks
    # What is not sent is null.
    _events(client, "/v1/completions", openai | {"suffix": None})
    llama = common | {
        "seed": 2**63,
        "prompt": "x = ",
        "n_predict": 8,
        "penalty_last_n": 0,
        "presence_penalty": 0.0,
    }
    parts = _events(client, "/completion", llama)
    assert parts[-1]["stop"] is True and all(isinstance(part["content"], str) for part in parts), parts
    mistral = common | {
        "model": model,
        "prompt": PREFIX,
        "suffix": SUFFIX,
        "max_tokens": 8,
        "random_seed": 2**63,
    }
    pieces = _events(client, "/v1/fim/completions", mistral)
    assert all(isinstance(piece["choices"][0]["delta"]["content"], str) for piece in pieces), pieces
    return text


def _read(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()


def _events(
    client: httpx.Client, address: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """The objects of a stream of server-sent events."""
    with client.stream("POST", address, json=body, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


EDITORS: dict[str, Check] = {
    "llama.vim's requests": llama_vim,
    "llama.vscode": llama_vscode,
    "llama.vscode, edit": llama_vscode_edit,
    "llm-ls": llm_ls,
    "Continue, mistral": continue_mistral,
    "Continue, llama.cpp": continue_llama_cpp,
    "Continue, ollama": continue_ollama,
    "Tabby's plug-ins": tabby_plugin,
    "Tabby's server": tabby_server,
}
