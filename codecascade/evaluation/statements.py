"""The words in which a benchmark states what the paper says of its settings, so that figures can be told apart.

A benchmark of ours has settings, and what is found when it is run (conditions: answers that were cut, prompts that
did not fit, a model that is quantised). Each is stated once: the paper's value, or that the paper is silent, or where
else it is compared. A benchmark in the paper's tables has its statements beside its settings; a setting without one
fails a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codecascade.evaluation.settings import BenchmarkSettings

Facts = Mapping[str, Any]
"""Settings and conditions of a run, by name."""

Remark = Callable[[Any, Facts], str]
"""A sentence on a value and the other facts; empty where there is nothing to say."""


def _nothing(value: Any, facts: Facts) -> str:
    return ""


@dataclass(frozen=True)
class Statement:
    """What the paper says of one setting or condition.

    Attributes:
        departs: in what a value differs from the paper's.
        silent: what the value is, where the paper says nothing.
        elsewhere: why neither is told here.
    """

    departs: Remark = _nothing
    silent: Remark = _nothing
    elsewhere: str = ""


@dataclass(frozen=True)
class BenchmarkProtocol:
    """The paper's protocol of one benchmark.

    Attributes:
        settings, conditions: a statement for each.
        always: in what every figure of ours differs.
        silent: choices that hold for every figure of ours, and that the paper says nothing of.
        asking: such choices in how a model is asked: they say nothing of samples that were made elsewhere.
    """

    settings: Mapping[str, Statement]
    conditions: Mapping[str, Statement]
    always: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    asking: tuple[str, ...] = ()


_OLDER = (
    "measured by an older version, so whether prompts were in the chat format, healed or cut is not known"
)


def departures(stated: BenchmarkProtocol, facts: Facts) -> list[str]:
    """Sentences on what differs from the paper's protocol, and one on what the paper does not say.

    A fact that is not there (of samples that were made elsewhere; of an older run) says nothing.
    """
    statements = {**stated.settings, **stated.conditions}
    there = [(statements[name], value) for name, value in facts.items() if name in statements]
    found = [sentence for statement, value in there if (sentence := statement.departs(value, facts))]
    unsaid = [words for statement, value in there if (words := statement.silent(value, facts))]
    found += stated.always
    if facts.get("temperature") is not None and "asked_in_chat" not in facts:
        found.append(_OLDER)
    if unsaid:
        unsaid += [*(stated.asking if "asked_in_chat" in facts else ()), *stated.silent]
        found.append(f"our choices, for the paper says nothing of: {', '.join(unsaid)}")
    return found


# ---- kinds of statements --------------------------------------------------------------------------------------


def paper_value(paper: Any, sentence: Callable[[Any], str]) -> Statement:
    """The paper's value; ``sentence`` tells another one."""
    return Statement(departs=lambda value, facts: "" if value == paper else sentence(value))


def our_choice(words: Callable[[Any], str]) -> Statement:
    """Of what the paper is silent about; ``words`` tell our choice."""
    return Statement(silent=lambda value, facts: words(value))


def our_choice_unless_chat(words: Callable[[Any], str]) -> Statement:
    """Of a setting that has no effect in the chat format."""
    return Statement(silent=lambda value, facts: "" if facts.get("asked_in_chat") else words(value))


def compared_elsewhere(why: str) -> Statement:
    """Of what is compared in another place, or matters to no protocol."""
    return Statement(elsewhere=why)


def none_in_paper(words: str) -> Statement:
    """A condition ``{"n": ..., "of": ...}``, of which the paper has none."""

    def departs(value: Any, facts: Facts) -> str:
        return f"{value['n']:,} of {value['of']:,} {words}" if value and value["n"] else ""

    return Statement(departs=departs)


def token_limit(what: str) -> Statement:
    """Of a limit of tokens."""
    return our_choice(lambda tokens: f"at most {tokens:,} tokens {what}")


# ---- what all benchmarks have ---------------------------------------------------------------------------------

_BY_COLUMN = compared_elsewhere("differs from column to column: analysis.protocol.Protocol")
_COMMON = {
    "seed": compared_elsewhere("chooses problems and draws; no protocol has one"),
    "limit": compared_elsewhere("the number of problems is compared"),
    "samples_per_problem": _BY_COLUMN,
    "temperature": _BY_COLUMN,
    "top_p": _BY_COLUMN,
    "chat": compared_elsewhere("whether it was asked in the chat format is compared"),
    "heal": compared_elsewhere("whether a prompt was healed is compared"),
}
_CONDITIONS = {
    "asked_in_chat": compared_elsewhere("it has no form for the chat format"),
    "healed_prompts": none_in_paper(
        "prompts end where a longer token could stand and are healed there; the paper takes prompts as they are"
    ),
    "unasked": none_in_paper(
        "samples could not be made, for the prompt does not fit the context; they count as failed"
    ),
    "cut_answers": none_in_paper("answers were cut at the limit of tokens"),
    "cut_inputs": none_in_paper("prompts were cut at their beginning"),
    "other_problems": none_in_paper(
        "problems are not the published ones: they have other tests or solutions"
    ),
    "unrun": none_in_paper("programs were not run and are left out"),
    "confinement": Statement(
        departs=lambda value, facts: (
            "programs were not confined, so that an answer could reach what judges it"
            if value == "none"
            else ""
        )
    ),
    "quantisation": paper_value(
        None, lambda value: f"the model's weights are quantised ({value}); the paper's are not"
    ),
    "endpoint": paper_value(
        False,
        lambda value: "asked of a server, which does not tell the precision or quantisation of its model",
    ),
    "source": our_choice(lambda value: f"the data's version ({value})"),
}
UNASKED_ARE_LEFT_OUT = none_in_paper(
    "samples could not be made, for the prompt does not fit the context; they are in no figure"
)
"""The condition ``unasked`` of a benchmark whose figures are over the prompts that were asked."""
TEN_SECONDS = "10 s of CPU time a program"


def chat_condition(paper: bool, sentence: str) -> dict[str, Statement]:
    """The condition of being asked in the chat format, which the paper does or does not."""
    return {"asked_in_chat": paper_value(paper, lambda value: sentence)}


def benchmark_protocol(
    kind: type[BenchmarkSettings],
    settings: Mapping[str, Statement],
    conditions: Mapping[str, Statement] | None = None,
    **more: tuple[str, ...],
) -> BenchmarkProtocol:
    """The protocol of a benchmark: ``settings`` are its own, by their names in ``kind``."""
    own = {f"{kind.key}.{name}": statement for name, statement in settings.items()}
    return BenchmarkProtocol({**_COMMON, **own}, {**_CONDITIONS, **(conditions or {})}, **more)
