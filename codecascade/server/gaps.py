"""Completions at an editor's cursor: the text before it, the text after it, and what other files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codecascade.generation.editor_stops import EditorStops
from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import SamplingParams, infilling_request
from codecascade.server.errors import ApiError
from codecascade.server.fitting import fitted
from codecascade.server.prompts import Prompt, checked, prompt_limit, text_prompt
from codecascade.server.service import Service
from codecascade.tokens.infilling import infilling_prompt
from codecascade.tokens.infilling_text import recognise

_SLACK = 8
"""Tokens that a text may have more once it is cut, for it is encoded anew."""


@dataclass(frozen=True)
class Snippet:
    """A part of another file."""

    path: str
    text: str


@dataclass(frozen=True)
class Gap:
    """Where an editor wants text.

    Attributes:
        snippets: of other files, the least telling first.
        language: as in ``python``.
        min_indent, time_limit: see :class:`~codecascade.generation.editor_stops.EditorStops`.
        editor_stops: end where an editor wants the text to end; False: where the model ends it.
        format: the layout of the prompt; None: the first that the model knows.
    """

    prefix: str
    suffix: str
    snippets: Sequence[Snippet] = ()
    language: str | None = None
    min_indent: int | None = None
    time_limit: float | None = None
    editor_stops: bool = True
    format: str | None = None

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.prefix) + len(self.suffix) + sum(len(snippet.text) for snippet in self.snippets)


def gap_prompt(
    service: Service,
    gap: Gap,
    sampling: SamplingParams,
    *,
    stop: Sequence[str] = (),
    samples: int = 1,
    truncate: bool = True,
) -> Prompt:
    """Fill a gap.

    Args:
        truncate: leave out what is far from the cursor where there is no room for all; else refuse.

    Raises:
        ApiError: the model can't infill, or the prompt is too long.
    """
    tokens = service.tokenizer.infilling
    if tokens is None:
        raise ApiError(
            501, "this model was not trained for infilling, so it takes no suffix", kind="not_supported_error"
        )
    layout = gap.format or tokens.formats[0]
    if layout not in tokens.formats:
        raise ApiError(400, f"must be {' or '.join(tokens.formats)} (got {layout[:20]!r})", "format")
    prefix, suffix = gap.prefix, gap.suffix
    if truncate:
        # What is to be written needs room, too, but never more than a quarter.
        reserved = min(sampling.max_new_tokens, service.context_length // 4)
        control = len(infilling_prompt(service.tokenizer, "", "", format=layout)) + _SLACK
        room = prompt_limit(service) - reserved - control
        prefix, suffix = fitted(service.tokenizer, prefix, suffix, room)
    request = infilling_request(
        service.tokenizer, prefix, suffix, sampling, format=layout, stop=stop, samples=samples
    )
    editor = (
        EditorStops(
            gap.prefix,
            gap.suffix,
            gap.language,
            min_indent=gap.min_indent,
            time_limit=gap.time_limit,
        )
        if gap.editor_stops
        else None
    )
    cut = (prefix, suffix) != (gap.prefix, gap.suffix)
    return checked(service, replace(request, editor=editor), truncated=cut)


def template_prompt(
    service: Service,
    prompt: str | Sequence[int | str],
    sampling: SamplingParams,
    *,
    stop: Sequence[str] = (),
    samples: int = 1,
    truncate: int | None = None,
    heal: bool = True,
    editor_stops: bool = True,
    grammar: Grammar | None = None,
) -> Prompt:
    """Continue a text, or fill the gap where the text is an infilling template of a model that infills.

    Stop strings that are the template's marks are of no use then, and do no harm: no mark is ever written as text.
    """
    found = recognise(prompt) if isinstance(prompt, str) and service.can_infill and grammar is None else None
    if found is not None:
        gap = Gap(found.prefix, found.suffix, editor_stops=editor_stops)
        return gap_prompt(service, gap, sampling, stop=stop, samples=samples, truncate=truncate is not None)
    return text_prompt(
        service,
        prompt,
        sampling,
        stop=stop,
        samples=samples,
        grammar=grammar,
        truncate=truncate,
        heal=heal,
    )
