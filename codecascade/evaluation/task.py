"""What a benchmark consists of: tasks, and figures made of what became of them.

A benchmark says what is asked, what is run and how an answer is judged; the driver (:mod:`driver`) does the asking,
the running and the keeping. So every benchmark can be stopped and continued, scored from a file of samples, and
asked of a model in memory as of an endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.data import BenchmarkData
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.rows import SampleRow, was_asked
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.settings import BenchmarkSettings, CommonSettings, OwnSettings
from codecascade.evaluation.size import BenchmarkSize, TokenEstimate
from codecascade.evaluation.statements import BenchmarkProtocol
from codecascade.generation.backend import ChatPrompt, InfillingPrompt, Prompt, TextPrompt
from codecascade.generation.requests import Scorer
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.chat import Message
from codecascade.tokens.tokenizer import Tokenizer

__all__ = [
    "Benchmark",
    "ChatPrompt",
    "EvaluatedModel",
    "EvaluationContext",
    "InfillingPrompt",
    "Message",
    "Need",
    "Program",
    "Prompt",
    "SampleRow",
    "ScoredTexts",
    "Task",
    "TextPrompt",
    "was_asked",
]

Need = str
"""``corpus``; ``files`` (a folder, or a corpus), ``filler`` (the same, and it does without); ``sandbox``; ``scores``
(log-probabilities); ``toolchain:<language>``."""


def unchanged(text: str) -> str:
    """The answer as it is."""
    return text


@dataclass(frozen=True)
class Task:
    """One problem.

    Attributes:
        task_id: as in the benchmark's own files.
        prompt: what the model is asked.
        max_new_tokens: the answer's length, at most.
        expected: the reference answer in the form of a ``completion``; empty where there is none.
        test: what it is tested with, for a reader.
        extract: makes the ``completion`` of the samples file of what the model wrote. Applied to its own result
            it changes nothing, so that given samples may have been cut or not.
        finish: called instead of ``extract``, with the reason for the text's end, where that matters (a middle
            that did not end by itself is cut after its line).
        programs: what is run to judge a completion (usually one program); None where nothing is run.
        judge: the fields that the verdict adds to the row, from the completion and the outcomes of ``programs`` in
            their order; None for the usual ones, of which ``passed`` is that every outcome passed.
        fields: kept in every row of the task (``difficulty``, ``language``, ``format``). They also tell apart tasks
            of the same ``task_id`` (an infilling in two layouts).
        aliases: other tools' names for it, in samples files.
        from_solution: makes a completion of a whole program, as EvalPlus' samples files hold (``solution``).
    """

    task_id: str
    prompt: Prompt
    max_new_tokens: int
    expected: str = ""
    test: str = ""
    extract: Callable[[str], str] = unchanged
    finish: Callable[[str, str], str] | None = None
    programs: Callable[[str], Sequence[Program]] | None = None
    judge: Callable[[str, Sequence[Outcome]], SampleRow] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    from_solution: Callable[[str], str] = unchanged

    def given(self, completion: str) -> str:
        """A completion of a samples file, made of it as of an answer of the model's.

        A middle is kept as it is: whether its end is its own isn't known.
        """
        return completion if self.finish is not None else self.extract(completion)

    def completion(self, text: str, finish_reason: str) -> str:
        """What the samples file keeps of ``text``."""
        return self.finish(text, finish_reason) if self.finish is not None else self.extract(text)


@dataclass(frozen=True)
class EvaluatedModel:
    """What tasks may depend on. Without a model (given samples are scored) these defaults hold."""

    name: str = "samples"
    context_length: int | None = None
    infilling_formats: tuple[str, ...] = ("psm", "spm")
    is_chat: bool = False
    count_tokens: Callable[[str], int] = lambda text: len(text) // 3
    tokenizer: Tokenizer | None = None
    scorer: Scorer | None = None


@dataclass(frozen=True)
class EvaluationContext:
    """What a benchmark is made with.

    Attributes:
        data: what ``--data`` named for this benchmark: a file, or a folder that holds it.
        progress: ``(done, of)``, for what is scored rather than generated.
    """

    settings: CommonSettings
    model: EvaluatedModel = field(default_factory=EvaluatedModel)
    data: Path | None = None
    corpus: Corpus | None = None
    sandbox: Sandbox | None = None
    progress: Callable[[int, int], None] = lambda done, of: None

    @property
    def seed(self) -> int:
        return self.settings.seed

    def own(self, kind: type[OwnSettings]) -> OwnSettings:
        """The benchmark's own settings."""
        return self.settings.own(kind)

    def needs_corpus(self, benchmark: str) -> Corpus:
        if self.corpus is None:
            raise UserError("measures on held-out documents; name a corpus", key=benchmark)
        return self.corpus

    def needs_sandbox(self, benchmark: str) -> Sandbox:
        if self.sandbox is None:
            raise UserError("runs programs; needs a sandbox", key=benchmark)
        return self.sandbox

    def needs_scorer(self, benchmark: str) -> tuple[Scorer, Tokenizer]:
        if self.model.scorer is None or self.model.tokenizer is None:
            raise UserError(
                "measures probabilities, which only a model in memory gives; name a folder or a GGUF file",
                key=benchmark,
            )
        return self.model.scorer, self.model.tokenizer


@dataclass(frozen=True)
class ScoredTexts:
    """What a benchmark that scores texts itself comes to: its figures, and a row a text."""

    metrics: dict[str, Metric]
    rows: list[SampleRow]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ReportedFigure:
    """A figure that a cascade's report shows beside the other models', under its own title."""

    metric: str
    title: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class Benchmark:
    """A line of the table. It has ``tasks``, or ``score``; of either, ``scores``.

    Attributes:
        metric: the one that stands for the benchmark; rates are fractions of 1.
        data: where its problems come from; None if it makes them of the corpus.
        needs: what has to be there.
        tasks: all problems, in the benchmark's order (the driver takes the subset that was asked for).
        scores: by metric what each problem contributes to it, from the rows in the order of tasks and samples. The
            figures are made of it, and comparisons read it again from the samples file. Rows are read from the disk
            as they are asked for; go through them as few times as possible.
        notes: sentences to stand beside the figures.
        score: measures without asking anything (losses).
        samples: of each problem, unless the settings ask for more than one.
        temperature, top_p: the paper's sampling where more than one sample a problem is taken.
        task_ids: a regular expression that its task ids in samples files match.
        settings: its own, which those of a family share.
        size: how much it asks, for ``codecascade plan``; or the tokens that it reads and writes. None: not reckoned.
        columns: what a cascade's report shows of it, before the figures of the paper's tables (``rank`` below 100) or
            after them; the lowest rank stands first. The figure called ``metric`` is shown in any case, last.
        examples: a cascade's report shows some of its answers, unless a benchmark of a lower rank has some.
        kept_out: whether its texts are kept out of every corpus: also fetched from the hub for that, only if they are
            on this machine, or never (real code at large, of which a corpus may well hold the rest).
        picture: what its figures ``<name>@<position>`` are drawn as: a curve over positions, or cells of a length
            and a position (``<length>@<position>``).
        translation: the language that it asks HumanEval's problems in; languages are correlated with each other.
        in_words: its prompts are sentences rather than code.
        plain_metrics: metrics that are not written in percent (a loss); of ``<name>@<position>`` the name.
        paper_protocol: what the paper says of each of its settings, if the benchmark is in a table of the paper.
        unasked_fail: a prompt that does not fit the model's context counts as failed; else it is in no figure.
        greedy: there is one greedy sample a problem, whatever is asked for.
        chats: it has a form for the chat format.
    """

    name: str
    title: str
    metric: str
    data: BenchmarkData | None = None
    needs: frozenset[Need] = frozenset()
    higher_is_better: bool = True
    tasks: Callable[[EvaluationContext], list[Task]] | None = None
    scores: Callable[[Sequence[SampleRow]], Mapping[str, Scores]] = field(kw_only=True)
    notes: Callable[[Sequence[SampleRow], EvaluationContext], list[str]] = lambda rows, context: []
    score: Callable[[EvaluationContext], ScoredTexts] | None = None
    samples: int = 1
    temperature: float = 0.8
    top_p: float = 0.95
    unasked_fail: bool = True
    greedy: bool = False
    chats: bool = False
    settings: type[BenchmarkSettings] | None = None
    size: Callable[[CommonSettings], BenchmarkSize | TokenEstimate] | None = None
    columns: tuple[ReportedFigure, ...] = ()
    rank: int = 100
    examples: bool = False
    kept_out: Literal["fetched", "here", "never"] = "here"
    picture: Literal["curve", "cells"] | None = None
    translation: str = ""
    in_words: bool = False
    plain_metrics: tuple[str, ...] = ()
    paper_protocol: BenchmarkProtocol | None = None
    task_ids: str = ""

    def sampled(self, samples: int = 200) -> Benchmark:
        """The same, of many samples a problem: what pass@10 and pass@100 are of, where pass@1 is of a greedy one.

        It is a benchmark of its own, ``<name>_sampled``, so that both can be measured in one evaluation. A file of
        samples is of the benchmark itself, unless the twin is named.
        """
        title = f"{self.title}, {samples} samples"
        return replace(
            self,
            name=f"{self.name}_sampled",
            title=title,
            samples=samples,
            columns=(),
            examples=False,
            kept_out="here" if self.kept_out == "fetched" else self.kept_out,
            translation="",
        )

    @property
    def source(self) -> str:
        if self.data is not None:
            return self.data.source
        return "the corpus" if "corpus" in self.needs else "any code"

    @property
    def licence(self) -> str:
        return "the code's own" if self.data is None else self.data.licence
