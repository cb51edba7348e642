"""The commands: they parse, call and print; what they do is in the packages.

Standard output carries what was asked for and nothing else; progress and messages go to standard error. Exit codes:
0 done, 1 ran and failed, 2 the user's mistake, 130 and 143 stopped by Ctrl-C and SIGTERM with the state saved.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import codecascade
from codecascade.errors import RunFailed, Stopped, UserError
from codecascade.files import read_jsonl, write_jsonl

# PyTorch takes seconds to import: the commands import what they need, so that --help and mistakes answer at once.
if TYPE_CHECKING:
    from rich.console import Console

    from codecascade.generation.local import LocalGenerator
    from codecascade.generation.requests import Request
    from codecascade.tokens.tokenizer import Tokenizer

app = typer.Typer(
    name="codecascade",
    help="A Llama-architecture model in, a code model out: train, measure, use.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
corpus_app = typer.Typer(help="Training data from files.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")


class SandboxMode(StrEnum):
    """``--sandbox``."""

    strict = "strict"
    weak = "weak"


class Layout(StrEnum):
    """``--format`` of an infilling."""

    psm = "psm"
    spm = "spm"


class WeightType(StrEnum):
    """``--dtype``."""

    f32 = "f32"
    bf16 = "bf16"


Model = Annotated[str, typer.Argument(help="A model folder, a GGUF file or a hub name.", show_default=False)]
RecipeFile = Annotated[Path, typer.Argument(help="A recipe (TOML).", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="base=..., corpus=..., stage.code.tokens=100000 (repeatable)"
    ),
]
NewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Tokens to generate, at most.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token each time.")]
TopP = Annotated[
    float, typer.Option("--top-p", min=0.0, max=1.0, help="Draw from the likeliest tokens only.")
]
Seed = Annotated[int, typer.Option(help="Of the draws.")]
Stops = Annotated[list[str] | None, typer.Option("--stop", help="End before this text (repeatable).")]
Heal = Annotated[
    bool, typer.Option("--heal/--no-heal", help="A prompt may end inside a token (token healing).")
]
JsonLines = Annotated[Path | None, typer.Option("--jsonl", help="Many at once: JSON lines in ...")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="... and out, with `completion` added.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the process ends with its exit code."""
    _set_up_messages()
    try:
        app(args=list(arguments) if arguments is not None else None)
    except UserError as error:
        _fail(f"error: {error}", 2)
    except Stopped as stop:
        _fail(str(stop), stop.exit_code)
    except RunFailed as error:
        _fail(f"failed: {error}", 1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        sys.exit(1)


def _fail(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


def _set_up_messages() -> None:
    from rich.logging import RichHandler

    handler = RichHandler(console=_stderr(), show_time=False, show_path=False, show_level=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("codecascade").setLevel(logging.INFO)


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        print(codecascade.__version__)
        raise typer.Exit


# ---- the cascade ----------------------------------------------------------------------------------------------


@app.command()
def run(
    recipe: RecipeFile,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run's folder; default runs/<name>.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    changes: Changes = None,
    sandbox: Annotated[
        SandboxMode | None, typer.Option(help="weak: run programs even where they can't be confined.")
    ] = None,
) -> None:
    """Run a recipe's stages, measure each, write a report. Goes on where an earlier run stopped."""
    from codecascade.recipe import read_recipe

    extra = [f"sandbox={sandbox.value}"] if sandbox else []
    settings = read_recipe(recipe, [*(changes or []), *extra])
    from codecascade.cascade.run import run_cascade

    run_cascade(settings, output or Path("runs") / settings.name, until=until, console=_stderr(), file=recipe)


@app.command()
def plan(
    recipe: RecipeFile,
    devices: Annotated[int, typer.Option(min=1, help="Devices to share the work.")] = 1,
    memory: Annotated[str | None, typer.Option(metavar="80GB", help="Of one device.")] = None,
    tflops: Annotated[
        float | None, typer.Option(min=0.0, help="Of one device, in products; default: this one's, timed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    changes: Changes = None,
) -> None:
    """What a recipe will cost: tokens, steps, FLOPs, memory, time. Needs neither weights nor corpus."""
    from codecascade.recipe import read_recipe

    settings = read_recipe(recipe, changes or [])
    from codecascade.plan import make_plan, plan_json, plan_table, this_device_flops

    flops = tflops * 1e12 if tflops else None if as_json else this_device_flops()
    made = make_plan(settings, devices=devices, memory=memory, device_flops=flops, file=recipe)
    if as_json:
        print(plan_json(made))
    else:
        from rich.console import Console

        Console().print(plan_table(made))


@corpus_app.command("build")
def corpus_build(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Folders, stdlib, installed, JSON lines, Parquet files."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The corpus's folder.")],
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Most bytes of text to keep.")] = None,
    permissive: Annotated[bool, typer.Option("--permissive", help="Permissive licences only.")] = False,
) -> None:
    """Gather, filter, deduplicate, hold out: sources into a corpus of Parquet shards."""
    from codecascade.cascade.data import benchmark_texts
    from codecascade.corpus.build import build_corpus
    from codecascade.corpus.settings import CorpusSettings

    settings = CorpusSettings(max_bytes=max_bytes, licenses="permissive" if permissive else "all")
    manifest = build_corpus(sources, output, settings, benchmark_texts=benchmark_texts())
    for name, split in manifest.splits.items():
        _stderr().print(f"{name}: {split.total.documents:,} documents, {split.total.bytes:,} bytes")


# ---- models ---------------------------------------------------------------------------------------------------


@app.command()
def convert(
    model: Model,
    out: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    to: Annotated[str, typer.Option(help="hf: a Hugging Face folder.")] = "hf",
    dtype: Annotated[WeightType | None, typer.Option(help="Of the weights; default: as they are.")] = None,
) -> None:
    """One form of a model into another."""
    from codecascade.model.convert import convert as convert_model

    made = convert_model(model, out, to=to, dtype=dtype)
    _stderr().print(f"{out}: {made.config.num_parameters():,} parameters")


# ---- generation -----------------------------------------------------------------------------------------------


@app.command()
def complete(
    model: Model,
    prompt: Annotated[str | None, typer.Option(help="The text to continue.")] = None,
    prompt_file: Annotated[Path | None, typer.Option("--prompt-file", help="... or a file of it.")] = None,
    max_new_tokens: NewTokens = 256,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    stop: Stops = None,
    heal: Heal = True,
    jsonl: JsonLines = None,
    output: Output = None,
) -> None:
    """Continue a text. JSON lines: `prompt` in, `completion` out."""
    from codecascade.generation.requests import Sampling, completion_request

    sampling = Sampling(max_new_tokens, temperature, top_p, seed)

    def request(tokenizer: Tokenizer, fields: dict[str, str]) -> Request:
        return completion_request(tokenizer, fields["prompt"], sampling, stop=stop or (), heal=heal)

    if jsonl is not None or output is not None:
        _refuse({"--prompt": prompt, "--prompt-file": prompt_file}, with_="--jsonl")
        _batch(model, jsonl, output, ("prompt",), request)
        return
    if (prompt is None) == (prompt_file is None):
        raise UserError("give exactly one of --prompt, --prompt-file and --jsonl")
    text = prompt if prompt is not None else _read_text(prompt_file)
    _stream(model, lambda tokenizer: request(tokenizer, {"prompt": text}))


@app.command()
def infill(
    model: Model,
    prefix: Annotated[Path | None, typer.Option(help="A file of the text before the gap.")] = None,
    suffix: Annotated[Path | None, typer.Option(help="A file of the text after it.")] = None,
    file: Annotated[Path | None, typer.Option(help="... or one file, and a cursor in it:")] = None,
    line: Annotated[int | None, typer.Option(min=1, help="The cursor's line, from 1.")] = None,
    column: Annotated[
        int | None, typer.Option(min=1, help="The cursor's column, from 1: before the first character.")
    ] = None,
    layout: Annotated[Layout | None, typer.Option("--format", help="Default: the model's first.")] = None,
    max_new_tokens: NewTokens = 128,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    stop: Stops = None,
    heal: Heal = True,
    jsonl: JsonLines = None,
    output: Output = None,
) -> None:
    """Fill a gap in a text. JSON lines: `prefix` and `suffix` in, `completion` out."""
    from codecascade.generation.requests import Sampling, infilling_request

    sampling = Sampling(max_new_tokens, temperature, top_p, seed)

    def request(tokenizer: Tokenizer, fields: dict[str, str]) -> Request:
        known = tokenizer.infilling.formats if tokenizer.infilling is not None else ("psm",)
        return infilling_request(
            tokenizer,
            fields["prefix"],
            fields["suffix"],
            sampling,
            format=layout or known[0],
            stop=stop or (),
            heal=heal,
        )

    if jsonl is not None or output is not None:
        _refuse({"--prefix": prefix, "--suffix": suffix, "--file": file}, with_="--jsonl")
        _batch(model, jsonl, output, ("prefix", "suffix"), request)
        return
    if file is not None:
        _refuse({"--prefix": prefix, "--suffix": suffix}, with_="--file")
        before, after = _at_cursor(file, line, column)
    elif prefix is not None and suffix is not None:
        _refuse({"--line": line, "--column": column}, with_="--prefix")
        before, after = _read_text(prefix), _read_text(suffix)
    else:
        raise UserError("give --prefix and --suffix, or --file with --line and --column, or --jsonl")
    _stream(model, lambda tokenizer: request(tokenizer, {"prefix": before, "suffix": after}))


@app.command()
def chat(
    model: Model,
    system: Annotated[str | None, typer.Option(help="The system message.")] = None,
    max_new_tokens: NewTokens = 512,
    temperature: Temperature = 0.2,
    top_p: TopP = 0.95,
    seed: Seed = 0,
) -> None:
    """Talk to an instruction-tuned model. Input from a pipe is one message, and is answered once."""
    from codecascade.generation.requests import Sampling, chat_request
    from codecascade.tokens.chat import Message

    generator = _load(model)
    sampling = Sampling(max_new_tokens, temperature, top_p, seed)
    messages = [Message("system", system)] if system else []

    def reply(text: str) -> None:
        messages.append(Message("user", text))
        pieces = []
        for piece in generator.stream(chat_request(generator.tokenizer, messages, sampling)):
            pieces.append(piece)
            _write(piece)
        messages.append(Message("assistant", "".join(pieces)))

    if not sys.stdin.isatty():
        reply(sys.stdin.read())
        return
    console = _stderr()
    console.print("Ctrl-D ends the talk.")
    while True:
        try:
            text = console.input("[bold]you[/bold] ")
        except EOFError:
            return
        if text.strip():
            reply(text)
            _write("\n")


def _load(model: str) -> LocalGenerator:
    from codecascade.generation.local import load_generator

    with _stderr().status(f"loading {model}"):
        return load_generator(model)


def _stream(model: str, request: Callable[[Tokenizer], Request]) -> None:
    """Write one completion to standard output as it comes."""
    generator = _load(model)
    for piece in generator.stream(request(generator.tokenizer)):
        _write(piece)


def _batch(
    model: str,
    source: Path | None,
    target: Path | None,
    fields: Sequence[str],
    request: Callable[[Tokenizer, dict[str, str]], Request],
) -> None:
    """Answer every row of ``source``; ``target`` has the same rows with ``completion``, in the same order."""
    if source is None or target is None:
        raise UserError("--jsonl IN and -o OUT belong together")
    rows: list[dict[str, Any]] = []
    for number, row in read_jsonl(source):
        for field in fields:
            if not isinstance(row.get(field), str):
                raise UserError("must be there and be text", file=f"{source}:{number}", key=field)
        rows.append(row)
    generator = _load(model)
    requests = [request(generator.tokenizer, row) for row in rows]

    from rich.progress import track

    answers = track(
        generator.generate(requests), "generating", len(requests), console=_stderr(), transient=True
    )
    too_long = 0
    for answer in answers:
        rows[answer.request] |= {"completion": answer.text, "finish_reason": answer.finish_reason}
        too_long += answer.finish_reason == "context"
    write_jsonl(target, rows)
    if too_long:
        _stderr().print(
            f"{too_long} prompts exceed the model's context of {generator.context_length:,} tokens"
        )


def _at_cursor(file: Path, line: int | None, column: int | None) -> tuple[str, str]:
    """The text before and after a cursor."""
    if line is None or column is None:
        raise UserError("--file needs --line and --column")
    lines = _read_text(file).split("\n")
    if line > len(lines):
        raise UserError(f"has {len(lines)} lines (got {line})", file=file, key="--line")
    if column > len(lines[line - 1]) + 1:
        raise UserError(
            f"line {line} has {len(lines[line - 1])} characters, so the last column is "
            f"{len(lines[line - 1]) + 1} (got {column})",
            file=file,
            key="--column",
        )
    offset = sum(len(text) + 1 for text in lines[: line - 1]) + column - 1
    whole = "\n".join(lines)
    return whole[:offset], whole[offset:]


def _read_text(path: Path | None) -> str:
    assert path is not None
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError("there is no such file", file=path) from None
    except IsADirectoryError:
        raise UserError("is a folder; name a file", file=path) from None
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text ({error})", file=path) from None


def _refuse(given: dict[str, object], *, with_: str) -> None:
    for name, value in given.items():
        if value is not None:
            raise UserError(f"{name} and {with_} exclude each other")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
