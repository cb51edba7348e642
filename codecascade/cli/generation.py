"""``complete``, ``infill`` and ``chat``: a model is used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stderr
from codecascade.cli.generation_options import (
    TEXT,
    WRITING,
    Block,
    ComputedBy,
    Context,
    ContextFiles,
    FrequencyPenalty,
    Heal,
    HeldIn,
    JsonLines,
    MinP,
    NewTokens,
    NoEditorStops,
    Output,
    PresencePenalty,
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
from codecascade.cli.generation_running import ModelOptions, Talk, batch, stream, write
from codecascade.cli.options import Model
from codecascade.ground.choices import InfillingFormat
from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import check_text, read_standard_input, read_text

if TYPE_CHECKING:
    from codecascade.generation.engine.generator import PassGenerator
    from codecascade.generation.requests import Request


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
    presence_penalty: PresencePenalty = 0.0,
    frequency_penalty: FrequencyPenalty = 0.0,
    seed: Seed = 0,
    stop: Stops = None,
    heal: Heal = True,
    context: Context = None,
    weights: HeldIn = "auto",
    backend: ComputedBy = "torch",
    jsonl: JsonLines = None,
    output: Output = None,
) -> None:
    """Continue a text.

    With --jsonl, each object's `prompt` is continued, and the text added as its `completion`.
    """
    from codecascade.generation.requests import SamplingParams, completion_request

    sampling = SamplingParams(
        max_new_tokens,
        temperature,
        top_p,
        seed,
        top_k=top_k,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
    )

    def request(generator: PassGenerator[Any], fields: dict[str, str]) -> Request:
        return completion_request(generator.tokenizer, fields["prompt"], sampling, stop=stop or (), heal=heal)

    used = ModelOptions(model, context, weights, backend)
    if jsonl is not None or output is not None:
        refuse({"--prompt": prompt, "--prompt-file": prompt_file}, with_="--jsonl")
        batch(used, jsonl, output, ("prompt",), request)
        return
    if (prompt is None) == (prompt_file is None):
        raise UserError("give exactly one of --prompt, --prompt-file and --jsonl")
    text = read_text(prompt_file) if prompt_file is not None else prompt or ""
    stream(used, lambda generator: request(generator, {"prompt": text}))


@app.command(
    rich_help_panel=options.USE,
    epilog=options.examples(
        "infill MODEL --file app.py --line 12 --column 5",
        "infill MODEL --file app.py --line 12 --column 5 --context-file models.py",
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
        options.line(TEXT),
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
    context_file: ContextFiles = None,
    layout: Annotated[
        InfillingFormat | None,
        typer.Option(
            "--format",
            help="Show the model prefix, then suffix (psm), or suffix, then prefix (spm).",
            show_default="as it suits editors: spm where the model knows it",
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
    presence_penalty: PresencePenalty = 0.0,
    frequency_penalty: FrequencyPenalty = 0.0,
    seed: Seed = 0,
    stop: Stops = None,
    heal: Heal = True,
    context: Context = None,
    weights: HeldIn = "auto",
    backend: ComputedBy = "torch",
    jsonl: JsonLines = None,
    output: Output = None,
) -> None:
    """Fill a gap in a text.

    It ends with the block that the gap is in, or where the model begins to type what stands after the gap.

    Where the text does not fit into the model's context, the lines farthest from the gap are left out.

    With --jsonl, the gap between each object's `prefix` and `suffix` is filled, and added as its `completion`.
    """
    from codecascade.generation.editing.prompt import EditorPrompt
    from codecascade.generation.editing.request import editor_request
    from codecascade.generation.editing.stops import EditorStops
    from codecascade.generation.requests import SamplingParams
    from codecascade.tokens.repository import RepositoryChunk

    lines = editor_lines(single_line=single_line, block=block, no_editor_stops=no_editor_stops)
    language = language_of(file)
    chunks = tuple(RepositoryChunk(str(each), read_text(each)) for each in context_file or ())
    sampling = SamplingParams(
        max_new_tokens,
        temperature,
        top_p,
        seed,
        top_k=top_k,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
    )

    def request(generator: PassGenerator[Any], fields: dict[str, str]) -> Request:
        prefix, suffix = fields["prefix"], fields["suffix"]
        return editor_request(
            generator.tokenizer,
            EditorPrompt(prefix, suffix, str(file or ""), Path.cwd().name, chunks),
            sampling,
            context=generator.context_length,
            format=layout,
            stop=stop or (),
            heal=heal,
            editor=None if lines is None else EditorStops(prefix, suffix, language, lines),
        )

    used = ModelOptions(model, context, weights, backend)
    if jsonl is not None or output is not None:
        refuse({"--prefix": prefix, "--suffix": suffix, "--file": file}, with_="--jsonl")
        batch(used, jsonl, output, ("prefix", "suffix"), request)
        return
    if file is not None:
        refuse({"--prefix": prefix, "--suffix": suffix}, with_="--file")
        before, after = at_cursor(file, line, column)
    elif prefix is not None and suffix is not None:
        refuse({"--line": line, "--column": column}, with_="--prefix")
        before, after = read_text(prefix), read_text(suffix)
    else:
        raise UserError("give --prefix and --suffix, or --file with --line and --column, or --jsonl")
    stream(used, lambda generator: request(generator, {"prefix": before, "suffix": after}))


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
    presence_penalty: PresencePenalty = 0.0,
    frequency_penalty: FrequencyPenalty = 0.0,
    seed: Seed = 0,
    context: Context = None,
    weights: HeldIn = "auto",
    backend: ComputedBy = "torch",
) -> None:
    """Talk to an instruction-tuned model. Text from a pipe is one message and gets one answer."""
    from codecascade.generation.requests import SamplingParams

    sampling = SamplingParams(
        max_new_tokens,
        temperature,
        top_p,
        seed,
        top_k=top_k,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
    )
    talk = Talk(ModelOptions(model, context, weights, backend).load(), sampling, system)
    if not sys.stdin.isatty():
        talk.reply(read_standard_input())
        return
    from rich.text import Text

    console = stderr()
    console.print("Ctrl-D ends the talk.")
    while True:
        try:
            text = console.input(Text("you ", style="bold"))
        except EOFError:
            return
        except UnicodeDecodeError as error:
            console.print(Text(f"this is not UTF-8 text ({error})"))
            continue
        if not text.strip():
            continue
        try:
            check_text(text, "this")
            talk.reply(text)
        except UserError as error:
            console.print(Text(str(error)))
        write("\n")
