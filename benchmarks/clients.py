"""The requests of editors' plug-ins against a server that runs, with what came.

python benchmarks/clients.py http://127.0.0.1:8012 [--key KEY]
"""

from __future__ import annotations

import argparse
import sys

import httpx
from editor_requests import EDITORS


def main() -> int:
    """Try all; 1 if one of them would not work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    headers = {"Authorization": f"Bearer {arguments.key}"} if arguments.key else {}
    failed = 0
    with httpx.Client(base_url=arguments.url, headers=headers, timeout=300) as client:
        model = client.get("/v1/models").raise_for_status().json()["data"][0]["id"]
        for name, check in EDITORS.items():
            try:
                print(f"{name}: {check(client, model)!r}", flush=True)
            except (AssertionError, KeyError, ValueError, httpx.HTTPError) as error:
                print(f"{name}: FAILED: {type(error).__name__}: {error}", flush=True)
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
