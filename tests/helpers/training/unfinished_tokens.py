"""Tokenises a shard until it is killed: ``unfinished_tokens.py SHARD FILE`` stops after the first row group."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from stream_fakes import tiny_tokenizer

from codecascade.training.stream.tokenized.shard import write_tokens


def wait(documents: int) -> None:
    print(f"{documents} documents", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    write_tokens(Path(sys.argv[1]), Path(sys.argv[2]), tiny_tokenizer(), wait)
