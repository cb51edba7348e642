"""``dialogues check`` and ``dialogues show``: what is in files of dialogues, and what is learnt of one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stderr, stdout
from codecascade.cli.options import AsJson
from codecascade.ground.errors import UserError

if TYPE_CHECKING:
    from codecascade.instruct.dialogues.settings import DialogueSource
    from codecascade.tokens.tokenizer import Tokenizer

dialogues_app = typer.Typer(help="Look at dialogues before they are trained on.", no_args_is_help=True)
app.add_typer(dialogues_app, name="dialogues", rich_help_panel=options.MAKE)

_READING, _TRAINING = "How they are read", "How they are trained on"
_EVERY = 10.0
"""Seconds between two lines that say how far a long check is."""

FormatOption = Annotated[
    Literal["messages", "sharegpt", "alpaca", "pairs"] | None,
    typer.Option(
        "--read-as",
        help="Read the files in this format.",
        show_default="found by each file's keys",
        rich_help_panel=_READING,
    ),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="NAME=KEY",
        help="Read messages, role, content, system, user, input or assistant from this key (repeatable).",
        show_default=False,
        rich_help_panel=_READING,
    ),
]
RoleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="WORD=ROLE",
        help="Read the file's own word as system, user or assistant (repeatable).",
        show_default=False,
        rich_help_panel=_READING,
    ),
]
RepairOption = Annotated[
    list[str] | None,
    typer.Option(
        "--repair",
        metavar="HOW",
        help="Mend disorder: join_same_role, drop_first_answer or drop_last_request (repeatable).",
        show_default=False,
        rich_help_panel=_READING,
    ),
]
ChatFormatOption = Annotated[
    Literal["llama2", "chatml", "step"] | None,
    typer.Option(
        help="Write dialogues in this format.",
        show_default="the tokenizer's own",
        rich_help_panel=_TRAINING,
    ),
]
SequenceOption = Annotated[
    int,
    typer.Option(
        "--sequence-length",
        metavar="N",
        min=1,
        help="Count as too long what has more tokens than a row of this length.",
        rich_help_panel=_TRAINING,
    ),
]


@dialogues_app.command(
    epilog=options.examples(
        "dialogues check chat.jsonl",
        "dialogues check data/*.parquet --tokenizer smollm2-135m-instruct --json",
        'dialogues check problems.jsonl --key user=problem --key "assistant=solution"',
    )
)
def check(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="JSON lines, JSON arrays or Parquet; also folders, patterns, addresses and hub:OWNER/NAME.",
            show_default=False,
        ),
    ],
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="Take the tokenizer of this model: a folder, a GGUF file or a hub name.",
            show_default="tokens are not counted",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    chat_format: ChatFormatOption = None,
    sequence_length: SequenceOption = 4096,
    format: FormatOption = None,  # noqa: A002
    column: ColumnOption = None,
    role: RoleOption = None,
    repair: RepairOption = None,
    benchmarks: Annotated[bool, typer.Option(help="Look for texts of benchmarks in the dialogues.")] = True,
    as_json: AsJson = False,
) -> None:
    """Show what is in files of dialogues: formats, turns, lengths, duplicates, benchmark texts, unusable lines.

    The exit code is 2 if a line can't be used.
    """
    from codecascade.cli.dialogues_display import show_check
    from codecascade.instruct.dialogues.checking import DialogueChecker
    from codecascade.instruct.dialogues.places import files_of_source

    settings = _settings(files[0], format, column, role, repair)
    index, unchecked = _benchmarks() if benchmarks else (None, "")
    checker = DialogueChecker(
        settings, _tokenizer(tokenizer, chat_format), sequence_length, index, _progress()
    )
    found = []
    for source in files:
        named = settings.model_copy(update={"source": source})
        found += [checker.check(file) for file in files_of_source(named)]
    if as_json:
        print(json.dumps({"files": [each.as_json() for each in found], "unchecked": unchecked}, indent=2))
    else:
        show_check(stdout(), found, sequence_length, unchecked)
    if not all(each.is_usable for each in found):
        raise typer.Exit(2)


@dialogues_app.command(
    epilog=options.examples(
        "dialogues show chat.jsonl --line 12 --tokenizer smollm2-135m-instruct",
        "dialogues show chat.jsonl --line 12 --tokenizer models/mine --tokens",
    )
)
def show(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, a JSON array or Parquet.", show_default=False)
    ],
    line: Annotated[int, options.line()],
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="Take the tokenizer of this model: a folder, a GGUF file or a hub name.",
            show_default=False,
            rich_help_panel=_TRAINING,
        ),
    ],
    chat_format: ChatFormatOption = None,
    sequence_length: SequenceOption = 4096,
    loss: Annotated[
        Literal["all", "last"],
        typer.Option(help="Learn all answers, or the last alone.", rich_help_panel=_TRAINING),
    ] = "all",
    system: Annotated[
        str | None,
        typer.Option(
            "--default-system",
            metavar="TEXT",
            help="Put this system message before dialogues that have none.",
            show_default=False,
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    format: FormatOption = None,  # noqa: A002
    column: ColumnOption = None,
    role: RoleOption = None,
    repair: RepairOption = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Show one token a line.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show exactly what is trained on of one dialogue, with its answers marked: only they are learnt."""
    from codecascade.cli.dialogues_display import show_example, token_rows
    from codecascade.training.stream.dialogue_examples import dialogue_example
    from codecascade.training.stream.settings import ChatSettings

    settings = _settings(file, format, column, role, repair)
    dialogue = _dialogue_in(file, line, settings)
    made = _tokenizer(tokenizer, chat_format)
    assert made is not None
    try:
        example = dialogue_example(
            made,
            dialogue.messages,
            context=sequence_length + 1,
            document_id=dialogue.id,
            settings=ChatSettings(loss=loss, system=system or None),
            without_loss=dialogue.without_loss,
        )
    except UserError as error:
        raise UserError(error.message, file=f"{file}:{line}", key=error.key) from None
    if as_json:
        rows = [
            {"id": each.id, "text": each.text, "learnt": each.learnt} for each in token_rows(made, example)
        ]
        print(json.dumps({"truncated": example.truncated, "tokens": rows}, ensure_ascii=False, indent=1))
    else:
        show_example(stdout(), made, example, by_token=tokens)


def _dialogue_in(file: str, line: int, settings: DialogueSource) -> Any:
    from codecascade.instruct.dialogues.places import files_of_source
    from codecascade.instruct.dialogues.reading import each_row, open_file

    files = files_of_source(settings)
    if len(files) != 1:
        raise UserError(f"is {len(files)} files; name one of them, such as {files[0]}", file=file)
    last = 0
    for row, found in each_row(open_file(files[0], settings), settings):
        last = row.number
        if last == line:
            if isinstance(found, UserError):
                raise found
            return found.dialogue
        if last > line:
            break
    raise UserError(
        f"has no dialogue that begins there (the last one looked at: {last:,})", file=f"{file}:{line}"
    )


def _settings(
    source: str,
    format: str | None,  # noqa: A002
    columns: list[str] | None,
    roles: list[str] | None,
    repair: list[Any] | None,
) -> DialogueSource:
    from pydantic import ValidationError

    from codecascade.instruct.dialogues.settings import DialogueSource

    try:
        return DialogueSource.model_validate(
            {
                "source": source,
                "format": format,
                "columns": _pairs(columns, "--key"),
                "roles": _pairs(roles, "--role"),
                "repair": tuple(repair or ()),
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        option = {"columns": "--key", "roles": "--role", "repair": "--repair"}.get(key, key)
        raise UserError(f"{first['msg']} (got {first['input']!r})", key=option) from None


def _pairs(values: list[str] | None, option: str) -> dict[str, str]:
    made = {}
    for value in values or ():
        name, equals, key = value.partition("=")
        if not (equals and name and key):
            raise UserError(f"must be two words with '=' between (got {value!r})", key=option)
        made[name] = key
    return made


def _tokenizer(name: str | None, chat_format: str | None) -> Tokenizer | None:
    """The tokenizer with which an instruct stage on this model trains."""
    from codecascade.model.sources import tokenizer_of
    from codecascade.tokens.chat import with_chat_format

    if name is None:
        if chat_format is not None:
            raise UserError("needs --tokenizer, for only tokens have a format", key="--chat-format")
        return None
    return with_chat_format(tokenizer_of(name), chat_format)


def _benchmarks() -> tuple[Any, str]:
    """An index of the benchmarks' texts, and which of them are not here."""
    from codecascade.cascade.benchmark_texts import benchmark_texts
    from codecascade.corpus.settings import CorpusSettings
    from codecascade.corpus.steps.decontamination import BenchmarkIndex

    texts = benchmark_texts()
    return BenchmarkIndex(texts.texts, CorpusSettings().benchmark_overlap), ", ".join(texts.unchecked)


def _progress() -> Callable[[str, int], None]:
    last = time.monotonic()

    def say(file: str, lines: int) -> None:
        nonlocal last
        if time.monotonic() - last > _EVERY:
            last = time.monotonic()
            stderr().print(f"{file}: {lines:,} lines", highlight=False)

    return say
