"""The program in a reply, in the forms in which chat models write it."""

from __future__ import annotations

import ast
import textwrap
from collections import Counter

import pytest
from markdown_it.token import Token
from work import grows_linearly

from codecascade.evaluation.answers import replies
from codecascade.evaluation.answers.python_code import sanitized
from codecascade.evaluation.answers.replies import program_in, without_thoughts
from codecascade.evaluation.answers.texts import without_last_tokens

CODE = "from typing import List\n\n\ndef f(v: List[int]) -> List[int]:\n    return [2 * x for x in v]\n"
DRAFT = "```python\ndef f(v):\n    return None\n```"
GOOD = f"```python\n{CODE}```"


def result(program: str) -> object:
    names: dict[str, object] = {"__name__": "program"}
    exec(program, names)
    return names["f"]([1, 2])  # type: ignore[operator]


REPLIES = {
    "bare": CODE,
    "mark of the byte order": f"\ufeff{CODE}",
    "block": GOOD,
    "four backticks": f"````python\n{CODE}````",
    "tildes": f"~~~~ python\n{CODE}~~~~~",
    "attributes": f"``` {{.python .numberLines}}\n{CODE}```",
    "title": f'```python title="a.py"\n{CODE}```',
    "line ends of DOS": GOOD.replace("\n", "\r\n"),
    "in a list": "1. The code:\n\n" + textwrap.indent(GOOD, "   "),
    "in a list, by tabs": "- The code:\n\n" + textwrap.indent(GOOD, "\t"),
    "indented without a list": "The code:\n\n" + textwrap.indent(GOOD, "      "),
    "quoted": textwrap.indent(GOOD, "> ", lambda line: True),
    "in a tag": f"<answer>\n{GOOD}\n</answer>",
    "cut off": f"Here:\n```python\n{CODE}",
    "cut off in the next function": f"Here:\n```python\n{CODE}\ndef g(a:\n  ",
    "no fence": f"Sure! Here's the code:\n\n{CODE}\nThat's all.",
    "no fence, indented": "Here's the code:\n\n" + textwrap.indent(CODE, "    ") + "\nThat's all.",
    "draft first": f"A first try:\n{DRAFT}\nThat is wrong. The answer:\n{GOOD}",
    "use behind": f"{GOOD}\nUse it:\n```python\nprint(f([1]))\n```\nIt prints:\n```\n[2]\n```",
    "a test with a stub behind": f"{GOOD}\nTest it:\n```python\ndef f(v):\n    ...\n\n\nassert f([1]) == [2]\n```",
    "a result of its own name behind": f"{GOOD}\nOr:\n```python\nf = f([1])\n```",
    "its output behind": f"{GOOD}\nIt gives:\n```\nv = [1, 2]\nf = [2, 4]\n```\nor\n```js\nf = 2.5 * 2;\n```",
    "fence in a docstring": GOOD.replace(
        "]:\n", ']:\n    """For example:\n\n    ```\n    f([1])\n    ```\n    """\n'
    ),
    "fence in a docstring, less far in": GOOD.replace(
        "]:\n", ']:\n  """\n  ```\n  f([1])\n  ```\n  """\n'
    ).replace("    return", "  return"),
    "fence in the module's docstring": f'```py\n"""\n```\nf(1)\n```\n"""\n{CODE}```\nUse:\n```py\nf(1)\n```',
    "fence in a bare program's docstring": f'"""\n```\nf(1)\n```\n"""\n{CODE}',
    "helper in an earlier block": "```\ndef g(x):\n    return 2 * x\n```\n```\ndef f(v): return [*map(g, v)]\n```",
    "block opened by the prompt": f"{CODE}```\nUse it:\n```python\nprint(f([1]))\n```",
    "within a line": "It is ```f = lambda v: [2 * x for x in v]```.",
    "thoughts": f"<think>\nA draft:\n{DRAFT}\nNo.\n</think>\n{GOOD}",
    "other thoughts": f"<thinking>{DRAFT}</thinking>{GOOD}",
    "thoughts behind": f"{GOOD}\n<think>Or is it this?\n{DRAFT}\n</think>\nIt is right.",
    "thoughts with an open fence": f"<think>```python\ndef f(v): return None\n</think>\n{GOOD}",
    "opening tag in the prompt": f"A draft:\n{DRAFT}\nNo.\n</think>\n\n{GOOD}",
    "opening tag in the prompt, open fence": f"```python\ndef f(v): return None\n</think>\n\n{GOOD}",
    "nested thoughts": f"<think>\na <think>b</think>{DRAFT}</think>{GOOD}",
    "thoughts on thinking": f"<think>\nI am to use <think>, and then\n{DRAFT}</think>{GOOD}",
    "brackets": f"[THINK]{DRAFT}[/THINK]{GOOD}",
    "channels": f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}",
    "channels behind the answer": f"<|channel|>final<|message|>{GOOD}<|end|><|start|>assistant<|channel|>commentary"
    f"<|message|>Done.<|end|><|start|>assistant<|channel|>analysis<|message|>{DRAFT}",
    "answers in two channels": f"<|channel|>final<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>commentary"
    f"<|message|>No.<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>",
    "fence at the end of the last line": GOOD.replace(
        "v]\n```", "v]```\nUse it:\n```python\nprint(f([1]))\n```"
    ),
    "tag right behind the fence": f"<scratchpad>\n{DRAFT}</scratchpad>\n{GOOD}</answer>",
    "tag with attributes": f'<think type="deep">\n{DRAFT}</think >\n{GOOD}',
    "other marks of thoughts": f"◁think▷{DRAFT}◁/think▷{GOOD}",
    "marks of thoughts right before the fence": f"<|START_THINKING|>{DRAFT}<|END_THINKING|>{GOOD}",
    "code indented in a block that is not": f"1. It is\n```python\n{textwrap.indent(CODE, '    ')}```",
    "interpreter's session": "```pycon\n>>> def f(v):\n...     return [2 * x for x in v]\n...\n>>> f([1])\n[2]\n```",
    "interpreter's session without a fence": ">>> f = lambda v: [2 * x for x in v]\n>>> f([1])\n[2]\n",
    "helper in a later block": "```\ndef f(v): return [*map(g, v)]\n```\n"
    "```\nimport math\ndef g(x):\n    return math.floor(2 * x)\n```",
    "future import behind an earlier import": "```\nimport math\n```\n```\nfrom __future__ import annotations\n"
    "def f(v: Any): return [math.floor(2 * x) for x in v]\n```",
    "input of a parameter's name": GOOD.replace("v]\n```", "v]\nv = eval(input())\nprint(f(v))\n```"),
    "table that is filled": "```\nT = {}\nfor i in range(9):\n    T[i] = 2 * i\n"
    "def f(v): return [T[x] for x in v]\n```",
    "list that grows": "```\nT = [0]\nT.append(2)\nT.append(4)\ndef f(v): return [T[x] for x in v]\n```",
    "attribute of a function": "```\ndef g(x): return x * g.k\ng.k = 2\ndef f(v): return [g(x) for x in v]\n```",
    "tags in the code": GOOD.replace("    return", "    # no <think> here\n    '</think>'\n    return"),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_the_answer_is_found(reply: str) -> None:
    program = program_in(reply, {"f"})
    assert result(sanitized(program, "f")) == [2, 4]
    assert program_in(program, {"f"}) == program, "what was taken out is not cut again"


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>{GOOD}",
        f"<think>\n{GOOD}\nNo <think>",
        f"<thinking>\n{GOOD}\n</thinking>\nI don't know.",
        f"[THINK]{CODE}",
        f"<|channel|>analysis<|message|>{GOOD}",
    ],
)
def test_thoughts_are_never_an_answer(reply: str) -> None:
    assert "def f" not in program_in(reply, {"f"})


def test_a_stub_is_taken_where_there_is_nothing_else() -> None:
    assert program_in("It is hard.\n```python\ndef f(v):\n    pass\n```", {"f"}) == "def f(v):\n    pass\n"
    assert "def f(v) return" in program_in("```python\ndef f(v) return\n```\n```python\nf(1)\n```", {"f"})
    assert program_in("I can't.", {"f"}) == "I can't."


READS = "n = int(input())\nprint(2 * n)\n"


@pytest.mark.parametrize(
    "reply",
    [
        READS,
        f"```\n{READS}```\nFor the input\n```\n3\n```\nit prints\n```text\n6\n```",
        f"```sh\npip install x\n```\nthen\n```python\n{READS}```\nThe key is\n```python\nprint(2 * n)\n```",
        f"The input is\n```\n1 2\n```\n'''no fence\n```python\n{READS}```",
        f"'''python\n{READS}'''\nDone.",
        f"```python\n{READS}```\nIt reads with\n```python\nimport sys\ndata = sys.stdin.read()\n```",
        f"```python\n{READS}```\nwhere\n```python\nn = int(input())\n```\nand\n```\nprint(2 * n)\n```",
        f"```python\n{READS}```\nThe key is\n```python\nmax(map(int, input().split()))\n```",
        f"```python\n{READS}```\nWith a function:\n```python\ndef twice(n):\n    return 2 * n\n```",
        f"```python\n{READS}```\nIt prints\n```python\nprint(6)\n```",
        f"```python\nn = input()\nprint(n)\n```\nNo:\n```python\n{READS}```",
        f"Solution:\n\n{READS}\nThis works.",
        f"Solution:\n\n{READS}<|eot_id|>",
    ],
)
def test_a_program_without_a_function_is_the_last_that_is_whole(reply: str) -> None:
    assert program_in(reply, quotes=True).strip() == READS.strip()


def test_a_program_has_the_helpers_that_other_blocks_define() -> None:
    helper, main = "def twice(n):\n    return 2 * n\n", "print(twice(int(input())))\n"
    for blocks in ((helper, main), (main, helper), (helper, main, "print(twice(3))\n")):
        reply = "then\n".join(f"```python\n{block}```\n" for block in blocks)
        assert program_in(reply) == helper + main


def test_what_prints_is_a_program_where_nothing_reads() -> None:
    assert program_in("```python\nprint(42)\n```\nfor\n```python\nx = [1]\n```") == "print(42)\n"
    assert program_in("```python\nx = [1]\n```") == "x = [1]\n"
    assert program_in("It is 42.\nNote: x\n") == "It is 42.\nNote: x\n"


def test_control_tokens_are_text_within_code_and_end_a_reply() -> None:
    code = '# ends in <|end|>\ndef f(v):\n    return "<|start|>" * v\n'
    channel = "<|start|>assistant<|channel|>final<|message|>"
    for end in ("", "<|return|>", "<|end|>", "<|end|>\n<|return|>\n", "<|end|><|start|>user<|message|>Well?"):
        assert program_in(f"{channel}```python\n{code}```{end}", {"f"}) == code
        assert program_in(f"{channel}{code}{end}", {"f"}).strip() == code.strip()
    for end in ("<|eot_id|>", "</s> ", "<|im_end|>\n<|endoftext|>", "<|end|>" * 30_000):
        assert program_in(code.rstrip() + end, {"f"}) == code.rstrip()
    assert program_in(code, {"f"}) == code


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        " ",
        "<|channel|>",
        "<|channel|>a",
        "<|message|>",
        "<|end|>",
        "<|end|> ",
        "<|start|>a",
        "</s> ",
        "\n",
    ],
)
def test_control_tokens_are_found_in_linear_time(unit: str) -> None:
    for before in ("<|channel|>", "<|channel|>final<|message|><|start|>", ""):
        make = lambda size, before=before: before + unit * (size // len(unit))  # noqa: E731
        assert grows_linearly(without_thoughts, make)
        assert grows_linearly(without_last_tokens, make)


def test_quotes_are_fences_only_where_they_are_asked_for_and_begin_a_line() -> None:
    program = "def f():\n    '''Text.'''\n    return 1\n"
    reply = f"Here:\n'''python\n{program}'''\nDone."
    assert program_in(reply, quotes=True) == program_in(f"'''{program}", quotes=True) == program
    assert program_in(program, quotes=True) == program


def test_text_that_is_no_thought_stays() -> None:
    for text in ("", "a", "\nThe answer is 7.", "`<think>` is a tag", "x = '<think>'\n"):
        assert without_thoughts(text) == text


STUB = 'def f(v):\n    """Doubles.\n\n    >>> f([1])\n    [2]\n    """\n'


@pytest.mark.parametrize(
    "reply",
    [
        "    return [2 * x for x in v]\n",
        "```python\n    return [2 * x for x in v]\n```",
        "```python\nreturn [2 * x for x in v]\n```\nIt doubles:\n```\nf([1])\n```",
        f"The function\n```python\n{STUB}```\nhas the body\n```python\nw = [2 * x for x in v]\nreturn w\n```",
    ],
)
def test_a_body_stands_behind_the_stub_that_was_asked_for(reply: str) -> None:
    assert result(program_in(reply, {"f"}, stub=STUB)) == [2, 4]


def test_a_stub_does_not_make_an_answer_of_what_is_none() -> None:
    for reply in ("I can't.", "```python\nprint(f([1]))\n```", "<think>\n    return [2 * x for x in v]\n"):
        assert "return" not in program_in(reply, {"f"}, stub=STUB)
    assert result(program_in(GOOD, {"f"}, stub=STUB)) == [2, 4]


def test_no_text_is_parsed_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, texts = ast.parse, Counter[str]()

    def counted(text: str) -> ast.Module:
        texts[text] += 1
        return parse(text)

    monkeypatch.setattr(ast, "parse", counted)
    # Fences of this form are operators of Python.
    program_in("~~~py\nx\n" * 500, {"f"})
    assert max(texts.values()) == 1


@pytest.mark.parametrize(
    "unit",
    ["`", "```\n", "~", "```a``` ", "it's a text\n", "> ", "<think>\n", "x = 1```\n", "</think>", "- "],
)
@pytest.mark.parametrize("names", [{"f"}, set()], ids=["function", "program"])
def test_a_long_reply_is_read_with_bounded_work(
    unit: str, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given to the two parsers is counted rather than seconds, which depend on the machine."""
    read = Counter[str]()
    parse, markdown = ast.parse, replies._MARKDOWN.parse

    def counted(text: str) -> ast.Module:
        read["python"] += 1
        return parse(text)

    def counted_markdown(text: str) -> list[Token]:
        read["markdown"] += len(text)
        return markdown(text)

    monkeypatch.setattr(ast, "parse", counted)
    monkeypatch.setattr(replies._MARKDOWN, "parse", counted_markdown)
    reply = "```python\n" + unit * (40_000 // len(unit))
    program_in(reply, names, stub=STUB if names else "")
    assert read["python"] < 10_000 and read["markdown"] <= 2_000_000
    read.clear()
    assert program_in(unit * (10_000_000 // len(unit)), names)[:9] == (unit * 9)[:9]
    assert not read, "no model's answer is as long as that"
