"""The published figures: tables of the Code Llama paper (Rozière et al. 2023, arXiv:2308.12950), as data.

A table's columns name the benchmark and the metric of ours that stand in them, and what each was measured by, so that
a figure of ours is put beside the paper's only with a mark for whatever differs (what holds for a whole benchmark is
stated beside its tasks). Values are as printed: percentages (BLEU: on its scale of 100), a loss in nats; None where
the paper gives none. Not here: what stands in figures alone (such as LCC by length, Fig. 9b), other groups' models of
Table 3, languages without long-context tuning (Table 11), GSM8K (Table 12) and docstrings (Table 13).
"""

from __future__ import annotations

from collections.abc import Sequence

from codecascade.evaluation.analysis.paper.code import TABLE_2, TABLE_5, TABLE_8, TABLE_10
from codecascade.evaluation.analysis.paper.contests import TABLE_3
from codecascade.evaluation.analysis.paper.infilling import TABLE_6, TABLE_14
from codecascade.evaluation.analysis.paper.languages import TABLE_4
from codecascade.evaluation.analysis.paper.long_context import TABLE_7, TABLE_18
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
    "TABLE_10",
    "TABLE_14",
    "TABLE_18",
]

TABLES: Sequence[PaperTable] = (
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLE_8,
    TABLE_10,
    TABLE_14,
    TABLE_18,
)
