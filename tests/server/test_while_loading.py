"""Before the model is loaded: 503 in each protocol's form, a page that comes again, and an end at SIGTERM."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from live_server import live
from python_process import python_process
from scripted_generator import ScriptedGenerator

from codecascade.server.http import bounded_protocol
from codecascade.server.serving import address_of, taken_port
from codecascade.server.settings import Limits, ServerSettings
from codecascade.server.while_loading import answers_while_loading
from codecascade.tokens.tokenizer import Tokenizer

FORMS = {
    "/health": lambda body: (
        body["error"] == {"code": 503, "message": "Loading model", "type": "unavailable_error"}
    ),
    "/infill": lambda body: body["error"]["message"] == "Loading model",
    "/v1/completions": lambda body: body["error"]["type"] == "unavailable_error",
    "/v1/fim/completions": lambda body: body["object"] == "error",
    "/api/generate": lambda body: body["error"] == "Loading model",
    "/generate": lambda body: body["error_type"] == "generation",
}


def test_each_protocol_says_that_the_model_is_being_loaded() -> None:
    with taken_port("127.0.0.1", 0) as listener:
        url = address_of(listener)
        with answers_while_loading(listener, Limits(header_seconds=600)):
            for path, has_its_form in FORMS.items():
                answer = (
                    httpx.get(f"{url}{path}", timeout=120)
                    if path == "/health"
                    else httpx.post(f"{url}{path}", json={}, timeout=120)
                )
                assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
                assert has_its_form(answer.json()), path
            page = httpx.get(url, headers={"Accept": "text/html,*/*"}, timeout=120)
            assert page.status_code == 503 and 'http-equiv="refresh"' in page.text
            # whoever says nothing does not hold up what follows
            idle = socket.create_connection(listener.getsockname())
            begun = time.monotonic()
        assert time.monotonic() - begun < 60
        idle.close()


def test_who_is_connected_when_loading_ends_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_protocol, "_UNASKED_SECONDS", 60.0)
    with taken_port("127.0.0.1", 0) as listener:
        with answers_while_loading(listener, Limits()):
            late = socket.create_connection(listener.getsockname(), timeout=120)
            httpx.get(f"{address_of(listener)}/health", timeout=120)  # who came before was accepted before
            asking = threading.Timer(0.2, late.sendall, [b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"])
            asking.start()
        with late:
            assert late.recv(100).startswith(b"HTTP/1.1 503")


def test_the_application_takes_the_port_over_without_a_gap(tokenizer: Tokenizer) -> None:
    statuses: list[int] = []
    over = threading.Event()
    with taken_port("127.0.0.1", 0) as listener:
        port, url = listener.getsockname()[1], address_of(listener)

        def ask() -> None:
            while not over.is_set():
                statuses.append(httpx.get(f"{url}/health", timeout=120).status_code)

        asking = threading.Thread(target=ask)
        with answers_while_loading(listener, Limits()):
            asking.start()
            while not statuses:
                time.sleep(0.01)
        settings = ServerSettings(names=("tiny",))
        with live(lambda: ScriptedGenerator(tokenizer), settings, listener=listener.dup()) as server:
            assert server.port == port
            while 200 not in statuses and asking.is_alive():
                time.sleep(0.01)
            over.set()
            asking.join(120)
    assert set(statuses) == {503, 200} and statuses == sorted(statuses, reverse=True)


def test_sigterm_while_loading_ends_with_0() -> None:
    script = """
import time
from codecascade.server.serving import address_of, taken_port
from codecascade.server.settings import Limits
from codecascade.server.while_loading import answers_while_loading

listener = taken_port("127.0.0.1", 0)
with answers_while_loading(listener, Limits()):
    print(address_of(listener), flush=True)
    time.sleep(600)
"""
    with python_process(script) as (child, url):
        assert httpx.get(f"{url}/health", timeout=120).status_code == 503
        child.send_signal(signal.SIGTERM)
        assert child.wait(120) == 0


def test_sigterm_between_loading_and_serving_ends_with_0() -> None:
    """The application is made there, which takes its time."""
    script = """
import time
from codecascade.cli.app import app
from codecascade.cli import serve
from codecascade.server import loading, serving

def make(*_):
    print("made", flush=True)
    time.sleep(600)

loading.load_service = lambda *_, **__: (None, "nothing")
loading.served_names = lambda *_: ("tiny",)
serving.serve = make
app(["serve", "tiny", "--port", "0"])
"""
    with python_process(script) as (child, line):
        assert line == "made"
        child.send_signal(signal.SIGTERM)
        assert child.wait(120) == 0


def test_clients_get_answers_before_torch_is_there() -> None:
    """It takes seconds to import, in which the port listens already."""
    script = """
import importlib.machinery, os, sys
import httpx
from codecascade.cli.app import app
from codecascade.cli import serve
from codecascade.server import serving, while_loading

taken = []
take = serving.taken_port
serving.taken_port = lambda *where: taken.append(take(*where)) or taken[0]

class Asks:
    # Stands in for torch. It asks while it is executed: finding a module holds the lock of all imports.

    def find_spec(self, name, *_):
        return importlib.machinery.ModuleSpec(name, self) if name == "torch" else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        port = taken[0].getsockname()[1]
        print(httpx.get(f"http://127.0.0.1:{port}/health", timeout=120).status_code, flush=True)
        os._exit(0)

sys.meta_path.insert(0, Asks())
app(["serve", "tiny", "--port", "0"])
"""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True
    )
    assert found.stdout.strip() == "503", found.stderr
