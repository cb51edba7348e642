"""What editors' plug-ins send, field for field, against a real port."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from live_server import Live

from codecascade.server.settings import ServerSettings

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from editor_requests import EDITORS


@pytest.mark.parametrize("editor", EDITORS)
def test_what_an_editor_sends_is_answered_as_it_reads_it(served: Callable[..., Live], editor: str) -> None:
    server = served(ServerSettings(names=("tiny",), keys=("the-key",)))
    server.client.headers["Authorization"] = "Bearer the-key"
    assert EDITORS[editor](server.client, "tiny").strip() == "total + 1"
