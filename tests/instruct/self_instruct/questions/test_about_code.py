"""Questions about the user's own code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from question_teacher import OneEach, ScriptedBackend

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.documents import document
from codecascade.corpus.steps.decontamination import NO_BENCHMARKS
from codecascade.ground.errors import UserError
from codecascade.instruct.self_instruct.questions.code_seeds import LINES, pieces_of
from codecascade.instruct.self_instruct.questions.settings import QuestionSettings, QuestionSource
from codecascade.instruct.self_instruct.questions.step import make_questions
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.teacher import Teacher
from codecascade.instruct.self_instruct.triplets import QuestionsMade

Taught = Callable[..., Teacher]

MODULE = '''
"""Bookings."""


def free_seats(taken, rows, seats):
    """The seats of a hall that nobody has booked."""
    return [(row, seat) for row in range(rows) for seat in range(seats) if (row, seat) not in taken]


def _private(taken, rows, seats):
    return [(row, seat) for row in range(rows) for seat in range(seats) if (row, seat) in taken]


def test_free_seats(taken, rows, seats):
    assert [(row, seat) for row in range(rows) for seat in range(seats) if (row, seat) in taken]


class Hall:
    """A hall with rows of seats."""

    def book(self, row, seat):
        """Book a seat for somebody."""
        self.taken.add((row, seat))
        return len(self.taken)
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two files, one of them with a key that must not leave the machine."""
    folder = tmp_path_factory.mktemp("project") / "theatre"
    folder.mkdir()
    (folder / "bookings.py").write_text(MODULE)
    (folder / "client.py").write_text(
        'def fetch_programme(session, month):\n    """The plays of a month."""\n'
        '    headers = {"Authorization": "ghp_' + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8" + '"}\n'
        "    return session.get('/plays', params={'month': month}, headers=headers).json()\n"
    )
    return folder


def code_settings(
    path: Path | None, questions: int = 4, languages: tuple[str, ...] = ()
) -> SelfInstructSettings:
    source = QuestionSource(source="corpus", path=None if path is None else str(path), languages=languages)
    return SelfInstructSettings(
        questions=questions, question=QuestionSettings(about_code=1, sources=(source,))
    )


def made(given: SelfInstructSettings, teacher: Teacher) -> QuestionsMade:
    return make_questions(given, teacher, NO_BENCHMARKS, lambda found, wanted: None)


def test_questions_about_the_users_code(taught: Taught, project: Path) -> None:
    backend = ScriptedBackend(OneEach())
    found = made(code_settings(project, 50), taught(backend))
    functions = {each.seed["function"]: each.seed for each in found.questions}
    assert set(functions) == {"free_seats", "Hall", "Hall.book", "fetch_programme"}
    assert functions["free_seats"]["path"].endswith("bookings.py")
    assert functions["free_seats"]["license"] == "own"
    prompts = "\n".join(backend.asked)
    assert "def free_seats" in prompts and "_private" not in prompts and "def test_" not in prompts
    assert "ghp_" not in prompts, "a key is never shown to a teacher"
    assert all(each.source == "corpus" for each in found.questions)
    assert any("under these licences: own" in note for note in found.notes)
    assert any("pieces of code were asked about" in note for note in found.notes)


def test_a_corpus_is_used_where_it_is(taught: Taught, project: Path, tmp_path: Path) -> None:
    backend = ScriptedBackend(OneEach())
    first = made(code_settings(project, 2), taught(backend))
    built = tmp_path / "out" / "code-0"
    assert Corpus.open(built).languages() == ["python"]
    of_corpus = made(code_settings(built, 2), taught(ScriptedBackend(backend.write)))
    assert [each.seed for each in of_corpus.questions] == [each.seed for each in first.questions]
    with pytest.raises(UserError, match="has no documents of 'rust'"):
        made(code_settings(built, languages=("rust",)), taught(backend))


def test_code_that_changes_between_two_sittings_changes_nothing(taught: Taught, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bookings.py").write_text(MODULE)
    backend = ScriptedBackend(OneEach())
    before = made(code_settings(folder, 2), taught(backend))
    (folder / "bookings.py").write_text(MODULE.replace("seats", "chairs"))
    silent = ScriptedBackend(OneEach())
    assert made(code_settings(folder, 2), taught(silent)) == before
    assert silent.asked == []


def test_code_that_is_not_there(taught: Taught, tmp_path: Path) -> None:
    teacher = taught(ScriptedBackend(OneEach()))
    with pytest.raises(UserError, match=r"question\.sources: a source 'corpus' needs a path"):
        made(code_settings(None), teacher)
    with pytest.raises(UserError, match="absent"):
        made(code_settings(tmp_path / "absent"), teacher)


def of_language(text: str, language: str) -> list[str]:
    made = document(text, path="a", repository="r", language=language, license="own", kind="code")
    return [piece.code for piece in pieces_of(made)]


def test_a_long_class_becomes_an_outline() -> None:
    body = "\n".join(
        f"        value = value + {number}  # step {number} of very many" for number in range(100)
    )
    text = (
        'class Meter:\n    """Counts steps."""\n\n    def walk(self, value: int, *, fast: bool = False) -> int:\n'
        f'        """Walk.\n\n        Slowly.\n        """\n{body}\n        return value\n'
        "\n    def _hidden(self):\n        pass\n\n    async def stop(self, /, *all, **more):\n        pass\n"
    )
    outline = next(piece for piece in of_language(text, "python") if piece.startswith("class"))
    assert outline.splitlines() == [
        "class Meter:",
        '    """Counts steps."""',
        "    def walk(self, value: int, *, fast: bool=False) -> int:",
        '        """Walk."""',
        "    def stop(self, /, *all, **more):",
        "        ...",
    ]


def test_a_method_begins_at_the_left_margin() -> None:
    method = next(piece for piece in of_language(MODULE, "python") if piece.startswith("def book"))
    assert method.splitlines()[1] == '    """Book a seat for somebody."""'


def test_lines_of_other_languages() -> None:
    lines = ["", "}", *(f"  const value{number} = total({number});" for number in range(40))]
    pieces = of_language("\n".join(lines), "javascript")
    assert [piece.count("\n") + 1 for piece in pieces] == [LINES, LINES, 10]
    assert pieces[0].startswith("  const value0")
    assert of_language("}\n{\n" * 100, "c") == []
    assert of_language("def broken(:\n  pass", "python") == []
