"""Should the trained model be used? The answer of a run's report, from its held-out code, by paired tests.

Of several stages the best one is named (:mod:`codecascade.reports.cascade.choice`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from codecascade.evaluation.analysis.gains import Gain, ModelGains
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.notation import format_p_value, layout_name
from codecascade.reports.cascade.choice import Finding, choose, improvement
from codecascade.reports.cascade.columns import ReportColumn
from codecascade.reports.cascade.examples import ExampleGaps, example_gaps
from codecascade.reports.cascade.headline import before_and_after, said, signed_difference, surprised
from codecascade.reports.cascade.run_report import ModelReport, RunReport

Answer = Literal["Yes", "Probably", "No", "Not shown"]
Tone = Literal["better", "worse", ""]

_CONTINUE = (
    "The base was asked to fill in, not to continue what is before the gap, which it may do better: ask it so too "
    """(--set 'evaluate.infilling_heldout.layouts=["left_to_right"]', which trains nothing again)."""
)
_HUMANEVAL = "--set evaluate.humaneval.max_new_tokens=256 --set evaluate.chat=never"
"""How HumanEval is asked so that it takes minutes, as docs/your-code.md has it."""
_FAR = 20
"""A difference that would take more than so many times the problems is not worth looking for."""
_FEW = 50
"""With fewer problems a difference that was not found says nothing about those that more would show."""


@dataclass(frozen=True)
class Advice:
    """The answer, as texts.

    Attributes:
        answer: ``tone`` is ``better``, ``worse`` or empty.
        reason: the paired difference, in a sentence.
        more: further sentences: what a more sensitive figure says, how much would be needed to know more.
        elsewhere: what the stage gained or lost on other benchmarks, a sentence each.
        stage: the stage whose model it is about.
        examples: gaps with the answers of the base and of the stage, if there are any.
    """

    answer: Answer
    tone: Tone
    reason: str
    more: tuple[str, ...]
    elsewhere: tuple[str, ...]
    stage: str
    examples: ExampleGaps | None

    @property
    def mark(self) -> str:
        """What stands between the answer and the reason, which begins a sentence unless the answer has a gain."""
        return ":" if self.tone == "better" else "."

    @property
    def folder(self) -> str:
        """The stage's model, in the run's folder."""
        return f"models/{self.stage}"


def advice(report: RunReport, columns: Sequence[ReportColumn], gains: ModelGains) -> Advice | None:
    """The answer for a run; None if base and stages were not both measured on held-out code."""
    base, stages = report.models[0], report.models[1:]
    choice = choose(base.name, [stage.name for stage in stages], gains)
    if choice is None:
        return None
    answer, tone, reason, more = _answer(report, choice.found)
    if tone == "better" and not all(
        gains.continued(base.name, each.gain) for each in choice.found if each.gain.verdict == "better"
    ):
        # The gain may be over less than the base can do.
        answer, more = "Probably", (_CONTINUE, *more)
    if choice.said:
        more = (*more, choice.said)
    stage = next(stage for stage in stages if stage.name == choice.stage)
    lead = choice.found[0]
    return Advice(
        answer,
        tone,
        reason,
        more,
        tuple(_elsewhere(base, stage, stages, columns, gains)),
        stage.name,
        example_gaps(lead.gain, gains, (base.name, stage.name), lead.figure.unit),
    )


def other_examples(
    columns: Sequence[ReportColumn], models: Sequence[ModelReport], gains: ModelGains
) -> ExampleGaps | None:
    """Gaps of a benchmark that is not of the corpus, with the answers of the base and of the last stage."""
    ranked = sorted(BENCHMARKS.values(), key=lambda benchmark: benchmark.rank)
    for benchmark in ranked:
        measured = [model.name for model in models if benchmark.name in model.results]
        if benchmark.examples and len(measured) > 1 and measured[0] == models[0].name:
            gain = gains.between(measured[0], measured[-1], benchmark.name, benchmark.metric)
            found = None if gain is None else example_gaps(gain, gains, (measured[0], measured[-1]), "gaps")
            if found is not None:
                return found
    return None


def _answer(report: RunReport, found: Sequence[Finding]) -> tuple[Answer, Tone, str, tuple[str, ...]]:
    lead = found[0]
    second = next((each for each in found if each.figure.sensitive and each is not lead), None)
    reason = _sentence(report, lead)
    more = [
        _in_short(f"Over all {{}} {each.figure.unit}", each)
        for each in found[1:]
        if not each.figure.sensitive
    ]
    if second is not None:
        words = f"By the more sensitive figure, {second.figure.name} over {{}} held-out {second.figure.unit}"
        more.append(_in_short(words, second))
    if lead.gain.verdict == "better":
        return "Yes", "better", reason, tuple(more)
    if lead.gain.verdict == "worse":
        return "No", "worse", f"It got worse: {reason}", tuple(more)
    loss_fell = second is not None and second.gain.verdict == "better"
    others_gained = any(each.gain.verdict == "better" for each in found[1:] if not each.figure.sensitive)
    would_show = _what_would_show_it(lead, loss_fell=loss_fell, others_gained=others_gained)
    if second is not None and loss_fell and improvement(lead) >= 0:
        loss = _sentence(report, second)
        if _nothing_right(found):
            reason = f"It {lead.figure.says.format('nothing')}: {reason}"
            return "Not shown", "", reason, (loss[:1].upper() + loss[1:], *more[:-1], would_show)
        shares = f"Whether it {lead.figure.says.format('more')} is not shown: {reason}"
        return "Probably", "better", loss, (shares, *more[:-1], would_show)
    reason = f"The difference could be chance: {reason}"
    if second is not None and second.gain.verdict == "worse":
        return "No", "worse", reason, tuple(more)
    return "Not shown", "", reason, (*more, would_show)


def _nothing_right(found: Sequence[Finding]) -> bool:
    """Whether the stage was asked what can be right, and nothing was."""
    shares = [each.gain.compared.second.value for each in found if not each.figure.sensitive]
    return bool(shares) and not any(shares)


def _sentence(report: RunReport, finding: Finding) -> str:
    compared, figure, gain = finding.gain.compared, finding.figure, finding.gain
    before, after = before_and_after(gain)
    asked = f" ({layout_name(gain.before_layout)})" if gain.before_layout != gain.after_layout else ""
    asked_of = f"{compared.difference.n:,} {figure.unit} of {report.code} that it never saw"
    tested = f"{signed_difference(gain)}, p {_p_value(gain)}"
    if figure.is_loss and (surprise := surprised(gain)):
        return (
            f"what really stands in {asked_of} surprises it {surprise} the base, {report.base}. It "
            f"{figure.says.format(after)}, the base {before}{asked}: {tested}."
        )
    return (
        f"on {asked_of} it {figure.says.format(after)}, the base, {report.base}, {before}{asked}: {tested}."
    )


def _in_short(words: str, finding: Finding) -> str:
    """A finding in a short sentence. In ``words``, ``{}`` stands for the number of problems."""
    before, after = before_and_after(finding.gain)
    number = f"{finding.gain.compared.difference.n:,}"
    return f"{words.format(number)}: {before} → {after}, {signed_difference(finding.gain)}: {_said(finding.gain)}."


def _said(gain: Gain) -> str:
    return said(gain.verdict, gain.compared.difference.n)


def _p_value(gain: Gain) -> str:
    text = format_p_value(gain.compared.p_value)
    return text if text.startswith("<") else f"= {text}"


def _what_would_show_it(finding: Finding, *, loss_fell: bool, others_gained: bool) -> str:
    gain = finding.gain
    found, unit = gain.compared.difference, finding.figure.unit
    needed = gain.problems_needed()
    if found.n < _FEW and not others_gained:
        return (
            f"So few {unit} hardly show anything: ask some hundreds, for which more may have to be held out."
        )
    if improvement(finding) <= 0 or needed is None or needed > _FAR * found.n:
        if others_gained:
            return f"More {unit} would hardly show a gain in them: it is in the other gaps."
        learnt = "It has learnt something of this code, too little for that. " if loss_fell else ""
        hope = "More tokens, more code or a better base could bring one."
        return f"More {unit} would hardly show a gain. {learnt}{hope}"
    many = max(needed, found.n + 1)
    digits = max(0, len(str(many)) - 2)
    return (
        f"If the true difference is the one seen here, about {round(many, -digits):,} {unit} would show it, "
        "and training with more tokens may enlarge it."
    )


def _elsewhere(
    base: ModelReport,
    stage: ModelReport,
    stages: Sequence[ModelReport],
    columns: Sequence[ReportColumn],
    gains: ModelGains,
) -> Iterator[str]:
    """The main figure of each benchmark that is of other texts than the corpus.

    Where the stage was not asked one, the last stage that was tells of it.
    """
    found = 0
    for column in columns:
        benchmark = BENCHMARKS[column.benchmark]
        if column.metric != benchmark.metric or benchmark.needs & {"corpus", "files"}:
            continue
        for asked in (stage, *reversed(stages)):
            gain = gains.between(
                base.name,
                asked.name,
                column.benchmark,
                column.metric,
                higher_is_better=column.higher_is_better,
            )
            if gain is not None:
                found += 1
                yield _elsewhere_line(column, gain, "" if asked is stage else f"{asked.name}; ", stage.name)
                break
    if not found:
        names = json.dumps([*dict.fromkeys((*base.results, *stage.results)), "humaneval"])
        yield (
            "Not measured. Whether it forgot anything is seen on a benchmark of other code. The run's command with "
            f"--set 'evaluate.benchmarks={names}' {_HUMANEVAL} measures one; nothing is trained again."
        )


def _elsewhere_line(column: ReportColumn, gain: Gain, other: str, stage: str) -> str:
    before, after = before_and_after(gain)
    of = f" (of {other}{stage} was not asked it)" if other else ""
    return f"{column.title}: {before} → {after}, {signed_difference(gain)}: {_said(gain)}{of}."
