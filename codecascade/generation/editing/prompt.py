"""The prompt of an editor's completion: as much of the file as fits around the cursor, and parts of other files.

Chunks of other files come first (:mod:`codecascade.tokens.repository`), where a prefix cache finds them again at the
next keystroke.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from codecascade.corpus.code.windows import PREFIX_SHARE
from codecascade.ground.errors import UserError
from codecascade.tokens.infilling import infilling_prompt
from codecascade.tokens.repository import LETTERS, SNIPPET, RepositoryChunk, repository_context
from codecascade.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class EditorPrompt:
    """What is known at a cursor.

    Attributes:
        chunks: of other files; the last ones are the most important.
        prefix_share: of the room for both, what the prefix gets where it and the suffix do not fit.
        context_share: of all the room, what chunks get at most.
    """

    prefix: str
    suffix: str
    path: str = ""
    repository: str = ""
    chunks: tuple[RepositoryChunk, ...] = ()
    prefix_share: float = PREFIX_SHARE
    context_share: float = 0.5

    def __post_init__(self) -> None:
        for key in ("prefix_share", "context_share"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"must be from 0 to 1 (got {getattr(self, key)})", key=key)


def editor_format(tokenizer: Tokenizer) -> str:
    """The layout for editors: SPM where the model was trained on it.

    Its prompt ends in the prefix, so that a keystroke adds a few tokens to what is in the prefix cache. PSM's ends
    in the suffix, which is read anew each time.

    Raises:
        UserError: the tokenizer has no infilling tokens.
    """
    tokens = tokenizer.infilling
    if tokens is None:
        raise UserError("the tokenizer has no infilling tokens; train an infilling stage first")
    return "spm" if "spm" in tokens.formats else tokens.formats[0]


def editor_prompt(
    tokenizer: Tokenizer,
    prompt: EditorPrompt,
    most_tokens: int,
    *,
    format: str | None = None,  # noqa: A002
) -> list[int]:
    """The ids of a prompt of at most ``most_tokens``.

    The prefix loses lines from its beginning, the suffix from its end, and the first chunks are left out.

    Args:
        format: "psm" or "spm"; None for :func:`editor_format`.

    Raises:
        UserError: the tokenizer has no infilling tokens, does not know the layout, or nothing fits.
    """
    layout = format or editor_format(tokenizer)
    overhead = len(infilling_prompt(tokenizer, "", "", format=layout))
    prefix, suffix = fit_around_cursor(prompt, _room(most_tokens, overhead), _counter(tokenizer))
    return _with_context(
        tokenizer, prompt, infilling_prompt(tokenizer, prefix, suffix, format=layout), most_tokens
    )


def continued_prompt(tokenizer: Tokenizer, prompt: EditorPrompt, most_tokens: int) -> list[int]:
    """The ids of a prompt of at most ``most_tokens`` that the model continues, left to right.

    The suffix is not read. The prefix and the chunks are cut as in :func:`editor_prompt`.

    Raises:
        UserError: nothing fits.
    """
    alone = replace(prompt, suffix="")
    prefix, _ = fit_around_cursor(alone, _room(most_tokens, len(tokenizer.bos())), _counter(tokenizer))
    behind = [*tokenizer.bos(), *tokenizer.encode_continuation(prefix)]
    made = _with_context(tokenizer, prompt, behind, most_tokens)
    # Alone, the prefix begins a text. Vocabularies of SentencePiece begin one with a space.
    return made if len(made) > len(behind) else tokenizer.encode(prefix, bos=True)


def prompt_texts(prompt: EditorPrompt, most_characters: int) -> tuple[str, str]:
    """The prefix, behind the chunks, and the suffix as texts, for a server that makes its own tokens of them.

    It can't be sent a family's tokens for repositories, so the chunks stand as other families get them.

    Raises:
        UserError: nothing fits.
    """
    prefix, suffix = fit_around_cursor(prompt, _room(most_characters, 0), len)
    left = min(most_characters - len(prefix) - len(suffix), int(most_characters * prompt.context_share))
    taken: list[str] = []
    for chunk in reversed(prompt.chunks):
        text = SNIPPET + chunk.text
        if len(text) > left:
            break
        left -= len(text)
        taken.append(text)
    return "".join(reversed(taken)) + prefix, suffix


def _room(most: int, overhead: int) -> int:
    if most - overhead < 1:
        raise UserError(f"a prompt needs more than {overhead} tokens (got {most})", key="context")
    return most - overhead


def _counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    return lambda text: len(tokenizer.encode(text))


def _with_context(tokenizer: Tokenizer, prompt: EditorPrompt, own: list[int], most_tokens: int) -> list[int]:
    begin = len(tokenizer.bos())
    return [*own[:begin], *repository_ids(tokenizer, prompt, len(own), most_tokens), *own[begin:]]


def repository_ids(tokenizer: Tokenizer, prompt: EditorPrompt, own: int, most_tokens: int) -> list[int]:
    """What :func:`editor_prompt` puts before a prompt of ``own`` tokens: the chunks that fit into ``most_tokens``."""
    room = min(most_tokens - own, int(most_tokens * prompt.context_share))
    return repository_context(tokenizer, prompt.chunks, room, repository=prompt.repository, path=prompt.path)


def fit_around_cursor(prompt: EditorPrompt, room: int, size: Callable[[str], int]) -> tuple[str, str]:
    """``(prefix, suffix)`` of at most ``room`` tokens together: the nearest whole lines.

    The suffix gets its share and what the prefix leaves over, and the prefix the rest. Of a line that alone is too
    long a part is left.

    Args:
        size: the tokens of a text, or what else ``room`` is counted in.
    """
    prefix, suffix = prompt.prefix[-room * LETTERS :], prompt.suffix[: room * LETTERS]
    if size(prefix) + size(suffix) <= room:
        return prefix, suffix
    for_suffix = max(int(room * (1 - prompt.prefix_share)), room - size(prefix))
    lines = suffix.splitlines(keepends=True)
    suffix = _most_that_fits(lines, for_suffix, size, from_end=False)
    lines = prefix.splitlines(keepends=True)
    return _most_that_fits(lines, room - size(suffix), size, from_end=True), suffix


def _most_that_fits(lines: list[str], room: int, size: Callable[[str], int], *, from_end: bool) -> str:
    """As many lines as have at most ``room`` tokens; where not one does, a part of it."""

    def longest(parts: Sequence[str]) -> str:
        low, high = 0, len(parts)
        while low < high:
            middle = (low + high + 1) // 2
            if size("".join(parts[-middle:] if from_end else parts[:middle])) <= room:
                low = middle
            else:
                high = middle - 1
        return "".join(parts[len(parts) - low :] if from_end else parts[:low])

    if not lines:
        return ""
    return longest(lines) or longest(lines[-1] if from_end else lines[0])
