"""Files that stand for others."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_trees import Build, MakeTree, module

from codecascade.corpus.reading.pointers import ANNEX, LFS, LINK, pointer_kind

OID = "sha256:" + "4f" * 32
LFS_TEXT = f"version https://git-lfs.github.com/spec/v1\noid {OID}\nsize 116060\n"
ANNEX_TEXT = "/annex/objects/SHA256E-s116060--" + "4f" * 32 + ".py\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LFS_TEXT, LFS),
        (LFS_TEXT.strip(), LFS),
        (LFS_TEXT.replace("\n", "\r\n"), LFS),
        (LFS_TEXT.replace("git-lfs.github.com/spec/v1", "hawser.github.com/spec/v1"), LFS),
        (LFS_TEXT.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2"), LFS),
        (LFS_TEXT.replace("oid", f"ext-0-crypt {OID}\noid"), LFS),
        (ANNEX_TEXT, ANNEX),
        ("../../.git/annex/objects/zq/Wj/KEY-s5--ab/KEY-s5--ab", ANNEX),
        (".git/annex/objects/zq/Wj/KEY-s5--ab/KEY-s5--ab\n", ANNEX),
        ("../../.git/modules/data/annex/objects/zq/Wj/KEY-s5--ab/KEY-s5--ab", ANNEX),
        (LFS_TEXT.replace("oid", f"<<<<<<< HEAD\noid {OID}\nsize 5\n=======\noid") + ">>>>>>> topic\n", LFS),
        ("../common/setup.py", LINK),
        ("config/linux.h", LINK),
        ("link ../foo/real.py", LINK),
        ("../common/setup.py\n", None),
        ("see ../common/setup.py", None),
        ("a/b c/d", None),
        ("import os", None),
        (f"# A pointer looks like this\n\n{LFS_TEXT}", None),
        (f"{LFS_TEXT}\nThis is what stands in the repository.\n", None),
        (LFS_TEXT + "x y\n" * 300, None),
        ("version https://git-lfs.github.com/spec/v1\n", None),
        ('ROOT = "/annex/objects/"\n', None),
        ("/annex/objects/ is where they lie\n", None),
        (f"{ANNEX_TEXT}print(1)\n", None),
        ("version 2\n", None),
        ("", None),
    ],
)
def test_what_is_a_pointer(text: str, reason: str | None) -> None:
    assert pointer_kind(text) == reason


@given(st.text())
def test_other_texts_are_none(text: str) -> None:
    assert pointer_kind(text) is None


@pytest.mark.parametrize("source", ["folder", "git"])
def test_pointers_are_left_out_of_a_corpus(build: Build, tree: MakeTree, source: str) -> None:
    names = ("model.py", "bundle.js", "schema.sql", "README.md", "analysis.ipynb", "run.sh")
    root = tree(dict.fromkeys(names, LFS_TEXT) | {"annexed.py": ANNEX_TEXT, "real.py": module("real")})
    if source == "git":
        git = ("git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.com")
        for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "all")):
            subprocess.run([*git, *command], check=True)
    manifest, corpus = build(f"{root}@HEAD" if source == "git" else root, heldout_share=0)
    assert manifest.dropped["read"] == {LFS: 6, ANNEX: 1}
    assert [d.path for d in corpus.documents("train", "code")] == ["real.py"]
