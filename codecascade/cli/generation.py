"""``complete``, ``infill`` and ``chat``: a model is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codecascade.cli import options
from codecascade.cli.app import app, loading, stderr
from codecascade.cli.options import Model
from codecascade.ground.choices import InfillingFormat
from codecascade.ground.errors import UserError
from codecascade.ground.json_lines import read_jsonl, write_jsonl
from codecascade.ground.reading import read_text

if TYPE_CHECKING:
    from codecascade.generation.engine.generator import LocalGenerator
    from codecascade.generation.requests import Request
    from codecascade.tokens.tokenizer import Tokenizer


_TEXT = "The text"
_WRITING = "How it is written"
_MANY = "Many at once"

NewTokens = Annotated[
    int,
    typer.Option(
        "--max-new-tokens", metavar="N", min=1, help="Write so many tokens at most.", rich_help_panel=_WRITING
    ),
]
Temperature = Annotated[float, options.temperature(panel=_WRITING, min=0.0)]
TopP = Annotated[float, options.top_p(panel=_WRITING, min=0.0, max=1.0)]
Seed = Annotated[int, options.seed(_WRITING)]
Stops = Annotated[
    list[str] | None,
    typer.Option(
        "--stop", metavar="TEXT", help="End before this text (repeatable).", rich_help_panel=_WRITING
    ),
]
Heal = Annotated[bool, options.heal(_TEXT)]
JsonLines = Annotated[
    Path | None,
    typer.Option(
        "--jsonl", metavar="FILE", help="Read many texts, one JSON object a line.", rich_help_panel=_MANY
    ),
]
Output = Annotated[Path | None, options.output("FILE", panel=_MANY)]


@app.command(
    rich_help_panel=options.USE,
    epilog=options.examples(
        'complete MODEL --prompt "def fibonacci(n):"',
        "complete MODEL --jsonl prompts.jsonl -o completions.jsonl",
    ),
)
def complete(
    model: Model,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Continue this text.", rich_help_panel=_TEXT)
    ] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            "--prompt-file", metavar="FILE", help="Continue this file's text.", rich_help_panel=_TEXT
        ),
    ] = None,
    max_new_tokens: NewTokens = 256,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    stop: Stops = None,
    heal: Heal = True,
    jsonl: JsonLines = None,
    output: Output = None,
) -> None:
    """Continue a text.

    With --jsonl, each object's `prompt` is continued, and the text added as its `completion`.
    """
    from codecascade.generation.requests import SamplingParams, completion_request

    sampling = SamplingParams(max_new_tokens, temperature, top_p, seed)

    def request(tokenizer: Tokenizer, fields: dict[str, str]) -> Request:
        return completion_request(tokenizer, fields["prompt"], sampling, stop=stop or (), heal=heal)

    if jsonl is not None or output is not None:
        _refuse({"--prompt": prompt, "--prompt-file": prompt_file}, with_="--jsonl")
        _batch(model, jsonl, output, ("prompt",), request)
        return
    if (prompt is None) == (prompt_file is None):
        raise UserError("give exactly one of --prompt, --prompt-file and --jsonl")
    text = read_text(prompt_file) if prompt_file is not None else prompt or ""
    _stream(model, lambda tokenizer: request(tokenizer, {"prompt": text}))


@app.command(
    rich_help_panel=options.USE,
    epilog=options.examples(
        "infill MODEL --file app.py --line 12 --column 5",
        "infill MODEL --prefix before.txt --suffix after.txt --format spm",
    ),
)
def infill(
    model: Model,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fill in at a cursor in this file.", rich_help_panel=_TEXT),
    ] = None,
    line: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The cursor is in this line, from 1.", rich_help_panel=_TEXT),
    ] = None,
    column: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="The cursor is before this character of the line, from 1.",
            rich_help_panel=_TEXT,
        ),
    ] = None,
    prefix: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The text before the gap, where it is a file of its own.",
            rich_help_panel=_TEXT,
        ),
    ] = None,
    suffix: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The text after the gap, where it is a file of its own.",
            rich_help_panel=_TEXT,
        ),
    ] = None,
    layout: Annotated[
        InfillingFormat | None,
        typer.Option(
            "--format",
            help="Show the model prefix, then suffix (psm), or suffix, then prefix (spm).",
            show_default="the model's first",
            rich_help_panel=_WRITING,
        ),
    ] = None,
    max_new_tokens: NewTokens = 128,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    stop: Stops = None,
    heal: Heal = True,
    jsonl: JsonLines = None,
    output: Output = None,
) -> None:
    """Fill a gap in a text.

    With --jsonl, the gap between each object's `prefix` and `suffix` is filled, and added as its `completion`.
    """
    from codecascade.generation.requests import SamplingParams, infilling_request

    sampling = SamplingParams(max_new_tokens, temperature, top_p, seed)

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
        before, after = read_text(prefix), read_text(suffix)
    else:
        raise UserError("give --prefix and --suffix, or --file with --line and --column, or --jsonl")
    _stream(model, lambda tokenizer: request(tokenizer, {"prefix": before, "suffix": after}))


@app.command(
    rich_help_panel=options.USE,
    epilog=options.examples("chat MODEL", 'chat MODEL --system "Answer in one line." < question.txt'),
)
def chat(
    model: Model,
    system: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Begin with this system message.", rich_help_panel=_TEXT),
    ] = None,
    max_new_tokens: NewTokens = 512,
    temperature: Temperature = 0.2,
    top_p: TopP = 0.95,
    seed: Seed = 0,
) -> None:
    """Talk to an instruction-tuned model. Text from a pipe is one message and gets one answer."""
    from codecascade.generation.requests import SamplingParams, chat_request
    from codecascade.tokens.chat import Message

    generator = _load(model)
    sampling = SamplingParams(max_new_tokens, temperature, top_p, seed)
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
    from rich.text import Text

    console = stderr()
    console.print("Ctrl-D ends the talk.")
    while True:
        try:
            text = console.input(Text("you ", style="bold"))
        except EOFError:
            return
        if text.strip():
            reply(text)
            _write("\n")


def _load(model: str) -> LocalGenerator:
    from codecascade.generation.engine.generator import load_generator

    with loading(model):
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
    if target.is_dir():
        raise UserError("is a folder; name a file", file=target, key="-o")
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
        generator.generate(requests), "generating", len(requests), console=stderr(), transient=True
    )
    too_long = 0
    for answer in answers:
        rows[answer.request] |= {"completion": answer.text, "finish_reason": answer.finish_reason}
        too_long += answer.finish_reason == "context"
    write_jsonl(target, rows)
    if too_long:
        stderr().print(
            f"{too_long} prompts exceed the model's context of {generator.context_length:,} tokens"
        )


def _at_cursor(file: Path, line: int | None, column: int | None) -> tuple[str, str]:
    """The text before and after a cursor."""
    if line is None or column is None:
        raise UserError("--file needs --line and --column")
    lines = read_text(file).split("\n")
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


def _refuse(given: dict[str, object], *, with_: str) -> None:
    for name, value in given.items():
        if value is not None:
            raise UserError(f"{name} and {with_} exclude each other")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
