"""Tables 6 and 14: infilling of a masked part, in PSM and in SPM."""

from __future__ import annotations

from codecascade.evaluation.analysis.paper.table_parts import layout_columns, parse_rows
from codecascade.evaluation.analysis.protocol import PaperTable

TABLE_6 = PaperTable(
    "Table 6",
    "Multilingual single-line infilling, exact match",
    tuple(
        column
        for name, title in (("python", "Python"), ("java", "Java"), ("javascript", "JavaScript"))
        for column in layout_columns("multilingual_infilling", f"exact_match_{name}", title)
    ),
    parse_rows(
        """
        InCoder 6B | -/31.0 -/49.0 -/51.0
        SantaCoder 1.1B | -/44.0 -/62.0 -/60.0
        StarCoder 15.5B | -/62.0 -/73.0 -/74.0
        Code Llama 7B | 67.6/72.7 74.3/77.6 80.2/82.6
        Code Llama 13B | 68.3/74.5 77.6/80.0 80.7/85.0
        """
    ),
    before="Lines filled, ",
    note="Other groups' figures are as the paper quotes them (Li et al. 2023).",
)

TABLE_14 = PaperTable(
    "Table 14",
    "HumanEval infilling, pass@1",
    tuple(
        column
        for name, title, problems in (
            ("infilling_single_line", "Single line", 1033),
            ("infilling_multi_line", "Multi-line", 5815),
            ("infilling_random_span", "Random span", 1640),
        )
        for column in layout_columns(name, "pass@1", title, problems)
    ),
    parse_rows(
        """
        Code Llama 7B before long-context tuning | 77.0/83.3 49.7/51.2 60.7/39.6
        Code Llama 7B | 74.1/83.3 48.2/50.8 59.7/39.0
        Code Llama 13B before long-context tuning | 80.7/85.9 53.7/56.7 64.3/42.7
        Code Llama 13B | 75.9/85.6 51.0/56.1 63.6/41.9
        """
    ),
    # The benchmarks' own columns show these figures by layout.
    otherwise_shown=True,
)
