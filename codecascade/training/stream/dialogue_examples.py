"""A dialogue as a training example: which answers have a loss, and what becomes of one that is too long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codecascade.tokens.chat import DialogueTokens, Message, dialogue_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.examples import TrainingExample
from codecascade.training.stream.settings import ChatSettings

_NO_IDS = np.zeros(0, np.int32)
_NO_WEIGHTS = np.zeros(0, np.float32)


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
        The example; without any ids where none of its answers begins in time (``truncated`` is true then).
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
    tokens = dialogue_tokens(tokenizer, messages[: answers[-1] + 1])
    if epoch % len(learnt) and not {*learnt} <= {*tokens.answers}:
        last = learnt[len(learnt) - 1 - epoch % len(learnt)]
        learnt = learnt[: learnt.index(last) + 1]
        tokens = dialogue_tokens(tokenizer, messages[: last + 1])
    fitted = _fitted(tokens, learnt[-1], context)
    truncated = fitted is None
    if fitted is None:
        # the answer that alone is to be learnt is at the end, which does not fit
        can_be_cut = settings.too_long == "cut" and settings.loss == "all"
        fitted = _cut(tokenizer, messages, tokens, learnt, context) if can_be_cut else None
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


def _fitted(tokens: DialogueTokens, last: int, context: int) -> DialogueTokens | None:
    """A dialogue that ends with the answer ``last``; None if the answer does not fit.

    Where only what the format writes behind it does not fit, such as ChatML's line break, that is left out.
    """
    if len(tokens) <= context:
        return tokens
    if last in tokens.answer_of[context:] or last not in tokens.answer_of:
        return None
    return DialogueTokens(tokens.ids[:context], tokens.answer_of[:context])


def _cut(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    tokens: DialogueTokens,
    learnt: Sequence[int],
    context: int,
) -> DialogueTokens | None:
    """The dialogue up to the last of the ``learnt`` answers with which it fits.

    If not even the first one fits, that answer loses its end; None if it would lose all.
    """
    ends = {index: position + 1 for position, index in enumerate(tokens.answer_of)}
    for index in reversed(learnt):
        # An answer that is known to end too late needs no second encoding.
        if ends.get(index, 0) > context or index == learnt[-1]:
            continue
        shorter = _fitted(dialogue_tokens(tokenizer, messages[: index + 1]), index, context)
        if shorter is not None:
            return shorter
    first = dialogue_tokens(tokenizer, messages[: learnt[0] + 1])
    if learnt[0] not in first.answer_of[:context]:
        return None
    return DialogueTokens(first.ids[:context], first.answer_of[:context])
