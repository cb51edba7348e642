"""``eval``: measures a model, a server's model, or a file of samples."""

from __future__ import annotations

import math
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecascade.cli import options
from codecascade.cli.app import app, invocation, loading, stderr, stdout
from codecascade.cli.measure import evaluation_options as eval_options
from codecascade.ground.errors import UserError
from codecascade.ground.format import shown_command

if TYPE_CHECKING:
    from codecascade.evaluation.evaluate_settings import EvaluateSettings
    from codecascade.evaluation.running.runner import Inputs
    from codecascade.generation.backend import Backend


@app.command(
    "eval",
    rich_help_panel=options.MEASURE,
    epilog=options.examples(
        "eval MODEL --benchmark humaneval,mbpp -o DIR",
        "eval MODEL --served-by vllm --set server.tensor_parallel=8 --benchmark humaneval -o DIR",
        "eval --endpoint http://localhost:8000 --model NAME --benchmark humaneval -o DIR",
        "eval --samples humaneval=samples.jsonl -o DIR",
        "eval MODEL --benchmark toxigen --data toxigen=prompts/ --set toxigen.judge=classifier -o DIR",
        "eval --list",
    ),
)
def evaluate_model(
    model: eval_options.Model = None,
    show_list: eval_options.List = False,
    benchmark: eval_options.Benchmark = None,
    limit: eval_options.Limit = None,
    data: eval_options.DataFiles = None,
    corpus: eval_options.CorpusFolder = None,
    samples_per_problem: eval_options.SamplesPerProblem = 1,
    temperature: eval_options.Temperatures = None,
    top_p: eval_options.TopP = None,
    seed: eval_options.Seed = 0,
    chat: eval_options.ChatFormat = "auto",
    heal: eval_options.Heal = True,
    changes: eval_options.Changes = None,
    name: eval_options.Name = None,
    served_by: eval_options.ServedBy = None,
    device: eval_options.Device = None,
    weights: eval_options.HeldIn = "auto",
    context: eval_options.ContextLength = None,
    endpoint: eval_options.EndpointAddress = None,
    served_model: eval_options.ServedModel = None,
    concurrency: eval_options.Concurrency = None,
    request_timeout: eval_options.RequestTimeout = None,
    samples: eval_options.Samples = None,
    skip_unknown: eval_options.SkipUnknown = False,
    require_complete: eval_options.RequireComplete = False,
    output: eval_options.Output = None,
    sandbox: eval_options.SandboxOption = "strict",
) -> None:
    """Measure a model, a server's model or a file of samples by benchmarks.

    Ctrl-C stops it at any time. The same command continues where it was stopped.

    Several temperatures, separated by commas, are measured one after the other (a sweep).
    """
    from codecascade.evaluation.benchmarks.selection import (
        assign_data,
        assign_samples,
        named_benchmarks,
        named_data,
    )

    names = named_benchmarks(benchmark or ())
    scored = assign_samples(samples or (), names)
    names = names or list(scored)
    given = assign_data(data or (), names)
    if show_list:
        from codecascade.cli.measure.evaluation_display import benchmarks_table, wide_stdout

        console = wide_stdout()
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
            "chat": chat,
            "heal": heal,
            "engine": served_by or "own",
        },
        changes or (),
    )
    given = named_data(settings) | given
    if settings.engine != "own" and model is None:
        raise UserError("is for a MODEL: it says what computes its answers", key="--served-by")
    if scored:
        for option, value in (("--limit", limit), ("--temperature", temperature), ("--top-p", top_p)):
            if value is not None:
                raise UserError(f"{option} and --samples exclude each other")
    from codecascade.corpus.corpus import Corpus
    from codecascade.evaluation.benchmarks.selection import check_needs
    from codecascade.evaluation.benchmarks.table import BENCHMARKS
    from codecascade.evaluation.judges.answer_judge import check_judges
    from codecascade.evaluation.running.runner import Inputs

    opened = None if corpus is None else Corpus.open(corpus)
    check_judges(names, settings)
    needs_sandbox = check_needs(names, given, corpus=opened is not None, model=model is not None)
    from codecascade.ground.signals import stopped_at_once
    from codecascade.sandbox.sandbox import Sandbox

    with (
        stopped_at_once(),
        Sandbox(sandbox) if needs_sandbox else nullcontext() as box,
        ExitStack() as open_server,
    ):
        backend: Backend | None = None
        if model is not None and settings.engine == "own":
            from codecascade.generation.loading import load_backend

            with loading(model):
                backend = load_backend(model, name=name, device=device, precision=weights, context=context)
        elif model is not None:
            from codecascade.cli.measure.served import open_served

            if device is not None:
                raise UserError(
                    "is for our own engine; vLLM takes the devices of CUDA_VISIBLE_DEVICES", key="--device"
                )
            backend = open_server.enter_context(
                open_served(
                    model,
                    settings,
                    name=name,
                    precision=weights,
                    context=context,
                    concurrency=concurrency,
                    request_timeout=request_timeout,
                    folder=output,
                )
            )
        elif endpoint is not None and served_model is not None:
            from codecascade.generation.endpoint import Endpoint

            backend = Endpoint(
                endpoint,
                served_model,
                title=name,
                concurrency=concurrency or 8,
                timeout=request_timeout or 300.0,
            )
            backend.context_length = context or backend.context_length
            if chat == "auto" and any(BENCHMARKS[each].chats for each in names):
                stderr().print(
                    "a server does not say whether its model has a chat format, so the model continues plain text; "
                    "--chat always asks in the chat format",
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
    from codecascade.cli.measure.sweep import sweep_table
    from codecascade.evaluation.analysis.sweep import folder_of
    from codecascade.reports.sweep import write_sweep_report

    for each in temperatures:
        _run(inputs, settings.model_copy(update={"temperature": each}), folder_of(folder, each), title)
    stdout().print(sweep_table(write_sweep_report(folder)))
    stderr().print(f"{folder}: see {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _temperatures(text: str | None, names: list[str]) -> list[float | None]:
    """The temperatures to measure at: one for an evaluation (None: each benchmark's own), several for a sweep."""
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
    from codecascade.cli.measure.evaluation_display import EvaluationDisplay, results_table, wide_stdout
    from codecascade.evaluation.benchmarks.table import BENCHMARKS
    from codecascade.evaluation.running.result import BenchmarkResult
    from codecascade.evaluation.running.results_file import check_results_folder, write_results
    from codecascade.evaluation.running.runner import evaluate
    from codecascade.ground.files.locks import FolderLock
    from codecascade.reports.evaluation.report import write_evaluation_report

    command = shown_command(invocation)
    with FolderLock(folder):
        check_results_folder(folder, title)
        with EvaluationDisplay(stderr(), settings.benchmarks, title) as display:

            def keep(results: dict[str, BenchmarkResult]) -> None:
                about = {} if inputs.backend is None else inputs.backend.describe()
                write_results(folder, title, results, about=about, command=command)
                display.done(results)

            results = evaluate(inputs, settings, folder=folder, progress=display.progress, after_each=keep)
        write_evaluation_report(folder)
    wide_stdout().print(results_table(title, results))
    for name, result in results.items():
        # The table names the judge already.
        for note in [note for note in result.notes if note != f"judged by {result.about.get('judge')}."]:
            stderr().print(f"{BENCHMARKS[name].name}: {note}", markup=False, highlight=False)
    stderr().print(f"{folder}: see {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _one_source(
    model: str | None, endpoint: str | None, served: str | None, samples: dict[str, Path]
) -> None:
    """Check that exactly one of a model, an endpoint and files of samples is given."""
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
    """The name, in tables, of what made the samples."""
    files = set(samples.values())
    return files.pop().stem if len(files) == 1 else "samples"


def _settings(values: dict[str, Any], changes: list[str] | tuple[str, ...]) -> EvaluateSettings:
    from codecascade.evaluation.benchmarks.table import BENCHMARKS, own_settings
    from codecascade.evaluation.evaluate_settings import EvaluateSettings
    from codecascade.recipe.reading import apply_override, validated, without_limits

    # All published problems are the default here. In a recipe it is a subset. Of the user's own files a benchmark
    # could make a problem of each line: there it is --limit, or else the benchmark's own number.
    published = {benchmark.settings for benchmark in BENCHMARKS.values() if benchmark.data is not None}
    for key, kind in own_settings().items():
        if "problems" in kind.model_fields and (kind in published or values["limit"] is not None):
            values[key] = {"problems": None if kind in published else values["limit"]}
    for change in changes:
        apply_override(values, change)
    return validated(EvaluateSettings, without_limits(values))
