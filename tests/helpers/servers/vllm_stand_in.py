"""Stands in for the program ``vllm``: takes its arguments, and serves the folder with our own engine and server.

It knows only arguments that vLLM has, and refuses an environment in which vLLM would take itself for a rank of a
training run. ``VLLM_STAND_IN=crash`` lets it print a line and end; ``silent`` lets it never answer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

DTYPES = {"float32": "fp32", "bfloat16": "bf16", "auto": "auto"}


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dtype", choices=DTYPES, default="auto")
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--hf-overrides", type=json.loads, default={})
    parser.add_argument("--generation-config", default="auto")
    parser.add_argument("--stream-interval", type=int, default=1)
    parser.add_argument("--max-num-seqs", type=int)
    given = parser.parse_args()
    of_torchrun = [name for name in os.environ if name in ("RANK", "WORLD_SIZE") or "TORCHELASTIC" in name]
    assert not of_torchrun, of_torchrun
    print("INFO: the stand-in for vLLM starts", given, flush=True)
    misbehaves = os.environ.get("VLLM_STAND_IN")
    if misbehaves == "crash":
        print("ValueError: Free memory on device (1.2/79.1 GiB) is less than desired", flush=True)
        sys.exit(1)
    if misbehaves == "silent":
        time.sleep(600)
    from codecascade.cli import main as codecascade

    os.environ["CODECASCADE_API_KEYS"] = os.environ["VLLM_API_KEY"]
    arguments = ["serve", given.model, "--alias", given.served_model_name, "--host", given.host]
    arguments += ["--port", str(given.port), "--weights", DTYPES[given.dtype]]
    if given.max_model_len is not None:
        arguments += ["--context", str(given.max_model_len)]
    codecascade(arguments)


if __name__ == "__main__":
    main()
