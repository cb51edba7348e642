"""Answers in the form of llama.cpp's server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.generation.requests import Request
from codecascade.server.answers.samples import Sample
from codecascade.server.answers.service import Answer, Service, shown_prompt
from codecascade.server.http.compact_json import event
from codecascade.server.protocols.llama_bodies import Sampled
from codecascade.server.requests.prompts import Prompt


class Form:
    """How the samples of some prompts are shown."""

    def __init__(self, service: Service, body: Sampled, prompts: Sequence[Prompt]) -> None:
        self._service, self._body, self._prompts = service, body, prompts

    def whole(self, samples: Sequence[Sample]) -> Any:
        """An object, or a list of them where several completions were asked for."""
        shown = [self._selected(self._final(index, sample)) for index, sample in enumerate(samples)]
        return shown[0] if len(shown) == 1 else shown

    async def chunks(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        """Server-sent events; the last of each sample says how it was."""
        indices = {id(sample): index for index, sample in enumerate(answer.samples)}
        # those of tokens whose text is not certain yet, as of a part of a character
        ids: dict[int, list[int]] = {index: [] for index in indices.values()}
        async for sample, delta in answer:
            index = indices[id(sample)]
            ids[index] += delta.ids
            if delta.text or delta.logprobs:
                chunk = {
                    "index": index,
                    "content": delta.text,
                    "tokens": ids[index],
                    "stop": False,
                    "id_slot": self._slot(index),
                    "tokens_predicted": sample.tokens,
                    "tokens_evaluated": len(self._prompts[sample.prompt].request.ids),
                }
                if delta.logprobs:
                    chunk["completion_probabilities"] = self._probabilities(delta.logprobs)
                yield event(chunk)
                ids[index] = []
            if delta.finish_reason is not None:
                final = self._final(index, sample) | {"content": "", "tokens": ids[index]}
                yield event(self._selected(final))

    def _slot(self, index: int) -> int:
        return self._body.id_slot if self._body.id_slot >= 0 else index

    def _final(self, index: int, sample: Sample) -> dict[str, Any]:
        prompt, usage = self._prompts[sample.prompt], sample.usage
        request = prompt.request
        evaluated = usage.prompt_tokens or len(request.ids)
        shown: dict[str, Any] = {
            "index": index,
            "content": sample.text,
            "tokens": sample.ids if self._body.return_tokens else [],
            "id_slot": self._slot(index),
            "stop": True,
            "model": self._service.name,
            "tokens_predicted": usage.completion_tokens,
            "tokens_evaluated": evaluated,
            "generation_settings": _settings(request),
            "prompt": shown_prompt(self._service.tokenizer, request),
            "has_new_line": "\n" in sample.text,
            "truncated": prompt.truncated,
            **_stop(request, sample),
            "tokens_cached": evaluated + usage.completion_tokens,
            "timings": {
                "cache_n": usage.cached_tokens,
                **_rates("prompt", evaluated - usage.cached_tokens, usage.prefill_seconds),
                **_rates("predicted", usage.completion_tokens, usage.decode_seconds),
            },
        }
        if sample.logprobs:
            shown["completion_probabilities"] = self._probabilities(sample.logprobs)
        return shown

    def _selected(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Only ``response_fields``, under their names: ``timings/prompt_n`` is not nested."""
        if not self._body.response_fields:
            return shown
        found = {}
        for path in self._body.response_fields:
            value: Any = shown
            for key in path.split("/"):
                if not isinstance(value, dict) or key not in value:
                    break
                value = value[key]
            else:
                found[path] = value
        return found

    def _probabilities(self, tokens: Sequence[TokenLogprobs]) -> list[dict[str, Any]]:
        def entry(token: int, logprob: float) -> dict[str, Any]:
            data = self._service.tokenizer.token_bytes(token)
            return {
                "id": token,
                "token": data.decode(errors="replace"),
                "bytes": list(data),
                "logprob": max(logprob, -9999.0),
            }

        return [
            entry(token.token, token.logprob) | {"top_logprobs": [entry(*other) for other in token.top]}
            for token in tokens
        ]


def _rates(name: str, tokens: int, seconds: float) -> dict[str, float]:
    milliseconds = seconds * 1000
    return {
        f"{name}_n": tokens,
        f"{name}_ms": round(milliseconds, 3),
        f"{name}_per_token_ms": round(milliseconds / tokens, 3) if tokens else 0.0,
        f"{name}_per_second": round(tokens / seconds, 3) if seconds else 0.0,
    }


def _stop(request: Request, sample: Sample) -> dict[str, str]:
    """``limit`` is also what an editor's stop is, as for llama.cpp."""
    if sample.finish_reason != "stop":
        return {"stop_type": "limit", "stopping_word": ""}
    if isinstance(sample.stopped_by, str):
        if sample.stopped_by in request.stop:
            return {"stop_type": "word", "stopping_word": sample.stopped_by}
        return {"stop_type": "limit", "stopping_word": ""}
    return {"stop_type": "eos", "stopping_word": ""}


def _settings(request: Request) -> dict[str, Any]:
    sampling = request.sampling
    return {
        "n_predict": sampling.max_new_tokens,
        "seed": sampling.seed,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop": list(request.stop),
    }
