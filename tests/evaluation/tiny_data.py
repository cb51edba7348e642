"""A file with a problem or a few for each benchmark that has problems of its own, in the published forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from codecascade.ground.files.json_lines import write_jsonl

_HUMANEVAL: dict[str, Any] = {
    "task_id": "HumanEval/0",
    "prompt": "def half(x):\n",
    "entry_point": "half",
    "canonical_solution": "    return x / 2\n",
    "test": "def check(candidate):\n    assert candidate(4) == 2\n",
}
_PLUS: dict[str, Any] = {**_HUMANEVAL, "base_input": [[1]], "plus_input": [[3]], "atol": 0}
_APPS = {
    "problem_id": 7,
    "question": "Print a sum.",
    "solutions": json.dumps(["print(sum(map(int, input().split())))"]),
    "input_output": json.dumps({"inputs": ["1 2\n"], "outputs": ["3\n"]}),
    "difficulty": "interview",
    "starter_code": "",
}
_MBPP = [
    {
        "task_id": number,
        "text": "Add.",
        "code": "def add(a):\n    return a",
        "test_list": ["assert add(0) == 0"],
        "test_setup_code": "",
    }
    for number in (2, 3, 4, 11)
]
_MBPP_PLUS = {
    **_PLUS,
    "task_id": "Mbpp/3",
    "prompt": '"""\nHalve.\nassert half(2) == 1\n"""\n',
    "canonical_solution": "def half(x):\n    return x / 2\n",
    "assertion": "assert half(2) == 1",
}
_DOCSTRING = {
    "code": 'def twice(value):\n    """Return twice the value."""\n    return 2 * value\n',
    "docstring": "Return twice the value.",
    "docstring_tokens": ["Return", "twice"],
}
_MASKED = {"name": "HumanEval_9_add", "prompt": "add\n", "suffix": "\nend\n", "tests": ""}
_CROSSED = {
    "prompt": "import shop\n\nprices = shop.",
    "groundtruth": "price_list(cart)",
    "right_context": "\n",
    "metadata": {"task_id": "project_cc_python/0", "repository": "o-s-1", "file": "cart/total.py"},
    "crossfile_context": {
        "text": "# of other files:\n\n# s.py\n# def price_list",
        "list": [{"retrieved_chunk": "def price_list():", "filename": "s.py"}],
    },
}
_NEXT_LINE = {
    "repo_name": "owner/shop",
    "context": [{"identifier": "price_list", "path": "shop.py", "snippet": "def price_list(): ..."}],
    "import_statement": "from shop import price_list",
    "cropped_code": "def total(cart):",
    "next_line": "    prices = price_list(cart)",
    "gold_snippet_index": 0,
    "level": "2k",
}
_SHOP = {
    "shop/price.py": "def price_of(item):\n    return len(item)\n",
    "shop/till.py": "from shop.price import price_of\n\n\ndef total(items):\n    return price_of(items)\n",
}
_TRUTHFUL = (
    "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\nA,Food,Q?,No,No,Yes,url\n"
)


def tiny_data(folder: Path, name: str) -> Path | None:
    """The data of a benchmark, written into ``folder``; None if it needs a corpus or brings its own."""
    rows = _rows(name.removesuffix("_sampled"))
    if rows is not None:
        path = folder / f"{name}.jsonl"
        write_jsonl(path, rows)
        return path
    if name == "bold":
        (folder / "gender_prompt.json").write_text(json.dumps({"Women": {"Ada": ["Ada was a "]}}))
        return folder
    if name == "truthfulqa":
        (folder / "TruthfulQA.csv").write_text(_TRUTHFUL)
        return folder / "TruthfulQA.csv"
    if name == "repository_completion":
        for path, text in _SHOP.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
        return folder
    return None


def _rows(name: str) -> list[dict[str, Any]] | None:
    if name.startswith("multipl_e_"):
        language = name.removeprefix("multipl_e_")
        row = {"name": "HumanEval_1_f", "prompt": "f\n", "tests": "}\n", "stop_tokens": ["\n}"]}
        return [{**row, "language": language}]
    if name.startswith("repobench_"):
        suffix = {"python": "py", "java": "java"}[name.removeprefix("repobench_")]
        return [{**_NEXT_LINE, "file_path": f"cart/total.{suffix}"}]
    kinds = {"single_line": "SingleLine", "multi_line": "MultiLine", "random_span": "RandomSpan"}
    if name.startswith("infilling_") and (kind := kinds.get(name.removeprefix("infilling_"))):
        return [{**_HUMANEVAL, "task_id": f"{kind}Infilling/HumanEval/0/L0", "suffix": "\n"}]
    if name == "infilling_random_span_light":
        return [{**_HUMANEVAL, "task_id": "RandomSpanInfillingLight/HumanEval/0/L0", "suffix": "\n"}]
    masked = [{**_MASKED, "language": "py", "canonical_solution": "    return a + b"}]
    return {
        "humaneval": [_HUMANEVAL],
        "humaneval_completion": [_HUMANEVAL],
        "humaneval_plus": [_PLUS],
        "mbpp": _MBPP,
        "mbpp_zero_shot": _MBPP,
        "mbpp_plus": [_MBPP_PLUS],
        "apps": [_APPS],
        "docstrings": [_DOCSTRING],
        "lcc": [{"context": "x " * 40 + "\n", "gt": "    return x", "language": "python"}],
        "multilingual_infilling": masked,
        "multilingual_infilling_tests": masked,
        "crosscodeeval": [_CROSSED],
        "gsm8k": [{"question": "Half of 9?", "answer": "9 / 2 = 4.5\n#### 4.5"}],
        "toxigen": [{"label": "hate", "group": "asian", "prompt": "- one\\n-"}],
        "malicious": [{"prompt": "Do harm.", "category": "fraud"}],
    }.get(name)
