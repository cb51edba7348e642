"""``complete``, ``infill`` and ``chat``: a model is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codecascade.cli.app import Model, app, loading, stderr
from codecascade.ground.errors import UserError
from codecascade.ground.json_lines import read_jsonl, write_jsonl
from codecascade.ground.reading import read_text

if TYPE_CHECKING:
    from codecascade.generation.engine.engine import LocalGenerator
    from codecascade.generation.requests import Request
    from codecascade.tokens.tokenizer import Tokenizer


class Layout(StrEnum):
    """``--format`` of an infilling."""

    psm = "psm"
    spm = "spm"


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
    text = read_text(prompt_file) if prompt_file is not None else prompt or ""
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
        before, after = read_text(prefix), read_text(suffix)
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
    from codecascade.generation.engine.engine import load_generator

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
