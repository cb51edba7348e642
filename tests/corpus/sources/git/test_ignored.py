"""Folders are read without what git ignores, by git's own word."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from found_candidates import found
from git_repositories import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_trees import Build, MakeTree, module

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.sources.find import find_candidates
from codecascade.corpus.sources.git import ignored as git_ignored
from codecascade.corpus.sources.git.ignored import GitIgnored
from codecascade.corpus.steps.exact_dedup import STEP
from codecascade.ground.errors import UserError

FILE, FOLDER = "ignored by git", "folder ignored by git"


def paths(source: Path | str) -> set[str]:
    return {candidate.path for candidate in find_candidates(str(source), Dropped())}


@pytest.fixture
def project(tree: MakeTree) -> Path:
    root = tree(
        {
            ".gitignore": "secret_keys.py\n/out/\n*.gen.py\n!kept.gen.py\n",
            "app.py": "a = 1",
            "secret_keys.py": "key = 1",
            "out/app.py": "a = 1",
            "out/deep/more.py": "b = 1",
            "new/made.gen.py": "c = 1",
            "new/kept.gen.py": "d = 1",
            "new/not_added.py": "e = 1",
            "forced.gen.py": "f = 1",
            "out/forced.py": "g = 1",
            "sub/.gitignore": "local.py\n",
            "sub/local.py": "h = 1",
            "sub/other.py": "i = 1",
        }
    )
    run(root, "init", "-q")
    run(root, "add", "-A")
    return root


LEFT = {"app.py", "new/kept.gen.py", "new/not_added.py", "sub/other.py"}


def test_what_git_ignores_is_left_out_and_counted(project: Path) -> None:
    candidates, dropped = found(project)
    assert {each.path for each in candidates.values()} == LEFT
    assert dropped == {FILE: 4, FOLDER: 1}


def test_tracked_files_stay_whatever_the_patterns_say(project: Path) -> None:
    run(project, "add", "-f", "forced.gen.py", "out/forced.py")
    candidates, dropped = found(project)
    assert {each.path for each in candidates.values()} == {*LEFT, "forced.gen.py", "out/forced.py"}
    # now the folder holds a tracked file, and so is walked
    assert dropped == {FILE: 4, FOLDER: 1}
    run(project, "commit", "-qm", "one")
    (project / ".gitignore").write_text("*\n")
    assert paths(project) == {*LEFT, "forced.gen.py", "out/forced.py"}


def test_patterns_of_the_clone_and_of_the_user_count_too(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".git/info/exclude").write_text("not_added.py\n")
    (tmp_path / "git").mkdir()
    (tmp_path / "git/ignore").write_text("other.py\n")
    run(project, "rm", "-q", "--cached", "sub/other.py", "new/not_added.py")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths(project) == LEFT - {"new/not_added.py", "sub/other.py"}


def test_a_part_of_a_repository(project: Path) -> None:
    assert paths(project / "sub") == {"other.py"}
    assert paths(project / "new") == {"kept.gen.py", "not_added.py"}


@pytest.mark.parametrize(("part", "expected"), [("out", 3), ("out/deep", 1)])
def test_a_folder_that_is_ignored_itself_is_read_whole(project: Path, part: str, expected: int) -> None:
    candidates, dropped = found(project / part)
    assert len(candidates) == expected and dropped == {}


def test_repositories_side_by_side_and_within_one_another(project: Path, tmp_path: Path) -> None:
    """Each repository has its own word about its files; that of the one around it is about the folder."""
    for name in ("beside", "code/vendored", "code/out/fetched"):
        (tmp_path / name).mkdir(parents=True)
        run(tmp_path / name, "init", "-q")
        (tmp_path / name / ".gitignore").write_text("x.py\n")
        (tmp_path / name / "x.py").write_text("x = 1")
        (tmp_path / name / "secret_keys.py").write_text("y = 1")
    run(project, "commit", "-qm", "one")
    run(project, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "other")
    (tmp_path / "tree/secret_keys.py").write_text("z = 1")
    candidates, dropped = found(tmp_path)
    top = tmp_path.name
    assert set(candidates) == {
        *(f"{top}/{folder}:{path}" for folder in ("code", "tree") for path in LEFT),
        f"{top}/beside:secret_keys.py",
        f"{top}/code/vendored:secret_keys.py",
    }
    assert dropped == {FILE: 4 + 1 + 2, FOLDER: 1}
    assert paths(project / "out/fetched") == {"secret_keys.py"}


def test_a_submodule(project: Path, repository_with_pattern: Path) -> None:
    run(
        project,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(repository_with_pattern),
        "lib",
    )
    (project / "lib/x.py").write_text("x = 1")
    candidates, _ = found(project)
    assert {name for name in candidates if "lib" in name} == {"code/lib:y.py"}


@pytest.fixture
def repository_with_pattern(tmp_path: Path) -> Path:
    root = tmp_path / "library"
    root.mkdir()
    (root / ".gitignore").write_text("x.py\n")
    (root / "y.py").write_text("y = 1")
    run(root, "init", "-q")
    run(root, "add", "-A")
    run(root, "commit", "-qm", "one")
    return root


PART = st.sampled_from(["a", "b", "c.py", "d.py", "é.py", " e.py", "f\n.py"])
PATTERN = st.tuples(st.sampled_from(["", "!"]), st.sampled_from(["", "/", "a/", "**/"]),
                    st.sampled_from(["a", "b", "c.py", "d.*", "*.py", "é.py", "*"]),
                    st.sampled_from(["", "/"])).map("".join)  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    files=st.lists(st.lists(PART, min_size=1, max_size=3).map("/".join), min_size=1, max_size=7, unique=True),
    patterns=st.lists(PATTERN, max_size=4),
    inner=st.lists(PATTERN, max_size=2),
    tracked=st.integers(0, 3),
)
def test_it_is_what_git_says_of_each_file(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[str],
    patterns: list[str],
    inner: list[str],
    tracked: int,
) -> None:
    root = tmp_path_factory.mktemp("property")
    there = []
    for name in files:
        path = root / name
        if not path.exists() and not any(up.is_file() for up in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x = 1")
            there.append(name)
    (root / ".gitignore").write_text("\n".join(patterns))
    if (root / "a").is_dir():
        (root / "a/.gitignore").write_text("\n".join(inner))
    run(root, "init", "-q")
    run(root, "add", "-f", "--", *there[:tracked])
    said = subprocess.run(
        ["git", "-C", str(root), "check-ignore", "-z", "--stdin"],
        input="\0".join(there).encode(), capture_output=True, check=False,
    )  # fmt: skip
    ignored = set(said.stdout.decode().split("\0"))
    expected = {name for name in there if name not in ignored and name.endswith(".py")}
    root_parts = {f"{c.repository}/{c.path}" for c in find_candidates(str(root), Dropped())}
    assert root_parts == {f"{root.name}/{name}" for name in expected}


def test_nothing_of_the_repository_is_run(project: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "filter.x.clean",
        "pager.ls-files",
        "core.pager",
        "alias.ls-files",
        "core.editor",
    ):
        run(project, "config", key, f"!{program}" if key.startswith("alias") else str(program))
    (project / ".gitattributes").write_text("* filter=x\n")
    hook = project / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.symlink_to(program)
    before = (project / ".git/index").read_bytes()
    assert paths(project) == LEFT
    assert not (tmp_path / "ran").exists() and (project / ".git/index").read_bytes() == before


def test_a_repository_is_asked_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def ask(folder: Path, *arguments: str, **limits: object) -> subprocess.CompletedProcess[bytes]:
        calls.append(folder)
        return subprocess.CompletedProcess(arguments, 0, b"secret_keys.py\0", b"")

    monkeypatch.setattr(git_ignored, "ask_git", ask)
    paths(project)
    assert calls == [project]


def test_outside_of_a_repository_nobody_is_asked(tree: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_ignored, "ask_git", None)
    assert paths(tree({".gitignore": "x.py\n", "x.py": "x = 1"})) == {"x.py"}


@pytest.mark.parametrize("why", ["no git", "pipe", "damaged", "refused"])
def test_where_git_can_not_be_asked_all_is_read_and_that_is_said_once(
    project: Path, tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if why == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif why == "pipe":
        (project / ".git/config").unlink()
        os.mkfifo(project / ".git/config")
    elif why == "damaged":
        (project / ".git/index").write_bytes(b"DIRC and nothing else")
    else:
        (project / ".git/config").write_text("[core]\nrepositoryformatversion = 99\n")
    (tmp_path / "code/other/.git").mkdir(parents=True)
    (tmp_path / "code/other/z.py").write_text("z = 1")
    asked = GitIgnored()
    read = {each.path for each in find_candidates(str(project), Dropped(), asked=asked)}
    assert {"secret_keys.py", "out/app.py", "app.py"} <= read
    asked.say_refused()
    asked.say_refused()
    (said,) = caplog.messages
    assert (
        "git can't tell what it ignores" in said and str(project) in said and said.endswith("and of 1 more")
    )


def test_git_that_is_late_ends_the_build(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came of the rest would depend on how busy the machine is."""
    (project / ".gitignore").unlink()
    os.mkfifo(project / ".gitignore")
    monkeypatch.setattr(git_ignored, "ANSWER_SECONDS", 0.3)
    with pytest.raises(UserError, match=r"within 0\.3 s .*corpus_build\.git_ignored = true"):
        paths(project)


def test_a_build_says_what_was_left_out_and_can_read_it_all_the_same(
    tree: MakeTree, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    """The ignored copy of a tracked file no longer takes its place as the same code."""
    files = {f"src/m{n}.py": module(f"m{n}") for n in range(4)}
    root = tree({**files, ".gitignore": "build/\nkeys.py\n", "keys.py": module("k"),
                 **{name.replace("src", "build"): text for name, text in files.items()}})  # fmt: skip
    run(root, "init", "-q")
    manifest, corpus = build(root)
    kept = {document.path for split in ("train", "heldout") for document in corpus.documents(split)}
    assert kept == set(files)
    assert manifest.dropped == {"find": {FILE: 1, FOLDER: 1}} and "ignored by git (1)" in manifest.left_out()
    assert not caplog.messages
    again, _ = build(root)
    assert again == manifest
    whole, corpus = build(root, git_ignored=True)
    kept = {document.path for split in ("train", "heldout") for document in corpus.documents(split)}
    assert "keys.py" in kept and whole.dropped == {STEP: {"the same code": 4}}
    assert CorpusSettings(git_ignored=False) == CorpusSettings()
