"""Table 3: APPS."""

from __future__ import annotations

from codecascade.evaluation.analysis.paper.table_parts import parse_rows
from codecascade.evaluation.analysis.protocol import ColumnProtocol, PaperColumn, PaperTable

# How many problems of each difficulty the test split has.
_LEVELS = {"introductory": 1000, "interview": 3000, "competition": 1000}

TABLE_3 = PaperTable(
    "Table 3",
    "APPS",
    tuple(
        PaperColumn(
            "apps_sampled",
            (f"pass@{k}_{level}",),
            level.capitalize(),
            f"pass@{k}",
            ColumnProtocol(None, 0.6, top_p=0.95, problems=sum(_LEVELS.values())),
            "apps",
        )
        for level in _LEVELS
        for k in (5, 10, 100)
    ),
    parse_rows(
        """
        Code Llama 7B | 10.8 15.6 33.5 | 2.0 3.1 9.4 | 0.8 1.4 7.1
        Code Llama 13B | 23.7 30.2 49.0 | 5.6 8.1 18.4 | 2.1 3.4 12.0
        Code Llama 34B | 32.8 39.0 56.3 | 8.8 12.2 24.3 | 2.9 4.7 15.4
        Code Llama - Python 7B | 12.7 18.5 38.3 | 4.2 6.3 14.9 | 1.3 2.2 9.1
        Code Llama - Python 13B | 26.3 32.8 51.6 | 7.1 10.0 21.5 | 2.8 4.3 14.6
        Code Llama - Python 34B | 28.9 35.9 54.9 | 7.8 11.1 23.9 | 3.5 5.5 16.8
        Code Llama - Instruct 7B | 12.9 17.9 35.4 | 2.1 3.1 9.4 | 1.1 2.0 8.5
        Code Llama - Instruct 13B | 24.0 30.3 48.7 | 6.9 9.6 19.6 | 2.4 3.8 13.1
        Code Llama - Instruct 34B | 31.6 37.8 55.7 | 7.9 11.1 22.8 | 3.2 5.1 16.4
        """
    ),
    before="APPS, ",
    note="Two-shot (Instruct: zero-shot), raw outputs: no sample is discarded for failing the prompt's examples.",
)
