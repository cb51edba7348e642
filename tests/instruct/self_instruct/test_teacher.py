"""A teacher asks for what is not known, and knows what it asked, also in a later version."""

from __future__ import annotations

from pathlib import Path

from scripted_teacher import ScriptedTeacher, adds

from codecascade.generation.backend import ChatPrompt, TextPrompt
from codecascade.generation.requests import SamplingParams
from codecascade.ground.files.keyed_journal import KeyedJournal
from codecascade.instruct.self_instruct.teacher import Ask, Teacher, _given, sampling_seed
from codecascade.tokens.messages import Message

PROMPT = ChatPrompt((Message("user", "Problem: adds 1\nTest: assert add_1(1) == 2"),), prefill="[PYTHON]\n")


def test_only_missing_samples_are_asked_for(tmp_path: Path) -> None:
    backend = ScriptedTeacher(adds)
    with KeyedJournal(tmp_path / "j", {}) as journal:
        teacher = Teacher(backend, journal, chat=True)
        first = list(teacher.ask([Ask("solutions/q", PROMPT, SamplingParams(seed=1), (0, 2))]))
        more = teacher.ask_in_order([Ask("solutions/q", PROMPT, SamplingParams(seed=1), (0, 1, 2, 3))])[0]
        assert [request.numbers for request in backend.requests] == [(0, 2), (1, 3)]
        assert [answer.number for answer in more] == [0, 1, 2, 3]
        assert [answer.known for answer in more] == [True, False, True, False]
        assert {answer.text for answer in first} < {answer.text for answer in more}
        other = list(teacher.ask([Ask("solutions/q", PROMPT, SamplingParams(seed=2), (0,))]))
    assert not other[0].known, "another seed is another question"
    assert len(backend.requests) == 3


def test_long_answers_are_cut_and_costs_are_counted_once(tmp_path: Path) -> None:
    ask = Ask("tests/q/0", PROMPT, SamplingParams())
    for _ in range(2):
        with KeyedJournal(tmp_path / "j", {}) as journal:
            teacher = Teacher(ScriptedTeacher(lambda *asked: "word " * 1000), journal, chat=True, longest=50)
            assert len(next(iter(teacher.ask([ask]))).text) == 50
            assert (teacher.cost.prompts, teacher.cost.answers) == (1, 1)
            assert teacher.cost.answer_tokens == 1000


def test_what_is_at_its_default_is_no_part_of_a_digest() -> None:
    """So a field that a later version adds does not make it ask everything again."""
    assert _given(SamplingParams(max_new_tokens=9, seed=3)) == {"max_new_tokens": 9, "seed": 3}
    assert _given(TextPrompt("a")) == {"prompt": "a"}
    assert _given(PROMPT) == {"messages": [("user", PROMPT.messages[0].content)], "prefill": "[PYTHON]\n"}


def test_a_seed_depends_on_all_parts_of_its_key_and_fits_into_32_bits() -> None:
    seeds = {
        sampling_seed(0, step, question, index) for step in "ab" for question in "cd" for index in range(3)
    }
    assert len(seeds) == 12
    assert all(0 <= seed < 1 << 32 for seed in seeds)
    assert sampling_seed(0, "tests", "q", 0) == sampling_seed(0, "tests", "q", 0)
