"""Parts of other files of the repository before a held-out gap: which, where, and what they are asked with."""

from __future__ import annotations

from typing import Any

import pytest

from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.evaluation.benchmarks.heldout.heldout import tasks
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.inputs import Inputs, made_with
from codecascade.evaluation.running.settings_used import used_settings
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext
from codecascade.generation.backend import TextRequest
from codecascade.generation.local_backend import encode_request
from codecascade.generation.requests import SamplingParams

NAME = "infilling_heldout"
_NAMES = ("apple", "banana", "cherry", "damson", "elder", "fig")
IMPORTED = dict(zip(_NAMES, (*_NAMES[1:], _NAMES[0]), strict=True))
"""Each module of :func:`modules_of_two`, and the one that it imports."""


def settings(**own: Any) -> EvaluateSettings:
    return EvaluateSettings(infilling_heldout={"problems": 28, **own})


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory, modules_of_two: dict[str, str]) -> Corpus:
    """A built corpus of one repository, some files of which are held out."""
    folder = tmp_path_factory.mktemp("corpus")
    for name, text in modules_of_two.items():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "source" / name).write_text(text)
    build_corpus([str(folder / "source")], folder / "corpus", CorpusSettings(heldout_share=0.3))
    return Corpus.open(folder / "corpus")


@pytest.fixture(scope="module")
def modules_of_two() -> dict[str, str]:
    return {
        f"{name}.py": f"from {other} import *\n\n\n"
        + "".join(
            f"def {name}_{n}(first, second):\n    {name} = first + {n}\n    return {name} * second\n\n\n"
            for n in range(8)
        )
        for name, other in IMPORTED.items()
    }


def test_files_that_are_imported_anywhere_before_the_gap_stand_nearest(
    repositories: Corpus, tokenizer: Any
) -> None:
    model = EvaluatedModel(count_tokens=lambda text: len(tokenizer.encode(text)))

    def nearest(choice: str) -> list[bool]:
        chosen = settings(neighbours=choice, neighbour_share=0.5, context_tokens=400)
        made = tasks(EvaluationContext(chosen, model, corpus=repositories))
        asked = [task for task in made if task.fields["format"] == "spm"]
        # The window of most of them does not reach up to the import.
        assert sum(task.prompt.prefix.startswith("from ") for task in asked) < len(asked) / 2
        return [
            task.prompt.repository.chunks[-1].path
            == f"{IMPORTED[task.fields['path'].removesuffix('.py')]}.py"
            for task in asked
            if task.fields["line"] > 4
        ]

    imported = nearest("imported")
    assert len(imported) >= 20 and all(imported) and not all(nearest("similar"))


@pytest.mark.parametrize("layout", ["psm", "spm"])
def test_other_files_of_the_repository_come_first(
    repositories: Corpus, tokenizer: Any, scoring: Any, measure: Any, layout: str
) -> None:
    chosen = settings(format=layout, neighbour_share=0.5, context_tokens=1600)
    assert repositories.manifest.heldout_by == "path"
    model = EvaluatedModel(
        infilling_formats=("psm", "spm"), count_tokens=lambda text: len(tokenizer.encode(text))
    )
    context = EvaluationContext(chosen, model, corpus=repositories)
    # Nothing resembles the first lines, which import.
    made = [task for task in tasks(context) if task.fields["line"] > 4]
    assert len(made) >= 40
    for task in made:
        around = task.prompt.repository
        assert around is not None and around.chunks and around.path == task.fields["path"]
        assert task.fields["path"] not in {chunk.path for chunk in around.chunks}
        prompt = encode_request(tokenizer, TextRequest(task.prompt, SamplingParams(task.max_new_tokens))).ids
        assert task.references is not None
        reference, *others = task.references(tokenizer)
        assert any(way.any_last for way in others) == (task.fields["kind"] in ("line", "rest"))
        # The prompt is what comes before the middle, but for a token that healing took back.
        shown = [each for each in reference.ids[: reference.first] if each not in tokenizer.special_ids]
        asked = [each for each in prompt if each not in tokenizer.special_ids]
        assert shown[: len(asked) - 2] == asked[:-2] and len(asked) > 300
    for name, wanted in ((NAME, chosen), (NAME, settings()), ("repository_completion", settings())):
        benchmark = BENCHMARKS[name]
        header = made_with(benchmark, Inputs(corpus=repositories), used_settings(benchmark, wanted))
        assert ("trained files" in header) == (wanted is chosen or name != NAME)
    result, _ = measure(NAME, scoring(tokenizer, lambda prompt: ""), chosen, corpus=repositories)
    assert result.metrics["middle_nats_per_byte"].n > 0 and "other files of the repository" in " ".join(
        result.notes
    )
