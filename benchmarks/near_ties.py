"""How near a tie two greedy replies part: ``python benchmarks/near_ties.py MODEL FIRST SECOND [--benchmark NAME]``

FIRST and SECOND are the output folders of two evaluations of one model in the chat format, by two engines or on two
machines. In bf16 a product of another shape rounds another way, which turns a tie. For each problem with two texts,
the model in fp32 reads the prompt and what the texts have in common, and tells by how much it prefers the first
one's next token to the second one's (nats). A gap far above bf16's steps (1/8 for the usual logits) is no tie.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import torch

from codecascade.generation.requests import SamplingParams, chat_request
from codecascade.model.sources import load
from codecascade.tokens.messages import Message


def records(path: Path) -> dict[str, dict[str, Any]]:
    """The JSON lines of a file, by task."""
    return {row["task_id"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--benchmark", default="humaneval")
    asked = parser.parse_args()
    tasks = records(asked.first / "tasks" / f"{asked.benchmark}.jsonl")
    first, second = (
        records(each / "samples" / f"{asked.benchmark}.jsonl") for each in (asked.first, asked.second)
    )
    loaded = load(asked.model, dtype=torch.float32)
    tokenizer, model = loaded.tokenizer, loaded.model
    gaps: list[float] = []
    same = 0
    for name in first:
        # line breaks at the beginning belong to how a reply is taken out of its fence
        texts = [each[name]["completion"].lstrip("\n") for each in (first, second)]
        if texts[0] == texts[1]:
            same += 1
            continue
        one, two = (tokenizer.encode(text) for text in texts)
        parting = next(
            (place for place, ids in enumerate(zip(one, two, strict=False)) if ids[0] != ids[1]), None
        )
        if parting is None:
            print(f"{name}: one text is the beginning of the other")
            continue
        messages = [Message(**message) for message in tasks[name]["messages"]]
        prompt = chat_request(tokenizer, messages, SamplingParams(), prefill=tasks[name]["prefill"]).ids
        with torch.inference_mode():
            hidden = model(torch.tensor([[*prompt, *one[:parting]]]))
            chances = model.logits(hidden[:, -1:])[0, -1].log_softmax(-1)
        gaps.append(float(chances[one[parting]] - chances[two[parting]]))
        tokens = [tokenizer.decode([ids[parting]]) for ids in (one, two)]
        passed = [each[name]["passed"] for each in (first, second)]
        print(
            f"{name}: {gaps[-1]:+.3f}, {tokens[0]!r} and {tokens[1]!r}, passed {passed[0]} and {passed[1]}",
            flush=True,
        )
    print(f"{same} of {len(first)} texts are the same")
    if gaps:
        sizes = sorted(map(abs, gaps))
        print(
            f"{len(gaps)} part at a token: the gap is {median(sizes):.3f} in the middle and at most {sizes[-1]:.3f}; "
            f"fp32 prefers the first one's token in {sum(gap > 0 for gap in gaps)}"
        )


if __name__ == "__main__":
    main()
