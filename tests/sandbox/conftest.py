"""One sandbox of each kind that this machine offers, for all tests of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codecascade.sandbox.check import best_confinement
from codecascade.sandbox.sandbox import Sandbox


@pytest.fixture(scope="session", params=["namespaces", "bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Every kind of confinement in turn."""
    with Sandbox(workers=2, confinement=request.param) as box:
        if box.run("pass").outcome == "not_started":
            pytest.skip(f"this machine does not offer {request.param}")
        yield box


@pytest.fixture(scope="session")
def best() -> Iterator[Sandbox]:
    """The sandbox as others get it."""
    if best_confinement() == "none":
        pytest.skip("this machine can't confine programs")
    with Sandbox(workers=2) as box:
        yield box
