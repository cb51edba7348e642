"""ToxiGen and BOLD: their files, groups and figures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codecascade.evaluation.benchmarks.safety import bold, toxigen
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.judges.judge import JudgedAnswer, Judgement
from codecascade.evaluation.judges.rules.sentiment import SentimentRule
from codecascade.evaluation.task import EvaluationContext, Task, TextPrompt
from codecascade.ground.errors import UserError

PROMPTS = [
    {"label": label, "group": group, "line": n, "prompt": f"- {group} people {n}\\n- they cook\\n-"}
    for label in ("hate", "neutral")
    for group in ("asian", "women", "trans")
    for n in range(2)
]


def toxigen_tasks(data: Path, **own: Any) -> list[Task]:
    return toxigen.tasks(EvaluationContext(EvaluateSettings(toxigen=own), data=data))


def test_the_prompts_with_their_groups(tmp_path: Path) -> None:
    path = tmp_path / "toxigen_some.jsonl.gz"
    path.write_bytes(
        gzip.compress("".join(json.dumps(row) + "\n" for row in [*PROMPTS, PROMPTS[0]]).encode())
    )
    tasks = toxigen_tasks(path)
    assert [task.fields["group"] for task in tasks] == ["asian"] * 2 + ["women"] * 2 + ["asian"] * 2 + [
        "women"
    ] * 2
    assert isinstance(tasks[0].prompt, TextPrompt)
    assert tasks[0].prompt.prompt == "- asian people 0\n- they cook\n-" and tasks[0].prompt.stop == ("\n",)
    assert len({task.task_id for task in tasks}) == 8, "a prompt that is there twice is asked once"
    everything = toxigen_tasks(path, groups="every")
    hateful = toxigen_tasks(path, prompts="hate")
    assert len(everything) == 12 and len(hateful) == 4
    assert (
        {task.task_id for task in hateful}
        < {task.task_id for task in tasks}
        < {t.task_id for t in everything}
    )


def test_the_files_of_its_repository(tmp_path: Path) -> None:
    for label in ("hate", "neutral"):
        (tmp_path / f"{label}_middle_east_1k.txt").write_text("- one\\n-\n- two\\n-\n\n")
    (tmp_path / "prompts").mkdir()
    for path in tmp_path.glob("*.txt"):
        path.rename(tmp_path / "prompts" / path.name)
    tasks = toxigen_tasks(tmp_path)
    assert len(tasks) == 4 and {task.fields["label"] for task in tasks} == {"hate", "neutral"}
    assert {task.fields["group"] for task in tasks} == {"middle_east"}
    (tmp_path / "other.txt").write_text("- one\n")
    with pytest.raises(UserError, match=r"other\.txt: must be called hate_GROUP_1k\.txt"):
        toxigen_tasks(tmp_path / "other.txt")


@pytest.mark.parametrize("number", ["", "-00000-of-00001", "-00000-of-00001-3f0a9b8c7d6e5f41"])
def test_the_hubs_tables(tmp_path: Path, number: str) -> None:
    (tmp_path / "prompts").mkdir()
    for label in ("hate", "neutral"):
        name = f"{label}_middle_east_1k{number}.parquet"
        pq.write_table(pa.table({"text": [f"- {label}\\n-"]}), tmp_path / "prompts" / name)
    tasks = toxigen_tasks(tmp_path)
    found = [(task.fields["label"], task.fields["group"]) for task in tasks]
    assert found == [("hate", "middle_east"), ("neutral", "middle_east")]
    assert isinstance(tasks[0].prompt, TextPrompt) and tasks[0].prompt.prompt == "- hate\n-"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"group": "asian", "prompt": "-"}, r":1: label: is missing"),
        ({"label": "rude", "group": "asian", "prompt": "-"}, r":1: label: must be hate or neutral"),
        ({"label": "hate", "prompt": "-"}, r":1: group: is missing"),
        ({"label": "hate", "group": "asian"}, r":1: prompt: is missing"),
        ({"label": "hate", "group": "martian", "prompt": "-"}, "has no prompt of the groups"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    path = tmp_path / "toxigen.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=words):
        toxigen_tasks(path)


def test_the_share_of_toxic_answers_by_group(
    tmp_path: Path, tokenizer: Any, oracle: Any, measure: Any
) -> None:
    path = tmp_path / "toxigen.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))

    def answer(prompt: str) -> str:
        return " they are lazy\n- more" if "women people 0" in prompt else " they cook well"

    result, rows = measure("toxigen", oracle(tokenizer, answer), data={"toxigen": path})
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values == pytest.approx({"toxic": 0.25, "toxic@asian": 0.0, "toxic@women": 0.5})
    assert {row["completion"] for row in rows} == {"they are lazy", "they cook well"}
    assert all(row["passed"] is (not row["toxic"]) for row in rows)
    assert "words of insult; misses" in result.about["judge"]


@pytest.fixture
def bold_folder(tmp_path: Path) -> Path:
    content = {
        "gender": {
            "American_actors": {"Al": ["Al is ", "Al was "]},
            "American_actresses": {"Bo": ["Bo is "]},
        },
        "religious_ideology": {"islam": {"Islam": ["Islam is "]}, "hinduism": {"Hinduism": ["Hinduism is "]}},
    }
    for domain, groups in content.items():
        (tmp_path / f"{domain}_prompt.json").write_text(json.dumps(groups))
    return tmp_path


def bold_tasks(data: Path, **own: Any) -> list[Task]:
    return bold.tasks(EvaluationContext(EvaluateSettings(bold=own), data=data))


def test_the_papers_groups_and_all_groups(bold_folder: Path) -> None:
    tasks = bold_tasks(bold_folder)
    assert [task.task_id for task in tasks] == [
        "bold/gender/American_actors/0",
        "bold/gender/American_actors/1",
        "bold/gender/American_actresses/0",
        "bold/religious_ideology/islam/0",
    ]
    assert tasks[0].fields == {"domain": "gender", "group": "American_actors"}
    assert "bold/religious_ideology/hinduism/0" in {
        t.task_id for t in bold_tasks(bold_folder, groups="every")
    }
    assert len(bold_tasks(bold_folder / "gender_prompt.json")) == 3, "one domain alone"
    assert (
        tasks[0].facts.question == "Al is "
        and bold_tasks(bold_folder, judged="continuation")[0].facts.question == ""
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "must be an object"),
        ({"g": ["a"]}, "g: must be an object"),
        ({"g": {"t": "a"}}, r"g\.t: must be a list of texts"),
        ({"g": {"t": [1]}}, r"g\.t: must be a list of texts"),
    ],
)
def test_a_damaged_file_of_bold(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "race_prompt.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"race_prompt\.json: {words}"):
        bold_tasks(path)
    with pytest.raises(UserError, match=r"must be called DOMAIN_prompt\.json"):
        bold_tasks(path.rename(tmp_path / "race.json"))


def test_sentiment_by_group_domain_and_in_all(
    bold_folder: Path, tokenizer: Any, oracle: Any, measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(rule: SentimentRule, answer: JudgedAnswer) -> Judgement:
        return Judgement(
            {
                "sentiment": {"Al is good": 1.0, "Al was good": 0.5}.get(
                    answer.facts.question + answer.answer, -1.0
                )
            }
        )

    monkeypatch.setattr(SentimentRule, "__call__", judge)
    monkeypatch.setattr(SentimentRule, "check", lambda rule: None)
    result, _ = measure("bold", oracle(tokenizer, lambda prompt: " good"), data={"bold": bold_folder})
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values == pytest.approx(
        {
            "sentiment": -0.5625,
            "sentiment@gender": -0.125,
            "sentiment@gender.American_actors": 0.75,
            "sentiment@gender.American_actresses": -1.0,
            "sentiment@religious_ideology": -1.0,
            "sentiment@religious_ideology.islam": -1.0,
        }
    )
    one = result.metrics["sentiment@religious_ideology.islam"]
    assert one.low == -1 and one.high > 0, "one text says little about a group"


def test_vader_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"bold\.judge: .*pip install 'codecascade\[judges\]'"):
        SentimentRule().check()
