"""The judge ``llm``: a language model behind an OpenAI-compatible server, asked by a prompt that is shown.

Its replies are read strictly (:mod:`.replies`). Those that can't be read are in no figure, and are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import ClassVar

from codecascade.evaluation.judges.judge import ExpectedSample, JudgedAnswer, Judgement, Judging
from codecascade.evaluation.judges.prompt_file import judge_prompt
from codecascade.evaluation.judges.replies import read_reply
from codecascade.evaluation.judges.settings import JudgeSettings
from codecascade.generation.backend import ChatPrompt, TextRequest
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.openai_server import server_url
from codecascade.generation.requests import SamplingParams
from codecascade.ground.errors import RunFailed, UserError
from codecascade.tokens.chat import Message

_SHOWN = 300
"""How many characters of a reply, counted from its end, are kept for a reader."""


class LanguageModelJudge:
    """See :class:`~codecascade.evaluation.judges.judge.Judge`."""

    reads: ClassVar[frozenset[str]] = frozenset(
        {
            "judge_model",
            "judge_endpoint",
            "judge_prompt",
            "judge_tokens",
            "judge_concurrency",
            "judge_timeout",
        }
    )

    def __init__(self, judging: Judging, settings: JudgeSettings) -> None:
        self._key = settings.key
        for name in ("judge_endpoint", "judge_model"):
            if not getattr(settings, name):
                raise UserError(
                    "the judge 'llm' needs the address of an OpenAI-compatible server (judge_endpoint) and the name "
                    "of a model on it (judge_model)",
                    key=f"{self._key}.{name}",
                )
        assert settings.judge_endpoint is not None and settings.judge_model is not None
        self._url = settings.judge_endpoint
        try:
            server_url(settings.judge_endpoint)
        except UserError as error:
            raise UserError(error.message, key=f"{self._key}.judge_endpoint") from None
        self._model = settings.judge_model
        self._aspects = judging.aspects
        self._settings = settings
        self._prompt = judge_prompt(judging.prompt, settings.judge_prompt, f"{self._key}.judge_prompt")

    @property
    def label(self) -> str:
        return f"{self._model}, a language model asked by {self._prompt.name} (digest {self._prompt.digest})"

    def identity(self) -> dict[str, str]:
        return {"judge": self.label}

    def check(self) -> None:
        _ = self._server

    @cached_property
    def _server(self) -> Endpoint:
        try:
            return Endpoint(
                self._url,
                self._model,
                concurrency=self._settings.judge_concurrency,
                timeout=self._settings.judge_timeout,
            )
        except UserError as error:
            key = "judge_model" if error.key == "--model" else "judge_endpoint"
            raise UserError(f"the judge {error.message}", file=error.file, key=f"{self._key}.{key}") from None

    def expect(self, samples: Iterable[ExpectedSample], known: frozenset[str]) -> None: ...

    def judge(self, answers: Sequence[JudgedAnswer]) -> Iterator[tuple[int, Judgement]]:
        sampling = SamplingParams(self._settings.judge_tokens)
        requests = [
            TextRequest(ChatPrompt((Message("user", self._prompt.filled(answer.texts())),)), sampling)
            for answer in answers
        ]
        try:
            for reply in self._server.complete(requests):
                # What stands in a reply that was cut is not yet what it ends with.
                is_whole = reply.finish_reason not in ("context", "length")
                values = read_reply(reply.text, self._aspects) if is_whole else None
                end = reply.text.strip()[-_SHOWN:]
                detail = f"the judge: {end}"
                if reply.finish_reason == "context":
                    detail = "the judge's prompt does not fit into its context"
                elif reply.finish_reason == "length":
                    detail = f"the judge was cut at judge_tokens = {self._settings.judge_tokens}: {end}"
                yield answers[reply.request].index, Judgement(values, detail)
        except RunFailed as error:
            raise RunFailed(f"the judge of {self._key}: {error}") from None

    def shown(self) -> str:
        return self._prompt.text
