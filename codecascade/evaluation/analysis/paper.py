"""The published figures: tables of the Code Llama paper (Rozière et al. 2023, arXiv:2308.12950), as data.

A table's columns name the benchmark and the metric of ours that stand in them, and the protocol that they were
measured by, so that a figure of ours is put beside the paper's only with a remark on whatever differs. Values are
percentages (BLEU: on its scale of 100); None where the paper gives none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codecascade.evaluation.analysis.protocol import Column, PaperTable, Protocol, Row

_GREEDY = Protocol(problems=164)


def _rows(text: str) -> tuple[Row, ...]:
    """``model | value value ...`` a line; ``-`` where there is none."""
    rows = []
    for line in text.strip().splitlines():
        model, _, values = line.partition("|")
        rows.append(
            Row(
                model.strip(),
                tuple(None if value == "-" else float(value) for value in values.split()),
            )
        )
    return tuple(rows)


def _sampled(benchmark: str, group: str, problems: int) -> Iterable[Column]:
    """pass@1 greedy; pass@10 and pass@100 of 200 samples at temperature 0.8 and top-p 0.95."""
    sampled = Protocol(samples=200, temperature=0.8, top_p=0.95, problems=problems)
    for k in (1, 10, 100):
        protocol = Protocol(problems=problems) if k == 1 else sampled
        yield Column(benchmark, (f"pass@{k}",), group, f"pass@{k}", protocol)


def _cold(benchmark: str, group: str, problems: int) -> Iterable[Column]:
    protocol = Protocol(None, 0.1, problems=problems, only_at_temperature=True)
    for k in (1, 10, 100):
        yield Column(benchmark, (f"pass@{k}",), group, f"pass@{k}", protocol)


TABLE_2 = PaperTable(
    "Table 2",
    "HumanEval and MBPP",
    (*_sampled("humaneval", "HumanEval", 164), *_sampled("mbpp", "MBPP, 3-shot", 500)),
    _rows(
        """
        Llama 2 7B | 12.2 25.2 44.4 20.8 41.8 65.5
        Llama 2 13B | 20.1 34.8 61.2 27.6 48.1 69.5
        Llama 2 34B | 22.6 47.0 79.5 33.8 56.9 77.6
        Llama 2 70B | 30.5 59.4 87.0 45.4 66.2 83.1
        Code Llama 7B | 33.5 59.6 85.9 41.4 66.7 82.5
        Code Llama 13B | 36.0 69.4 89.8 47.0 71.7 87.1
        Code Llama 34B | 48.8 76.8 93.0 55.0 76.2 86.6
        Code Llama 70B | 53.0 84.6 96.2 62.4 81.1 91.9
        Code Llama - Instruct 7B | 34.8 64.3 88.1 44.4 65.4 76.8
        Code Llama - Instruct 13B | 42.7 71.6 91.6 49.4 71.2 84.1
        Code Llama - Instruct 34B | 41.5 77.2 93.5 57.0 74.6 85.4
        Code Llama - Instruct 70B | 67.8 90.3 97.3 62.2 79.6 89.2
        Unnatural Code Llama 34B | 62.2 85.2 95.4 61.2 76.6 86.7
        Code Llama - Python 7B | 38.4 70.3 90.6 47.6 70.3 84.8
        Code Llama - Python 13B | 43.3 77.4 94.1 49.0 74.0 87.6
        Code Llama - Python 34B | 53.7 82.8 94.7 56.2 76.4 88.2
        Code Llama - Python 70B | 57.3 89.3 98.4 65.6 81.5 91.9
        """
    ),
)

_APPS_LEVELS = ("introductory", "interview", "competition")
TABLE_3 = PaperTable(
    "Table 3",
    "APPS",
    tuple(
        Column(
            "apps",
            (f"pass@{k}_{level}",),
            level.capitalize(),
            f"pass@{k}",
            Protocol(None, 0.6, top_p=0.95, problems=5000),
        )
        for level in _APPS_LEVELS
        for k in (5, 10, 100)
    ),
    _rows(
        """
        Code Llama 7B | 10.8 15.6 33.5 2.0 3.1 9.4 0.8 1.4 7.1
        Code Llama 13B | 23.7 30.2 49.0 5.6 8.1 18.4 2.1 3.4 12.0
        Code Llama 34B | 32.8 39.0 56.3 8.8 12.2 24.3 2.9 4.7 15.4
        Code Llama - Python 7B | 12.7 18.5 38.3 4.2 6.3 14.9 1.3 2.2 9.1
        Code Llama - Python 13B | 26.3 32.8 51.6 7.1 10.0 21.5 2.8 4.3 14.6
        Code Llama - Python 34B | 28.9 35.9 54.9 7.8 11.1 23.9 3.5 5.5 16.8
        Code Llama - Instruct 7B | 12.9 17.9 35.4 2.1 3.1 9.4 1.1 2.0 8.5
        Code Llama - Instruct 13B | 24.0 30.3 48.7 6.9 9.6 19.6 2.4 3.8 13.1
        Code Llama - Instruct 34B | 31.6 37.8 55.7 7.9 11.1 22.8 3.2 5.1 16.4
        """
    ),
    note="Two-shot (Instruct: zero-shot), raw outputs: no sample is discarded for failing the prompt's examples.",
)

# Problems a language in the published translations.
_MULTIPL_E = {
    "cpp": ("C++", 161),
    "java": ("Java", 158),
    "php": ("PHP", 161),
    "ts": ("TypeScript", 159),
    "cs": ("C#", 158),
    "sh": ("Bash", 158),
}
TABLE_4 = PaperTable(
    "Table 4",
    "MultiPL-E: HumanEval in other languages",
    tuple(
        Column(f"multipl_e_{name}", ("pass@1",), title, "pass@1", Protocol(problems=problems))
        for name, (title, problems) in _MULTIPL_E.items()
    ),
    _rows(
        """
        Llama 2 7B | 6.8 10.8 9.9 12.6 6.3 3.2 8.3
        Llama 2 13B | 13.7 15.8 13.1 13.2 9.5 3.2 11.4
        Llama 2 34B | 23.6 22.2 19.9 21.4 17.1 3.8 18.0
        Llama 2 70B | 30.4 31.7 34.2 15.1 25.9 8.9 24.4
        Code Llama 7B | 28.6 34.2 24.2 33.3 25.3 12.0 26.3
        Code Llama 13B | 39.1 38.0 34.2 29.6 27.3 15.2 30.6
        Code Llama 34B | 47.8 45.6 44.1 33.3 30.4 17.1 36.4
        Code Llama 70B | 52.8 51.9 50.9 49.1 38.0 29.1 45.3
        Code Llama - Instruct 7B | 31.1 30.4 28.6 32.7 21.6 10.1 25.8
        Code Llama - Instruct 13B | 42.2 40.5 32.3 39.0 24.0 13.9 32.0
        Code Llama - Instruct 34B | 45.3 43.7 36.6 40.3 31.0 19.6 36.1
        Code Llama - Instruct 70B | 53.4 58.2 58.4 39.0 36.7 29.7 45.9
        Code Llama - Python 7B | 32.3 35.4 32.3 23.9 24.7 16.5 27.5
        Code Llama - Python 13B | 39.1 37.3 33.5 35.2 29.8 13.9 31.5
        Code Llama - Python 34B | 42.2 44.9 42.9 34.3 31.7 14.6 35.1
        Code Llama - Python 70B | 54.7 57.6 53.4 44.0 34.8 25.3 45.0
        """
    ),
    average=True,
)

TABLE_5 = PaperTable(
    "Table 5",
    "What training for infilling costs left-to-right completion (temperature 0.1)",
    (*_cold("humaneval", "HumanEval", 164), *_cold("mbpp", "MBPP, 3-shot", 500)),
    _rows(
        """
        7B without infilling | 33.2 43.3 49.9 44.8 52.5 57.1
        7B with infilling | 33.6 44.0 48.8 44.2 51.4 55.5
        13B without infilling | 36.8 49.2 57.9 48.2 57.4 61.6
        13B with infilling | 36.2 48.3 54.6 48.0 56.8 60.8
        """
    ),
    note="Before long-context fine-tuning.",
)


def _layouts(benchmark: str, metric: str, group: str, problems: int | None = None) -> Iterable[Column]:
    """A column for PSM and one for SPM."""
    for layout in ("psm", "spm"):
        protocol = Protocol(problems=problems, unhealed=layout == "spm")
        yield Column(benchmark, (f"{metric}_{layout}",), group, layout.upper(), protocol)


TABLE_6 = PaperTable(
    "Table 6",
    "Multilingual single-line infilling, exact match",
    tuple(
        column
        for name, title in (("python", "Python"), ("java", "Java"), ("javascript", "JavaScript"))
        for column in _layouts("multilingual_infilling", f"exact_match_{name}", title)
    ),
    _rows(
        """
        Code Llama 7B | 67.6 72.7 74.3 77.6 80.2 82.6
        Code Llama 13B | 68.3 74.5 77.6 80.0 80.7 85.0
        """
    ),
)

_LCC = Protocol(remark="our own equalised draw from LCC's files; the paper's examples aren't published")
TABLE_7 = PaperTable(
    "Table 7",
    "Long code completion (LCC-balanced)",
    tuple(
        Column("lcc", (f"{metric}_{name}",), title, short, _LCC)
        for name, title in (("python", "Python"), ("java", "Java"), ("csharp", "C#"))
        for metric, short in (("exact_match", "EM"), ("bleu", "BLEU"))
    ),
    _rows(
        """
        Code Llama 7B without long-context tuning | 36.86 60.16 47.82 69.20 46.29 67.75
        Code Llama 7B | 39.23 61.84 51.94 71.89 50.20 70.22
        Code Llama 13B without long-context tuning | 37.96 61.33 50.49 69.99 49.22 69.87
        """
    ),
    note="Models without long-context tuning see the last 4,000 tokens.",
)

TABLE_8 = PaperTable(
    "Table 8",
    "What self-instruct data add",
    (
        Column("humaneval", ("pass@1",), "HumanEval", "pass@1", _GREEDY),
        Column("mbpp", ("pass@1",), "MBPP, 3-shot", "pass@1", Protocol(problems=500)),
        Column("mbpp_zero_shot", ("pass@1",), "MBPP, zero-shot", "pass@1", Protocol(problems=500)),
    ),
    _rows(
        """
        Code Llama - Instruct 7B without self-instruct | 30.5 43.4 -
        Code Llama - Instruct 7B | 34.8 44.4 -
        Code Llama - Instruct 13B without self-instruct | 40.9 46.2 20.4
        Code Llama - Instruct 13B | 42.7 49.4 40.2
        """
    ),
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
        for column in _layouts(name, "pass@1", title, problems)
    ),
    _rows(
        """
        Code Llama 7B before long-context tuning | 77.0 83.3 49.7 51.2 60.7 39.6
        Code Llama 7B | 74.1 83.3 48.2 50.8 59.7 39.0
        Code Llama 13B before long-context tuning | 80.7 85.9 53.7 56.7 64.3 42.7
        Code Llama 13B | 75.9 85.6 51.0 56.1 63.6 41.9
        """
    ),
)

# Lengths in tokens that stand in the paper's columns "4k", "8k", ...
_LENGTHS = {"4k": (4096, 4000), "8k": (8192, 8000), "16k": (16384, 16000), "24k": (24576, 24000)}
TABLE_18 = PaperTable(
    "Table 18",
    "Key retrieval: accuracy by length and position of the key",
    tuple(
        Column(
            "key_retrieval",
            tuple(f"{length}@{position:g}" for length in lengths),
            f"{name} tokens",
            f"{position:g}",
            Protocol(remark="our own filler and wording"),
        )
        for name, lengths in _LENGTHS.items()
        for position in ((0.0, 0.2) if name == "24k" else (0.0, 0.2, 0.4))
    ),
    _rows(
        """
        7B, no long-context tuning, θ 1e4 | 95.3 100 100 0 0 0 0 0 0 0 0
        7B, no long-context tuning, θ 1e6 | 95.3 100 100 0 0 0 0 0 0 0 0
        7B, long-context tuning, θ 1e4 | 33.6 93.0 97.7 0 0.8 58.6 0 0 0 0 0
        7B, long-context tuning, scaling 1/4 | 100 100 100 100 99.2 99.2 2.34 99.2 100 0 0
        7B, long-context tuning, θ 1e6 (Code Llama) | 95.3 95.3 100 100 95.3 100 54.7 100 98.4 3.1 85.9
        """
    ),
)

TABLES: Sequence[PaperTable] = (
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLE_8,
    TABLE_14,
    TABLE_18,
)
