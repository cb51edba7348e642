"""The options of ``eval``, by the groups of its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codecascade.cli import options
from codecascade.ground.choices import ChatUse, SandboxMode, Weights


def _option(*names: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **more)


Model = Annotated[str | None, typer.Argument(help=options.MODEL, show_default=False)]
List = Annotated[bool, typer.Option("--list", help="Show the benchmarks and their data, and end.")]

_MEASURED = "What is measured"
Benchmark = Annotated[list[str] | None, options.benchmark("A,B", panel=_MEASURED)]
Limit = Annotated[
    int | None,
    _option(
        panel=_MEASURED,
        metavar="N",
        min=1,
        show_default="all",
        help="Ask at most N problems of each benchmark; the seed chooses them.",
    ),
]
DataFiles = Annotated[
    list[str] | None,
    _option(
        panel=_MEASURED,
        metavar="PATH",
        help="Read a benchmark's data from this file or folder; NAME=PATH names the benchmark (repeatable).",
    ),
]
CorpusFolder = Annotated[
    Path | None,
    _option(
        panel=_MEASURED,
        metavar="DIR",
        help="Take held-out text from this corpus, and search its training part for the benchmarks' problems.",
    ),
]

_ASKED = "How it is asked"
SamplesPerProblem = Annotated[
    int,
    _option(
        panel=_ASKED,
        metavar="N",
        min=1,
        help="Generate N answers to each problem: one answer is greedy, several give pass@k.",
    ),
]
Temperatures = Annotated[
    str | None,
    options.temperature("T,T", shown="0; of several answers, the paper's", panel=_ASKED),
]
TopP = Annotated[
    float | None,
    options.top_p(shown="1; of several answers, the paper's", panel=_ASKED),
]
Seed = Annotated[int, options.seed(_ASKED)]
ChatFormat = Annotated[
    ChatUse,
    _option(
        panel=_ASKED,
        metavar="WHEN",
        help="Use the chat format: always, never, or if a model in memory has one (auto).",
    ),
]

ContextLength = Annotated[
    int | None,
    options.context("the model's own; long-context benchmarks go beyond it", panel=_ASKED),
]

_OTHER = "Other settings"
Heal = Annotated[bool, options.heal(_OTHER)]
Changes = Annotated[list[str] | None, options.changes(_OTHER)]

_MODEL = "What answers: a model in memory"
Name = Annotated[
    str | None,
    _option(
        panel=_MODEL,
        metavar="NAME",
        show_default="its own",
        help="Call the model by this name in the tables.",
    ),
]
ServedBy = Annotated[
    str | None,
    _option(
        panel=_MODEL,
        metavar="NAME",
        show_default="our own engine",
        help="Compute with vLLM, which is started for this (vllm), or ask the server at this address, which has the "
        "model. --set server.KEY=VALUE says how.",
    ),
]
Device = Annotated[
    str | None,
    options.device("cpu|cuda", shown="cuda where there is one", panel=_MODEL),
]
HeldIn = Annotated[Weights, options.weights(_MODEL, "--precision")]

_ENDPOINT = "What answers: a server"
EndpointAddress = Annotated[
    str | None, _option(panel=_ENDPOINT, metavar="URL", help="Ask an OpenAI-compatible server.")
]
ServedModel = Annotated[
    str | None,
    _option("--model", panel=_ENDPOINT, metavar="NAME", help="The name of the model on the server."),
]
Concurrency = Annotated[
    int | None,
    _option(
        panel=_ENDPOINT,
        metavar="N",
        min=1,
        show_default="8; with --served-by 64",
        help="Send at most N requests at a time.",
    ),
]
RequestTimeout = Annotated[
    float | None,
    _option(
        panel=_ENDPOINT,
        metavar="SECONDS",
        min=0.1,
        show_default="300; with --served-by 1800, for the first token",
        help="Wait this long for a complete answer.",
    ),
]

_SAMPLES = "What answers: samples in a file"
Samples = Annotated[
    list[str] | None,
    _option(
        panel=_SAMPLES,
        metavar="FILE",
        help="Score the samples in this file without a model; NAME=FILE names the benchmark (repeatable).",
    ),
]
SkipUnknown = Annotated[
    bool,
    _option(
        "--skip-unknown",
        panel=_SAMPLES,
        help="Leave out samples of tasks that the benchmark does not have.",
    ),
]
RequireComplete = Annotated[
    bool,
    _option(
        "--require-complete",
        panel=_SAMPLES,
        help="Refuse a file that has samples for some of the problems only.",
    ),
]

_RESULTS = "Where it goes, and how programs run"
Output = Annotated[Path | None, options.output("DIR", panel=_RESULTS)]
SandboxOption = Annotated[SandboxMode, options.sandbox(panel=_RESULTS)]
