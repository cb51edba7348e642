"""The rows of an evaluation's files, which are JSON lines: one for each sample, and one for each task."""

from __future__ import annotations

from typing import Any

SampleRow = dict[str, Any]
"""A line of ``samples/<benchmark>.jsonl``.

``task_id``, ``sample`` (its number among those of the task), ``completion``, ``finish_reason``, ``ended``; the fields
of the task; and what the verdict adds: ``passed``, ``outcome`` and ``detail``, or what the task's ``judge`` returns.
"""

OWN_FIELDS = frozenset(
    {
        # the answer: how the model ended it, and what it was taken out of
        *("finish_reason", "ended", "tokens", "text", "exact_unstopped", "exact_to_end"),
        # the verdict of tests
        *("passed", "outcome", "detail", "stderr", "tests", "base_passed", "cases", "cases_passed"),
        # the comparison with a reference
        *("exact_match", "first_line", "edit_similarity", "bleu", "identifier_match", "identifier_f1"),
        *("answer", "parses", "bytes"),
        # what a judge says
        *("unjudged", "complied", "informative", "refused", "sentiment", "toxic", "truthful"),
        # how likely the model finds the reference
        *("reference_nats", "reference_tokens", "answer_nats", "end_nats"),
        # how a task was asked, of which a problem's key and some figures are made
        *("format", "to_end"),
    }
)
"""The fields of a sample's row that an evaluation writes, besides its tasks' own.

In a file of given samples they are of an earlier evaluation, or there by chance, and are dropped.
"""

TaskRow = dict[str, Any]
"""A line of ``tasks/<benchmark>.jsonl``, for a reader.

``task_id``; ``prompt`` and ``suffix``, or ``messages`` and ``prefill``; ``other_files`` (parts of them, that come
before the prompt as far as there is room); ``expected``, ``test`` and the task's fields.
"""


def was_asked(row: SampleRow) -> bool:
    """Whether the sample's prompt fitted the model's context."""
    return bool(row.get("finish_reason") != "context")
