"""A dialogue as a training example: which answers have a loss, and what becomes of one that is too long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import accumulate

import numpy as np

from codecascade.tokens.chat import DialogueTokens, Message, dialogue_tokens
from codecascade.tokens.templates.renderer import RenderingTooLarge
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.examples import TrainingExample
from codecascade.training.stream.settings import ChatSettings

_NO_IDS = np.zeros(0, np.int32)
_NO_WEIGHTS = np.zeros(0, np.float32)
# Up to so many characters and messages a dialogue is encoded whole. A template may leave out what is long, such as
# what a model thought, so that nothing is known before.
_WHOLE_CHARACTERS, _WHOLE_MESSAGES = 1 << 18, 128
# Of a longer one so many characters for each token of a row are encoded at once; a turn has at least so many.
_CHARACTERS, _TURN = 8, 32
Encode = Callable[[int], DialogueTokens]
"""Encodes a dialogue up to a message, which is an answer."""


def dialogue_example(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    context: int,
    document_id: str,
    settings: ChatSettings = ChatSettings(),  # noqa: B008  (immutable)
    without_loss: frozenset[int] = frozenset(),
    epoch: int = 0,
) -> TrainingExample:
    """A dialogue in at most ``context`` tokens, with weight 1 on its answers and their ends, and 0 elsewhere.

    Some formats write earlier answers otherwise than the last one, which alone has a loss then. Of such a dialogue
    each epoch ends with another answer, the last one first, so that all are learnt in turn.

    Args:
        without_loss: indices of messages whose answers have no loss.

    Returns:
        The example; without any ids where none of its answers begins in time (``truncated`` is true then). So it is
        of a dialogue that is longer than a row and that the chat template takes too much time or memory for.
    """
    if settings.system is not None and messages[0].role != "system":
        messages = [Message("system", settings.system), *messages]
        without_loss = frozenset(index + 1 for index in without_loss)
    answers = [
        index
        for index, message in enumerate(messages)
        if message.role == "assistant" and index not in without_loss
    ]
    learnt = answers[-1:] if settings.loss == "last" else answers
    try:
        fitted, truncated = _in_context(tokenizer, messages, answers, learnt, context, settings, epoch)
    except RenderingTooLarge:
        # fewer characters than a row has tokens are never too long: then it is the template's fault
        if sum(len(message.content) for message in messages) <= context:
            raise
        fitted = None
    if fitted is None:
        return TrainingExample(_NO_IDS, _NO_WEIGHTS, document_id, indivisible=True, truncated=True)
    weights = np.isin(np.array(fitted.answer_of), learnt)
    return TrainingExample(
        np.array(fitted.ids, np.int32),
        weights.astype(np.float32),
        document_id,
        indivisible=True,
        truncated=truncated,
    )


def _in_context(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    answers: Sequence[int],
    learnt: Sequence[int],
    context: int,
    settings: ChatSettings,
    epoch: int,
) -> tuple[DialogueTokens | None, bool]:
    """What of a dialogue fits, None if nothing does, and whether that is less than all."""
    longest = context * _longest_token(tokenizer)
    is_long = (
        len(messages) > _WHOLE_MESSAGES or sum(len(each.content) for each in messages) > _WHOLE_CHARACTERS
    )
    if is_long:
        # what is not in a row in any case is not rendered either
        messages = [Message(each.role, _beginning(each.content, longest)) for each in messages]

    @cache
    def encode(last: int) -> DialogueTokens:
        return dialogue_tokens(tokenizer, messages[: last + 1])

    reach = _reach(messages, answers, encode, context, longest) if is_long else answers[-1]
    within = learnt[: bisect_left(learnt, reach + 1)]
    if within and epoch % len(learnt) and not {*within} <= {*encode(within[-1]).answers}:
        learnt = learnt[: len(learnt) - epoch % len(learnt)]
        within = within[: len(learnt)]
    fitted = _fitted(encode(within[-1]), within[-1], context) if within else None
    if fitted is not None and len(within) == len(learnt):
        return fitted, False
    # the answer that alone is to be learnt is at the end, which does not fit
    if not within or settings.too_long != "cut" or settings.loss != "all":
        return None, True
    return (_cut(encode, within, context) if fitted is None else fitted), True


@lru_cache(maxsize=8)
def _longest_token(tokenizer: Tokenizer) -> int:
    """The most characters that one token stands for."""
    return max(map(len, tokenizer.vocabulary))


def _beginning(text: str, characters: int) -> str:
    """A text, or of one that is longer than any row as much as is still too long, with or without white space."""
    if len(text) <= characters or len(text.strip()) <= characters:
        return text
    # a letter at the end, since a template may strip what it is given
    return text[: len(text) - len(text.lstrip()) + characters] + "x"


def _reach(
    messages: Sequence[Message], answers: Sequence[int], encode: Encode, context: int, longest: int
) -> int:
    """The last answer that may begin within ``context`` tokens; -1: none.

    Twice as much of the dialogue is encoded each time, until its last answer begins too late. So of a dialogue that
    is far longer than the row only its beginning is ever encoded.

    Args:
        longest: the most characters of so many tokens.
    """
    texts = list(accumulate((len(message.content.strip()) for message in messages), initial=0))
    possible = [index for index in answers if texts[index] <= longest]
    sizes = [texts[index + 1] + index * _TURN for index in possible]
    size, tried = _CHARACTERS * context, -1
    while tried < len(possible) - 1:
        tried = max(tried + 1, bisect_left(sizes, size + 1) - 1)
        if tried < len(possible) - 1 and not _begins(encode(possible[tried]), possible[tried], context):
            break
        size = 2 * max(size, sizes[tried])
    return possible[tried] if possible else -1


def _begins(tokens: DialogueTokens, answer: int, context: int) -> bool:
    return answer in tokens.answer_of[:context]


def _fitted(tokens: DialogueTokens, last: int, context: int) -> DialogueTokens | None:
    """A dialogue that ends with the answer ``last``; None if the answer does not fit.

    Where only what the format writes behind it does not fit, such as ChatML's line break, that is left out.
    """
    if len(tokens) <= context:
        return tokens
    if last in tokens.answer_of[context:] or last not in tokens.answer_of:
        return None
    return DialogueTokens(tokens.ids[:context], tokens.answer_of[:context])


def _cut(encode: Encode, learnt: Sequence[int], context: int) -> DialogueTokens | None:
    """The dialogue up to the last of the ``learnt`` answers with which it fits.

    If not even the first one fits, that answer loses its end; None if it would lose all.
    """
    ends = {index: position + 1 for position, index in enumerate(encode(learnt[-1]).answer_of)}

    def too_late(answer: int) -> bool:
        # where a format writes all answers alike, their ends are known
        return ends[answer] > context if answer in ends else not _begins(encode(answer), answer, context)

    for index in reversed(learnt[: bisect_left(learnt, True, hi=len(learnt) - 1, key=too_late)]):
        shorter = _fitted(encode(index), index, context)
        if shorter is not None:
            return shorter
    first = encode(learnt[0])
    if not _begins(first, learnt[0], context):
        return None
    return DialogueTokens(first.ids[:context], first.answer_of[:context])
