"""``serve``: a model behind HTTP, for editors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, loading, stderr
from codecascade.ground.choices import Backend, Weights
from codecascade.ground.errors import UserError
from codecascade.ground.format import without_login

if TYPE_CHECKING:
    from codecascade.generation.engine.weights.held import HeldWeights
    from codecascade.generation.streaming import StreamingGenerator

_ADDRESS = "Where"
_ENDPOINT = "The model is on another server"
_MODEL = "The model"
_USERS = "Who may use it, and how much"


@app.command(
    rich_help_panel=options.USE,
    epilog=options.examples(
        "serve MODEL",
        "serve MODEL --host 0.0.0.0 --port 8012 --api-key-file keys.txt",
        "serve MODEL --alias codellama-7b",
        "serve MODEL.gguf --backend llama.cpp",
        "serve --endpoint http://localhost:8000 --model NAME --tokenizer FOLDER",
    ),
)
def serve(
    model: Annotated[str | None, typer.Argument(help=options.MODEL, show_default=False)] = None,
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
    backend: Annotated[
        Backend,
        options.backend(_MODEL),
    ] = "torch",
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="Ask an OpenAI-compatible server.",
            rich_help_panel=_ENDPOINT,
        ),
    ] = None,
    served_model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="NAME", help="The name of the model on the server.", rich_help_panel=_ENDPOINT
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="FOLDER",
            help="Take the tokenizer of this model: a folder, a GGUF file or a hub name.",
            rich_help_panel=_ENDPOINT,
        ),
    ] = None,
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
    """Serve a model to editors and other clients, or stand in front of a server that has one.

    It speaks the protocols of llama.cpp, OpenAI, Mistral, Ollama, Tabby and Text Generation Inference; docs/server.md lists them. Keys are also read from the environment variable CODECASCADE_API_KEYS. OPENAI_API_KEY holds the key of an --endpoint that wants one. SIGTERM and Ctrl-C let running requests end.
    """  # noqa: E501  (Typer breaks a paragraph where it has a line's end)
    started = time.perf_counter()
    _one_source(model, endpoint, served_model, tokenizer)
    if weights != "auto" and (endpoint is not None or backend != "torch"):
        raise UserError("belongs to models that torch computes", key="--weights")
    if backend != "torch" and endpoint is not None:
        raise UserError("belongs to models that are loaded here", key="--backend")

    from codecascade.server.http.security import LOOPBACK, is_open_to_others, read_keys
    from codecascade.server.serving import address_of, is_loopback, serve, taken_port

    keys = read_keys(api_key_file)
    if api_key_file is not None and is_open_to_others(api_key_file):
        stderr().print(f"{api_key_file}: other users of this machine may read the keys; chmod 600 helps")
    from codecascade.server.while_loading import answers_while_loading, ends_at_sigterm

    # Between loading and serving, too.
    with ends_at_sigterm():
        listener = taken_port(host, port)
        try:
            from codecascade.server.editors import editor_settings
            from codecascade.server.http.logs import set_up_logs
            from codecascade.server.settings import Limits, ServerSettings

            service: StreamingGenerator
            held: HeldWeights | str
            limits = Limits(clients=max_clients)
            shown = model or without_login(endpoint or "")
            with answers_while_loading(listener, limits), loading(shown):
                # This brings torch, which takes seconds: after other mistakes were told, while clients get answers.
                from codecascade.server.loading import (
                    load_gateway,
                    load_llama_cpp,
                    load_service,
                    served_names,
                )

                if model is None:
                    assert endpoint is not None and served_model is not None and tokenizer is not None
                    called = tuple(names or (served_model,))
                    held = f"asks {shown}"
                    service = load_gateway(
                        endpoint, served_model, tokenizer, called[0], context=context, connections=max_clients
                    )
                else:
                    called = served_names(model, tuple(names or ()))
                    sizes = {"context": context, "max_waiting": limits.waiting}
                    if backend == "llama.cpp":
                        held = "by llama.cpp"
                        service = load_llama_cpp(model, called[0], **sizes)
                    else:
                        service, held = load_service(model, called[0], weights=weights, **sizes)
        except BaseException:
            listener.close()
            raise
        settings = ServerSettings(
            names=called,
            keys=keys,
            hosts=LOOPBACK if is_loopback(host) else None,
            origins=tuple(cors_origin or ()),
            limits=limits,
            log_prompts=log_prompts,
        )
        address = address_of(listener)
        if settings.hosts is None and not settings.keys:
            stderr().print(
                "Everybody who reaches this machine can use the model: --api-key-file asks for a key."
            )
        set_up_logs()

        def ready() -> None:
            print(editor_settings(address, called[0], with_key=bool(settings.keys)), flush=True)
            stderr().print(
                f"{called[0]} is served at {address} (ready in {time.perf_counter() - started:.1f} s; {held})",
                soft_wrap=True,
            )

        serve(service, settings, listener, ready)


def _one_source(
    model: str | None, endpoint: str | None, served_model: str | None, tokenizer: str | None
) -> None:
    """See that there is a model to load or one on a server, and not both."""
    if (model is None) == (endpoint is None):
        raise UserError("name a MODEL, or --endpoint URL --model NAME --tokenizer FOLDER, and not both")
    for key, value in (("--model", served_model), ("--tokenizer", tokenizer)):
        if (value is None) != (endpoint is None):
            raise UserError("--endpoint URL, --model NAME and --tokenizer FOLDER belong together", key=key)
