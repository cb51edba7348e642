"""Lists of requests, completed by an engine: the generators of evaluation, self-instruct and the commands."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import replace
from typing import Generic, TypeVar

import torch

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.output import Output
from codecascade.generation.engine.scoring import log_probabilities
from codecascade.generation.engine.service import PassEngine
from codecascade.generation.engine.weights.held import HeldWeights, load_model
from codecascade.generation.requests import Completion, Request, SamplingParams
from codecascade.ground.choices import Weights
from codecascade.model.llama import Llama
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer

Name = TypeVar("Name")
EngineT = TypeVar("EngineT", bound=PassEngine)


def load_generator(
    name: str,
    *,
    device: str | None = None,
    precision: Weights = "auto",
    batch_tokens: int | None = None,
    context: int | None = None,
) -> LocalGenerator:
    """A generator for a folder, a GGUF file, a hub name or a preset.

    Args:
        device: ``cpu`` or ``cuda``; None takes CUDA where it is there.
        precision: of weights and cache; ``auto`` takes bf16 where the hardware has instructions for it, else fp32.
            ``int8`` and ``int4`` are of the weights alone: the cache is as with ``auto``.
        batch_tokens: see :class:`LocalGenerator`.
        context: most tokens of prompt and completion together, which may be more than the model was made for;
            None: the model's own ``max_position_embeddings``.

    Raises:
        UserError: there is no such model, or it can't be used.
    """
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    loaded, held = load_model(name, target, precision)
    generator = LocalGenerator(loaded.model, loaded.tokenizer, batch_tokens=batch_tokens, context=context)
    generator.weights = held
    return generator


class PassGenerator(Generic[EngineT]):
    """Completes lists of requests by an engine that works in passes.

    Args:
        engine: belongs to the generator from now on.
    """

    def __init__(self, engine: EngineT) -> None:
        self.engine = engine
        # outputs of requests that another iterator waits for
        self._outputs: dict[int, deque[Output]] = defaultdict(deque)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.engine.tokenizer

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and completion together."""
        return self.engine.context_length

    def generate(self, requests: SequenceOf[Request]) -> Iterator[Completion]:
        """Completions as they end; see :class:`~codecascade.generation.requests.Generator`."""
        waiting: list[tuple[int, Request]] = []
        for index, request in enumerate(requests):
            if self._can_be_asked(request):
                waiting.append((index, request))
            else:
                yield from (Completion(index, sample, "", (), "context") for sample in request.sample_numbers)
        # the longest first: what does not fit fails at once
        waiting.sort(key=lambda item: -len(item[1].ids))
        # Samples whose references are not scored yet. They are read with their prompt, so that they are few.
        held: dict[int, list[Completion]] = {}
        ways: dict[int, dict[int, tuple[float, ...]]] = {}
        scored: dict[int, tuple[tuple[float, ...], ...]] = {}
        asked: list[tuple[tuple[int, int | None], Request]] = []
        for index, request in waiting:
            asked.append(((index, None), request))
            if request.references and all(map(self._can_score, request.references)):
                # right behind the prompt, which the cache then holds
                asked += [((index, way), _scoring(each)) for way, each in enumerate(request.references)]
                held[index], ways[index] = [], {}
        for (index, way), output in self._run(asked):
            if (done := output.completion) is None:
                continue
            if way is not None:
                found = ways[index]
                found[way] = tuple(each.logprob for each in output.delta.prompt_logprobs)
                if len(found) == len(requests[index].references):
                    scored[index] = tuple(found[each] for each in sorted(found))
                    yield from (replace(each, references=scored[index]) for each in held.pop(index))
            elif index in held:
                held[index].append(replace(done, request=index))
            else:
                yield replace(done, request=index, references=scored.get(index))

    def stream(self, request: Request) -> Iterator[str]:
        """The text of one completion in pieces, each as soon as it is certain.

        Raises:
            UserError: the prompt leaves no room in the context.
        """
        self._prepare(request)
        if request.samples != 1:
            raise ValueError("one sample can be streamed")
        for _, output in self._run([(0, request)]):
            if output.delta.text:
                yield output.delta.text

    def _can_be_asked(self, request: Request) -> bool:
        """Whether the prompt leaves room in the context."""
        return len(request.ids) < self.context_length

    def _can_score(self, reference: ReferenceTokens) -> bool:
        """Whether the engine tells how likely a reference answer is; else it is passed over."""
        return False

    def _prepare(self, request: Request) -> None:
        """Have what the request needs.

        Raises:
            UserError: the prompt leaves no room in the context.
        """
        self.engine.check(request)

    def _run(self, requests: SequenceOf[tuple[Name, Request]]) -> Iterator[tuple[Name, Output]]:
        """What the engine gives to these requests, until all have ended; those left over are taken out.

        Args:
            requests: each with a name, which comes back with what the engine gives.
        """
        engine = self.engine
        for _, request in requests:
            self._prepare(request)
        names: dict[int, Name] = {}
        left = {}
        try:
            for name, request in requests:
                number = engine.add_request(request)
                names[number], left[number] = name, request.samples
            while left:
                for output in engine.step():
                    self._outputs[output.request].append(output)
                for number in list(left):
                    for output in self._outputs.pop(number, ()):
                        if output.error is not None:
                            raise output.error
                        left[number] -= output.completion is not None
                        yield names[number], output
                    if not left[number]:
                        del left[number]
        finally:
            for number in left:
                engine.abort(number)
                self._outputs.pop(number, None)


class LocalGenerator(PassGenerator[Engine]):
    """Generates with a model in memory, in the model's own dtype and on its device.

    Results depend on the batch only as far as rounding does, as those of the engine behind it.

    Args:
        batch_tokens: tokens that the cache has memory for, of all samples that run at a time: bounds the memory,
            whatever is asked for, unless a single sample needs more. None: 1 GiB, but at least 16,384 tokens.
        prefill_tokens: tokens in one forward pass; longer prompts are read in chunks.
        context: most tokens of prompt and completion together; None: the model's own.

    Attributes:
        weights: how they are held, where :func:`load_generator` has loaded them.
    """

    weights: HeldWeights | None = None

    def __init__(
        self,
        model: Llama,
        tokenizer: Tokenizer,
        *,
        batch_tokens: int | None = None,
        prefill_tokens: int = 2_048,
        context: int | None = None,
    ) -> None:
        self.model = model
        self.prefill_tokens = prefill_tokens
        # No speculation: whether it pays depends on the machine's load, and where bf16 rounds another way for another
        # number of rows an evaluation would not give the same twice.
        super().__init__(
            Engine(model, tokenizer, cache_tokens=batch_tokens, chunk_tokens=prefill_tokens, context=context)
        )

    def log_probabilities(self, sequences: SequenceOf[SequenceOf[int]]) -> Iterator[tuple[int, list[float]]]:
        """See :class:`~codecascade.generation.requests.Scorer`."""
        return log_probabilities(self.model, sequences, self.prefill_tokens)

    def reference_scores(self, references: SequenceOf[ReferenceTokens]) -> Iterator[tuple[int, list[float]]]:
        """See :class:`~codecascade.generation.requests.Scorer`."""
        sequences = [reference.ids for reference in references]
        any_last = [reference.any_last for reference in references]
        for index, scores in log_probabilities(self.model, sequences, self.prefill_tokens, any_last):
            yield index, scores[references[index].first - 1 :]

    def _can_be_asked(self, request: Request) -> bool:
        """Whether the prompt leaves room in the context or, where that is no end, in the machine's memory."""
        if super()._can_be_asked(request):
            return True
        engine = self.engine
        if not engine.goes_beyond(request):
            return False
        return engine.has_memory_for(len(request.ids) + engine.room(request))

    def _can_score(self, reference: ReferenceTokens) -> bool:
        """See :meth:`PassGenerator._can_score`. What leaves no room in the context is not scored."""
        return len(reference.ids) < self.context_length

    def _prepare(self, request: Request) -> None:
        """See :meth:`PassGenerator._prepare`. The cache grows where a single sample needs more than it has."""
        self.engine.reserve(len(request.ids) + self.engine.room(request))


def _scoring(reference: ReferenceTokens) -> Request:
    """A request that writes nothing and tells how likely the reference answer is."""
    return Request(
        reference.ids,
        SamplingParams(max_new_tokens=0, prompt_logprobs=0),
        stop_ids=frozenset(),
        scored_from=reference.first,
        any_last=reference.any_last,
    )
