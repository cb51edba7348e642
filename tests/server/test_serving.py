"""A server as a process: ready, drained, logged; a port that is taken."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from live_server import live, soon
from python_process import python_process
from scripted_generator import ScriptedGenerator

from codecascade.ground.errors import UserError
from codecascade.server.http import bounded_protocol
from codecascade.server.serving import address_of, taken_port
from codecascade.server.settings import ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

HELPERS = Path(__file__).parent.parent / "helpers" / "servers"
SCRIPT = f"""
import asyncio, sys
sys.path.insert(0, {str(HELPERS)!r})
from scripted_generator import ScriptedGenerator
from codecascade.server.app import create_app
from codecascade.server.http.logs import set_up_logs
from codecascade.server.serving import address_of, serve, taken_port
from codecascade.server.settings import Limits, ServerSettings
from codecascade.tokens.training import train_tokenizer

tokenizer = train_tokenizer(["total = secret + words"] * 4, 300, kind="llama")
listener = taken_port("127.0.0.1", 0)
settings = ServerSettings(
    names=("tiny",), log_prompts="--log-prompts" in sys.argv, limits=Limits(drain_seconds=float(sys.argv[1]))
)
set_up_logs()

generator = ScriptedGenerator(tokenizer, hold="decode")

def ready():
    loop = asyncio.get_running_loop()

    def go_on():
        loop.remove_reader(sys.stdin)
        generator.release.set()

    loop.add_reader(sys.stdin, go_on)
    print(address_of(listener), flush=True)

serve(generator, settings, listener, ready)
print("over")
"""


def process(*arguments: str) -> AbstractContextManager[tuple[subprocess.Popen[str], str]]:
    """A server process and its address; it is killed at the end."""
    return python_process(SCRIPT, *arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def asked(url: str, client: httpx.Client) -> tuple[list[httpx.Response | Exception], threading.Thread]:
    """Start a request that stands still behind its first token; its answer will be in the list."""
    found: list[httpx.Response | Exception] = []

    def ask() -> None:
        try:
            found.append(httpx.post(f"{url}/v1/completions", json={"prompt": "secret words"}, timeout=120))
        except httpx.HTTPError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert soon(lambda: "requests_processing 1.0" in client.get("/metrics").text)
    client.close()
    return found, thread


def test_sigterm_drains_and_ends_in_order() -> None:
    with process("60") as (child, url), httpx.Client(base_url=url, timeout=120) as client:
        found, asking = asked(url, client)
        child.send_signal(signal.SIGTERM)
        # What is new is told to go elsewhere, by a load balancer or by the person who reads the message.
        assert soon(lambda: httpx.get(f"{url}/health", timeout=120).status_code == 503)
        refused = httpx.post(f"{url}/v1/completions", json={"prompt": "x"}, timeout=120)
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert "shutting down" in refused.json()["error"]["message"]
        assert child.poll() is None and not found
        child.stdin.write("go on\n")
        child.stdin.flush()
        asking.join(120)
        out, err = child.communicate(timeout=120)
    assert isinstance(found[0], httpx.Response) and found[0].status_code == 200
    assert child.returncode == 0 and out.endswith("over\n"), err
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{url}/health", timeout=120)
    lines = [json.loads(line) for line in err.splitlines() if '"path": "/v1/completions"' in line]
    (line,) = [line for line in lines if line["status"] != 503]
    assert line["status"] == 200 and line["complete"] and line["completion_tokens"] > 0
    assert line.keys() >= {"time", "id", "client", "seconds", "prompt_tokens", "first_token_seconds"}
    # What people ask is their business.
    assert "secret" not in err and "total" not in err


def test_who_is_connected_when_the_port_closes_is_answered(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_protocol, "_UNASKED_SECONDS", 60.0)
    with (
        live(lambda: ScriptedGenerator(tokenizer), ServerSettings(names=("tiny",))) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=120) as late,
    ):
        assert server.client.get("/health").status_code == 200, "who came before was accepted before"
        server.server.should_exit = True
        time.sleep(0.2)
        late.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert late.recv(100).startswith(b"HTTP/1.1 503")


def test_a_next_request_that_has_begun_is_answered_and_a_second_ctrl_c_waits_for_none(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_protocol, "_UNASKED_SECONDS", 60.0)
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        live(lambda: ScriptedGenerator(tokenizer), ServerSettings(names=("tiny",))) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=120) as kept,
        socket.create_connection(("127.0.0.1", server.port), timeout=120) as silent,
    ):
        kept.sendall(request + request[:20])
        answer = b""
        while not answer.endswith(b"}"):
            answer += kept.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200")
        server.server.should_exit = True
        time.sleep(0.2)
        kept.sendall(request[20:])
        assert kept.recv(100).startswith(b"HTTP/1.1 503")
        assert server.thread.is_alive(), "somebody may still ask"
        server.server.force_exit = True
        server.thread.join(30)
        assert not server.thread.is_alive() and not silent.recv(1)


def test_draining_has_an_end() -> None:
    with process("0.3", "--log-prompts") as (child, url), httpx.Client(base_url=url, timeout=120) as client:
        found, asking = asked(url, client)
        child.send_signal(signal.SIGINT)
        child.wait(120)
        err = child.stderr.read()
        asking.join(120)
    assert child.returncode == 0, err
    assert isinstance(found[0], httpx.HTTPError)
    (line,) = [json.loads(line) for line in err.splitlines() if '"path": "/v1/completions"' in line]
    assert line["complete"] is False and line["prompt_texts"] == ["secret words"]


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with taken_port("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=re.escape(f"127.0.0.1:{port}: can't be used")):
            taken_port("127.0.0.1", port)
    with pytest.raises(UserError, match="no address of this machine"):
        taken_port("no.such.host.invalid", 0)


def test_addresses_can_be_opened() -> None:
    with taken_port("0.0.0.0", 0) as listener:
        assert address_of(listener) == f"http://localhost:{listener.getsockname()[1]}"
    if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
        try:
            listener = taken_port("::1", 0)
        except UserError:
            return
        with listener:
            assert address_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"
