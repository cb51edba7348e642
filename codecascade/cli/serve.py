"""``serve``: a model behind HTTP, for editors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, loading, stderr
from codecascade.cli.options import Model
from codecascade.ground.choices import Weights

_ADDRESS = "Where"
_MODEL = "The model"
_USERS = "Who may use it, and how much"


@app.command(
    rich_help_panel=options.USE,
    epilog=options.examples(
        "serve MODEL",
        "serve MODEL --host 0.0.0.0 --port 8012 --api-key-file keys.txt",
        "serve MODEL --alias codellama-7b",
    ),
)
def serve(
    model: Model,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="H",
            help="Listen on this address; 0.0.0.0 lets other machines in.",
            rich_help_panel=_ADDRESS,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            metavar="P",
            min=0,
            max=65535,
            help="Listen on this port; 0 takes a free one.",
            rich_help_panel=_ADDRESS,
        ),
    ] = 8012,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--alias",
            metavar="NAME",
            help="Call the model so in requests (repeatable).",
            show_default="the folder's name",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            metavar="N",
            min=2,
            help="Read and write so many tokens at most, even if the model was made for fewer.",
            show_default="the model's own",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    weights: Annotated[
        Weights,
        options.weights(_MODEL),
    ] = "auto",
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file",
            metavar="F",
            help="Answer only requests with one of this file's keys, one a line.",
            rich_help_panel=_USERS,
        ),
    ] = None,
    max_clients: Annotated[
        int,
        typer.Option(
            "--max-clients",
            metavar="N",
            min=1,
            help="Work on so many requests at a time, and refuse more.",
            rich_help_panel=_USERS,
        ),
    ] = 256,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            metavar="ORIGIN",
            help="Let pages of this web site use it, too; * lets all (repeatable).",
            rich_help_panel=_USERS,
        ),
    ] = None,
    log_prompts: Annotated[
        bool,
        typer.Option(
            "--log-prompts", help="Write prompts and completions to the log.", rich_help_panel=_USERS
        ),
    ] = False,
) -> None:
    """Serve a model to editors and other clients.

    It speaks the protocols of llama.cpp, OpenAI, Mistral, Ollama, Tabby and Text Generation Inference; docs/server.md lists them. Keys are also read from the environment variable CODECASCADE_API_KEYS. SIGTERM and Ctrl-C let running requests end.
    """  # noqa: E501  (Typer breaks a paragraph where it has a line's end)
    started = time.perf_counter()

    from codecascade.server.security import LOOPBACK, read_keys
    from codecascade.server.serving import address_of, is_loopback, serve, taken_port

    keys = read_keys(api_key_file)
    listener = taken_port(host, port)
    try:
        # What brings torch comes last, so that other mistakes are told at once.
        from codecascade.server.editors import editor_settings
        from codecascade.server.loading import load_service, served_names
        from codecascade.server.logs import set_up_logs
        from codecascade.server.settings import Limits, ServerSettings

        called = served_names(model, tuple(names or ()))
        with loading(model):
            service, held = load_service(model, called[0], context=context, weights=weights)
    except BaseException:
        listener.close()
        raise
    settings = ServerSettings(
        names=called,
        keys=keys,
        hosts=LOOPBACK if is_loopback(host) else None,
        origins=tuple(cors_origin or ()),
        limits=Limits(clients=max_clients),
        log_prompts=log_prompts,
    )
    address = address_of(listener)
    if settings.hosts is None and not settings.keys:
        stderr().print("Everybody who reaches this machine can use the model: --api-key-file asks for a key.")
    set_up_logs()

    def ready() -> None:
        print(editor_settings(address, called[0], with_key=bool(settings.keys)), flush=True)
        stderr().print(
            f"{called[0]} is served at {address} (ready in {time.perf_counter() - started:.1f} s; {held})",
            soft_wrap=True,
        )

    serve(service, settings, listener, ready)
