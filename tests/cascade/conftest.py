"""A small source folder and a recipe of all four kinds on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from teaching_runs import CHAT, Teachers
from teaching_runs import SMALL as TEACHING

from codecascade.cascade import run as run_module
from codecascade.cascade.dialogues import self_instruct as module
from codecascade.cascade.run import run_cascade
from codecascade.corpus.steps.decontamination import NO_BENCHMARKS
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.recipe import Recipe, make_recipe


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run writes its report again behind each stage, which is most of a small run's time; tests/reports looks
    at the pictures."""
    monkeypatch.setattr("codecascade.reports.plots.intervals", lambda *arguments, **options: "<svg></svg>")


FUNCTION = '''
def {name}(first, second):
    """Return {words} of two numbers, as often needed in {package}.

    >>> {name}(6, 2)
    {result}
    """
    if first is None or second is None:
        raise ValueError("{name} needs two numbers")
    answer = first {operator} second
    return answer
'''
OPERATORS = [("+", "the sum", 8), ("-", "the difference", 4), ("*", "the product", 12), ("%", "the rest", 0)]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six repositories of four modules and a page of prose each."""
    root = tmp_path_factory.mktemp("sources")
    for package in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta"):
        (root / package / ".git").mkdir(parents=True)
        (root / package / "LICENSE").write_text(
            "MIT License\n\nPermission is hereby granted, free of charge, ...\n"
        )
        paragraphs = [
            f"The package {package} holds many small things that belong together in one place. Part {number} of them "
            "was written by people who wanted to see how little is needed for a number of useful functions. "
            "Whoever reads this page to its end will know what they are for and where to find them."
            for number in range(12)
        ]
        (root / package / "README.md").write_text(f"# {package}\n\n" + "\n\n".join(paragraphs) + "\n")
        for number, (operator, words, result) in enumerate(OPERATORS):
            functions = [
                FUNCTION.format(
                    name=f"{package}_{number}_{copy}",
                    words=words,
                    package=f"{package} number {copy}",
                    operator=operator,
                    result=result,
                )
                for copy in range(4)
            ]
            (root / package / f"module{number}.py").write_text(
                f'"""Part {number} of {package}."""\n' + "".join(functions)
            )
    return root


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    path = tmp_path / "dialogues.jsonl"
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is {n}?"},
                {"role": "assistant", "content": f"{n} it is."},
            ]
        }
        for n in range(20)
    ]
    write_jsonl(path, rows)
    return path


SMALL: dict[str, Any] = {
    "batch_tokens": 256,
    "sequence_length": 64,
    "micro_batch_rows": 4,
    "learning_rate": 3e-3,
}


@pytest.fixture
def data(sources: Path, dialogues: Path) -> dict[str, Any]:
    """A recipe's data: a tiny model from scratch, four kinds, a few steps each."""
    return {
        "name": "small",
        "base": "tiny",
        "corpus": str(sources),
        "tokenizer": {"vocabulary": 320},
        "corpus_build": {"heldout_share": 0.2},
        "evaluate": {"benchmarks": ["validation"], "validation": {"documents": 4, "characters": 300}},
        "stage": [
            {"name": "code", "kind": "code", "parent": "base", "steps": 6, **SMALL},
            {
                "name": "python",
                "kind": "python",
                "parent": "code",
                "steps": 2,
                "keep_infilling_tokens": False,
                "mixture": [{"source": "python", "share": 1.0}],
                **SMALL,
            },
            {"name": "long", "kind": "long_context", "parent": "code", "steps": 2, **SMALL}
            | {"sequence_length": 1024, "batch_tokens": 1024},
            {
                "name": "chat",
                "kind": "instruct",
                "parent": "long",
                "steps": 2,
                "dialogues": str(dialogues),
                "train": "lora",
                "lora_rank": 4,
                **SMALL,
            },
        ],
    }


@pytest.fixture
def recipe(data: dict[str, Any]) -> Recipe:
    return make_recipe(data)


# ---- runs in which a scripted teacher makes the dialogues


@pytest.fixture
def teachers(monkeypatch: pytest.MonkeyPatch) -> Teachers:
    made = Teachers()
    monkeypatch.setattr(module, "open_teacher", made)
    return made


@pytest.fixture(scope="session")
def first_run(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a corpus and a stage of code, which the runs of these tests begin with."""
    stage = {"name": "code", "kind": "code", "parent": "base", "steps": 1, **TEACHING}
    data = {
        "name": "first",
        "base": "tiny",
        "corpus": str(sources),
        "tokenizer": {"vocabulary": 320},
        "corpus_build": {"heldout_share": 0.2},
        "evaluate": {"benchmarks": []},
        "stage": [stage],
    }
    folder = tmp_path_factory.mktemp("first") / "run"
    run_cascade(make_recipe(data), folder)
    return folder


@pytest.fixture
def stages(first_run: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A recipe of one stage, which makes its dialogues."""
    monkeypatch.setattr(module, "run_benchmark_texts", lambda recipe: NO_BENCHMARKS)
    return {
        "name": "small",
        "base": str(first_run / "models" / "code"),
        "corpus": str(first_run / "corpus"),
        "evaluate": {"benchmarks": []},
        "stage": [{**CHAT}],
    }


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without what has tests of its own: the timing of steps, and the report with its pictures."""
    monkeypatch.setattr(run_module, "say_how_long", lambda *rest: None)
    monkeypatch.setattr(run_module, "write_report", lambda *rest: None)
