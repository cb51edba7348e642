"""Table 4: MultiPL-E, HumanEval in other languages."""

from __future__ import annotations

from codecascade.evaluation.analysis.paper.table_parts import parse_rows
from codecascade.evaluation.analysis.protocol import ColumnProtocol, PaperColumn, PaperTable

# The title of each language, and how many problems its published translation has.
_LANGUAGES = {
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
        PaperColumn(f"multipl_e_{name}", ("pass@1",), title, "pass@1", ColumnProtocol(problems=problems))
        for name, (title, problems) in _LANGUAGES.items()
    ),
    parse_rows(
        """
        CodeGen-Multi 16B | 21.0 22.2 8.4 20.1 8.2 0.6 | 13.4
        CodeGeeX 13B | 16.9 19.1 13.5 10.1 8.5 2.8 | 11.8
        code-cushman-001 12B | 30.6 31.9 28.9 31.3 22.1 11.7 | 26.1
        StarCoder Base 15.5B | 30.6 28.5 26.8 32.2 20.6 11.0 | 25.0
        StarCoder Python 15.5B | 31.6 30.2 26.1 32.3 21.0 10.5 | 25.3
        Llama 2 7B | 6.8 10.8 9.9 12.6 6.3 3.2 | 8.3
        Llama 2 13B | 13.7 15.8 13.1 13.2 9.5 3.2 | 11.4
        Llama 2 34B | 23.6 22.2 19.9 21.4 17.1 3.8 | 18.0
        Llama 2 70B | 30.4 31.7 34.2 15.1 25.9 8.9 | 24.4
        Code Llama 7B | 28.6 34.2 24.2 33.3 25.3 12.0 | 26.3
        Code Llama 13B | 39.1 38.0 34.2 29.6 27.3 15.2 | 30.6
        Code Llama 34B | 47.8 45.6 44.1 33.3 30.4 17.1 | 36.4
        Code Llama 70B | 52.8 51.9 50.9 49.1 38.0 29.1 | 45.3
        Code Llama - Instruct 7B | 31.1 30.4 28.6 32.7 21.6 10.1 | 25.8
        Code Llama - Instruct 13B | 42.2 40.5 32.3 39.0 24.0 13.9 | 32.0
        Code Llama - Instruct 34B | 45.3 43.7 36.6 40.3 31.0 19.6 | 36.1
        Code Llama - Instruct 70B | 53.4 58.2 58.4 39.0 36.7 29.7 | 45.9
        Code Llama - Python 7B | 32.3 35.4 32.3 23.9 24.7 16.5 | 27.5
        Code Llama - Python 13B | 39.1 37.3 33.5 35.2 29.8 13.9 | 31.5
        Code Llama - Python 34B | 42.2 44.9 42.9 34.3 31.7 14.6 | 35.1
        Code Llama - Python 70B | 54.7 57.6 53.4 44.0 34.8 25.3 | 45.0
        """
    ),
    average=True,
    before="MultiPL-E, ",
)
