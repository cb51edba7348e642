"""``self-instruct``: a model makes training data for itself or for another one."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codecascade.cli import options
from codecascade.cli.app import app, invocation, loading, stderr
from codecascade.ground.choices import PromptForm, SandboxMode, Selection, Weights
from codecascade.ground.errors import UserError
from codecascade.ground.format import shown_command

if TYPE_CHECKING:
    from codecascade.generation.backend import Backend
    from codecascade.instruct.self_instruct.pipeline import Backends
    from codecascade.instruct.self_instruct.settings import SelfInstructSettings

_WHO = "Who writes"
_QUESTIONS = "Questions"
_ANSWERS = "Tests and solutions"
_KEPT = "What is kept"
_SETTINGS = "Settings"
_MODEL = "The model"


def _option(
    help_text: str, panel: str, metavar: str | None, shown: str | bool = False, *names: str, **more: Any
) -> Any:
    return typer.Option(
        *names, help=help_text, rich_help_panel=panel, metavar=metavar, show_default=shown, **more
    )


@app.command(
    "self-instruct",
    rich_help_panel=options.MAKE,
    epilog=options.examples(
        "self-instruct MODEL -o data/own --questions 600",
        "self-instruct MODEL -o data/own --endpoint http://localhost:8000 --model NAME",
        "self-instruct --endpoint http://localhost:8000 --model NAME -o data/served",
        "self-instruct MODEL -o data/ours --seed-code ~/code --select agreement",
        "self-instruct MODEL -o data/answers --questions-file questions.txt",
    ),
)
def self_instruct(
    output: Annotated[Path, options.output("DIR")],
    model: Annotated[
        str | None,
        typer.Argument(
            help=f"{options.MODEL} It writes the tests and solutions. The questions are written by --questions-from, "
            "or else by the server of --endpoint, or else by this model. Without MODEL the server writes them all.",
            show_default=False,
        ),
    ] = None,
    questions_from: Annotated[
        str | None,
        _option("Let this model write the questions: a folder, a GGUF file or a hub name.", _WHO, "MODEL"),
    ] = None,
    endpoint: Annotated[str | None, _option("Ask an OpenAI-compatible server.", _WHO, "URL")] = None,
    served_model: Annotated[
        str | None, _option("The name of the model on the server.", _WHO, "NAME", False, "--model")
    ] = None,
    concurrency: Annotated[int, _option("Send at most N requests at a time.", _WHO, "N", True, min=1)] = 8,
    request_timeout: Annotated[
        float, _option("Wait this long for a complete answer.", _WHO, "SECONDS", True, min=1)
    ] = 300.0,
    form: Annotated[
        PromptForm | None,
        _option(
            "Ask in the chat format (chat), or let the model continue a text (plain); auto takes chat if there is "
            "one, and with a server.",
            _WHO,
            None,
            "auto",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        _option("Take prompt files of this folder in place of the shipped ones.", _WHO, "DIR"),
    ] = None,
    questions: Annotated[
        int | None,
        _option("Make so many questions; a larger number continues.", _QUESTIONS, "N", "1000", min=1),
    ] = None,
    batch: Annotated[
        int | None,
        _option(
            "Ask for so many questions at a time; small models manage about ten.",
            _QUESTIONS,
            "N",
            "50",
            min=1,
        ),
    ] = None,
    questions_file: Annotated[
        Path | None,
        _option("Take the questions in this file: text with one a line, or JSON lines.", _QUESTIONS, "FILE"),
    ] = None,
    seed_code: Annotated[
        str | None,
        _option("Let the questions be about the code in this folder, archive or corpus.", _QUESTIONS, "PATH"),
    ] = None,
    near_duplicates: Annotated[
        float | None,
        _option(
            "Leave out a question that shares this part of its words with an earlier one.",
            _QUESTIONS,
            "SHARE",
            "only exact duplicates leave",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        _option(
            "Leave out the benchmark texts in this file: JSON lines, Parquet or text (repeatable).",
            _QUESTIONS,
            "FILE",
        ),
    ] = None,
    language: Annotated[
        str | None, _option("The language, such as python.", _ANSWERS, "python|javascript", "python")
    ] = None,
    tests: Annotated[
        int | None, _option("Write so many tests for a question.", _ANSWERS, "N", "5", min=1)
    ] = None,
    solutions: Annotated[
        int | None, _option("Sample so many solutions of a question.", _ANSWERS, "N", "10", min=1)
    ] = None,
    seed: Annotated[
        int | None, _option("Start every random draw from this number.", _SETTINGS, "N", "0")
    ] = None,
    select: Annotated[
        Selection | None,
        _option(
            "Keep the first solution that passes all tests (first_passing), or one of the largest group of solutions "
            "that agree with the same tests (agreement).",
            _KEPT,
            None,
            "first_passing",
        ),
    ] = None,
    drop_vacuous: Annotated[
        bool | None,
        typer.Option(
            "--drop-vacuous/--keep-vacuous",
            help="Leave out tests that say nothing, and questions whose tests a constant answer or the "
            "argument itself passes.",
            rich_help_panel=_KEPT,
            show_default="drop-vacuous",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        _option("Read sources and settings from this recipe, a file or a name.", _SETTINGS, "RECIPE"),
    ] = None,
    changes: Annotated[list[str] | None, options.changes(_SETTINGS)] = None,
    device: Annotated[
        str | None,
        options.device("cpu|cuda", shown="cuda where there is one", panel=_MODEL),
    ] = None,
    weights: Annotated[Weights, options.weights(_MODEL)] = "auto",
    context: Annotated[int | None, options.context("the model's own", panel=_MODEL)] = None,
    sandbox: Annotated[SandboxMode, options.sandbox(panel=_MODEL)] = "strict",
) -> None:
    """Let a model make training data: questions, tests and solutions, of which those are kept that run and pass.

    Ctrl-C stops it at any time. The same command continues where it was stopped.
    """
    settings = _settings(
        recipe,
        {
            "questions": questions,
            "seed": seed,
            "language": language,
            "form": form,
            "prompts": None if prompts is None else str(prompts),
            "tests": tests,
            "solutions": solutions,
            "select": select,
            "drop_vacuous": drop_vacuous,
        },
        {"batch": batch, "near_duplicates": near_duplicates, "sources": _sources(questions_file, seed_code)},
        changes or (),
    )
    _check_who(model, questions_from, endpoint, served_model)
    from codecascade.cascade.benchmark_texts import benchmark_texts
    from codecascade.cascade.dialogues.display import SelfInstructDisplay
    from codecascade.cli.self_instruct.display import print_summary
    from codecascade.ground.signals import stopped_at_once
    from codecascade.instruct.self_instruct.languages.table import form_of
    from codecascade.instruct.self_instruct.pipeline import check_begun, run_self_instruct
    from codecascade.instruct.self_instruct.questions.step import check_questions
    from codecascade.reports.self_instruct.report import write_self_instruct_report
    from codecascade.sandbox.sandbox import Sandbox

    form_of(settings.language)
    check_questions(settings)
    if output.is_file():
        raise UserError("is a file; name a folder", file=output, key="-o")
    check_begun(settings, output)
    benchmarks = benchmark_texts(decontaminate or ())
    with stopped_at_once(), Sandbox(sandbox) as box:
        backends = _backends(
            model,
            questions_from,
            endpoint,
            served_model,
            load={"device": device, "precision": weights, "context": context},
            serve={"concurrency": concurrency, "timeout": request_timeout},
        )
        with SelfInstructDisplay(stderr()) as display:
            summary = run_self_instruct(
                settings, backends, box, output, benchmarks=benchmarks, progress=display.progress
            )
        write_self_instruct_report(output, command=shown_command(invocation))
    print_summary(summary, output)
    summary.require_dialogues()


def _sources(questions_file: Path | None, seed_code: str | None) -> list[dict[str, str]] | None:
    """Where the questions come from, if the options say it."""
    found = []
    if questions_file is not None:
        found.append({"source": "file", "path": str(questions_file)})
    if seed_code is not None:
        found.append({"source": "corpus", "path": seed_code})
    return found or None


def _settings(
    recipe: Path | None,
    given: dict[str, Any],
    of_questions: dict[str, Any],
    changes: list[str] | tuple[str, ...],
) -> SelfInstructSettings:
    """The settings of a recipe, changed by options, and those by ``--set``."""
    from codecascade.instruct.self_instruct.settings import SelfInstructSettings
    from codecascade.recipe.reading import apply_override, validated

    data = {} if recipe is None else _table_of(recipe)
    data |= {key: value for key, value in given.items() if value is not None}
    asked = {key: value for key, value in of_questions.items() if value is not None}
    if asked:
        inner = data.get("question", {})
        data["question"] = {**inner, **asked} if isinstance(inner, dict) else inner
    for change in changes:
        apply_override(data, change)
    return validated(SelfInstructSettings, data, recipe)


def _table_of(recipe: Path) -> dict[str, Any]:
    """The settings of self-instruct in a recipe: its own table, changed by that of the one stage that has one."""
    from codecascade.recipe.named import recipe_file
    from codecascade.recipe.reading import read_toml
    from codecascade.recipe.self_instruct import KEY, RUN_ONLY, TEACHERS, merged_self_instruct

    file = recipe_file(recipe)
    data = read_toml(file)
    stages = data.get("stage", [])
    tables = [each[KEY] for each in stages if KEY in each] if isinstance(stages, list) else []
    if len(tables) > 1:
        raise UserError(f"has several stages with a table {KEY}; which one is meant is not clear", file=file)
    if KEY not in data and not tables:
        raise UserError(f"has no table [{KEY}], and no stage with one", file=file)
    found = merged_self_instruct(data.get(KEY, {}), tables[0] if tables else {}, data.get("seed", 0))
    if not isinstance(found, dict):
        raise UserError("must be a table", file=file, key=KEY)
    if named := [key for key in TEACHERS if key in found]:
        stderr().print(
            f"{file}: {' and '.join(named)} are not read; MODEL, --questions-from and --endpoint say who writes",
            highlight=False,
            soft_wrap=True,
        )
    return {key: value for key, value in found.items() if key not in RUN_ONLY}


def _check_who(
    model: str | None, questions_from: str | None, endpoint: str | None, served: str | None
) -> None:
    if (endpoint is None) != (served is None):
        raise UserError("--endpoint URL and --model NAME belong together")
    if model is None and endpoint is None:
        raise UserError("name a MODEL, or --endpoint URL --model NAME")
    if model is not None and endpoint is not None and questions_from is not None:
        raise UserError(
            "MODEL, --questions-from and --endpoint name three writers, and there are two: leave one out"
        )


def _backends(
    model: str | None,
    questions_from: str | None,
    endpoint: str | None,
    served: str | None,
    *,
    load: dict[str, Any],
    serve: dict[str, Any],
) -> Backends:
    """Who writes; a server writes the questions if a model for the rest is named."""
    from codecascade.generation.endpoint import Endpoint
    from codecascade.instruct.self_instruct.pipeline import Backends

    server = None if endpoint is None or served is None else Endpoint(endpoint, served, **serve)
    if model is None:
        assert server is not None
        return Backends(server, None if questions_from is None else _loaded(questions_from, load))
    writer = _loaded(model, load)
    if questions_from is not None and questions_from != model:
        return Backends(writer, _loaded(questions_from, load))
    return Backends(writer, server)


def _loaded(model: str, load: dict[str, Any]) -> Backend:
    from codecascade.generation.loading import load_backend

    with loading(model) if stderr().is_terminal else nullcontext():
        return load_backend(model, **load)
