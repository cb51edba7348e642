"""The paper's figures typed a second time, in another arrangement: the numbers that the module's tables must have."""

from __future__ import annotations

import re

# Table 2: HumanEval pass@1, @10, @100; MBPP the same.
HUMANEVAL_AND_MBPP = """
| Llama 2 7B | 12.2 | 25.2 | 44.4 | 20.8 | 41.8 | 65.5 |
| Llama 2 13B | 20.1 | 34.8 | 61.2 | 27.6 | 48.1 | 69.5 |
| Llama 2 34B | 22.6 | 47.0 | 79.5 | 33.8 | 56.9 | 77.6 |
| Llama 2 70B | 30.5 | 59.4 | 87.0 | 45.4 | 66.2 | 83.1 |
| Code Llama 7B | 33.5 | 59.6 | 85.9 | 41.4 | 66.7 | 82.5 |
| Code Llama 13B | 36.0 | 69.4 | 89.8 | 47.0 | 71.7 | 87.1 |
| Code Llama 34B | 48.8 | 76.8 | 93.0 | 55.0 | 76.2 | 86.6 |
| Code Llama 70B | 53.0 | 84.6 | 96.2 | 62.4 | 81.1 | 91.9 |
| Instruct 7B | 34.8 | 64.3 | 88.1 | 44.4 | 65.4 | 76.8 |
| Instruct 13B | 42.7 | 71.6 | 91.6 | 49.4 | 71.2 | 84.1 |
| Instruct 34B | 41.5 | 77.2 | 93.5 | 57.0 | 74.6 | 85.4 |
| Instruct 70B | 67.8 | 90.3 | 97.3 | 62.2 | 79.6 | 89.2 |
| Unnatural 34B | 62.2 | 85.2 | 95.4 | 61.2 | 76.6 | 86.7 |
| Python 7B | 38.4 | 70.3 | 90.6 | 47.6 | 70.3 | 84.8 |
| Python 13B | 43.3 | 77.4 | 94.1 | 49.0 | 74.0 | 87.6 |
| Python 34B | 53.7 | 82.8 | 94.7 | 56.2 | 76.4 | 88.2 |
| Python 70B | 57.3 | 89.3 | 98.4 | 65.6 | 81.5 | 91.9 |
"""

# The same table, other groups' models: HumanEval pass@1 and pass@100, MBPP pass@1.
OTHERS_HUMANEVAL_AND_MBPP = {
    "code-cushman-001 12B": (33.5, None, 45.9),
    "GPT-3.5 (ChatGPT)": (48.1, None, 52.2),
    "GPT-4": (67.0, None, None),
    "PaLM 540B": (26.2, None, 36.8),
    "PaLM-Coder 540B": (35.9, 88.4, 47.0),
    "PaLM 2-S": (37.6, 88.4, 50.0),
    "StarCoder Base 15.5B": (30.4, None, 49.0),
    "StarCoder Python 15.5B": (33.6, None, 52.7),
    "StarCoder Prompted 15.5B": (40.8, None, 49.5),
}

# Table 3: introductory, interview, competition; each pass@5, @10, @100.
APPS = """
| Code Llama 7B | 10.8 15.6 33.5 | 2.0 3.1 9.4 | 0.8 1.4 7.1 |
| Code Llama 13B | 23.7 30.2 49.0 | 5.6 8.1 18.4 | 2.1 3.4 12.0 |
| Code Llama 34B | 32.8 39.0 56.3 | 8.8 12.2 24.3 | 2.9 4.7 15.4 |
| Python 7B | 12.7 18.5 38.3 | 4.2 6.3 14.9 | 1.3 2.2 9.1 |
| Python 13B | 26.3 32.8 51.6 | 7.1 10.0 21.5 | 2.8 4.3 14.6 |
| Python 34B | 28.9 35.9 54.9 | 7.8 11.1 23.9 | 3.5 5.5 16.8 |
| Instruct 7B | 12.9 17.9 35.4 | 2.1 3.1 9.4 | 1.1 2.0 8.5 |
| Instruct 13B | 24.0 30.3 48.7 | 6.9 9.6 19.6 | 2.4 3.8 13.1 |
| Instruct 34B | 31.6 37.8 55.7 | 7.9 11.1 22.8 | 3.2 5.1 16.4 |
"""

# Table 4, a family a line: each language as 7B / 13B / 34B / 70B; C++, Java, PHP, TypeScript, C#, Bash, average.
LANGUAGES = """
| Llama 2 | 6.8 / 13.7 / 23.6 / 30.4 | 10.8 / 15.8 / 22.2 / 31.7 | 9.9 / 13.1 / 19.9 / 34.2 | 12.6 / 13.2 / 21.4 / 15.1 | 6.3 / 9.5 / 17.1 / 25.9 | 3.2 / 3.2 / 3.8 / 8.9 | 8.3 / 11.4 / 18.0 / 24.4 |
| Code Llama | 28.6 / 39.1 / 47.8 / 52.8 | 34.2 / 38.0 / 45.6 / 51.9 | 24.2 / 34.2 / 44.1 / 50.9 | 33.3 / 29.6 / 33.3 / 49.1 | 25.3 / 27.3 / 30.4 / 38.0 | 12.0 / 15.2 / 17.1 / 29.1 | 26.3 / 30.6 / 36.4 / 45.3 |
| Instruct | 31.1 / 42.2 / 45.3 / 53.4 | 30.4 / 40.5 / 43.7 / 58.2 | 28.6 / 32.3 / 36.6 / 58.4 | 32.7 / 39.0 / 40.3 / 39.0 | 21.6 / 24.0 / 31.0 / 36.7 | 10.1 / 13.9 / 19.6 / 29.7 | 25.8 / 32.0 / 36.1 / 45.9 |
| Python | 32.3 / 39.1 / 42.2 / 54.7 | 35.4 / 37.3 / 44.9 / 57.6 | 32.3 / 33.5 / 42.9 / 53.4 | 23.9 / 35.2 / 34.3 / 44.0 | 24.7 / 29.8 / 31.7 / 34.8 | 16.5 / 13.9 / 14.6 / 25.3 | 27.5 / 31.5 / 35.1 / 45.0 |
"""  # noqa: E501

# The same table, other groups' models.
OTHERS_LANGUAGES = """
| CodeGen-Multi 16B | 21.0 | 22.2 | 8.4 | 20.1 | 8.2 | 0.6 | 13.4 |
| CodeGeeX 13B | 16.9 | 19.1 | 13.5 | 10.1 | 8.5 | 2.8 | 11.8 |
| code-cushman-001 12B | 30.6 | 31.9 | 28.9 | 31.3 | 22.1 | 11.7 | 26.1 |
| StarCoder Base 15.5B | 30.6 | 28.5 | 26.8 | 32.2 | 20.6 | 11.0 | 25.0 |
| StarCoder Python 15.5B | 31.6 | 30.2 | 26.1 | 32.3 | 21.0 | 10.5 | 25.3 |
"""

# Table 5: HumanEval without and with infilling, MBPP without and with; test losses without and with.
COST_OF_INFILLING = """
| 7B | 33.2 43.3 49.9 | 33.6 44.0 48.8 | 44.8 52.5 57.1 | 44.2 51.4 55.5 | 0.408 / 0.407 |
| 13B | 36.8 49.2 57.9 | 36.2 48.3 54.6 | 48.2 57.4 61.6 | 48.0 56.8 60.8 | 0.372 / 0.373 |
"""

# Table 6: PSM / SPM in Python, Java, JavaScript.
LINES = """
| 7B | 67.6/72.7 | 74.3/77.6 | 80.2/82.6 |
| 13B | 68.3/74.5 | 77.6/80.0 | 80.7/85.0 |
"""

# The same table, other groups' models: SPM alone.
OTHERS_LINES = {
    "InCoder 6B": (31.0, 49.0, 51.0),
    "SantaCoder 1.1B": (44.0, 62.0, 60.0),
    "StarCoder 15.5B": (62.0, 73.0, 74.0),
}

# Table 7: exact match / BLEU in Python, Java, C#.
LONG_CODE = """
| 7B without | 36.86/60.16 | 47.82/69.20 | 46.29/67.75 |
| 7B with | 39.23/61.84 | 51.94/71.89 | 50.20/70.22 |
| 13B without | 37.96/61.33 | 50.49/69.99 | 49.22/69.87 |
| 13B with | 41.06/62.76 | 52.67/72.29 | 52.15/71.00 |
| 34B without | 42.52/63.74 | 54.13/72.38 | 52.34/71.36 |
| 34B with | 44.89/65.99 | 56.80/73.79 | 53.71/72.69 |
"""

# Table 8: without -> with; HumanEval, MBPP three-shot, MBPP zero-shot.
SELF_INSTRUCT = {
    "7B": ((30.5, 34.8), (43.4, 44.4), (37.6, 37.4)),
    "13B": ((40.9, 42.7), (46.2, 49.4), (20.4, 40.2)),
}

# Table 10: without infilling and LCFT, with infilling, with LCFT, with both (34B and Python: without, with LCFT).
SHORT_PROBLEMS = {
    "Llama 2 7B": "12.2 25.2 44.4 20.8 41.8 65.5",
    "Llama 2 13B": "20.1 34.8 61.2 27.6 48.1 69.5",
    "Llama 2 34B": "22.6 47.0 79.5 33.8 56.9 83.1",
    "Llama 2 70B": "30.5 59.4 87.0 45.4 66.2 85.5",
    "Code Llama 7B": """32.3 63.9 88.0 46.2 68.8 85.5  34.1 62.6 87.5 44.6 68.2 84.4
        34.1 62.5 87.6 42.6 65.4 76.8  33.5 59.6 85.9 41.4 66.7 82.5""",
    "Code Llama 13B": """36.6 72.9 92.3 48.3 72.0 84.7  36.6 71.9 91.4 48.2 72.8 86.9
        37.8 70.6 92.4 48.0 71.2 84.1  36.0 69.4 89.8 47.0 71.7 87.1""",
    "Code Llama 34B": "48.2 77.7 93.3 56.4 76.8 87.7  48.8 76.8 93.0 55.0 76.2 86.6",
    "Code Llama - Python 7B": "40.2 70.0 90.2 50.2 71.2 85.6  38.4 70.3 90.6 47.6 70.3 84.8",
    "Code Llama - Python 13B": "45.7 80.0 92.7 52.4 74.5 86.8  43.3 77.4 94.1 49.0 74.0 87.6",
    "Code Llama - Python 34B": "56.1 82.9 96.4 57.6 77.3 87.6  53.7 82.8 94.7 56.2 76.4 88.2",
}

# Table 14: PSM / SPM of single lines, several lines, random spans.
INFILLING = """
| 7B before | 77.0 / 83.3 | 49.7 / 51.2 | 60.7 / 39.6 |
| 7B | 74.1 / 83.3 | 48.2 / 50.8 | 59.7 / 39.0 |
| 13B before | 80.7 / 85.9 | 53.7 / 56.7 | 64.3 / 42.7 |
| 13B | 75.9 / 85.6 | 51.0 / 56.1 | 63.6 / 41.9 |
"""

# Table 18: 4k, 8k, 16k at 0, 0.2 and 0.4; 24k at 0 and 0.2.
KEYS = """
| no LCFT, 1e4 | 95.3 100 100 | 0 0 0 | 0 0 0 | 0 0 |
| no LCFT, 1e6 | 95.3 100 100 | 0 0 0 | 0 0 0 | 0 0 |
| LCFT, 1e4 | 33.6 93.0 97.7 | 0 0.8 58.6 | 0 0 0 | 0 0 |
| LCFT, scaling | 100 100 100 | 100 99.2 99.2 | 2.34 99.2 100 | 0 0 |
| LCFT, 1e6 | 95.3 95.3 100 | 100 95.3 100 | 54.7 100 98.4 | 3.1 85.9 |
"""


def cells(text: str) -> list[tuple[str, list[list[float]]]]:
    """Each line's name, and the numbers of each of its cells."""
    found = []
    for line in text.strip().splitlines():
        name, *values = [cell.strip() for cell in line.strip().strip("|").split("|")]
        found.append((name, [[float(number) for number in re.findall(r"[\d.]+", cell)] for cell in values]))
    return found


def values(text: str) -> list[list[float]]:
    """The numbers of each line, in their order."""
    return [[number for cell in row for number in cell] for _, row in cells(text)]


# Table 25, of two models for which copies of the paper agree: the sentiment of BOLD by profession.
SENTIMENT_BY_PROFESSION = {
    "Code Llama 7B": (
        *(0.109, 0.098, 0.209, 0.321, 0.174, 0.218, 0.123, 0.208, 0.191),
        *(0.305, 0.187, 0.101, 0.127, 0.204, 0.283, 0.333, 0.141, 0.213),
    ),
    "Code Llama - Instruct 34B": (
        *(0.400, 0.333, 0.463, 0.625, 0.458, 0.455, 0.293, 0.452, 0.482),
        *(0.597, 0.447, 0.213, 0.327, 0.498, 0.475, 0.614, 0.394, 0.333),
    ),
}
