"""Real clients against a server that runs: packages, curl, and the requests of editors' plug-ins.

    python benchmarks/clients.py http://127.0.0.1:8012 [--key KEY]

Prints what came of each, and how long it took. The packages are openai, ollama and mistralai; each check of them does
what people do: whole and streamed answers, gaps, dialogues, log-probabilities, cancelling. ``llama_vim.py`` beside
this file lets a plug-in itself ask.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import httpx
from client_packages import PACKAGES
from editor_requests import EDITORS


def main() -> int:
    """Try all; 1 if one of them would not work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    url, key = arguments.url.rstrip("/"), arguments.key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    failed = 0
    with httpx.Client(base_url=url, headers=headers, timeout=300) as client:
        model = client.get("/v1/models").raise_for_status().json()["data"][0]["id"]
        for name, package in PACKAGES.items():
            failed |= _try(name, lambda package=package: package(url, key or "none", model))  # type: ignore[misc]
        for name, editor in EDITORS.items():
            failed |= _try(name, lambda editor=editor: editor(client, model))  # type: ignore[misc]
    return failed


def _try(name: str, check: Callable[[], str]) -> int:
    started = time.perf_counter()
    try:
        text = check()
    except Exception as error:
        print(f"{name}: FAILED: {type(error).__name__}: {error}", flush=True)
        return 1
    print(f"{name} ({time.perf_counter() - started:.1f} s): {text!r}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
