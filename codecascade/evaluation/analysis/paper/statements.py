"""What the paper says of each setting of the benchmarks in its tables, so that a figure of ours can be told from its.

A benchmark of ours has settings, and what is found when it is run (conditions: answers that were cut, prompts that
did not fit, a model that is quantised). Each is stated here once: the paper's value, or that the paper is silent, or
where else it is compared. A setting without a statement fails a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]
"""Settings and conditions of a run, by name."""

Say = Callable[[Any, Facts], str]
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

    departs: Say = _nothing
    silent: Say = _nothing
    elsewhere: str = ""


@dataclass(frozen=True)
class Stated:
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


def departures(benchmark: str, facts: Facts) -> list[str]:
    """Sentences on what differs from the paper's protocol, and one on what the paper does not say.

    A fact that is not there (of samples that were made elsewhere; of an older run) says nothing.
    """
    stated = STATEMENTS[benchmark]
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


def _is(paper: Any, sentence: Callable[[Any], str]) -> Statement:
    """The paper's value; ``sentence`` tells another one."""
    return Statement(departs=lambda value, facts: "" if value == paper else sentence(value))


def _ours(words: Callable[[Any], str]) -> Statement:
    return Statement(silent=lambda value, facts: words(value))


def _ours_where_continued(words: Callable[[Any], str]) -> Statement:
    """Of a setting that has no effect in the chat format."""
    return Statement(silent=lambda value, facts: "" if facts.get("asked_in_chat") else words(value))


def _elsewhere(why: str) -> Statement:
    return Statement(elsewhere=why)


def _none_of(words: str) -> Statement:
    """A condition ``{"n": ..., "of": ...}``, of which the paper has none."""

    def departs(value: Any, facts: Facts) -> str:
        return f"{value['n']:,} of {value['of']:,} {words}" if value and value["n"] else ""

    return Statement(departs=departs)


def _at_most(what: str) -> Statement:
    return _ours(lambda tokens: f"at most {tokens:,} tokens {what}")


# ---- what all benchmarks have ---------------------------------------------------------------------------------

_BY_COLUMN = _elsewhere("differs from column to column: protocol.Protocol")
_COMMON = {
    "seed": _elsewhere("chooses problems and draws; no protocol has one"),
    "limit": _elsewhere("the number of problems is compared"),
    "samples_per_problem": _BY_COLUMN,
    "temperature": _BY_COLUMN,
    "top_p": _BY_COLUMN,
    "chat": _elsewhere("whether it was asked in the chat format is compared"),
    "heal": _elsewhere("whether a prompt was healed is compared"),
}
_CONDITIONS = {
    "asked_in_chat": _elsewhere("it has no form for the chat format"),
    "healed_prompts": _none_of(
        "prompts end where a longer token could stand and are healed there; the paper takes prompts as they are"
    ),
    "unasked": _none_of(
        "samples could not be made, for the prompt does not fit the context; they count as failed"
    ),
    "cut_answers": _none_of("answers were cut at the limit of tokens"),
    "cut_inputs": _none_of("prompts were cut at their beginning"),
    "other_problems": _none_of("problems are not the published ones: they have other tests or solutions"),
    "unrun": _none_of("programs were not run and are left out"),
    "confinement": Statement(
        departs=lambda value, facts: (
            "programs were not confined, so that an answer could reach what judges it"
            if value == "none"
            else ""
        )
    ),
    "quantisation": _is(
        None, lambda value: f"the model's weights are quantised ({value}); the paper's are not"
    ),
    "endpoint": _is(
        False,
        lambda value: "asked of a server, which does not tell the precision or quantisation of its model",
    ),
    "source": _ours(lambda value: f"the data's version ({value})"),
}
_TEN_SECONDS = "10 s of CPU time a program"


def _chat_is(paper: bool, sentence: str) -> dict[str, Statement]:
    return {"asked_in_chat": _is(paper, lambda value: sentence)}


def _stated(
    settings: Mapping[str, Statement],
    conditions: Mapping[str, Statement] | None = None,
    **more: tuple[str, ...],
) -> Stated:
    return Stated({**_COMMON, **settings}, {**_CONDITIONS, **(conditions or {})}, **more)


# ---- the benchmarks -------------------------------------------------------------------------------------------

_OTHERS = _elsewhere("is another infilling benchmark's")
_INFILLING = {
    "infilling.problems": _elsewhere("the number of problems is compared"),
    "infilling.format": _elsewhere("a column is of one layout, by its full name"),
    "infilling.heal": _elsewhere("matters in SPM alone: protocol.Protocol.unhealed"),
    "infilling.max_new_tokens": _OTHERS,
    "infilling.span_max_new_tokens": _OTHERS,
    "infilling.min_characters": _OTHERS,
    "infilling.max_characters": _OTHERS,
}
_SPANS = _stated(
    {**_INFILLING, "infilling.span_max_new_tokens": _at_most("a middle")}, silent=(_TEN_SECONDS,)
)


def _shown_problems(value: Any, facts: Facts) -> str:
    shown = 2 if value is None else len(value)
    if facts.get("asked_in_chat") or shown == 2:
        return ""
    return f"{shown or 'no'} solved problem{'' if shown == 1 else 's'} shown before each; the paper shows two"


def _which_problems(value: Any, facts: Facts) -> str:
    return (
        "" if facts.get("asked_in_chat") or _shown_problems(value, facts) else "which two problems are shown"
    )


_STATED: Mapping[str, Stated] = {
    "humaneval": _stated(
        {
            "humaneval.problems": _elsewhere("the number of problems is compared"),
            "humaneval.stops": _ours_where_continued(lambda value: f"the stop strings are those of {value}"),
            "humaneval.strip": _ours_where_continued(
                lambda value: "prompts are stripped at their ends" if value else "prompts are not stripped"
            ),
            "humaneval.max_new_tokens": _at_most("an answer"),
        },
        _chat_is(
            False,
            "asked in the chat format for a code block, of which what the function needs is run; the paper's prompt "
            "is the function's head, continued",
        ),
        silent=(_TEN_SECONDS,),
    ),
    "mbpp": _stated(
        {"mbpp.max_new_tokens": _at_most("an answer")},
        asking=("the shots are the tasks 2, 3 and 4 in the prompt of the data's authors",),
        silent=(_TEN_SECONDS,),
    ),
    "mbpp_zero_shot": _stated(
        {"mbpp.max_new_tokens": _at_most("an answer")},
        _chat_is(
            True,
            "asked without a chat format, behind an opened tag; the paper asks its Instruct models in theirs",
        ),
        silent=(_TEN_SECONDS,),
    ),
    "apps": _stated(
        {
            "apps.shots": Statement(departs=_shown_problems, silent=_which_problems),
            "apps.comparison": _is(
                "apps",
                lambda value: (
                    "outputs are compared token by token, which is stricter than APPS' own comparison"
                ),
            ),
            "apps.fence": _is(
                "quotes",
                lambda value: "answers are wrapped in three backticks; the paper's in three single quotes",
            ),
            "apps.max_new_tokens": _at_most("an answer"),
        },
        _chat_is(
            False, "asked in the chat format and without shots, as the paper asks its Instruct models alone"
        ),
        always=(
            "a test case has 4 s of CPU time; APPS' own runner takes them by the clock, and passes programs that "
            "return outside of a function or exit with an error",
        ),
    ),
    **{
        f"multipl_e_{language}": _stated(
            {"multipl_e.max_new_tokens": _at_most("an answer")},
            silent=("the language's compiler or interpreter", _TEN_SECONDS),
        )
        for language in ("cpp", "java", "php", "ts", "cs", "sh")
    },
    "infilling_single_line": _stated(
        {**_INFILLING, "infilling.max_new_tokens": _at_most("a middle")},
        asking=("a line that does not end by itself is cut after it",),
        silent=(_TEN_SECONDS,),
    ),
    "infilling_multi_line": _SPANS,
    "infilling_random_span": _SPANS,
    "multilingual_infilling": _stated({**_INFILLING, "infilling.max_new_tokens": _at_most("a middle")}),
    "lcc": _stated(
        {
            "lcc.examples_per_bucket": _ours(lambda value: f"at most {value} examples a language and length"),
            "lcc.long_context": Statement(
                elsewhere="chooses between the paper's two ways; a note tells which"
            ),
            "lcc.bucket_tokens": _ours(lambda value: f"lengths in steps of {value:,} words and signs"),
        },
        {
            "cut_inputs": _none_of(
                "files were seen from their end alone, as the paper does it where there was no long-context tuning"
            )
        },
        always=("our own balanced draw from LCC's files; the paper's examples aren't published",),
        silent=("how BLEU cuts a line into words and is smoothed",),
    ),
    "key_retrieval": _stated(
        {
            "key_retrieval.lengths": _elsewhere("a column is of one length"),
            "key_retrieval.positions": _elsewhere("a column is of one position"),
            "key_retrieval.examples": _is(
                64, lambda value: f"prompts for each length and position: {value}; the paper has 64"
            ),
        },
        {
            "cut_answers": _elsewhere("its answers are a number, and end after a few tokens"),
            "source": _elsewhere("the filler is ours in any case"),
        },
        always=("our own filler and wording",),
    ),
}
STATEMENTS: Mapping[str, Stated] = {
    **_STATED,
    # The same of many samples: how many and how they are drawn is the column's affair.
    **{f"{name}_sampled": _STATED[name] for name in ("humaneval", "mbpp", "apps")},
}
