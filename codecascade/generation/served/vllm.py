"""How vLLM is started on a model: its command line, its environment, and when it is ready.

Written after vLLM's documentation (`vllm serve`, the OpenAI-compatible server) and its parser of arguments, for
version 0.10 and later.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from codecascade.generation.served.process import ServerProcess
from codecascade.generation.served.settings import ServerSettings
from codecascade.generation.transport import NoReplyError, Transport
from codecascade.ground.choices import Precision
from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig

_DTYPES: dict[Precision, str] = {"fp32": "float32", "bf16": "bfloat16", "auto": "bfloat16"}
_ASK_SECONDS = 5.0
_SHOWN = 100
"""Characters of a line of the log."""
_TOKENS_AN_EVENT = 8
"""Each event of a streamed answer costs both sides work, whatever it holds."""
_OF_TORCHRUN = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS"),
)
"""Variables that would make a process of vLLM think that it is a rank of this run, or that it has one thread."""


@dataclass(frozen=True)
class Vllm:
    """vLLM, running and ready.

    Attributes:
        url: of the server.
        name: by which it serves the model. No other server has it, so an answer can't come from one.
        key: that it wants. Other users of the machine do not know it.
        version: that it says it has; "" if it says none.
    """

    process: ServerProcess
    url: str
    name: str
    key: str
    version: str

    def close(self) -> None:
        """End it."""
        self.process.close()


def check_installed(settings: ServerSettings) -> None:
    """See that there is a program to start.

    Raises:
        UserError: there is none.
    """
    if shutil.which(settings.command[0]) is None:
        raise UserError(
            f"there is no program {settings.command[0]!r}: install vLLM (pip install vllm; best in an environment of "
            "its own), or name the words that start it, such as command = ['/opt/vllm/bin/vllm']",
            key="evaluate.server.command",
        )


def tensor_parallel(settings: ServerSettings, config: LlamaConfig, devices: int) -> int:
    """The devices that a model is divided between.

    Args:
        devices: of this machine.

    Raises:
        UserError: the setting does not divide the model's heads.
    """
    heads = config.num_attention_heads
    if settings.tensor_parallel is None:
        return max(count for count in range(1, max(1, devices) + 1) if _divides(count, config))
    if not _divides(settings.tensor_parallel, config):
        raise UserError(
            f"must divide the {heads} heads of the model, and divide its {config.num_key_value_heads} heads of keys "
            f"and values or be a multiple of them (got {settings.tensor_parallel})",
            key="evaluate.server.tensor_parallel",
        )
    return settings.tensor_parallel


def _divides(count: int, config: LlamaConfig) -> bool:
    groups = config.num_key_value_heads
    return config.num_attention_heads % count == 0 and (groups % count == 0 or count % groups == 0)


def command_line(
    settings: ServerSettings,
    model: str,
    config: LlamaConfig,
    *,
    name: str,
    port: int,
    precision: Precision,
    devices: int,
) -> list[str]:
    """The words that start vLLM.

    Args:
        model: a folder, or a name on the hub.
        name: by which it shall serve the model.
        devices: of this machine.
    """
    words = [*settings.command, "serve", model, "--served-model-name", name]
    words += ["--host", "127.0.0.1", "--port", str(port), "--dtype", _DTYPES[precision]]
    words += ["--tensor-parallel-size", str(tensor_parallel(settings, config, devices))]
    words += ["--gpu-memory-utilization", f"{settings.gpu_memory:g}"]
    # Else what generation_config.json says would be the default of every setting that a request leaves out.
    words += ["--generation-config", "vllm", "--stream-interval", str(_TOKENS_AN_EVENT)]
    if settings.context is not None:
        words += ["--max-model-len", str(settings.context)]
        if settings.context > config.max_position_embeddings:
            # The table of rotary positions is as long as the config says.
            overrides = {"max_position_embeddings": settings.context}
            words += ["--hf-overrides", json.dumps(overrides)]
    return [*words, *settings.arguments]


def environment_for(key: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what torchrun has put into it, and with the key of the server.

    A command line can be read by every user of a machine, so the key is not in it.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _OF_TORCHRUN and not name.startswith(("TORCHELASTIC_", "TORCH_NCCL_"))
    }
    return {**kept, "VLLM_API_KEY": key}


def start(
    settings: ServerSettings,
    model: str,
    config: LlamaConfig,
    *,
    precision: Precision,
    devices: int,
    log: Path,
    waiting: Callable[[str], None] = lambda line: None,
) -> Vllm:
    """Start vLLM on a model, and wait until it answers.

    Args:
        model: a folder, or a name on the hub.
        devices: of this machine.
        log: a file that gets what it prints.
        waiting: called again and again until it is ready, with the last line that it has printed.

    Raises:
        UserError: there is no such program, or the settings do not fit the model.
        RunFailed: it ends before it is ready, or is not ready in time.
    """
    check_installed(settings)
    name, key = f"codecascade-{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    port = _free_port()
    words = command_line(settings, model, config, name=name, port=port, precision=precision, devices=devices)
    process = ServerProcess(words, environment=environment_for(key, os.environ), log=log)
    try:
        url = f"http://127.0.0.1:{port}"
        transport = Transport(1, {"Authorization": f"Bearer {key}"})
        process.wait_until(
            lambda: _serves(transport, url, name), settings.ready_minutes * 60, _with_seconds(waiting)
        )
        return Vllm(process, url, name, key, _version(transport, url))
    except BaseException:
        process.close()
        raise


def _with_seconds(waiting: Callable[[str], None]) -> Callable[[str], None]:
    start = time.monotonic()
    return lambda line: waiting(f"{time.monotonic() - start:,.0f} s: {line[:_SHOWN]}")


def _serves(transport: Transport, url: str, name: str) -> bool:
    """Whether this very server answers: another one may have taken the port."""
    try:
        reply = transport.request("GET", f"{url}/v1/models", _ASK_SECONDS)
        found = reply.json() if reply.status == 200 else {}
    except (NoReplyError, ValueError):
        return False
    entries = found.get("data") if isinstance(found, dict) else None
    return isinstance(entries, list) and any(
        isinstance(entry, dict) and entry.get("id") == name for entry in entries
    )


def _version(transport: Transport, url: str) -> str:
    try:
        reply = transport.request("GET", f"{url}/version", _ASK_SECONDS)
        found = reply.json() if reply.status == 200 else {}
    except (NoReplyError, ValueError):
        return ""
    said = found.get("version") if isinstance(found, dict) else None
    return said[:100] if isinstance(said, str) else ""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
