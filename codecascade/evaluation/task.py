"""What a benchmark is: tasks, and figures made of the samples that answer them.

A benchmark says what is asked, what is run and how an answer is judged. The asking, running and storing is done by
the driver (:mod:`codecascade.evaluation.running.driver`). So every benchmark can be stopped and continued, can be
scored from a file of samples, and works with a model in memory and with an endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, OwnSettings
from codecascade.evaluation.data import BenchmarkData
from codecascade.evaluation.judges.judge import JudgedFacts, Judging
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.rows import SampleRow, was_asked
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize, TokenEstimate, counter_by_pieces
from codecascade.evaluation.statements import BenchmarkProtocol
from codecascade.generation.backend import ChatPrompt, InfillingPrompt, Prompt, TextPrompt
from codecascade.generation.requests import Scorer
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.chat import Message
from codecascade.tokens.reference import ReferenceTokens
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
    "ReferenceTokens",
    "SampleRow",
    "ScoredTexts",
    "Task",
    "TextPrompt",
    "was_asked",
]

Need = str
"""What a benchmark needs besides a model.

``corpus``; ``files`` (a folder of ``--data``, or a corpus); ``filler`` (these, or else the standard library);
``sandbox``; ``scores`` (log-probabilities, of a model whose tokenizer is here); ``toolchain:<language>``.
"""


def unchanged(text: str) -> str:
    """The text as it is."""
    return text


@dataclass(frozen=True)
class Task:
    """One problem.

    Attributes:
        task_id: its id in the benchmark's own files.
        prompt: what the model is asked.
        max_new_tokens: the longest answer, in tokens.
        expected: the reference answer, in the form of a ``completion``; empty if there is none.
        test: what the answer is tested with, for a reader.
        extract: makes a ``completion`` of what the model wrote. It must leave its own result unchanged, because given
            samples may have been extracted before.
        finish: called in place of ``extract``, with the finish reason, if that matters. Given samples are then kept.
        observe: from what the model wrote and the finish reason, fields that the row gets besides.
        programs: the programs that are run to judge a completion, usually one; None if nothing is run.
        judge: from the completion and the outcomes of ``programs`` in their order, the fields that the verdict adds
            to the row. None for the usual fields, in which ``passed`` means that every outcome passed.
        fields: kept in every row of the task (``difficulty``, ``language``, ``format``). They also distinguish tasks
            of the same ``task_id`` (an infilling in two layouts).
        aliases: names that other tools' samples files have for the task.
        facts: what a judge sees of the task besides the answer, if the benchmark's answers are judged.
        from_solution: makes a completion of a whole program, which EvalPlus' samples files have (``solution``).
        references: the prompt and the reference answer in tokens, in each way to write it that is to be scored. A
            model whose probabilities are known gets the fields ``reference_nats`` and ``reference_tokens`` of the
            first way, ``end_nats`` of the token that ends it, and ``answer_nats`` of all ways together.
    """

    task_id: str
    prompt: Prompt
    max_new_tokens: int
    expected: str = ""
    test: str = ""
    extract: Callable[[str], str] = unchanged
    finish: Callable[[str, str], str] | None = None
    observe: Callable[[str, str], SampleRow] | None = None
    programs: Callable[[str], Sequence[Program]] | None = None
    judge: Callable[[str, Sequence[Outcome]], SampleRow] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    facts: JudgedFacts = field(default_factory=JudgedFacts)
    from_solution: Callable[[str], str] = unchanged
    references: Callable[[Tokenizer], Sequence[ReferenceTokens]] | None = None

    def given(self, completion: str) -> str:
        """The completion of a samples file, extracted like an answer of the model.

        A task with ``finish`` keeps it as it is, because it is not known whether it ended by itself.
        """
        return completion if self.finish is not None else self.extract(completion)

    def completion(self, text: str, finish_reason: str) -> str:
        """What the samples file keeps of a ``text`` that the model wrote."""
        return self.finish(text, finish_reason) if self.finish is not None else self.extract(text)


@dataclass(frozen=True)
class EvaluatedModel:
    """What tasks may depend on of the model. The defaults are for given samples, whose model is not known.

    Attributes:
        left_to_right: whether some of the given samples say that they were asked without the suffix; None if none
            says how it was asked, or a model is asked.
        counts_remotely: ``count_tokens`` asks a server, so that many short texts should not be counted by it.
    """

    name: str = "samples"
    context_length: int | None = None
    infilling_formats: tuple[str, ...] = ("psm", "spm")
    is_chat: bool = False
    count_tokens: Callable[[str], int] = lambda text: len(text) // 3
    tokenizer: Tokenizer | None = None
    scorer: Scorer | None = None
    left_to_right: bool | None = None
    counts_remotely: bool = False

    def counter_of(self, text: str) -> Callable[[str], int]:
        """Counts the tokens of parts of a text, such as its lines. A server is asked once, for the text."""
        return counter_by_pieces(text, self.count_tokens) if self.counts_remotely else self.count_tokens


@dataclass(frozen=True)
class EvaluationContext:
    """What a benchmark makes its tasks with.

    Attributes:
        data: the file or folder that ``--data`` names for this benchmark.
        progress: called with ``(done, total)`` by a benchmark that scores texts.
    """

    settings: CommonSettings
    model: EvaluatedModel = field(default_factory=EvaluatedModel)
    data: Path | None = None
    corpus: Corpus | None = None
    sandbox: Sandbox | None = None
    progress: Callable[[int, int], None] = lambda done, total: None

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
    """The result of a benchmark that scores texts itself: its figures, and a row for each text."""

    metrics: dict[str, Metric]
    rows: list[SampleRow]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ReportedFigure:
    """A figure that the report of a cascade shows for every model, under ``title``.

    Attributes:
        leads: it stands in the report's headline, before the benchmark's main figure: it finds smaller differences.
        in_nats: it is the loss of true texts, so that a difference says how much less they surprise a model.
    """

    metric: str
    title: str
    higher_is_better: bool = True
    leads: bool = False
    in_nats: bool = False


@dataclass(frozen=True)
class UseFigure:
    """A figure that tells whether a model is of use on the code of its corpus (``Benchmark.tells_use``).

    Attributes:
        name: the figure in a sentence ("exactly filled lines").
        unit: what is counted, in the plural (``lines``).
        says: what the model does, with ``{}`` for the value ("fills in {} exactly").
        sensitive: it finds smaller differences than a share of right answers, but says less to a reader. It decides
            where the others find no difference.
        is_loss: it is the loss of true texts, so that a difference says how much less they surprise a model.
    """

    metric: str
    name: str
    unit: str
    says: str
    higher_is_better: bool = True
    sensitive: bool = False
    is_loss: bool = False


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. It has ``tasks`` that are asked, or it has ``score`` and measures texts itself.

    Attributes:
        metric: the one that represents the benchmark. Rates are fractions of 1.
        data: where its problems come from; None if they are made from the corpus.
        needs: what must be available (:data:`Need`).
        tasks: makes all problems, in the benchmark's order. ``--limit`` is applied to them afterwards.
        scores: from the rows, in the order of tasks and samples, what each problem contributes to each metric. The
            figures are made of it, and comparisons make it again from the samples file. Each pass over the rows reads
            them from disk, so few passes are best.
        notes: sentences to be shown beside the figures.
        score: measures texts without asking anything (losses).
        samples: how many of each problem, unless the settings ask for more than one.
        temperature, top_p: the paper's sampling, used if there is more than one sample a problem.
        drawn_once: a single sample of a problem is drawn in this way too, instead of being greedy.
        limited: its ``score`` asks no more problems than ``--limit`` says.
        judging: what is judged of an answer that no test can check, and the local rule. What judges is a
            setting: the class of its settings is a
            :class:`~codecascade.evaluation.judges.settings.JudgeSettings`.
        by_one_rule: metrics that are judged by the same rule in each infilling layout and left to right, so that a
            model's figure can be compared with another model's best one. Their names in other layouts end in
            ``_<layout>``.
        shows_trained: by its settings (as ``--set`` names them), whether its prompts show trained files.
        task_ids: a regular expression that its task ids in samples files match.
        settings: the class of its own settings. Related benchmarks may share one.
        size: how much it asks, or how many tokens it reads and writes, for ``codecascade plan``. None: no estimate.
        columns: the figures that the report of a cascade shows, before those of the paper's tables (``rank`` below
            100) or after them. The lowest rank comes first. The figure of ``metric`` is shown in any case, last.
        examples: the report of a cascade may show some of its answers. It shows those of the lowest rank.
        tells_use: the figures, on held-out code of the corpus, that answer whether a stage's model should be used.
            The report of a cascade begins with the first of the lowest rank.
        kept_out: whether its texts are kept out of every corpus: ``fetched`` from the hub if need be; only if they
            are ``here``; or ``never``, because they are ordinary code whose files a corpus may contain.
        picture: how its figures ``<name>@<position>`` are drawn: as a ``curve`` over positions, or as ``cells`` of a
            length and a position (``<length>@<position>``).
        translation: the language in which it asks HumanEval's problems. Languages are correlated with each other.
        in_words: its prompts are sentences, not code.
        plain_metrics: metrics that are not written in percent (a loss); of ``<name>@<position>`` the name.
        paper_protocol: what the paper says of each of its settings, if the benchmark is in a table of the paper.
        unasked_fail: a prompt that does not fit the model's context counts as failed. If False, it is in no figure.
        greedy: there is one greedy sample a problem, whatever the settings say.
        chats: it has a prompt for the chat format.
        version: counted up when it asks or judges in another way than before, so that results of both are not mixed.
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
    drawn_once: bool = False
    limited: bool = False
    judging: Judging | None = None
    by_one_rule: tuple[str, ...] = ()
    unasked_fail: bool = True
    greedy: bool = False
    chats: bool = False
    settings: type[BenchmarkSettings] | None = None
    size: Callable[[CommonSettings], BenchmarkSize | TokenEstimate] | None = None
    columns: tuple[ReportedFigure, ...] = ()
    rank: int = 100
    examples: bool = False
    tells_use: tuple[UseFigure, ...] = ()
    kept_out: Literal["fetched", "here", "never"] = "here"
    picture: Literal["curve", "cells"] | None = None
    translation: str = ""
    in_words: bool = False
    plain_metrics: tuple[str, ...] = ()
    paper_protocol: BenchmarkProtocol | None = None
    shows_trained: Callable[[Mapping[str, Any]], bool] = lambda used: False
    task_ids: str = ""
    version: int = 1

    def sampled(self, samples: int = 200) -> Benchmark:
        """The same benchmark with many samples a problem, for pass@10 and pass@100 (pass@1 is of a greedy sample).

        It is a benchmark of its own, ``<name>_sampled``, so that both can be measured in one evaluation. A samples
        file is taken to be of the benchmark itself, unless ``<name>_sampled`` is named.
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
