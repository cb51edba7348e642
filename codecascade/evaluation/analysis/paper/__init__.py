"""The published figures: tables of the Code Llama paper (Rozière et al. 2023, arXiv:2308.12950), as data.

Each column names the benchmark and the metric of ours that belong in it, and how the paper measured it. So a report
can mark whatever differs in a figure of ours. (What holds for a whole benchmark is stated in the benchmark's file.)

Values are as printed: percentages, BLEU from 0 to 100, a loss in nats, sentiment from -1 to 1; None if the
paper gives no value. Not here, for lack of a source of their values: what is in figures only (LCC by length,
Fig. 9b), other groups' models of Table 3, languages without long-context tuning (Table 11), GSM8K (Table 12),
docstrings (Table 13) and sentiment by profession (Table 25).
"""

from __future__ import annotations

from collections.abc import Sequence

from codecascade.evaluation.analysis.paper.code import TABLE_2, TABLE_5, TABLE_8, TABLE_10
from codecascade.evaluation.analysis.paper.contests import TABLE_3
from codecascade.evaluation.analysis.paper.infilling import TABLE_6, TABLE_14
from codecascade.evaluation.analysis.paper.languages import TABLE_4
from codecascade.evaluation.analysis.paper.long_context import TABLE_7, TABLE_18
from codecascade.evaluation.analysis.paper.safety import (
    TABLE_9,
    TABLE_19,
    TABLE_20,
    TABLE_21,
    TABLE_22,
    TABLE_23,
    TABLE_24,
)
from codecascade.evaluation.analysis.protocol import PaperTable

__all__ = [
    "TABLES",
    "TABLE_2",
    "TABLE_3",
    "TABLE_4",
    "TABLE_5",
    "TABLE_6",
    "TABLE_7",
    "TABLE_8",
    "TABLE_9",
    "TABLE_10",
    "TABLE_14",
    "TABLE_18",
    "TABLE_19",
    "TABLE_20",
    "TABLE_21",
    "TABLE_22",
    "TABLE_23",
    "TABLE_24",
]

TABLES: Sequence[PaperTable] = (
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLE_8,
    TABLE_9,
    TABLE_10,
    TABLE_14,
    TABLE_18,
    TABLE_19,
    TABLE_20,
    TABLE_21,
    TABLE_22,
    TABLE_23,
    TABLE_24,
)
