"""Prompts that clients write as text come apart as they were put together, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.tokens.infilling_text import LAYOUTS, RepositoryText, TextLayout, recognise

from .conftest import plain_texts

ALL = [(family, layout) for family, layouts in LAYOUTS.items() for layout in layouts]
MARKS = sorted({mark for _, layout in ALL for mark in layout.marks})
# Pieces of marks, and their neighbours, which are text.
parts = st.lists(
    st.one_of(
        plain_texts,
        st.sampled_from(
            ["<", "PRE>", " <SU", "F>", "<fim_", "|>", "<|fim_", "[SUFFIX", "X]", " ", "\r\n", "<EOT>"]
        ),
    ),
    max_size=5,
).map("".join)


names = st.text("ab/._ é", min_size=1, max_size=8).map(str.strip).filter(bool)
contents = st.text("ab \n<|>é", max_size=12)


def is_plain(text: str) -> bool:
    return not any(mark in text for mark in MARKS)


@pytest.mark.parametrize(
    ("family", "layout"), ALL, ids=[f"{family}-{layout.layout}" for family, layout in ALL]
)
@given(prefix=parts.filter(is_plain), suffix=parts.filter(is_plain))
def test_what_was_written_is_read(family: str, layout: TextLayout, prefix: str, suffix: str) -> None:
    written = layout.write(prefix, suffix)
    found = recognise(written)
    if sum(written.count(mark) for mark in layout.marks) != len(layout.marks):
        # the end of a part and the mark after it can spell a mark that begins sooner
        assert found is None
        return
    assert found is not None and found[:2] == (prefix, suffix)
    # with an empty prefix, StarCoder's two layouts are the same text
    assert found.layout == layout.layout or (not prefix and family in ("starcoder", "qwen"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # llm-ls and Continue, for a model whose name says Code Llama
        (
            "<PRE> def f(x):\n    return  <SUF>\n\nprint(f(1)) <MID>",
            ("def f(x):\n    return ", "\n\nprint(f(1))", "psm"),
        ),
        ("<PRE>  <SUF> <MID>", ("", "", "psm")),
        ("<PRE> x <SUF>\r\ny <MID>", ("x", "\r\ny", "psm")),
        ("<PRE> <SUF>y <MID> x", ("x", "y", "spm")),
        # Continue for every other model, and llm-ls with StarCoder's tokens
        ("<fim_prefix>x<fim_suffix>y<fim_middle>", ("x", "y", "psm")),
        ("<fim_prefix><fim_suffix>y<fim_middle>x", ("x", "y", "spm")),
        ("<|fim_prefix|>x<|fim_suffix|>y<|fim_middle|>", ("x", "y", "psm")),
        ("<｜fim▁begin｜>x<｜fim▁hole｜>y<｜fim▁end｜>", ("x", "y", "psm")),
        ("[SUFFIX]y[PREFIX]x", ("x", "y", "spm")),
    ],
)
def test_the_spellings_of_clients(text: str, found: tuple[str, str, str]) -> None:
    assert recognise(text) == (*found, RepositoryText())


_QWEN = "<|fim_prefix|>x<|fim_suffix|>y<|fim_middle|>"
_STARCODER = "<fim_prefix>x<fim_suffix>y<fim_middle>"


@pytest.mark.parametrize(
    ("text", "context"),
    [
        # Continue for Qwen2.5-Coder, with the name of the file that is edited and without it
        (
            f"<|repo_name|>shop\n<|file_sep|>a.py\nA = 1\n\n<|file_sep|>b.py\nB = 2\n<|file_sep|>c.py\n{_QWEN}",
            RepositoryText("shop", (("a.py", "A = 1\n\n"), ("b.py", "B = 2\n")), "c.py"),
        ),
        (
            f"<|repo_name|>shop\n<|file_sep|>a.py\nA = 1{_QWEN}",
            RepositoryText("shop", (("a.py", "A = 1"),)),
        ),
        (f"<|file_sep|>a.py\nA = 1<|file_sep|>{_QWEN}", RepositoryText("", (("a.py", "A = 1"),))),
        (f"<|repo_name|>shop<|file_sep|>c.py\n{_QWEN}", RepositoryText("shop", (), "c.py")),
        (f"<|repo_name|>shop\n{_QWEN}", RepositoryText("shop")),
        # Continue for StarCoder 2 gives no names, so the first line is taken for one and written again
        (
            f"<file_sep>A = 1\nB = 2<file_sep>C = 3\n<file_sep>{_STARCODER}",
            RepositoryText("", (("A = 1", "B = 2"), ("C = 3", ""))),
        ),
        (
            f"<repo_name>shop<file_sep>a.py\nA\n<file_sep>c.py\n{_STARCODER}",
            RepositoryText("shop", (("a.py", "A\n"),), "c.py"),
        ),
        # Granite
        (
            f"<reponame>shop<filename>a.py\nA\n<filename>c.py\n{_STARCODER}",
            RepositoryText("shop", (("a.py", "A\n"),), "c.py"),
        ),
        # SPM
        (
            "<file_sep>a.py\nA\n<file_sep>c.py\n<fim_prefix><fim_suffix>y<fim_middle>x",
            RepositoryText("", (("a.py", "A\n"),), "c.py"),
        ),
    ],
)
def test_parts_of_other_files_before_the_prompt(text: str, context: RepositoryText) -> None:
    found = recognise(text)
    assert found is not None
    assert (found.prefix, found.suffix, found.context) == ("x", "y", context)


@given(
    name=names,
    files=st.lists(st.tuples(names, contents.map("{}\n".format)), max_size=3),
    path=names,
    prefix=parts.filter(is_plain),
    suffix=parts.filter(is_plain),
)
def test_a_repository_is_read_as_it_was_written(
    name: str, files: list[tuple[str, str]], path: str, prefix: str, suffix: str
) -> None:
    for family, layout in ALL:
        own = layout.write(prefix, suffix)
        for repository, separator in layout.contexts:
            before = f"{repository}{name}\n" + "".join(
                f"{separator}{each}\n{text}" for each, text in [*files, (path, "")]
            )
            found = recognise(before + own)
            assert found is not None, family
            assert found.context == RepositoryText(name, tuple(files), path)
            assert found[:3] == (recognise(own) or ())[:3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def f(x):",
        "<PRE> x",
        "<PRE> x <SUF>y",
        "x <SUF>y <MID>",
        " <PRE> x <SUF>y <MID>",
        "<PRE>x<SUF>y<MID>",
        "<PRE> x <SUF>y <MID>\n",
        "<PRE> <MID>",
        "<PRE> x <SUF>y <SUF>z <MID>",
        "<PRE> x <SUF>y <MID> <MID>",
        "<PRE> <PRE> x <SUF>y <MID>",
        "# <fim_prefix> is a token",
        "<fim_prefix>",
        "<fim_prefix>x<fim_middle>y<fim_suffix>",
        "<fim_prefix>x<fim_suffix>y<fim_middle>z",
        "<fim_prefix>x<|fim_suffix|>y<fim_middle>",
        "<fim_prefix>x<fim_suffix>y<fim_suffix>z<fim_middle>",
        "<｜fim▁begin｜><｜fim▁hole｜>y<｜fim▁end｜>x",
        "[PREFIX]x[SUFFIX]y",
        "[SUFFIX]y",
        "[SUFFIX]y[PREFIX]x[SUFFIX]",
        # What stands before the prompt is no repository, or that of another family.
        f"text{_QWEN}",
        f"text<|file_sep|>a.py\n{_QWEN}",
        f"<file_sep>a.py\n{_QWEN}",
        f"<|file_sep|>a.py\n{_STARCODER}",
        f"<|file_sep|>a.py\n<|repo_name|>shop\n{_QWEN}",
        f"<|repo_name|>shop\n<|repo_name|>{_QWEN}",
        f"<|file_sep|>a.py\n<|fim_prefix|>{_QWEN}",
        f"<|file_sep|>a.py\n{_QWEN}more",
        "<|file_sep|>a.py\n<PRE> x <SUF>y <MID>",
    ],
)
def test_other_texts_are_texts(text: str) -> None:
    assert recognise(text) is None


@given(text=st.lists(st.one_of(st.sampled_from(MARKS), parts), max_size=6).map("".join))
def test_what_is_read_is_what_was_written(text: str) -> None:
    found = recognise(text)
    if found is not None:
        writers = [layout for _, layout in ALL if layout.layout == found.layout]
        assert text in [layout.write(found.prefix, found.suffix) for layout in writers]
        assert is_plain(found.prefix) or any(mark in text for mark in MARKS)
