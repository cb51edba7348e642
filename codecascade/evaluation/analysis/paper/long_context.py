"""Tables 7 and 18: the next line of long files, and key retrieval."""

from __future__ import annotations

from codecascade.evaluation.analysis.paper.table_parts import parse_rows
from codecascade.evaluation.analysis.protocol import ColumnProtocol, PaperColumn, PaperTable

TABLE_7 = PaperTable(
    "Table 7",
    "Long code completion (LCC-balanced)",
    tuple(
        PaperColumn("lcc", (f"{metric}_{name}",), title, short, ColumnProtocol())
        for name, title in (("python", "Python"), ("java", "Java"), ("csharp", "C#"))
        for metric, short in (("exact_match", "EM"), ("bleu", "BLEU"))
    ),
    parse_rows(
        """
        Code Llama 7B without long-context tuning | 36.86/60.16 47.82/69.20 46.29/67.75
        Code Llama 7B | 39.23/61.84 51.94/71.89 50.20/70.22
        Code Llama 13B without long-context tuning | 37.96/61.33 50.49/69.99 49.22/69.87
        Code Llama 13B | 41.06/62.76 52.67/72.29 52.15/71.00
        Code Llama 34B without long-context tuning | 42.52/63.74 54.13/72.38 52.34/71.36
        Code Llama 34B | 44.89/65.99 56.80/73.79 53.71/72.69
        """
    ),
    before="LCC, ",
    note="Models without long-context tuning see the last 4,000 tokens.",
)

# The paper's columns are called 4k, 8k and so on. Both readings of that in tokens are accepted.
_LENGTHS = {"4k": (4096, 4000), "8k": (8192, 8000), "16k": (16384, 16000), "24k": (24576, 24000)}
TABLE_18 = PaperTable(
    "Table 18",
    "Key retrieval: accuracy by length and position of the key",
    tuple(
        PaperColumn(
            "key_retrieval",
            tuple(f"{length}@{position:g}" for length in lengths),
            f"{name} tokens",
            f"{position:g}",
            ColumnProtocol(),
        )
        for name, lengths in _LENGTHS.items()
        for position in ((0.0, 0.2) if name == "24k" else (0.0, 0.2, 0.4))
    ),
    parse_rows(
        """
        7B, no long-context tuning, θ 1e4 | 95.3 100 100 | 0 0 0 | 0 0 0 | 0 0
        7B, no long-context tuning, θ 1e6 | 95.3 100 100 | 0 0 0 | 0 0 0 | 0 0
        7B, long-context tuning, θ 1e4 | 33.6 93.0 97.7 | 0 0.8 58.6 | 0 0 0 | 0 0
        7B, long-context tuning, scaling 1/4 | 100 100 100 | 100 99.2 99.2 | 2.34 99.2 100 | 0 0
        7B, long-context tuning, θ 1e6 (Code Llama) | 95.3 95.3 100 | 100 95.3 100 | 54.7 100 98.4 | 3.1 85.9
        """
    ),
    # The report shows these figures as a picture.
    otherwise_shown=True,
)
