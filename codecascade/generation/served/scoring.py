"""How likely given texts are, asked of a server: a prompt is repeated with the log-probabilities of its tokens.

This is ``echo`` with ``logprobs``, as harnesses of evaluation ask vLLM and others for it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from codecascade.generation.openai_server import Refused, ask
from codecascade.generation.replies import Body
from codecascade.generation.transport import Transport
from codecascade.ground.errors import RunFailed, UserError

_LARGEST = 128 << 20
"""Bytes of an answer: a token takes about a hundred, and a long file has a hundred thousand of them."""
_PREFIX = "token_id:"


class PromptScorer:
    """Asks a server how likely the tokens of texts are.

    Args:
        url: of the server.
        model: the name by which it serves the model.
        headers: of every request.
        context: tokens of prompt and completion together.
        connections: requests at a time.
        timeout: seconds for a whole answer.
        attempts: how often a request is made.
    """

    def __init__(
        self,
        url: str,
        model: str,
        headers: Mapping[str, str],
        *,
        context: int,
        connections: int,
        timeout: float,
        attempts: int = 4,
    ) -> None:
        self._url, self._model, self._context = url, model, context
        self._timeout, self._attempts = timeout, attempts
        self._transport = Transport(connections, headers, largest=_LARGEST)

    def score(self, ids: Sequence[int], stopped: threading.Event) -> list[float]:
        """The natural logarithm of the probability of each token but the first, after those before it.

        Servers want to write a token, for which a text that fills the context leaves no room. The last token of such
        a text is the one that is written: it is the only one that is allowed, and its log-probability is the model's
        own all the same.

        Raises:
            UserError: the server does not tell.
            RunFailed: it does not answer.
        """
        body: Body = {
            "model": self._model,
            "prompt": list(ids),
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
            "return_tokens_as_token_ids": True,
        }
        if len(ids) >= self._context:
            body |= {"prompt": list(ids[:-1]), "allowed_token_ids": [ids[-1]], "ignore_eos": True}
        try:
            answer = ask(
                self._transport,
                self._url,
                "/v1/completions",
                body,
                timeout=self._timeout,
                attempts=self._attempts,
                first_wait=1.0,
                stopped=stopped,
            )
        except Refused as refusal:
            raise RunFailed(f"{self._url} refuses to score a text ({refusal})") from None
        found = _told(answer, len(ids))
        if found is None or [token for token, _ in found] != list(ids):
            raise UserError(
                "tells no log-probabilities of a prompt's tokens, which perplexity needs", file=self._url
            )
        scores = [score for _, score in found[1:]]
        if not all(math.isfinite(score) for score in scores):
            raise RunFailed(f"{self._url}: the model gives no numbers; its weights or its precision are bad")
        return scores


def _told(answer: Body, count: int) -> list[tuple[int, float]] | None:
    """The first ``count`` tokens of an answer, with their log-probabilities; None if it has not so many."""
    logprobs: Any = answer["choices"][0].get("logprobs")
    names, values = (
        (logprobs.get("tokens"), logprobs.get("token_logprobs"))
        if isinstance(logprobs, dict)
        else (None, None)
    )
    if not isinstance(names, list) or not isinstance(values, list) or min(len(names), len(values)) < count:
        return None
    return [(_id_of(name), _number(value)) for name, value in zip(names[:count], values[:count], strict=True)]


def _id_of(name: Any) -> int:
    digits = name.removeprefix(_PREFIX) if isinstance(name, str) and name.startswith(_PREFIX) else ""
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else -1


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
