"""The rows of an evaluation's files, which are JSON lines: one for each sample, and one for each task."""

from __future__ import annotations

from typing import Any

SampleRow = dict[str, Any]
"""A line of ``samples/<benchmark>.jsonl``.

``task_id``, ``sample`` (its number among those of the task), ``completion``, ``finish_reason``, ``ended``; the fields
of the task; and what the verdict adds: ``passed``, ``outcome`` and ``detail``, or what the task's ``judge`` returns.
"""

TaskRow = dict[str, Any]
"""A line of ``tasks/<benchmark>.jsonl``, for a reader.

``task_id``; ``prompt`` and ``suffix``, or ``messages`` and ``prefill``; ``other_files`` (parts of them, that come
before the prompt as far as there is room); ``expected``, ``test`` and the task's fields.
"""


def was_asked(row: SampleRow) -> bool:
    """Whether the sample's prompt fitted the model's context."""
    return bool(row.get("finish_reason") != "context")
