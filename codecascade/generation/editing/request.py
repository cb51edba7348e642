"""The requests of an editor's completion: fill the gap at a cursor, or only continue what is before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codecascade.generation.editing.prompt import EditorPrompt, continued_prompt, editor_format, editor_prompt
from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.requests import Request, SamplingParams, completion_request, middle_request
from codecascade.tokens.healing import heal as heal_prompt
from codecascade.tokens.tokenizer import Tokenizer


def editor_request(
    tokenizer: Tokenizer,
    prompt: EditorPrompt,
    sampling: SamplingParams,
    *,
    context: int,
    format: str | None = None,  # noqa: A002
    stop: Sequence[str] = (),
    heal: bool = True,
    editor: EditorStops | None = None,
) -> Request:
    """Fill the gap at a cursor; what does not fit into the context is left out of the prompt.

    Args:
        context: tokens of prompt and completion together. The completion gets what it may have, but at most half.
        format: "psm" or "spm"; None for the one that suits editors.
        editor: says where the filling ends.

    Raises:
        UserError: the tokenizer has no infilling tokens, does not know the layout, or nothing fits.
    """
    layout = format or editor_format(tokenizer)
    ids = editor_prompt(tokenizer, prompt, _room(context, sampling), format=layout)
    return middle_request(tokenizer, ids, sampling, format=layout, stop=stop, heal=heal, editor=editor)


def continuation_request(
    tokenizer: Tokenizer,
    prompt: EditorPrompt,
    sampling: SamplingParams,
    *,
    context: int,
    stop: Sequence[str] = (),
    stop_after_text: bool = False,
    heal: bool = True,
) -> Request:
    """Continue the text before a cursor, with the parts of other files before it; the suffix is not read.

    Args:
        context: as for :func:`editor_request`.

    Raises:
        UserError: nothing fits.
    """
    ids, required = continued_prompt(tokenizer, prompt, _room(context, sampling)), b""
    if heal:
        ids, required = heal_prompt(tokenizer, ids)
    made = completion_request(
        tokenizer,
        # The ids are replaced: only whether there is a text counts.
        prompt.prefix[-1:],
        sampling,
        stop=stop,
        stop_after_text=stop_after_text,
        heal=False,
    )
    return replace(made, ids=tuple(ids) or made.ids, required=required)


def _room(context: int, sampling: SamplingParams) -> int:
    return context - min(sampling.max_new_tokens, context // 2)
