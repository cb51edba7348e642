"""How likely given texts are.

Texts are packed into passes without a cache, and long ones are read in chunks. What texts in a row begin with, such
as a question before its possible answers, is read once. Prompts are scored as they are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise, repeat

import torch
import torch.nn.functional as F
from torch import Tensor

from codecascade.generation.engine.sequence import Sequence as SampleSequence
from codecascade.generation.engine.weights.health import no_numbers
from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.model.attention import Documents
from codecascade.model.cache import BLOCK_SIZE, KeyValueCache
from codecascade.model.llama import Llama

# Positions whose logits exist at a time: few stay in the CPU's caches.
_LOGIT_ROWS = 64
# Tokens of a chunk of a long text times those before it: bounds the attention's memory.
_SCORED_PAIRS = 1 << 23
# Tokens in common from which on texts are read in two passes, with a cache of the first.
_WORTH_SHARING = 4 * BLOCK_SIZE


def log_probabilities(
    model: Llama,
    sequences: Sequence[Sequence[int]],
    pass_tokens: int,
    any_last: Sequence[Sequence[int]] | None = None,
) -> Iterator[tuple[int, list[float]]]:
    """``(index, scores)`` of each sequence; see :class:`~codecascade.generation.requests.Scorer`.

    Args:
        pass_tokens: tokens in one forward pass; longer sequences are read in chunks.
        any_last: of each sequence the tokens any of which may be its last one; the last score is of all of them
            together. Where there are none, it is of the sequence's own.

    Raises:
        UserError: the model gives no numbers, or has a sliding window, which is shorter than a sequence.
    """
    model.config.check_window(max(map(len, sequences), default=1))
    texts = [_Text(ids, last) for ids, last in zip(sequences, any_last or repeat(()), strict=False)]
    for index, scores in _all_scores(model, texts, pass_tokens):
        if not math.isfinite(sum(scores)):
            raise no_numbers(model)
        yield index, scores


@dataclass(frozen=True)
class _Text:
    """A sequence to score, and the tokens any of which may be its last one."""

    ids: Sequence[int]
    any_last: Sequence[int]


def _all_scores(model: Llama, texts: Sequence[_Text], pass_tokens: int) -> Iterator[tuple[int, list[float]]]:
    packed: list[int] = []
    tokens = 0
    for run, shared in _runs([text.ids for text in texts], pass_tokens):
        size = len(texts[run[0]].ids)
        if len(run) > 1:
            yield from zip(run, _score_shared(model, [texts[each] for each in run], shared), strict=True)
        elif size < 2:
            # no token comes after another
            yield run[0], []
        elif size > pass_tokens:
            yield run[0], _score_long(model, texts[run[0]], pass_tokens)
        else:
            if packed and tokens + size > pass_tokens:
                yield from zip(packed, _score(model, [texts[each] for each in packed]), strict=True)
                packed, tokens = [], 0
            packed += run
            tokens += size
    if packed:
        yield from zip(packed, _score(model, [texts[each] for each in packed]), strict=True)


def _runs(sequences: Sequence[Sequence[int]], pass_tokens: int) -> Iterator[tuple[list[int], int]]:
    """The indices of neighbours that are read together for what they begin with, and the length of that in tokens.

    It is a number of whole blocks, and leaves each at least one token. A run of one is a sequence that shares too
    little. The tokens of a longer run are ``pass_tokens`` at most, where shared ones count once.
    """
    run: list[int] = []
    shared = total = 0
    for index, sequence in enumerate(sequences):
        if run:
            most = min(shared, len(sequence) - 1)
            pairs = zip(sequence[: max(0, most)], sequences[run[0]], strict=False)
            common = next((place for place, (one, other) in enumerate(pairs) if one != other), most)
            common -= common % BLOCK_SIZE
            fits = total + len(sequence) - len(run) * common <= pass_tokens
            # one that shares less must not cost the others more than it saves
            if common >= _WORTH_SHARING and fits and len(run) * common >= (len(run) - 1) * shared:
                run.append(index)
                shared, total = common, total + len(sequence)
                continue
            yield run, shared
        run, shared, total = [index], len(sequence) - 1, len(sequence)
    if run:
        yield run, shared


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
            unscored = state.request.scored_from - 1
            begin = max(start, unscored)
            following = state.request.ids[begin + 1 : start + 1 + count]
            # what was noted of a pass that did not count is noted again
            state.prompt_logprobs.truncate(begin - unscored)
            rows = hidden[first + begin - start :][: len(following)]
            top = state.request.sampling.prompt_logprobs or 0
            any_last = state.request.any_last if start + count + 1 >= len(state.request.ids) else ()
            state.prompt_logprobs.extend(_token_logprobs(model, rows, following, top, any_last))
        first += count


def _token_logprobs(
    model: Llama, hidden: Tensor, following: Sequence[int], top: int, any_last: Sequence[int]
) -> Iterator[TokenLogprobs]:
    """Of the tokens that follow each of the rows (tokens, hidden_size), with ``top`` of the likeliest.

    The last one's is that of ``any_last`` together, if there are any.
    """
    for start in range(0, len(following), _LOGIT_ROWS):
        chosen = following[start : start + _LOGIT_ROWS]
        logits = model.logits(hidden[start : start + _LOGIT_ROWS]).float()
        scores = logits - logits.logsumexp(-1, keepdim=True)
        of_chosen = scores.gather(-1, torch.tensor(chosen, device=scores.device)[:, None])[:, 0].tolist()
        if any_last and start + len(chosen) == len(following):
            of_chosen[-1] = _together(scores[-1], any_last).item()
        best = scores.topk(min(top, scores.shape[-1]))
        rows = zip(chosen, of_chosen, best.indices.tolist(), best.values.tolist(), strict=True)
        for token, score, ids, values in rows:
            yield TokenLogprobs(token, score, tuple(zip(ids, values, strict=True)))


@torch.inference_mode()
def _score(model: Llama, texts: Sequence[_Text]) -> list[list[float]]:
    """Of packed sequences, each by itself."""
    device = next(model.parameters()).device
    sizes = [len(text.ids) for text in texts]
    tokens = torch.tensor(
        [[*chain.from_iterable(text.ids for text in texts)]], dtype=torch.int64, device=device
    )
    positions = torch.cat([torch.arange(size, device=device) for size in sizes])
    hidden = model(tokens, positions=positions[None], mask=Documents(tuple(sizes)))[0]
    predicted = (positions > 0).nonzero()[:, 0]
    counts = [size - 1 for size in sizes]
    scores = _scores(model, hidden[predicted - 1], tokens[0, predicted], _last_rows(texts, counts))
    return [part.tolist() for part in torch.split(scores, counts)]


@torch.inference_mode()
def _score_shared(model: Llama, texts: Sequence[_Text], shared: int) -> list[list[float]]:
    """Of sequences whose first ``shared`` tokens are the same, which are whole blocks of a cache."""
    weight = next(model.parameters())
    sequences = [text.ids for text in texts]
    # nothing follows the last token, so it is not read
    tails = [sequence[shared:-1] for sequence in sequences]
    blocks = [-(-len(tail) // BLOCK_SIZE) for tail in tails]
    beginning = range(shared // BLOCK_SIZE)
    cache = KeyValueCache.allocate_blocks(
        model.config, len(beginning) + sum(blocks), weight.dtype, weight.device
    )
    tokens = torch.tensor(sequences[0][:shared], device=weight.device)
    first = cache.rows([beginning], [0])
    hidden = model(tokens[None], cache=first, mask=Documents((shared,)))[0]
    scores = _scores(model, hidden[:-1], tokens[1:]).tolist()
    ends = list(accumulate(blocks, initial=len(beginning)))
    tables = [[*beginning, *range(start, end)] for start, end in pairwise(ends)]
    sizes = [*map(len, tails)]
    states = [hidden[-1:]] * len(tails)
    if sum(sizes):
        read = torch.tensor([[*chain.from_iterable(tails)]], dtype=torch.int64, device=weight.device)
        own = model(read, cache=cache.rows(tables, [shared] * len(tails)), mask=Documents(tuple(sizes)))[0]
        # the first token of a tail is predicted by the last one that is shared
        states = [torch.cat(pair) for pair in zip(states, torch.split(own, sizes), strict=True)]
    targets = torch.tensor([*chain.from_iterable(each[shared:] for each in sequences)], device=weight.device)
    counts = [size + 1 for size in sizes]
    found = _scores(model, torch.cat(states), targets, _last_rows(texts, counts))
    return [scores + part.tolist() for part in torch.split(found, counts)]


@torch.inference_mode()
def _score_long(model: Llama, text: _Text, pass_tokens: int) -> list[float]:
    """In chunks, so that memory grows with the text by its keys and values only."""
    weight = next(model.parameters())
    tokens = torch.tensor(text.ids, device=weight.device)
    last = len(text.ids) - 1
    cache = KeyValueCache.allocate(model.config, 1, last, weight.dtype, weight.device)
    scores: list[float] = []
    while (start := len(scores)) < last:
        end = min(last, start + pass_tokens, start + max(1, _SCORED_PAIRS // (start + 1)))
        hidden = model(tokens[None, start:end], cache=cache, mask=Documents((end - start,)))[0]
        ending = _last_rows([text], [end - start]) if end == last else {}
        scores += _scores(model, hidden, tokens[start + 1 : end + 1], ending).tolist()
    return scores


def _last_rows(texts: Sequence[_Text], counts: Sequence[int]) -> dict[int, Sequence[int]]:
    """The rows that predict last tokens of which there are several, given how many rows each text has."""
    rows = accumulate(counts)
    return {row - 1: text.any_last for text, row in zip(texts, rows, strict=True) if text.any_last}


def _scores(
    model: Llama, hidden: Tensor, targets: Tensor, together: Mapping[int, Sequence[int]] | None = None
) -> Tensor:
    """(tokens, hidden_size) and the tokens that follow, to the log-probability of each.

    Args:
        together: of some rows the tokens any of which may follow, for the log-probability of all of them.
    """
    found = []
    pairs = zip(torch.split(hidden, _LOGIT_ROWS), torch.split(targets, _LOGIT_ROWS), strict=True)
    for number, (part, those) in enumerate(pairs):
        logits = model.logits(part).float()
        scores = -F.cross_entropy(logits, those, reduction="none")
        for row, ids in (together or {}).items():
            if 0 <= (own := row - number * _LOGIT_ROWS) < len(those):
                scores[own] = _together(logits[own].log_softmax(-1), ids)
        found.append(scores)
    return torch.cat(found)


def _together(scores: Tensor, ids: Sequence[int]) -> Tensor:
    """The log-probability of any of some tokens, given that of each of a model's rows (rows,).

    A tokenizer may have tokens for which a model has no row.
    """
    rows = [token for token in ids if token < len(scores)]
    return scores[torch.tensor(rows, device=scores.device)].logsumexp(-1)
