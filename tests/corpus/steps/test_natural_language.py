"""Natural language found in code."""

from __future__ import annotations

from source_trees import module

from codecascade.corpus.documents import document, text_bytes
from codecascade.corpus.steps.natural_language import (
    derived_documents,
    docstring_page,
    prose,
    with_natural_language,
)

SENTENCES = (
    "A corpus of source code is full of sentences that people wrote for one another, and they say in plain words "
    "what the lines around them do. A model that has read both learns to go from the one to the other, which is "
    "what everybody wants of it in the end.\n"
)
CODE = f'''"""Opens doors.

{SENTENCES}
"""
x = """not a docstring"""

class Door:
    """A door."""

    def open(self, key: str, *, twice=False):
        """Opens it.

        Args:
            key: which key.
        """
        def inner():
            """Hidden."""

    def undocumented(self): ...
'''


def python(text: str, path: str = "house/door.py") -> list[str]:
    source = document(text, path=path, repository="r", language="python", license="MIT", kind="code")
    return [item.kind for item in derived_documents(source)]


def test_docstrings_become_a_page() -> None:
    page = docstring_page(CODE, "house/door.py")
    assert page.startswith("house.door\n\nOpens doors.\n")
    assert "\n\nDoor\n    A door.\n\nDoor.open(self, key: str, *, twice=False)\n    Opens it.\n" in page
    assert "Hidden" not in page and "not a docstring" not in page and "undocumented" not in page
    assert docstring_page("def f(:", "x.py") == docstring_page("x = 1", "x.py") == ""
    assert docstring_page('"""Doc."""', "package/__init__.py").startswith("package\n")


def test_prose_is_whole_paragraphs_only() -> None:
    listing = "".join(f"- item {n} of a list that goes on and on\n" for n in range(20))
    google = "Args:\n    key: " + SENTENCES + "    other: " + SENTENCES
    code = "    f(x) = {1: 2, 3: 4} ** 5 + a[0] * " + "b[1] + " * 40
    text = "\n\n".join(["# Heading", SENTENCES, listing, google, "Short one.", code])
    assert prose(text) == " ".join(SENTENCES.split())
    assert prose("") == prose("\n\n\n") == ""


def test_kinds_made_of_a_document() -> None:
    assert python(CODE) == ["natural_language_code"]
    assert python(CODE.replace("A door.", f"A door.\n\n    {SENTENCES}")) == [
        "natural_language_code",
        "natural_language",
    ]
    assert python("x = 1") == []
    readme = document(
        f"# T\n\n{SENTENCES}\n{SENTENCES[:-1]} Twice.\n", path="README.md", repository="r", language="markdown",
        license="MIT", kind="natural_language_code",
    )  # fmt: skip
    assert [item.kind for item in derived_documents(readme)] == ["natural_language"]


def test_a_limit_is_kept_at_every_point() -> None:
    sources = [
        document(
            CODE + module(f"m{n}", 30),
            path=f"{n}.py",
            repository="r",
            language="python",
            license="MIT",
            kind="code",
        )
        for n in range(30)
    ]
    code = made = 0
    for item in with_natural_language(sources, docstrings=True, share_of_code=0.1):
        if item.kind == "code":
            code += text_bytes(item)
        else:
            made += text_bytes(item)
        assert made <= 0.1 * code
    assert made > 0.05 * code
    kinds = {item.kind for item in with_natural_language(sources, docstrings=False, share_of_code=None)}
    assert kinds == {"code"}
