"""How a benchmark states what the paper says of each of its settings, so that reports can mark what differs.

A benchmark has settings, and its run has conditions (answers that were cut, prompts that did not fit, a quantised
model). For each of them a statement says one of three things: the paper's value; that the paper does not give one; or
that it is compared elsewhere. Every benchmark in the paper's tables has a statement for each setting and condition. A
test fails if one is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codecascade.evaluation.benchmark_settings import BenchmarkSettings

Facts = Mapping[str, Any]
"""The settings and conditions of a run, by name."""

Remark = Callable[[Any, Facts], str]
"""Makes a sentence from a value and all facts; an empty one if there is nothing to say."""


def _nothing(value: Any, facts: Facts) -> str:
    return ""


@dataclass(frozen=True)
class Statement:
    """What the paper says of one setting or condition.

    Attributes:
        departs: says how a value differs from the paper's.
        silent: says what our value is, if the paper gives none.
        elsewhere: why neither is said here.
    """

    departs: Remark = _nothing
    silent: Remark = _nothing
    elsewhere: str = ""


@dataclass(frozen=True)
class BenchmarkProtocol:
    """The paper's protocol of one benchmark.

    Attributes:
        settings, conditions: a statement for each.
        always: differences that every figure of ours has.
        silent: our choices behind every figure, on which the paper says nothing.
        asking: such choices in how a model is asked. They do not concern samples that were made elsewhere.
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

    Nothing is said of a fact that is missing (samples that were made elsewhere, a run of an older version).
    """
    statements = {**stated.settings, **stated.conditions}
    known = [(statements[name], value) for name, value in facts.items() if name in statements]
    found = [sentence for statement, value in known if (sentence := statement.departs(value, facts))]
    unsaid = [words for statement, value in known if (words := statement.silent(value, facts))]
    found += stated.always
    if facts.get("temperature") is not None and "asked_in_chat" not in facts:
        found.append(_OLDER)
    if unsaid:
        unsaid += [*(stated.asking if "asked_in_chat" in facts else ()), *stated.silent]
        found.append(f"our choices, for the paper says nothing of: {', '.join(unsaid)}")
    return found


# ---- kinds of statements --------------------------------------------------------------------------------------


def paper_value(paper: Any, sentence: Callable[[Any], str]) -> Statement:
    """The paper gives this value; ``sentence`` describes another one."""
    return Statement(departs=lambda value, facts: "" if value == paper else sentence(value))


def our_choice(words: Callable[[Any], str]) -> Statement:
    """The paper gives no value; ``words`` describe our choice."""
    return Statement(silent=lambda value, facts: words(value))


def our_choice_unless_chat(words: Callable[[Any], str]) -> Statement:
    """:func:`our_choice` for a setting that has no effect in the chat format."""
    return Statement(silent=lambda value, facts: "" if facts.get("asked_in_chat") else words(value))


def compared_elsewhere(why: str) -> Statement:
    """The value is compared in another place, or no protocol depends on it."""
    return Statement(elsewhere=why)


def none_in_paper(words: str) -> Statement:
    """A condition ``{"n": ..., "of": ...}`` that the paper's figures do not have: any ``n`` above 0 is a
    difference.
    """

    def departs(value: Any, facts: Facts) -> str:
        return f"{value['n']:,} of {value['of']:,} {words}" if value and value["n"] else ""

    return Statement(departs=departs)


def token_limit(text: str) -> Statement:
    """:func:`our_choice` for a limit of tokens."""
    return our_choice(lambda tokens: f"at most {tokens:,} tokens {text}")


# ---- what all benchmarks have ---------------------------------------------------------------------------------

_BY_COLUMN = compared_elsewhere("differs from column to column: analysis.protocol.ColumnProtocol")
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
    """Whether the paper asks in the chat format; ``sentence`` describes the other way."""
    return {"asked_in_chat": paper_value(paper, lambda value: sentence)}


def benchmark_protocol(
    kind: type[BenchmarkSettings],
    settings: Mapping[str, Statement],
    conditions: Mapping[str, Statement] | None = None,
    **more: tuple[str, ...],
) -> BenchmarkProtocol:
    """The protocol of a benchmark. ``settings`` has a statement for each of its own settings, by their name in
    ``kind``.
    """
    own = {f"{kind.key}.{name}": statement for name, statement in settings.items()}
    return BenchmarkProtocol({**_COMMON, **own}, {**_CONDITIONS, **(conditions or {})}, **more)
