"""Completions at an editor's cursor: the text before it, the text after it, and what other files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codecascade.generation.editing.prompt import (
    EditorPrompt,
    editor_format,
    editor_prompt,
)
from codecascade.generation.editing.stops import EditorLines, EditorStops
from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import SamplingParams, middle_request
from codecascade.server.answers.service import Service
from codecascade.server.http.errors import ApiError
from codecascade.server.requests.fitting import fitted
from codecascade.server.requests.prompts import Prompt, checked, prompt_limit, text_prompt, within_characters
from codecascade.tokens.infilling import infilling_prompt
from codecascade.tokens.infilling_text import recognise
from codecascade.tokens.repository import RepositoryChunk


@dataclass(frozen=True)
class Snippet:
    """A part of another file."""

    path: str
    text: str


@dataclass(frozen=True)
class Gap:
    """Where an editor wants text.

    Attributes:
        path, repository: the names of the file and of what it belongs to, where they are known.
        snippets: of other files, the least telling first.
        language: as in ``python``.
        lines, min_indent, time_limit: see :class:`~codecascade.generation.editing.stops.EditorStops`.
        editor_stops: the layout is the one that is quickest between two keystrokes, and the text ends where an editor
            wants it to end. False: the layout is the model's first, and the model ends the text.
        format: the layout that is wanted, whatever the other settings say; None: as above.
    """

    prefix: str
    suffix: str
    snippets: Sequence[Snippet] = ()
    path: str = ""
    repository: str = ""
    language: str | None = None
    min_indent: int | None = None
    time_limit: float | None = None
    editor_stops: bool = True
    lines: EditorLines = "block"
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
    heal: bool = True,
) -> Prompt:
    """Fill a gap.

    Args:
        heal: the prefix may end inside a token.
        truncate: leave out what is far from the cursor where there is no room for all; else refuse.

    Raises:
        ApiError: the model can't infill, or the prompt is too long.
    """
    tokenizer = service.tokenizer
    tokens = tokenizer.infilling
    if tokens is None:
        raise ApiError(
            501, "this model was not trained for infilling, so it takes no suffix", kind="not_supported_error"
        )
    layout = gap.format or (editor_format(tokenizer) if gap.editor_stops else tokens.formats[0])
    if layout not in tokens.formats:
        raise ApiError(400, f"must be {' or '.join(tokens.formats)} (got {layout[:20]!r})", "format")
    if truncate:
        ids, cut = _fitted_ids(service, gap, sampling, layout)
    else:
        ids, cut = _all_ids(service, gap, layout), False
    editor = EditorStops(
        gap.prefix,
        gap.suffix,
        gap.language,
        gap.lines,
        min_indent=gap.min_indent,
        time_limit=gap.time_limit,
    )
    request = middle_request(
        tokenizer,
        ids,
        sampling,
        format=layout,
        stop=stop,
        samples=samples,
        heal=heal,
        editor=editor if gap.editor_stops else None,
    )
    # An editor offers its user several to choose from.
    return checked(service, replace(request, alternatives=True), truncated=cut)


def _fitted_ids(service: Service, gap: Gap, sampling: SamplingParams, layout: str) -> tuple[list[int], bool]:
    """The ids of what there is room for, and whether something of the file is missing."""
    tokenizer = service.tokenizer
    # What is to be written needs room, too, but never more than a quarter.
    reserved = min(sampling.max_new_tokens, service.context_length // 4)
    most = prompt_limit(service) - reserved
    room = most - len(infilling_prompt(tokenizer, "", "", format=layout))
    prefix, suffix = fitted(tokenizer, gap.prefix, gap.suffix, room)
    around = EditorPrompt(prefix, suffix, gap.path, gap.repository, _chunks(gap))
    ids = editor_prompt(tokenizer, around, most, format=layout)
    whole = infilling_prompt(tokenizer, prefix, suffix, format=layout)[len(tokenizer.bos()) :]
    cut = (prefix, suffix) != (gap.prefix, gap.suffix) or ids[-len(whole) :] != whole
    return ids, cut


def _all_ids(service: Service, gap: Gap, layout: str) -> list[int]:
    """The ids of everything that the client gave, whether or not there is room for it."""
    texts = [gap.prefix, gap.suffix, *(snippet.text for snippet in gap.snippets)]
    within_characters(service, "".join(texts), prompt_limit(service))
    if not gap.snippets:
        return infilling_prompt(service.tokenizer, gap.prefix, gap.suffix, format=layout)
    around = EditorPrompt(gap.prefix, gap.suffix, gap.path, gap.repository, _chunks(gap), context_share=1.0)
    # A character is at most four bytes, and a byte at most one token; the names of files need some more.
    most = 4 * (gap.size + sum(len(chunk.path) + 16 for chunk in around.chunks)) + 1024
    return editor_prompt(service.tokenizer, around, most + 4 * len(gap.path + gap.repository), format=layout)


def _chunks(gap: Gap) -> tuple[RepositoryChunk, ...]:
    return tuple(RepositoryChunk(snippet.path, snippet.text) for snippet in gap.snippets)


def template_prompt(
    service: Service,
    prompt: str | Sequence[int | str],
    sampling: SamplingParams,
    *,
    stop: Sequence[str] = (),
    samples: int = 1,
    truncate: int | None = None,
    heal: bool = True,
    heal_gap: bool = True,
    editor_stops: bool = True,
    grammar: Grammar | None = None,
    recognises: bool = True,
) -> Prompt:
    """Continue a text, or (if ``recognises``) fill the gap where the text is the infilling template of a family.

    Either may end inside a token where new text is wanted: a text with ``heal``, a gap with ``heal_gap``.

    Stop strings that are the template's marks are of no use then, and do no harm: no mark is ever written as text.
    """
    found = None
    if isinstance(prompt, str) and service.can_infill and grammar is None and recognises:
        found = recognise(prompt)
    if found is not None:
        gap = Gap(
            found.prefix,
            found.suffix,
            [Snippet(path, content) for path, content in found.context.files],
            found.context.path,
            found.context.repository,
            editor_stops=editor_stops,
        )
        return gap_prompt(
            service, gap, sampling, stop=stop, samples=samples, truncate=truncate is not None, heal=heal_gap
        )
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
