"""Losses by language, and of bodies of functions with and without their docstrings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.evaluation.benchmarks.language_modelling import by_language, docstring_bodies
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext
from codecascade.ground.errors import UserError


@dataclass
class Even:
    """Gives each token the probability ``1 / token id``, so that every sum can be done by hand."""

    tokenizer: Any
    context_length: int = 4096

    def generate(self, requests: object) -> Iterator[Any]:
        raise AssertionError("nothing is generated")

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        for place, ids in enumerate(sequences):
            yield place, [-math.log(token) for token in ids[1:]]


def context(scorer: Even, corpus: Any, **settings: Any) -> EvaluationContext:
    model = EvaluatedModel("even", scorer.context_length, tokenizer=scorer.tokenizer, scorer=scorer)
    return EvaluationContext(EvaluateSettings(**settings), model, corpus=corpus)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two repositories of three Python and two JavaScript files, of which one is held out."""
    root = tmp_path_factory.mktemp("by-language")
    for package in ("alpha", "beta"):
        (root / "sources" / package / ".git").mkdir(parents=True)
        for number in range(3):
            (root / "sources" / package / f"part{number}.py").write_text(
                f"def {package}_{number}(value):\n"
                f'    """Return the value of {package} {number} times, as it is needed in many other places."""\n'
                f"    total = value * {number + 2}\n    return [total, '{package}', {number}]\n"
            )
        for number in range(2):
            (root / "sources" / package / f"part{number}.js").write_text(
                f"function {package}{number}(value) {{\n  const total = value + {number} * 7;\n"
                f"  return [total, '{package}', 'a longer text number {number}'];\n}}\n"
            )
    build_corpus([str(root / "sources")], root / "corpus", CorpusSettings(heldout_share=0.5))
    return Corpus.open(root / "corpus")


def bits(tokenizer: Any, texts: Sequence[str]) -> float:
    nats = sum(math.log(token) for text in texts for token in tokenizer.encode(text))
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def test_each_language_has_its_figure(tokenizer: Any, held_out: Corpus) -> None:
    found = by_language.score(context(Even(tokenizer), held_out, validation_by_language={"fewest": 1}))
    python, script = (
        [document.text for document in held_out.documents("heldout", language)]
        for language in ("python", "javascript")
    )
    assert len(python) >= 2 and script
    metrics = found.metrics
    assert metrics["bits_per_byte@python"].value == pytest.approx(bits(tokenizer, python))
    assert metrics["bits_per_byte@javascript"].value == pytest.approx(bits(tokenizer, script))
    assert metrics["bits_per_byte@other_languages"].n == len(script)
    assert metrics["bits_per_byte"].value == pytest.approx(bits(tokenizer, [*python, *script]))


def test_a_long_document_is_cut_to_the_context(tokenizer: Any, held_out: Corpus) -> None:
    scorer = Even(tokenizer, context_length=9)
    found = by_language.score(context(scorer, held_out, validation_by_language={"fewest": 1}))
    assert {row["tokens"] for row in found.rows} == {8}
    assert all(row["bytes"] < 40 for row in found.rows), "the bytes are those of the scored tokens"


def test_languages_of_few_documents_count_with_the_others_alone(tokenizer: Any, held_out: Corpus) -> None:
    found = by_language.score(context(Even(tokenizer), held_out, validation_by_language={"fewest": 50}))
    assert found.metrics.keys() == {"bits_per_byte", "bits_per_byte@other_languages"}
    assert by_language.scores(found.rows).keys() == found.metrics.keys(), (
        "from the rows, as `compare` reads them"
    )
    script = len(held_out.documents("heldout", "javascript"))
    assert found.metrics["bits_per_byte@other_languages"].n == script
    python = len(held_out.documents("heldout", "python"))
    assert found.notes == [
        "Of these languages too few documents are held out for a figure of their own: "
        f"javascript {script}, python {python}."
    ]


def test_without_held_out_code_there_is_nothing_to_measure(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "one.py").write_text("def add(a, b):\n    return a + b\n")
    build_corpus([str(tmp_path / "sources")], tmp_path / "corpus", CorpusSettings(heldout_share=0.0))
    with pytest.raises(UserError, match="no code is held out"):
        by_language.score(context(Even(tokenizer), Corpus.open(tmp_path / "corpus")))


def test_a_body_is_scored_with_its_docstring_and_without(tokenizer: Any, held_out: Corpus) -> None:
    found = docstring_bodies.score(context(Even(tokenizer), held_out))
    documents = [document.text for document in held_out.documents("heldout", "python")]
    bodies = ["".join(text.splitlines(keepends=True)[2:]) for text in documents]
    assert found.metrics["bits_per_byte"].value == pytest.approx(bits(tokenizer, bodies))
    assert found.metrics["bits_per_byte_bare"].value == pytest.approx(bits(tokenizer, bodies))
    assert {row["bytes"] for row in found.rows} == {len(body.encode()) for body in bodies}


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (
            "@cached\ndef f(\n    a,\n):\n    '''Doc\n    more.'''\n    return a\n",
            ("@cached\ndef f(\n    a,\n):\n", "    '''Doc\n    more.'''\n", "    return a\n"),
        ),
        ("def f(a): 'Doc'; return a\n", None),
        ("def f(a):\n    'Doc'; return a\n", None),
        ("def f(a):\n    'Doc'\n", None),
        ("async def f():\n    'Doc'\n\n    pass\n", ("async def f():\n", "    'Doc'\n", "\n    pass\n")),
    ],
)
def test_a_function_is_cut_at_whole_lines(source: str, parts: tuple[str, str, str] | None) -> None:
    assert docstring_bodies._parts(source) == parts


def test_functions_longer_than_the_context_are_left_out(tokenizer: Any, held_out: Corpus) -> None:
    with pytest.raises(UserError, match="no function fits the model's context of 10 tokens"):
        docstring_bodies.score(context(Even(tokenizer, context_length=10), held_out))


def test_the_settings_are_in_the_table(tmp_path: Path) -> None:
    settings = EvaluateSettings(validation_by_language={"documents": 3}, docstring_bodies={"problems": 4})
    assert settings.own(by_language.ByLanguageSettings).documents == 3
    assert settings.own(docstring_bodies.DocstringBodySettings).problems == 4
