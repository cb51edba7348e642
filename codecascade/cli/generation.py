"""``complete``, ``infill`` and ``chat``: a model is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codecascade.cli import options
from codecascade.cli.app import app, loading, stderr
from codecascade.cli.generation_options import (
    TEXT,
    WRITING,
    Block,
    Context,
    Heal,
    HeldIn,
    JsonLines,
    MinP,
    NewTokens,
    NoEditorStops,
    Output,
    RepetitionPenalty,
    Seed,
    SingleLine,
    Stops,
    Temperature,
    TopK,
    TopP,
    at_cursor,
    editor_lines,
    language_of,
    refuse,
)
from codecascade.cli.options import Model
from codecascade.ground.choices import InfillingFormat, Weights
from codecascade.ground.errors import UserError
from codecascade.ground.json_lines import read_jsonl, write_jsonl
from codecascade.ground.reading import read_text

if TYPE_CHECKING:
    from codecascade.generation.engine.generator import LocalGenerator
    from codecascade.generation.requests import Completion, Request
    from codecascade.tokens.tokenizer import Tokenizer


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
        str | None, typer.Option(metavar="TEXT", help="Continue this text.", rich_help_panel=TEXT)
    ] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            "--prompt-file", metavar="FILE", help="Continue this file's text.", rich_help_panel=TEXT
        ),
    ] = None,
    max_new_tokens: NewTokens = 256,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    seed: Seed = 0,
    stop: Stops = None,
    heal: Heal = True,
    context: Context = None,
    weights: HeldIn = "auto",
    jsonl: JsonLines = None,
    output: Output = None,
) -> None:
    """Continue a text.

    With --jsonl, each object's `prompt` is continued, and the text added as its `completion`.
    """
    from codecascade.generation.requests import SamplingParams, completion_request

    sampling = SamplingParams(
        max_new_tokens, temperature, top_p, seed, None, top_k, min_p, repetition_penalty
    )

    def request(tokenizer: Tokenizer, fields: dict[str, str]) -> Request:
        return completion_request(tokenizer, fields["prompt"], sampling, stop=stop or (), heal=heal)

    if jsonl is not None or output is not None:
        refuse({"--prompt": prompt, "--prompt-file": prompt_file}, with_="--jsonl")
        _batch(model, jsonl, output, ("prompt",), request, context, weights)
        return
    if (prompt is None) == (prompt_file is None):
        raise UserError("give exactly one of --prompt, --prompt-file and --jsonl")
    text = read_text(prompt_file) if prompt_file is not None else prompt or ""
    _stream(model, lambda tokenizer: request(tokenizer, {"prompt": text}), context, weights)


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
        typer.Option(metavar="FILE", help="Fill in at a cursor in this file.", rich_help_panel=TEXT),
    ] = None,
    line: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The cursor is in this line, from 1.", rich_help_panel=TEXT),
    ] = None,
    column: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="The cursor is before this character of the line, from 1.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    prefix: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The text before the gap, where it is a file of its own.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    suffix: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The text after the gap, where it is a file of its own.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    layout: Annotated[
        InfillingFormat | None,
        typer.Option(
            "--format",
            help="Show the model prefix, then suffix (psm), or suffix, then prefix (spm).",
            show_default="the model's first",
            rich_help_panel=WRITING,
        ),
    ] = None,
    single_line: SingleLine = False,
    block: Block = False,
    no_editor_stops: NoEditorStops = False,
    max_new_tokens: NewTokens = 128,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    seed: Seed = 0,
    stop: Stops = None,
    heal: Heal = True,
    context: Context = None,
    weights: HeldIn = "auto",
    jsonl: JsonLines = None,
    output: Output = None,
) -> None:
    """Fill a gap in a text.

    It ends with the block that the gap is in, or where the model begins to type what stands after the gap.

    With --jsonl, the gap between each object's `prefix` and `suffix` is filled, and added as its `completion`.
    """
    from codecascade.generation.editor_stops import EditorStops
    from codecascade.generation.requests import SamplingParams, infilling_request

    lines = editor_lines(single_line=single_line, block=block, no_editor_stops=no_editor_stops)
    language = language_of(file)

    sampling = SamplingParams(
        max_new_tokens, temperature, top_p, seed, None, top_k, min_p, repetition_penalty
    )

    def request(tokenizer: Tokenizer, fields: dict[str, str]) -> Request:
        known = tokenizer.infilling.formats if tokenizer.infilling is not None else ("psm",)
        prefix, suffix = fields["prefix"], fields["suffix"]
        return infilling_request(
            tokenizer,
            prefix,
            suffix,
            sampling,
            format=layout or known[0],
            stop=stop or (),
            heal=heal,
            editor=None if lines is None else EditorStops(prefix, suffix, language, lines),
        )

    if jsonl is not None or output is not None:
        refuse({"--prefix": prefix, "--suffix": suffix, "--file": file}, with_="--jsonl")
        _batch(model, jsonl, output, ("prefix", "suffix"), request, context, weights)
        return
    if file is not None:
        refuse({"--prefix": prefix, "--suffix": suffix}, with_="--file")
        before, after = at_cursor(file, line, column)
    elif prefix is not None and suffix is not None:
        refuse({"--line": line, "--column": column}, with_="--prefix")
        before, after = read_text(prefix), read_text(suffix)
    else:
        raise UserError("give --prefix and --suffix, or --file with --line and --column, or --jsonl")
    _stream(
        model, lambda tokenizer: request(tokenizer, {"prefix": before, "suffix": after}), context, weights
    )


@app.command(
    rich_help_panel=options.USE,
    epilog=options.examples("chat MODEL", 'chat MODEL --system "Answer in one line." < question.txt'),
)
def chat(
    model: Model,
    system: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Begin with this system message.", rich_help_panel=TEXT),
    ] = None,
    max_new_tokens: NewTokens = 512,
    temperature: Temperature = 0.2,
    top_p: TopP = 0.95,
    top_k: TopK = 0,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    seed: Seed = 0,
    context: Context = None,
    weights: HeldIn = "auto",
) -> None:
    """Talk to an instruction-tuned model. Text from a pipe is one message and gets one answer."""
    from codecascade.generation.requests import SamplingParams, chat_request
    from codecascade.tokens.chat import Message

    generator = _load(model, context, weights)
    sampling = SamplingParams(
        max_new_tokens, temperature, top_p, seed, None, top_k, min_p, repetition_penalty
    )
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


def _load(model: str, context: int | None, weights: Weights) -> LocalGenerator:
    from codecascade.generation.engine.generator import load_generator

    with loading(model):
        return load_generator(model, context=context, precision=weights)


def _stream(
    model: str, request: Callable[[Tokenizer], Request], context: int | None, weights: Weights
) -> None:
    """Write one completion to standard output as it comes."""
    generator = _load(model, context, weights)
    for piece in generator.stream(request(generator.tokenizer)):
        _write(piece)


def _batch(
    model: str,
    source: Path | None,
    target: Path | None,
    fields: Sequence[str],
    request: Callable[[Tokenizer, dict[str, str]], Request],
    context: int | None,
    weights: Weights,
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
    generator = _load(model, context, weights)
    requests = [request(generator.tokenizer, row) for row in rows]

    too_long = 0
    for answer in _shown(generator.generate(requests), len(requests)):
        rows[answer.request] |= {"completion": answer.text, "finish_reason": answer.finish_reason}
        too_long += answer.finish_reason == "context"
    write_jsonl(target, rows)
    if too_long:
        stderr().print(
            f"{too_long} prompts exceed the model's context of {generator.context_length:,} tokens"
        )


def _shown(completions: Iterable[Completion], total: int) -> Iterator[Completion]:
    """Completions as they come, with a bar, or with lines where there is no terminal."""
    from codecascade.generation.progress_lines import ProgressLines

    console = stderr()
    if console.is_terminal:
        from rich.progress import track

        yield from track(completions, "generating", total, console=console, transient=True)
        return
    with ProgressLines("generating", total, lambda line: console.print(line, soft_wrap=True)) as progress:
        for completion in completions:
            progress.advance()
            yield completion


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
