"""The HTTP requests that ask an OpenAI-compatible server for a sample.

Prompts go as text: a :class:`TextPrompt` to ``/v1/completions``, an :class:`InfillingPrompt` there too, with its
``suffix``, a :class:`ChatPrompt` to ``/v1/chat/completions``.

White space at the end of a prompt is a token of its own that models hardly ever saw there (theirs holds the indent,
too), and no server heals it. So it is not sent: the answer has to begin with it. Where it does not, the prompt is
sent whole. A prompt that says ``heal=False`` is sent whole at once.
"""

from __future__ import annotations

from codecascade.generation.backend import (
    ChatPrompt,
    InfillingPrompt,
    Prompt,
    RepositoryContext,
    TextPrompt,
    TextRequest,
)
from codecascade.generation.editing.prompt import prompt_texts
from codecascade.generation.replies import Body
from codecascade.generation.requests import SamplingParams
from codecascade.ground.seeds import draw

_MORE = ("presence_penalty", "frequency_penalty", "top_k", "min_p", "repetition_penalty")
CHARACTERS_PER_TOKEN = 3.2  # of code, about
_LEAST_BIAS = -100.0
"""The API's name for minus infinity, which JSON has not."""


def http_request(
    model: str, request: TextRequest, number: int, owed: str
) -> tuple[str, Body, tuple[str, ...]]:
    """Path, body and the stop strings that end the text; the prompt is sent without ``owed``, its end.

    Args:
        model: the name by which the server knows it.
        number: of the sample.
    """
    prompt, sampling = request.prompt, request.sampling
    body = sampling_body(model, sampling, number, sampling.max_new_tokens + len(owed))
    body |= _more(sampling)
    if isinstance(prompt, ChatPrompt):
        messages = [{"role": each.role, "content": each.content} for each in prompt.messages]
        return "/v1/chat/completions", {**body, "messages": messages}, ()
    if isinstance(prompt, TextPrompt):
        text, _ = _cut(prompt.prompt, "", prompt.repository, sampling)
        body["prompt"] = text.removesuffix(owed)
    else:
        assert isinstance(prompt, InfillingPrompt)
        prefix, suffix = _cut(prompt.prefix, prompt.suffix, prompt.repository, sampling)
        body |= {"prompt": prefix, "suffix": suffix}
    if prompt.stop and not stops_after_text(prompt):
        body["stop"] = list(prompt.stop)
    return "/v1/completions", body, prompt.stop


def _cut(
    prefix: str, suffix: str, repository: RepositoryContext | None, sampling: SamplingParams
) -> tuple[str, str]:
    """The texts with the parts of other files before them, cut to the length that is about the tokens that fit."""
    if repository is None:
        return prefix, suffix
    room = repository.most_tokens - min(sampling.max_new_tokens, repository.most_tokens // 2)
    return prompt_texts(repository.prompt(prefix, suffix), int(room * CHARACTERS_PER_TOKEN))


def sampling_body(model: str, sampling: SamplingParams, number: int, most: int) -> Body:
    """What every server takes, whatever the prompt.

    Args:
        number: of the sample.
        most: tokens.
    """
    return {
        "model": model,
        "max_tokens": most,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": _seed(sampling.seed, number),
    }


def trailing_space(prompt: Prompt) -> str:
    """The white space at the end of a text prompt, which the completion can begin with instead.

    "" where that would not do: nothing else is there, or a stop string would end the completion in it. Or where the
    prompt is to be sent as it is.
    """
    if not isinstance(prompt, TextPrompt) or not prompt.heal:
        return ""
    end = prompt.prompt[len(prompt.prompt.rstrip()) :]
    return "" if end == prompt.prompt or any(stop in end for stop in prompt.stop) else end


def stops_after_text(prompt: Prompt) -> bool:
    """Whether stop strings count only behind some text, which no server can be asked for."""
    return isinstance(prompt, TextPrompt) and prompt.stop_after_text


def _more(sampling: SamplingParams) -> Body:
    """The settings that are not at their defaults, which not every server knows.

    OpenAI's own servers have the penalties and the bias; vLLM, llama.cpp and ours have the others, too.
    """
    default = SamplingParams()
    body: Body = {
        key: getattr(sampling, key) for key in _MORE if getattr(sampling, key) != getattr(default, key)
    }
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): max(bias, _LEAST_BIAS) for token, bias in sampling.logit_bias}
    return body


def _seed(seed: int, number: int) -> int:
    """A seed of each sample's own, as small as servers take."""
    return draw(seed, number, size=4) & 0x7FFFFFFF
