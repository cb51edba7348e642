"""The bodies that llama.cpp's server takes, and the sampling that they ask for."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from codecascade.generation.editing.stops import EditorLines
from codecascade.generation.requests import SamplingParams
from codecascade.server.answers.service import Service
from codecascade.server.http.errors import ApiError
from codecascade.server.requests.body import BiasPairs, Body, Items, LogitBias, Messages, Stop, TokenIds
from codecascade.server.requests.prompts import bounded_bias, sampling
from codecascade.server.requests.structured import Structured

_RULED_OUT = float("-inf")
_RANDOM_SEED = 2**32 - 1
_MOST_SNIPPETS = 256


class Sampled(Structured):
    """What ``/completion`` and ``/infill`` share. ``samplers`` and the like are passed over, as unknown fields are.

    ``n_predict`` -1 is as much as there is room for; 0 reads the prompt only, so that the next request finds it.
    """

    n_predict: int = Field(-1, ge=-2)
    n_cmpl: int = 1
    temperature: float = Field(0.8, le=100)
    top_k: int = 40
    top_p: float = Field(0.95, ge=0, le=1)
    min_p: float = Field(0.05, ge=0, le=1)
    repeat_penalty: float = Field(1.0, gt=0, le=100)
    presence_penalty: float = Field(0.0, ge=-100, le=100)
    frequency_penalty: float = Field(0.0, ge=-100, le=100)
    logit_bias: BiasPairs | LogitBias = Field(default_factory=list)
    seed: int = -1
    stop: Stop = Field(default_factory=list)
    stream: bool = False
    n_probs: int = Field(0, ge=0, le=100)
    response_fields: Items[str] = Field(default_factory=list)
    return_tokens: bool = False
    n_indent: int = Field(0, ge=0)
    t_max_predict_ms: float = 0
    id_slot: int = -1


class CompletionBody(Sampled):
    """The body of ``/completion``: a text, ids, both in turn, or a list of such prompts."""

    prompt: str | TokenIds | Items[int | str] | Items[str | TokenIds | Items[int | str]]


class Extra(Body):
    """A part of another file."""

    text: str = ""
    filename: str = ""


class InfillBody(Sampled):
    """The body of ``/infill``. ``prompt`` stands between the prefix and the cursor.

    Ours are ``editor_stops``, ``editor_lines`` (``single``, ``block``, ``any``), ``language`` (as in ``python``) and
    ``format`` (``psm`` or ``spm``).
    """

    temperature: float = Field(0.0, le=100)
    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: Items[Extra] = Field([], max_length=_MOST_SNIPPETS)
    prompt: str = ""
    editor_stops: bool = True
    editor_lines: EditorLines = "block"
    language: str = ""
    format: str = ""


class TokenizeBody(Body):
    """The body of ``/tokenize``; ``prompt`` is vLLM's name of ``content``. Special tokens are read as text."""

    content: str | None = None
    prompt: str | None = None
    add_special: bool = False
    with_pieces: bool = False


class DetokenizeBody(Body):
    """The body of ``/detokenize``."""

    tokens: TokenIds


class TemplateBody(Body):
    """The body of ``/apply-template``."""

    messages: Messages = Field(min_length=1)


def sampled(service: Service, body: Sampled) -> SamplingParams:
    """Sampling parameters.

    Raises:
        ApiError: a value is out of range.
    """
    if not 1 <= body.n_cmpl <= service.limits.samples:
        # llama.vscode looks for the beginning of this sentence.
        raise ApiError(400, f"Field 'n_cmpl': Value must be between 1 and {service.limits.samples}", "n_cmpl")
    room = min(service.context_length, service.limits.max_tokens or service.context_length)
    return sampling(
        body.n_predict if body.n_predict >= 0 else room,
        temperature=max(body.temperature, 0.0),
        top_k=max(body.top_k, 0),
        top_p=body.top_p or 1e-9,
        min_p=body.min_p,
        seed=None if body.seed in (-1, _RANDOM_SEED) else body.seed,
        logprobs=body.n_probs or None,
        repetition_penalty=body.repeat_penalty,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=_biases(service, body.logit_bias),
    )


def _biases(service: Service, given: Any) -> tuple[tuple[int, float], ...]:
    """``[[id, bias], ...]`` or ``{"id": bias}``; a bias of false rules the token out."""
    pairs = list(given.items()) if isinstance(given, dict) else given
    found = []
    for pair in pairs:
        if len(pair) != 2:
            raise ApiError(400, "each entry must be [token id, bias]", "logit_bias")
        token, bias = pair
        if isinstance(token, str) and token.isascii() and token.isdigit() and len(token) < 10:
            token = int(token)
        if type(token) is not int or not 0 <= token < service.tokenizer.vocab_size:
            raise ApiError(400, f"{str(token)[:20]!r} is not the id of a token", "logit_bias")
        if bias is True or isinstance(bias, str):
            raise ApiError(400, "a bias must be a number, or false", "logit_bias")
        found.append((token, _RULED_OUT if bias is False else bounded_bias(bias)))
    return tuple(found)
