"""What questions depend on: a finished folder is not finished any more when one of the files is another one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codecascade.corpus.steps.decontamination import NO_BENCHMARKS, BenchmarkTexts
from codecascade.instruct.self_instruct.prompt_texts import PROMPTS, PromptTexts
from codecascade.instruct.self_instruct.questions.inputs import inputs_digest
from codecascade.instruct.self_instruct.questions.settings import QuestionSettings, QuestionSource


@pytest.fixture
def digest(tmp_path: Path) -> Callable[..., str]:
    (tmp_path / "topics.txt").write_text("trees\n")
    (tmp_path / "q.txt").write_text("Write a function.\n")
    shutil.copytree(PROMPTS, tmp_path / "prompts")
    settings = QuestionSettings(
        topics=str(tmp_path / "topics.txt"),
        sources=(
            QuestionSource(source="prompt"),
            QuestionSource(source="file", path=str(tmp_path / "q.txt")),
        ),
    )

    def make(benchmarks: BenchmarkTexts = NO_BENCHMARKS) -> str:
        return inputs_digest(settings, PromptTexts(tmp_path / "prompts"), benchmarks, chat=True)

    return make


@pytest.mark.parametrize("name", ["topics.txt", "q.txt", "prompts/chat/questions.txt"])
def test_another_content_of_a_file_is_seen(name: str, digest: Callable[..., str], tmp_path: Path) -> None:
    before = digest()
    assert digest() == before
    with open(tmp_path / name, "a") as file:
        file.write("more\n")
    assert digest() != before


def test_files_that_are_not_read_change_nothing(digest: Callable[..., str], tmp_path: Path) -> None:
    before = digest()
    for name in ("plain/questions.txt", "chat/questions_about_code.txt"):
        with open(tmp_path / "prompts" / name, "a") as file:
            file.write("more\n")
    assert digest() == before


def test_another_text_of_a_benchmark_with_the_same_name_is_seen(digest: Callable[..., str]) -> None:
    assert digest(BenchmarkTexts({"own/1": "a"})) != digest(BenchmarkTexts({"own/1": "b"}))
