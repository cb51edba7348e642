"""The question step: by prompt and from files; no question twice, none of a benchmark, always the same."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from question_teacher import Lists, ScriptedBackend, question

from codecascade.corpus.steps.decontamination import NO_BENCHMARKS, BenchmarkTexts
from codecascade.ground.errors import UserError
from codecascade.instruct.self_instruct.progress import QuestionMeter, SelfInstructProgress
from codecascade.instruct.self_instruct.questions.settings import QuestionSettings, QuestionSource
from codecascade.instruct.self_instruct.questions.step import make_questions, needs_teacher
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.teacher import Teacher
from codecascade.instruct.self_instruct.triplets import QuestionsMade

Taught = Callable[..., Teacher]


def settings(questions: int = 12, **changes: object) -> SelfInstructSettings:
    return SelfInstructSettings(
        questions=questions,
        question=QuestionSettings(**{"batch": 4, **changes}),  # type: ignore[arg-type]
    )


def made(
    given: SelfInstructSettings, teacher: Teacher | None, benchmarks: BenchmarkTexts = NO_BENCHMARKS
) -> QuestionsMade:
    return make_questions(given, teacher, benchmarks, lambda found, wanted: None)


def test_questions_by_prompt(taught: Taught) -> None:
    backend = ScriptedBackend(Lists())
    reported: list[tuple[int, int]] = []
    found = make_questions(settings(), taught(backend), NO_BENCHMARKS, lambda *at: reported.append(at))
    assert [each.text for each in found.questions] == [question(number) for number in range(12)]
    assert len({each.id for each in found.questions}) == 12
    assert reported == [(number, 12) for number in range(1, 13)]
    assert found.counts == {
        "prompts": 3, "parsed": 12, "unusable": 0, "duplicate": 0, "near_duplicate": 0, "contaminated": 0
    }  # fmt: skip
    topics = [each.topic for each in found.questions]
    assert len(set(topics)) == 3, "every prompt has a topic of its own"
    assert {each.difficulty for each in found.questions} <= {"easy", "medium"}
    for prompt, topic in zip(backend.asked, dict.fromkeys(topics), strict=True):
        assert topic in prompt
        assert "write 4 different questions" in prompt
        assert "Python function" in prompt


def test_answers_are_told_before_questions_are_taken_from_them(taught: Taught) -> None:
    teacher, told = taught(ScriptedBackend(Lists())), list[SelfInstructProgress]()
    meter = QuestionMeter(told.append, 12, lambda: (teacher.cost.answers, teacher.known))
    teacher.answered = meter.tick
    make_questions(settings(), teacher, NO_BENCHMARKS, meter.update)
    found = [(at.done, at.read) for at in told]
    assert found[:3] == [(0, 0), (0, 1), (1, 1)], "no question is there yet, and an answer is"
    assert found[-1] == (12, 3) and {at.total for at in told} == {12}


def test_base_models_go_on_with_a_list(taught: Taught) -> None:
    backend = ScriptedBackend(Lists())
    found = made(settings(4), taught(backend, chat=False))
    assert len(found.questions) == 4
    (prompt,) = backend.asked
    assert re.search(r"## 4 (easy|medium) questions about: .*\n\Z", prompt)


def test_a_run_with_more_questions_asks_nothing_again(taught: Taught) -> None:
    first = ScriptedBackend(Lists())
    few = made(settings(10), taught(first))
    second = ScriptedBackend(first.write)
    many = made(settings(40), taught(second))
    assert many.questions[:10] == few.questions
    assert not set(first.asked) & set(second.asked)
    assert len(first.asked) + len(second.asked) == 10
    third = ScriptedBackend(first.write)
    assert made(settings(40), taught(third)) == many
    assert third.asked == []


def test_what_is_made_does_not_depend_on_what_is_asked_together(taught: Taught, tmp_path: Path) -> None:
    """A teacher that repeats itself: the prompts name what was asked, and are the same however many are wanted."""
    texts = [question(number) for number in range(9)]

    def repeats(prompt: str) -> str:
        start = len(prompt) % 7
        return "\n".join(f"{place + 1}. {texts[(start + place) % 9]}" for place in range(4))

    backend = ScriptedBackend(repeats)
    few = made(settings(5), taught(backend))
    again = made(settings(8), taught(backend))
    assert again.questions[:5] == few.questions
    fresh = ScriptedBackend(repeats)
    other = taught(fresh)
    other.journal.close()
    other.journal.path.unlink()
    assert made(settings(8), taught(fresh)).questions == again.questions


def test_prompts_name_the_newest_questions_of_their_topic_alone(taught: Taught, tmp_path: Path) -> None:
    """A small teacher takes what is named for examples, so no other topic's question is named, however often it
    comes again."""
    (topics := tmp_path / "topics.txt").write_text("coins\nrivers\n")
    often, new = question(500), itertools.count()
    backend = ScriptedBackend(
        lambda prompt: "\n".join(f"- {question(next(new))}" for _ in range(4)) + f"\n- {often}"
    )
    found = made(settings(24, batch=5, shown=3, topics=str(topics)), taught(backend))
    topic_of = {each.text: each.topic for each in found.questions}
    assert len(backend.asked) == 6
    for number, prompt in enumerate(backend.asked):
        named = re.findall(r"^- (Write .*)$", prompt.partition("ask for something else:")[2], re.MULTILINE)
        assert len(named) == (3 if number >= 2 else 0)
        topic = re.findall("about this topic: (.*)", prompt)[-1]
        assert {topic_of[text] for text in named} <= {topic}
        assert often not in named or topic_of[often] == topic
    none = ScriptedBackend(backend.write)
    made(settings(40, batch=5, shown=0, topics=str(topics)), taught(none))
    assert not [prompt for prompt in none.asked if "asked already" in prompt]


def test_many_prompts_are_asked_together_once_they_bring_something(taught: Taught) -> None:
    backend = ScriptedBackend(Lists())
    made(settings(200, batch=4), taught(backend))
    assert backend.batches == [1, 1, 2, 4, 8, 16, 18], "twice as many each time, and no more than are needed"


@pytest.mark.parametrize("answer", ["", "I can't.", "1. No.\n2. Never.", f"1. {question(1)}"])
def test_a_teacher_that_brings_nothing_new_is_given_up(taught: Taught, answer: str) -> None:
    backend = ScriptedBackend(lambda prompt: answer)
    found = made(settings(1000, patience=6), taught(backend))
    assert len(found.questions) == (1 if "Write" in answer else 0)
    assert len(backend.asked) <= 8
    assert any("given up, for its last 6 prompts brought no new questions" in note for note in found.notes)
    assert any("1,000 questions were wanted, and the sources have brought" in note for note in found.notes)


def test_prompts_that_do_not_fit_are_named(taught: Taught) -> None:
    backend = ScriptedBackend(lambda prompt: "", "context")
    assert any(
        "do not fit into the teacher's context" in note for note in made(settings(), taught(backend)).notes
    )


def test_an_answer_at_the_limit_loses_its_last_item(taught: Taught) -> None:
    backend = ScriptedBackend(Lists(), "length")
    found = made(settings(6), taught(backend))
    assert [each.text for each in found.questions] == [question(number) for number in (0, 1, 2, 4, 5, 6)]
    assert found.counts["unusable"] == 1


def test_duplicates_alike_and_contaminated_questions_leave(taught: Taught) -> None:
    spoilt = [
        question(0),
        question(0).upper(),
        question(1),
        "Write a function that counts apples0 and drops rivers2, sorts apples1, number 1",
        question(2),
    ]
    lists = Lists()
    texts = iter(["\n".join(f"{place}. {text}" for place, text in enumerate(spoilt, 1))])
    backend = ScriptedBackend(lambda prompt: next(texts, None) or lists(prompt + "x"))
    benchmarks = BenchmarkTexts({"toy/2/text": question(2)}, checked=("toy",), unchecked=("apps",))
    found = made(settings(4, near_duplicates=0.8), taught(backend), benchmarks)
    assert [each.text for each in found.questions[:2]] == [question(0), question(1)]
    reasons = [(dropped.reason, dropped.text) for dropped in found.dropped[:3]]
    assert reasons == [("duplicate", spoilt[1]), ("near_duplicate", spoilt[3]), ("contaminated", spoilt[4])]
    assert found.dropped[2].detail == "toy/2/text"
    assert question(1) in found.dropped[1].detail
    assert found.counts["parsed"] == len(found.questions) + len(found.dropped)
    assert "checked against the texts of toy" in found.notes
    assert any("not checked" in note and "apps" in note for note in found.notes)


def test_near_duplicates_are_counted_where_none_is_removed(taught: Taught) -> None:
    texts = [question(0), "Count apples0, then drop apples2 and sort apples1 number 0", question(1)]
    backend = ScriptedBackend(lambda prompt: "\n".join(f"- {text}" for text in texts))
    found = made(settings(3), taught(backend))
    assert len(found.questions) == 3
    assert any(note.startswith("1 of 3 questions share 80% of their content words") for note in found.notes)


# ---- files


def test_questions_of_a_file_need_no_teacher(tmp_path: Path) -> None:
    text = tmp_path / "questions.txt"
    text.write_text(
        f"\ufeff1. {question(0)}\n\n- {question(1)}\r\n{question(0)}\nToo short.\n", encoding="utf-8"
    )
    given = settings(5, sources=(QuestionSource(source="file", path=str(text)),))
    assert not needs_teacher(given)
    found = made(given, None)
    assert [each.text for each in found.questions] == [question(0), question(1)]
    assert found.questions[1].seed == {"path": "questions.txt", "line": "3"}
    assert found.counts["duplicate"] == found.counts["unusable"] == 1
    assert any("5 questions were wanted, and the sources have brought 2" in note for note in found.notes)


def test_json_lines_may_say_more(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    rows = [
        {
            "question": question(0),
            "topic": "fruit",
            "difficulty": "hard",
            "entry_point": "count_fruit",
            "more": 1,
        },
        {"instruction": question(1), "topic": None},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = made(
        settings(5, sources=(QuestionSource(source="file", path=str(file)),)), None
    ).questions
    assert (first.topic, first.difficulty, first.entry_point) == ("fruit", "hard", "count_fruit")
    assert (second.text, second.topic) == (question(1), "")
    listed = tmp_path / "questions.json"
    listed.write_text(json.dumps([question(2), rows[0]]))
    found = made(settings(5, sources=(QuestionSource(source="file", path=str(listed)),)), None)
    assert [each.text for each in found.questions] == [question(2), question(0)]


@pytest.mark.parametrize("name", ["questions.txt", "QUESTIONS.JSONL", "questions", "questions.json"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_json_lines_are_read_whatever_the_file_is_called(tmp_path: Path, name: str, end: str) -> None:
    rows = [{"question": question(number)} for number in range(2)]
    file = tmp_path / name
    file.write_bytes(f"\ufeff{end}{end.join(json.dumps(row) for row in rows)}{end}".encode())
    found = made(settings(5, sources=(QuestionSource(source="file", path=str(file)),)), None)
    assert [(each.text, each.seed["line"]) for each in found.questions] == [
        (question(0), "2"),
        (question(1), "3"),
    ]


@pytest.mark.parametrize("name", ["questions.txt", "questions.JSON", "questions.jsonl", "old.csv.txt"])
def test_a_json_list_is_read_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(json.dumps([question(0), {"task": question(1)}], indent=2))
    found = made(settings(5, sources=(QuestionSource(source="file", path=str(file)),)), None)
    assert [each.text for each in found.questions] == [question(0), question(1)]


def test_a_question_that_begins_with_a_bracket_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text(f"[1] {question(0)}\n{{a}} {question(1)}\n")
    found = made(settings(5, sources=(QuestionSource(source="file", path=str(file)),)), None)
    assert [each.text for each in found.questions] == [f"[1] {question(0)}", f"{{a}} {question(1)}"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.txt", "", "q.txt: holds no questions"),
        (
            "q.csv",
            "question\nWrite it.\n",
            r"q.csv: is a table \(.csv\); write its questions into a text file",
        ),
        ("q.parquet", "PAR1", r"q.parquet: is a table \(.parquet\)"),
        ("q.txt", '{"question": "Write it, please, do."}\nWrite another one.\n', "q.txt:2: "),
        ("q.jsonl", '{"question": ""}', r"q.jsonl:1: question: is empty"),
        (
            "q.jsonl",
            '{"q": "a"}',
            r"q.jsonl:1: holds no question: of its keys \(q\) none is question, problem",
        ),
        ("q.jsonl", '{"question": 3}', r"q.jsonl:1: question: must be a text, not int"),
        ("q.jsonl", '\n{"question": "a", "topic": []}', r"q.jsonl:2: topic: must be a text, not list"),
        ("q.jsonl", '{"question": "a", "entry_point": "a b"}', "entry_point: must be the name of a function"),
        (
            "q.jsonl",
            '{"question": "a", "entry_point": "class"}',
            "entry_point: must be the name of a function",
        ),
        ("q.jsonl", '["a"]\n["b"]', "q.jsonl: is not valid JSON"),
        ("q.jsonl", '"a"\n', "q.jsonl:1: must be a JSON object, not str"),
        ("q.jsonl", "{", "q.jsonl:1: "),
        ("q.json", "{\n}", "q.json: must be a list of questions, not dict"),
        ("q.json", "{}", r"q.json:1: holds no question: of its keys \(it has none\)"),
        ("q.json", "[3]", r"q.json: \[0\]: must be a text or an object, not int"),
        ("missing.txt", None, "missing.txt: "),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message):
        made(settings(sources=(QuestionSource(source="file", path=str(file)),)), None)


# ---- several sources


def test_several_sources_by_their_shares(taught: Taught, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("".join(question(number) + "\n" for number in range(900, 920)))
    sources = (QuestionSource(source="prompt", share=3), QuestionSource(source="file", path=str(file)))
    found = made(settings(40, sources=sources), taught(ScriptedBackend(Lists())))
    assert Counter(each.source for each in found.questions) == {"prompt": 30, "file": 10}
    assert {each.source for each in found.questions[:4]} == {"prompt", "file"}, "in turn from the beginning"


def test_a_source_that_ends_leaves_its_share_to_the_others(taught: Taught, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text(question(900) + "\n")
    sources = (QuestionSource(source="prompt"), QuestionSource(source="file", path=str(file)))
    found = made(settings(9, sources=sources), taught(ScriptedBackend(Lists())))
    assert Counter(each.source for each in found.questions) == {"prompt": 8, "file": 1}
    assert any("questions.txt: all 1 of them were read" in note for note in found.notes)


# ---- settings


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"source": "prompt", "path": "x"}, "a source 'prompt' has no path"),
        ({"source": "file"}, "a source 'file' needs a path"),
        ({"source": "file", "path": "x", "languages": ("python",)}, "has no languages"),
        ({"source": "prompt", "share": 0}, "greater than 0"),
    ],
)
def test_sources_that_make_no_sense(source: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuestionSource(**source)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="named twice"):
        QuestionSettings(sources=(QuestionSource(source="prompt"), QuestionSource(source="prompt")))
