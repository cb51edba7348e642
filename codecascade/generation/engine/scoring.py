"""How likely given texts are: packed passes without a cache, long texts in chunks, and prompts as they are read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from codecascade.generation.engine.sequence import Sequence as SampleSequence
from codecascade.generation.engine.weights.health import no_numbers
from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.model.attention import Documents
from codecascade.model.cache import KeyValueCache
from codecascade.model.llama import Llama

# Positions whose logits exist at a time: few stay in the CPU's caches.
_LOGIT_ROWS = 64
# Tokens of a chunk of a long text times those before it: bounds the attention's memory.
_SCORED_PAIRS = 1 << 23


def log_probabilities(
    model: Llama, sequences: Sequence[Sequence[int]], pass_tokens: int
) -> Iterator[tuple[int, list[float]]]:
    """``(index, scores)`` of each sequence; see :class:`~codecascade.generation.requests.Scorer`.

    Args:
        pass_tokens: tokens in one forward pass; longer sequences are read in chunks.

    Raises:
        UserError: the model gives no numbers.
    """
    for index, scores in _all_scores(model, sequences, pass_tokens):
        if not math.isfinite(sum(scores)):
            raise no_numbers(model)
        yield index, scores


def _all_scores(
    model: Llama, sequences: Sequence[Sequence[int]], pass_tokens: int
) -> Iterator[tuple[int, list[float]]]:
    packed: list[int] = []
    tokens = 0
    for index, sequence in enumerate(sequences):
        if len(sequence) < 2:
            # no token comes after another
            yield index, []
            continue
        if len(sequence) > pass_tokens:
            yield index, _score_long(model, sequence, pass_tokens)
            continue
        if packed and tokens + len(sequence) > pass_tokens:
            yield from zip(packed, _score(model, [sequences[each] for each in packed]), strict=True)
            packed, tokens = [], 0
        packed.append(index)
        tokens += len(sequence)
    if packed:
        yield from zip(packed, _score(model, [sequences[each] for each in packed]), strict=True)


def note_prompt_logprobs(model: Llama, parts: Sequence[tuple[SampleSequence, int]], hidden: Tensor) -> None:
    """Note how likely the prompts' next tokens were, where the requests ask for that.

    Args:
        parts: the sequences of a pass, which have not counted it yet, each with its tokens in ``hidden``
            (tokens, hidden_size).
    """
    first = 0
    for sequence, count in parts:
        state, start = sequence.state, sequence.computed
        if state.wants_prompt_logprobs:
            following = state.request.ids[start + 1 : start + 1 + count]
            # what was noted of a pass that did not count is noted again
            state.prompt_logprobs.truncate(start)
            rows = hidden[first : first + len(following)]
            top = state.request.sampling.prompt_logprobs or 0
            state.prompt_logprobs.extend(_token_logprobs(model, rows, following, top))
        first += count


def _token_logprobs(
    model: Llama, hidden: Tensor, following: Sequence[int], top: int
) -> Iterator[TokenLogprobs]:
    """Of the tokens that follow each of the rows (tokens, hidden_size), with ``top`` of the likeliest."""
    for start in range(0, len(following), _LOGIT_ROWS):
        chosen = following[start : start + _LOGIT_ROWS]
        logits = model.logits(hidden[start : start + _LOGIT_ROWS]).float()
        scores = logits - logits.logsumexp(-1, keepdim=True)
        of_chosen = scores.gather(-1, torch.tensor(chosen, device=scores.device)[:, None])[:, 0].tolist()
        best = scores.topk(min(top, scores.shape[-1]))
        rows = zip(chosen, of_chosen, best.indices.tolist(), best.values.tolist(), strict=True)
        for token, score, ids, values in rows:
            yield TokenLogprobs(token, score, tuple(zip(ids, values, strict=True)))


@torch.inference_mode()
def _score(model: Llama, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
    """Of packed sequences, each by itself."""
    device = next(model.parameters()).device
    sizes = [len(sequence) for sequence in sequences]
    tokens = torch.tensor([[*chain.from_iterable(sequences)]], dtype=torch.int64, device=device)
    positions = torch.cat([torch.arange(size, device=device) for size in sizes])
    hidden = model(tokens, positions=positions[None], mask=Documents(tuple(sizes)))[0]
    predicted = (positions > 0).nonzero()[:, 0]
    scores = _scores(model, hidden[predicted - 1], tokens[0, predicted])
    return [part.tolist() for part in torch.split(scores, [size - 1 for size in sizes])]


@torch.inference_mode()
def _score_long(model: Llama, sequence: Sequence[int], pass_tokens: int) -> list[float]:
    """In chunks, so that memory grows with the text by its keys and values only."""
    weight = next(model.parameters())
    tokens = torch.tensor(sequence, device=weight.device)
    last = len(sequence) - 1
    cache = KeyValueCache.allocate(model.config, 1, last, weight.dtype, weight.device)
    scores: list[float] = []
    while (start := len(scores)) < last:
        end = min(last, start + pass_tokens, start + max(1, _SCORED_PAIRS // (start + 1)))
        hidden = model(tokens[None, start:end], cache=cache, mask=Documents((end - start,)))[0]
        scores += _scores(model, hidden, tokens[start + 1 : end + 1]).tolist()
    return scores


def _scores(model: Llama, hidden: Tensor, targets: Tensor) -> Tensor:
    """(tokens, hidden_size) and the tokens that follow, to the log-probability of each."""
    return torch.cat(
        [
            -F.cross_entropy(model.logits(part).float(), those, reduction="none")
            for part, those in zip(
                torch.split(hidden, _LOGIT_ROWS), torch.split(targets, _LOGIT_ROWS), strict=True
            )
        ]
    )
