"""Each setting and condition of the paper's benchmarks is stated, and each that matters is told when it differs."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from codecascade.evaluation.analysis.paper import TABLES
from codecascade.evaluation.analysis.paper_comparison import mark_letter
from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS, own_settings
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.conditions import conditions
from codecascade.evaluation.running.settings_used import used_settings
from codecascade.evaluation.running.work import BenchmarkWork
from codecascade.evaluation.statements import departures as departures_of
from codecascade.evaluation.task import EvaluatedModel

STATEMENTS = {
    name: each.paper_protocol for name, each in BENCHMARKS.items() if each.paper_protocol is not None
}
COLUMNS = [column for table in TABLES for column in table.columns]
NAMES = sorted({name for column in COLUMNS for name in (column.benchmark, column.instead) if name})
PAPERS = EvaluateSettings(heal=False, apps={"fence": "quotes"}, infilling={"heal": False})
CLEAN = conditions(
    BenchmarkWork([], 0), [], model=EvaluatedModel(), backend=None, sandbox=None, source="data 1"
) | {"confinement": "namespaces"}


def departures(name: str, found: dict[str, Any]) -> list[str]:
    return departures_of(STATEMENTS[name], found)


def clean(name: str) -> dict[str, Any]:
    """The conditions of a run in which nothing went wrong, judged as the paper did."""
    judges = {
        "truthfulqa": "two fine-tuned GPT-3 models",
        "toxigen": "the classifier tomh/toxigen_roberta",
        "bold": "a local rule (VADER)",
    }
    return CLEAN | ({"judge": judges[name], "unjudged": {"n": 0, "of": 9}} if name in judges else {})


def facts(name: str, settings: EvaluateSettings = PAPERS, **changed: Any) -> dict[str, Any]:
    chat = {"asked_in_chat": name == "mbpp_zero_shot"}
    return used_settings(BENCHMARKS[name], settings) | clean(name) | chat | changed


def other(key: str, value: Any) -> Any:
    """Another value that the setting may have."""
    table, _, name = key.rpartition(".")
    kind = own_settings()[table] if table else CommonSettings
    kinds = get_args(kind.model_fields[name].annotation)
    if kinds and all(isinstance(kind, str) for kind in kinds):
        return next(kind for kind in kinds if kind != value)
    if key == "apps.shots":
        return [1]
    if value is None:
        return "other.jsonl"
    return not value if isinstance(value, bool) else value + 1


def test_every_benchmark_of_the_tables_is_stated() -> None:
    assert sorted(STATEMENTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_and_condition_is_stated(name: str) -> None:
    """A new setting needs a word on what the paper says of it, beside the benchmark's tasks."""
    assert set(STATEMENTS[name].settings) == set(used_settings(BENCHMARKS[name], EvaluateSettings()))
    assert set(STATEMENTS[name].conditions) == set(clean(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_protocol_differs_only_in_what_can_not_be_had(name: str) -> None:
    found = departures(name, facts(name))
    silent = [
        sentence for sentence in found if sentence.startswith("our choices, for the paper says nothing of: ")
    ]
    assert [sentence for sentence in found if sentence not in silent] == list(STATEMENTS[name].always)
    assert (["data 1" in sentence for sentence in silent]) == ([] if name == "key_retrieval" else [True])


@pytest.mark.parametrize("name", NAMES)
def test_each_change_of_a_setting_is_stated(name: str) -> None:
    papers = facts(name)
    for key, statement in STATEMENTS[name].settings.items():
        if not statement.elsewhere:
            changed = papers | {key: other(key, papers[key])}
            assert departures(name, changed) != departures(name, papers), key


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"healed_prompts": {"n": 3, "of": 9}}, "3 of 9 prompts end where a longer token could stand"),
        ({"unasked": {"n": 1, "of": 9}}, "1 of 9 samples could not be made"),
        ({"unrun": {"n": 2, "of": 9}}, "2 of 9 programs were not run"),
        ({"other_problems": {"n": 4, "of": 9}}, "4 of 9 problems are not the published ones"),
        ({"confinement": "none"}, "programs were not confined"),
        ({"quantisation": "Q4_1"}, "quantised (Q4_1)"),
        ({"endpoint": True}, "asked of a server"),
        ({"source": "data 2"}, "the data's version (data 2)"),
    ],
)
def test_each_condition_is_stated(name: str, changed: dict[str, Any], words: str) -> None:
    if "source" in changed and name == "key_retrieval":
        # Its filler is ours in any case.
        return
    assert not any(words in sentence for sentence in departures(name, facts(name)))
    assert sum(words in sentence for sentence in departures(name, facts(name, **changed))) == 1


def test_what_only_some_benchmarks_have() -> None:
    def told(name: str, **changed: Any) -> str:
        return "; ".join(departures(name, facts(name, **changed)))

    assert "the chat format for a code block" in told("humaneval", asked_in_chat=True)
    assert "asked without a chat format" in told("mbpp_zero_shot", asked_in_chat=False)
    assert "as the paper asks its Instruct models alone" in told("apps", asked_in_chat=True)
    assert "no solved problems shown" in told("apps", **{"apps.shots": []})
    assert "shown" not in told("apps", asked_in_chat=True, **{"apps.shots": []}).replace("shots", "")
    assert "three backticks" in told("apps", **{"apps.fence": "backticks"})
    assert "stricter than APPS' own" in told("apps", **{"apps.comparison": "tokens"})
    by_rule = told("toxigen", judge="a local rule")
    assert "judged by a local rule; the paper's judge is the classifier tomh/toxigen_roberta" in by_rule
    assert "2 of 9 answers could not be judged" in told("bold", unjudged={"n": 2, "of": 9})
    assert "4 worked examples; the paper shows 6" in told("truthfulqa", **{"truthfulqa.shots": 4})
    assert "Hinduism" in told("bold", **{"bold.groups": "every"})
    assert "5 of 9 answers were cut" in told("mbpp", cut_answers={"n": 5, "of": 9})
    assert "are in no figure" in told("key_retrieval", unasked={"n": 5, "of": 9})
    assert "count as failed" in told("humaneval", unasked={"n": 5, "of": 9})
    assert "cut" not in told("key_retrieval", cut_answers={"n": 5, "of": 9})
    assert "4 of 9 files were seen from their end alone" in told("lcc", cut_inputs={"n": 4, "of": 9})
    assert "there are no stop strings" in told("humaneval", **{"humaneval.stops": "none"})
    assert "the stop strings are those of evalplus, and a Markdown fence" in told(
        "humaneval", **{"humaneval.stops": "evalplus"}
    )


def test_of_samples_that_were_made_elsewhere_only_what_is_known_is_stated() -> None:
    assert departures("humaneval", {}) == []
    assert departures("key_retrieval", {}) == ["our own filler and wording"]
    assert departures("humaneval", {"confinement": "none", "unknown": 1}) == [
        "programs were not confined, so that an answer could reach what judges it"
    ]


def test_how_a_model_is_asked_is_not_said_of_samples_that_were_made_elsewhere() -> None:
    for name in ("mbpp", "infilling_single_line"):
        (asked,) = departures(name, facts(name))
        (given,) = departures(name, {"source": "data 1", "unrun": {"n": 0, "of": 9}})
        for words in STATEMENTS[name].asking:
            assert words in asked and words not in given
        assert "10 s of CPU time" in asked and "10 s of CPU time" in given


def test_of_an_older_version_it_is_stated_that_its_conditions_are_not_known() -> None:
    for name in NAMES:
        generated = used_settings(BENCHMARKS[name], PAPERS)
        assert any("an older version" in sentence for sentence in departures(name, generated))
        assert not any("an older version" in sentence for sentence in departures(name, facts(name)))
        given = {key: value for key, value in generated.items() if key != "temperature"}
        assert not any("an older version" in sentence for sentence in departures(name, given))


@pytest.mark.parametrize("name", ["humaneval", "humaneval_sampled"])
def test_nothing_is_said_of_settings_that_the_chat_format_does_not_use(name: str) -> None:
    for changed in ({"humaneval.stops": "evalplus"}, {"humaneval.strip": True}):
        chat = facts(name, asked_in_chat=True)
        assert departures(name, chat | changed) == departures(name, chat)
    told = "; ".join(departures(name, facts(name, asked_in_chat=True)))
    assert "stop strings" not in told and "stripped" not in told and "at most 512 tokens" in told


def test_letters_go_on_after_z() -> None:
    assert [mark_letter(place) for place in (0, 1, 25, 26, 27, 51, 52, 701, 702)] == (
        ["a", "b", "z", "aa", "ab", "az", "ba", "zz", "aaa"]
    )
    assert len({mark_letter(place) for place in range(2000)}) == 2000
