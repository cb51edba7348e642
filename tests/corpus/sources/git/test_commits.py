"""Git repositories: whole, partial, damaged, and made to harm."""

from __future__ import annotations

import os
import subprocess
import time
import zlib
from pathlib import Path

import pytest
from git_repositories import commit_of, loose, run, store
from source_trees import Build, MakeTree, module

from codecascade.corpus.output.dropped import Dropped, by_step
from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.sources.find import find_candidates
from codecascade.corpus.sources.git import commits as git
from codecascade.corpus.sources.git import files as git_files
from codecascade.corpus.sources.git import objects as git_objects
from codecascade.ground.errors import UserError


def found(source: Path | str) -> tuple[dict[str, str], dict[str, int]]:
    """Texts by path, and what was left out."""
    dropped, contents = Dropped(), CandidateContents()
    texts = {c.path: contents.text(c, 1000) for c in find_candidates(str(source), dropped)}
    contents.close()
    return texts, by_step(dropped.table()).get("find", {})


def entry(mode: str, name: bytes, object_: str) -> bytes:
    return mode.encode() + b" " + name + b"\0" + bytes.fromhex(object_)


# ---- what is not all there


@pytest.mark.parametrize(
    ("name", "reason"),
    [("HEAD:a/x.py", "missing from the repository"), ("HEAD:a", "folder missing from the repository")],
)
def test_what_is_missing_is_counted_and_the_rest_is_read(repository: Path, name: str, reason: str) -> None:
    loose(repository, run(repository, "rev-parse", name)).unlink()
    assert found(f"{repository}@main") == ({"b/y.py": "y = 2", "z.py": "z = 3"}, {reason: 1})


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"nothing of the sort",
        zlib.compress(b"blob 5\0x"),
        zlib.compress(b"blob 1\0x = 1"),
        zlib.compress(b"blob 5\0x = 1")[:-6],
    ],
)
def test_a_damaged_object_is_counted_and_the_rest_is_read(repository: Path, damage: bytes) -> None:
    path = loose(repository, run(repository, "rev-parse", "HEAD:a/x.py"))
    path.chmod(0o600)
    path.write_bytes(damage)
    dropped, contents, texts, unreadable = Dropped(), CandidateContents(), [], 0
    for candidate in find_candidates(f"{repository}@main", dropped):
        try:
            texts.append(contents.text(candidate, 100))
        except UnreadableError:
            unreadable += 1
    assert texts == ["y = 2", "z = 3"] and unreadable + len(dropped.table()) == 1


def test_a_missing_blob_does_not_end_a_build(tree: MakeTree, build: Build) -> None:
    root = tree({f"m{n}.py": module(f"m{n}") for n in range(4)})
    run(root, "init", "-q")
    run(root, "add", "-A")
    run(root, "commit", "-qm", "one")
    loose(root, run(root, "rev-parse", "HEAD:m1.py")).unlink()
    manifest, _ = build(f"{root}@HEAD")
    assert manifest.total().documents == 3
    assert manifest.dropped["find"] == {"missing from the repository": 1}


@pytest.mark.parametrize(("form", "missing"), [("blob:none", 2), ("tree:0", None)])
def test_a_partial_clone_is_read_as_far_as_it_goes_and_fetches_nothing(
    repository: Path, tmp_path: Path, form: str, missing: int | None
) -> None:
    run(repository, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    run(tmp_path, "clone", "-q", "--no-checkout", f"--filter={form}", repository.as_uri(), str(clone))
    before = sorted((clone / ".git").rglob("*"))
    if missing is None:
        with pytest.raises(UserError, match="lacks the commit's folders"):
            found(f"{clone}@HEAD")
    else:
        store(clone, "blob", b"x = 1")
        before = sorted((clone / ".git").rglob("*"))
        assert found(f"{clone}@HEAD") == ({"a/x.py": "x = 1"}, {"missing from the repository": missing})
    assert sorted((clone / ".git").rglob("*")) == before


def test_shallow_clones_worktrees_submodules_and_the_longer_hash(repository: Path, tmp_path: Path) -> None:
    whole = {"a/x.py": "x = 1", "b/y.py": "y = 2", "z.py": "z = 3"}
    run(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "shallow")
    run(repository, "worktree", "add", "-q", str(tmp_path / "beside"), "-b", "other")
    run(tmp_path, "clone", "-q", "--shared", str(repository), "shared")
    for name in ("shallow", "beside", "shared"):
        assert found(f"{tmp_path / name}@HEAD") == (whole, {})
    run(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    run(repository, "commit", "-qm", "with a submodule")
    assert found(f"{repository}@main") == (whole, {"not a file": 1})
    longer = tmp_path / "longer"
    run(tmp_path, "init", "-q", "--object-format=sha256", str(longer))
    (longer / "q.py").write_text("q = 4")
    run(longer, "add", "-A")
    run(longer, "commit", "-qm", "one")
    assert found(f"{longer}@HEAD") == ({"q.py": "q = 4"}, {})


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q", "--bare", "empty.git")
    with pytest.raises(UserError, match="no revision 'HEAD'"):
        found(tmp_path / "empty.git")


# ---- what was made to harm


@pytest.mark.parametrize(
    "name", [b"/abs.py", b"..", b"a/../../b.py", b"//", b"/", b"C:\\x.py", b"\\\\host\\x.py"]
)
def test_names_that_lead_out_of_the_commit(repository: Path, name: bytes) -> None:
    blob = run(repository, "rev-parse", "HEAD:z.py")
    # a licence makes everything below look for the nearest one above
    made = store(
        repository,
        "tree",
        entry("100644", b"LICENSE", blob) + entry("100644", name, blob) + entry("100644", b"z.py", blob),
    )
    texts, dropped = found(f"{repository}@{commit_of(repository, made)}")
    assert texts == {"z.py": "z = 3"} and dropped == {"name leads out of the commit": 1}


@pytest.mark.parametrize(
    ("name", "path"), [(b"a//x.py", "a/x.py"), (b"./x.py", "x.py"), (b"a/./x.py", "a/x.py")]
)
def test_odd_names_are_put_right(repository: Path, name: bytes, path: str) -> None:
    made = store(repository, "tree", entry("100644", name, run(repository, "rev-parse", "HEAD:z.py")))
    assert found(f"{repository}@{commit_of(repository, made)}") == ({path: "z = 3"}, {})


def test_endless_trees_are_left(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of ten of a tree of ten of a tree of ten... is stored in a kilobyte."""
    blob = run(repository, "rev-parse", "HEAD:z.py")
    made = store(repository, "tree", b"".join(entry("100644", b"f%d.py" % n, blob) for n in range(10)))
    for _ in range(12):
        made = store(repository, "tree", b"".join(entry("40000", b"d%d" % n, made) for n in range(10)))
    monkeypatch.setattr(git, "MOST_MEMBERS", 2000)
    assert found(f"{repository}@{commit_of(repository, made)}") == ({}, {"commit expands beyond reason": 1})
    monkeypatch.setattr(git, "MOST_MEMBERS", 10**9)
    monkeypatch.setattr(git, "MOST_NAME_BYTES", 50_000)
    assert found(f"{repository}@{commit_of(repository, made)}") == ({}, {"commit expands beyond reason": 1})


def test_deep_trees_are_cut(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = store(repository, "tree", entry("100644", b"f.py", run(repository, "rev-parse", "HEAD:z.py")))
    for _ in range(2000):
        made = store(repository, "tree", entry("40000", b"d", made))
    assert found(f"{repository}@{commit_of(repository, made)}") == ({}, {"folders too deep": 1})


def test_content_beyond_reason(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file of zeros under many names."""
    monkeypatch.setattr(git, "FREE_BYTES", 100_000)
    monkeypatch.setattr(git, "MOST_EXPANSION", 10)
    blob = store(repository, "blob", b"0" * 50_000)
    few = store(repository, "tree", b"".join(entry("100644", b"f%d.txt" % n, blob) for n in range(2)))
    many = store(repository, "tree", b"".join(entry("100644", b"f%d.txt" % n, blob) for n in range(3)))
    dropped = Dropped()
    assert len(list(find_candidates(f"{repository}@{commit_of(repository, few)}", dropped))) == 2
    assert found(f"{repository}@{commit_of(repository, many)}") == ({}, {"commit expands beyond reason": 1})


def test_long_names(repository: Path) -> None:
    blob = run(repository, "rev-parse", "HEAD:z.py")
    made = store(
        repository, "tree", entry("100644", b"x" * 1_000_000 + b".py", blob) + entry("100644", b"y.py", blob)
    )
    assert found(f"{repository}@{commit_of(repository, made)}") == ({"y.py": "z = 3"}, {"name too long": 1})


@pytest.mark.parametrize(
    "damage", [b"100644 x.py", b"100644 x.py\0short", b"nothing", b"\0" * 40, b" \0" + b"1" * 20]
)
def test_damaged_trees(repository: Path, damage: bytes) -> None:
    blob = run(repository, "rev-parse", "HEAD:z.py")
    inner = store(repository, "tree", damage)
    made = store(repository, "tree", entry("40000", b"d", inner) + entry("100644", b"z.py", blob))
    assert found(f"{repository}@{commit_of(repository, made)}") == ({"z.py": "z = 3"}, {"folder damaged": 1})


@pytest.mark.parametrize("place", ["HEAD", "config", "packed-refs", "objects/info/alternates", "commondir"])
def test_a_pipe_in_the_repository_is_named_at_once(repository: Path, place: str) -> None:
    (repository / ".git" / place).unlink(missing_ok=True)
    os.mkfifo(repository / ".git" / place)
    with pytest.raises(UserError, match=f"holds {place}, which is a pipe"):
        found(f"{repository}@main")


@pytest.mark.parametrize(("name", "left"), [("HEAD:a/x.py", 2), ("HEAD:a", 2)])
def test_a_pipe_instead_of_an_object_is_never_opened(
    repository: Path, name: str, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = loose(repository, run(repository, "rev-parse", name))
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(git_objects, "ANSWER_SECONDS", 120)
    began = time.monotonic()
    texts, dropped = found(f"{repository}@main")
    assert len(texts) == left and sum(dropped.values()) == 1
    assert time.monotonic() - began < git_objects.ANSWER_SECONDS


def test_git_that_does_not_answer_is_left(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a pipe where nobody looked: in another repository's objects."""
    other = tmp_path / "other"
    run(tmp_path, "clone", "-q", "--shared", str(repository), str(other))
    paths = [loose(repository, run(repository, "rev-parse", f"HEAD:{name}")) for name in ("a/x.py", "b/y.py")]
    for path in paths:
        path.unlink()
        os.mkfifo(path)
    # On a busy machine a git that does answer may need a while to start.
    monkeypatch.setattr(git_objects, "ANSWER_SECONDS", 1.0)
    began = time.monotonic()
    assert found(f"{other}@HEAD")[0] == {}
    assert time.monotonic() - began < 60
    monkeypatch.setattr(git, "ANSWER_SECONDS", 0.4)
    commit_ = loose(repository, run(other, "rev-parse", "HEAD"))
    commit_.unlink()
    os.mkfifo(commit_)
    with pytest.raises(UserError, match=r"git does not answer within 0\.4 s"):
        found(f"{other}@HEAD")


def test_sparse_files_are_not_read(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(repository / ".git/HEAD", 10**11)
    with pytest.raises(UserError, match="HEAD of 100,000,000,000 bytes"):
        found(f"{repository}@main")


def test_many_files_in_the_repository_are_looked_at_up_to_a_number(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_files, "_MOST", 1)
    assert len(found(f"{repository}@main")[0]) == 3


def test_nothing_that_a_configuration_names_is_run(repository: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "filter.x.smudge",
                "filter.x.process", "diff.external", "core.gitProxy", "core.alternateRefsCommand",
                "credential.helper"):  # fmt: skip
        run(repository, "config", key, str(script))
    run(repository, "config", "extensions.partialClone", "origin")
    run(repository, "config", "remote.origin.promisor", "true")
    run(repository, "config", "remote.origin.url", f"ext::{script}")
    run(repository, "config", "protocol.ext.allow", "always")
    (repository / ".git/info/attributes").write_text("* filter=x\n")
    loose(
        repository,
        subprocess.run(
            ["git", "-C", repository, "rev-parse", "HEAD:z.py"], capture_output=True, text=True
        ).stdout.strip(),
    ).unlink()
    assert found(f"{repository}@main") == (
        {"a/x.py": "x = 1", "b/y.py": "y = 2"},
        {"missing from the repository": 1},
    )
    assert not mark.exists()


# ---- the processes


def test_the_folder_git_itself_and_a_revision_of_several_signs(repository: Path) -> None:
    (candidate, *_) = find_candidates(str(repository / ".git"), Dropped())
    assert candidate.repository == repository.name
    assert found(f"{repository}@main@{{0}}") == found(f"{repository}@main")


def test_a_folder_of_a_repository_at_a_revision(repository: Path) -> None:
    assert found(f"{repository}/a@main") == ({"x.py": "x = 1"}, {})
    (repository / "new").mkdir()
    with pytest.raises(UserError, match="this folder is not there at 'main'"):
        found(f"{repository}/new@main")
