"""``eval``: a model is measured."""

from __future__ import annotations

import math
import shlex
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codecascade.cli.app import app, invocation, loading, stderr, stdout
from codecascade.cli.cascade import SandboxMode
from codecascade.ground.errors import UserError

if TYPE_CHECKING:
    from codecascade.evaluation.assembled import EvaluateSettings
    from codecascade.evaluation.running.runner import Inputs
    from codecascade.generation.backend import Backend


class Chat(StrEnum):
    """``--chat``."""

    auto = "auto"
    always = "always"
    never = "never"


class Precision(StrEnum):
    """``--precision``."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


_ASKED = "What is measured"
_MODEL = "What answers"


@app.command("eval")
def evaluate_model(
    model: Annotated[
        str | None,
        typer.Argument(help="A model folder, a GGUF file or a hub name.", show_default=False),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", metavar="A,B", help="Names, see --list.", rich_help_panel=_ASKED),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder of the results.", show_default=False)
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]PATH",
            help="A benchmark's data: a file, or a folder that holds it (repeatable).",
            rich_help_panel=_ASKED,
        ),
    ] = None,
    samples_per_problem: Annotated[
        int, typer.Option(min=1, help="One: greedy. More: pass@k.", rich_help_panel=_ASKED)
    ] = 1,
    temperature: Annotated[
        str | None,
        typer.Option(
            metavar="T[,T,...]",
            help="Default: 0, or the paper's for N > 1. Several: a sweep, an evaluation each.",
            rich_help_panel=_ASKED,
        ),
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Default: the paper's for N > 1.", rich_help_panel=_ASKED)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="So many problems, chosen by the seed.", rich_help_panel=_ASKED),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of subsets and draws.", rich_help_panel=_ASKED)] = 0,
    chat: Annotated[
        Chat,
        typer.Option(
            help="Ask in the chat format; auto: where a model in memory has one.", rich_help_panel=_ASKED
        ),
    ] = Chat.auto,
    heal: Annotated[
        bool,
        typer.Option(
            "--heal/--no-heal",
            help="A prompt that is continued may end inside a token; the paper's are taken as they are.",
            rich_help_panel=_ASKED,
        ),
    ] = True,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="A corpus: held-out text for the benchmarks that need some; its training part is searched for "
            "the benchmarks' problems.",
            rich_help_panel=_ASKED,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting.", rich_help_panel=_ASKED),
    ] = None,
    samples: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            help="Score a file's samples (repeatable, one a benchmark); no model is asked.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    skip_unknown: Annotated[
        bool,
        typer.Option(
            "--skip-unknown",
            help="Leave out samples of tasks that the benchmark does not have.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    require_complete: Annotated[
        bool,
        typer.Option("--require-complete", help="Refuse samples of a part only.", rich_help_panel=_MODEL),
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An OpenAI-compatible server.", rich_help_panel=_MODEL),
    ] = None,
    served_model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="The endpoint's model.", rich_help_panel=_MODEL),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Requests at a time to the endpoint.", rich_help_panel=_MODEL)
    ] = 8,
    request_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a whole answer.", rich_help_panel=_MODEL)
    ] = 300.0,
    name: Annotated[
        str | None, typer.Option(help="What the tables call the model.", rich_help_panel=_MODEL)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; default: cuda if there.", rich_help_panel=_MODEL)
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Of weights and cache.", rich_help_panel=_MODEL)
    ] = Precision.auto,
    sandbox: Annotated[
        SandboxMode, typer.Option(help="weak: run programs even where they can't be confined.")
    ] = SandboxMode.strict,
    show_list: Annotated[bool, typer.Option("--list", help="Show the benchmarks and end.")] = False,
) -> None:
    """Measure a model, an endpoint's model or a file of samples by benchmarks. Goes on where it was stopped."""
    from codecascade.evaluation.benchmarks.choice import assign_data, assign_samples, named_benchmarks

    names = named_benchmarks(benchmark or ())
    scored = assign_samples(samples or (), names)
    names = names or list(scored)
    given = assign_data(data or (), names)
    if show_list:
        from codecascade.cli.evaluation_display import benchmarks_table
        from codecascade.cli.evaluation_display import output as standard_output

        console = standard_output()
        console.print(benchmarks_table(given, corpus is not None, console.width))
        return
    if not names:
        raise UserError("name benchmarks: --benchmark humaneval,mbpp; codecascade eval --list shows them")
    if output is None:
        raise UserError("name a folder for the results: -o DIR")
    _one_source(model, endpoint, served_model, scored)
    temperatures = _temperatures(temperature, names)
    settings = _settings(
        {
            "benchmarks": names,
            "seed": seed,
            "limit": limit,
            "samples_per_problem": samples_per_problem,
            "temperature": temperatures[0],
            "top_p": top_p,
            "chat": chat.value,
            "heal": heal,
        },
        changes or (),
    )
    if scored:
        for option, value in (("--limit", limit), ("--temperature", temperature), ("--top-p", top_p)):
            if value is not None:
                raise UserError(f"{option} and --samples exclude each other")
    from codecascade.corpus.corpus import Corpus
    from codecascade.evaluation.benchmarks.choice import check_needs
    from codecascade.evaluation.benchmarks.table import BENCHMARKS
    from codecascade.evaluation.running.runner import Inputs

    opened = None if corpus is None else Corpus.open(corpus)
    needs_sandbox = check_needs(names, given, corpus=opened is not None, model=model is not None)
    from codecascade.ground.signals import stopped_at_once
    from codecascade.sandbox.sandbox import Sandbox

    with stopped_at_once(), Sandbox(sandbox.value) if needs_sandbox else nullcontext() as box:
        backend: Backend | None = None
        if model is not None:
            from codecascade.generation.loaded import loaded_backend

            with loading(model):
                backend = loaded_backend(model, name=name, device=device, precision=precision.value)
        elif endpoint is not None and served_model is not None:
            from codecascade.generation.endpoint import Endpoint

            backend = Endpoint(
                endpoint, served_model, title=name, concurrency=concurrency, timeout=request_timeout
            )
            if chat is Chat.auto and any(BENCHMARKS[each].chats for each in names):
                stderr().print(
                    "an endpoint does not tell whether its model chats, so prompts are continued; --chat always asks "
                    "in the chat format",
                    soft_wrap=True,
                )
        inputs = Inputs(
            backend,
            samples=scored,
            complete=require_complete,
            skip_unknown=skip_unknown,
            corpus=opened,
            sandbox=box,
            data=given,
            contamination=opened is not None,
        )
        title = name or (backend.name if backend is not None else _title(scored))
        if len(temperatures) == 1:
            _run(inputs, settings, output, title)
        else:
            _sweep(inputs, settings, [t for t in temperatures if t is not None], output, title)


def _sweep(
    inputs: Inputs, settings: EvaluateSettings, temperatures: list[float], folder: Path, title: str
) -> None:
    from codecascade.cli.figures import sweep_table
    from codecascade.evaluation.analysis.sweep import folder_of
    from codecascade.reports.sweep import write_sweep_report

    for each in temperatures:
        _run(inputs, settings.model_copy(update={"temperature": each}), folder_of(folder, each), title)
    stdout().print(sweep_table(write_sweep_report(folder)))
    stderr().print(f"{folder}: see {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _temperatures(text: str | None, names: list[str]) -> list[float | None]:
    """One for an evaluation (None: the benchmark's own), several for a sweep."""
    from codecascade.evaluation.benchmarks.table import BENCHMARKS

    if text is None:
        return [None]
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = [-1.0]
    if any(not 0 <= each < math.inf for each in found):
        raise UserError(
            f"must be a number of 0 or more, or several with commas between (got {text!r})",
            key="--temperature",
        )
    fixed = [name for name in names if BENCHMARKS[name].greedy or BENCHMARKS[name].score is not None]
    if len(found) > 1 and fixed:
        raise UserError(
            f"{', '.join(fixed)}: always greedy, so there is nothing to sweep", key="--temperature"
        )
    return list(dict.fromkeys(found))


def _run(inputs: Inputs, settings: EvaluateSettings, folder: Path, title: str) -> None:
    from codecascade.cli.evaluation_display import EvaluationDisplay, output, results_table
    from codecascade.evaluation.benchmarks.table import BENCHMARKS
    from codecascade.evaluation.running.envelope import check_folder, write_envelope
    from codecascade.evaluation.running.result import BenchmarkResult
    from codecascade.evaluation.running.runner import evaluate
    from codecascade.ground.files import FolderLock
    from codecascade.reports.evaluation import write_evaluation_report

    about = {} if inputs.backend is None else inputs.backend.describe()
    command = shlex.join(["codecascade", *invocation])
    with FolderLock(folder):
        check_folder(folder, title)
        with EvaluationDisplay(stderr(), settings.benchmarks, title) as display:

            def keep(results: dict[str, BenchmarkResult]) -> None:
                write_envelope(folder, title, results, about=about, command=command)
                display.done(results)

            results = evaluate(inputs, settings, folder=folder, progress=display.progress, after_each=keep)
        write_evaluation_report(folder)
    output().print(results_table(title, results))
    for name, result in results.items():
        for note in result.notes:
            stderr().print(f"{BENCHMARKS[name].name}: {note}", markup=False, highlight=False)
    stderr().print(f"{folder}: see {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _one_source(
    model: str | None, endpoint: str | None, served: str | None, samples: dict[str, Path]
) -> None:
    """A model, an endpoint or files of samples, and only one of them."""
    given = [
        what
        for what, value in (("MODEL", model), ("--endpoint", endpoint), ("--samples", samples or None))
        if value is not None
    ]
    if len(given) != 1:
        what = " and ".join(given)
        raise UserError(
            f"{what} exclude each other"
            if given
            else "name a MODEL, --endpoint URL --model NAME, or --samples FILE"
        )
    if (endpoint is None) != (served is None):
        raise UserError("--endpoint URL and --model NAME belong together")


def _title(samples: dict[str, Path]) -> str:
    """What the tables call whose samples they are."""
    files = set(samples.values())
    return files.pop().stem if len(files) == 1 else "samples"


def _settings(values: dict[str, Any], changes: list[str] | tuple[str, ...]) -> EvaluateSettings:
    from codecascade.evaluation.assembled import EvaluateSettings
    from codecascade.evaluation.benchmarks.table import own_settings
    from codecascade.recipe.reading import apply_override, validated, without_limits

    # All problems, where nothing else is said: a subset is a recipe's wish.
    values |= {
        key: {"problems": None} for key, kind in own_settings().items() if "problems" in kind.model_fields
    }
    for change in changes:
        apply_override(values, change)
    return validated(EvaluateSettings, without_limits(values))
