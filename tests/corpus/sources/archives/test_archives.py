"""Archives and commits: packages as repositories, and archives that were made to harm."""

from __future__ import annotations

import io
import json
import os
import posixpath
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from found_candidates import MIT, found
from hypothesis import example, given
from hypothesis import strategies as st
from source_trees import Build, MakeTree, module

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.sources.archives import archives, members
from codecascade.corpus.sources.archives.members import Member, member_candidates, plain_members, plain_path
from codecascade.corpus.sources.candidates import Origin


def tar(path: Path, files: dict[str, str | bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_wheel(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "some_thing-2.0-py3-none-any.whl",
        {
            "some_thing/__init__.py": "a = 1",
            "some_thing/run": "#!/bin/sh\necho",
            "some_thing/vendor/COPYING": "GNU GENERAL PUBLIC LICENSE Version 3",
            "some_thing/vendor/v.py": "v = 1",
            "some_thing/node_modules/x.js": "x",
            "some_thing-2.0.dist-info/METADATA": "Name: Some_Thing\nVersion: 2.0\nLicense-Expression: MIT\n\nText",
        },
    )
    candidates, dropped = found(path)
    licences = {name: c.license for name, c in candidates.items()}
    assert licences == {
        "some-thing:some_thing/__init__.py": "MIT",
        "some-thing:some_thing/run": "MIT",
        "some-thing:some_thing/vendor/v.py": "GPL-3.0-only",
    }
    assert dropped == {}
    one = candidates["some-thing:some_thing/__init__.py"]
    assert (one.revision, one.own, CandidateContents().text(one, 100)) == ("2.0", False, "a = 1")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_source_distribution_in_every_compression(tmp_path: Path, mode: str) -> None:
    files = {"thing-1.0/PKG-INFO": "Name: thing\nVersion: 1.0\nLicense: Apache 2.0\n"}
    files |= {f"thing-1.0/src/m{n}.py": f"x = {n}" for n in range(5)}
    path = tar(tmp_path / f"thing-1.0.tar.{mode[2:] or 'raw'}".replace(".raw", ""), files, mode)
    candidates, _ = found(path)
    assert {name: c.license for name, c in candidates.items()} == {
        f"thing:src/m{n}.py": "Apache-2.0" for n in range(5)
    }
    contents = CandidateContents()
    ordered = list(candidates.values())
    assert [contents.text(ordered[n], 100) for n in (0, 3, 1, 4)] == ["x = 0", "x = 3", "x = 1", "x = 4"]


def test_an_npm_tarball(tmp_path: Path) -> None:
    package = json.dumps({"name": "@scope/lib", "version": "3.1.4", "license": "mit"})
    path = tar(tmp_path / "scope-lib-3.1.4.tgz", {"package/package.json": package, "package/index.js": "x()"})
    candidates, dropped = found(path)
    one = candidates["@scope/lib:index.js"]
    assert (one.license, one.revision, one.language) == ("MIT", "3.1.4", "javascript")
    assert dropped == {"not a known language": 1}


def test_an_archive_without_metadata_is_named_by_its_file(tmp_path: Path) -> None:
    path = tar(tmp_path / "redis_7.0.orig.tar.gz", {"redis-7/COPYING": MIT, "redis-7/src/a.c": "int a;"})
    candidates, _ = found(path)
    assert {name: c.license for name, c in candidates.items()} == {"redis_7.0.orig:src/a.c": "MIT"}


def test_names_that_lead_out_are_left_out(tmp_path: Path) -> None:
    names = {
        "../evil.py": "x",
        "/etc/evil.py": "x",
        "a/../../evil.py": "x",
        "a\\..\\..\\evil.py": "x",
        "a/good.py": "x",
    }
    for path in (zipped(tmp_path / "z.zip", names), tar(tmp_path / "t.tar.gz", dict(names))):
        candidates, dropped = found(path)
        assert set(candidates) == {f"{path.name.partition('.')[0]}:good.py"}
        assert dropped == {"name leads out of the archive": 4}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.tar.gz", "z.zip"]


ODD_NAMES = [
    "top//x.py",
    "top/./x.py",
    "top///a//x.py",
    "./top/x.py",
    "top/\\\\x.py",
    "top/a/.//x.py",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_put_right(tmp_path: Path, name: str) -> None:
    """A licence in the same tree makes each look for the nearest one above it."""
    files = {"top/LICENSE": MIT, name: "x = 1", "top/sound.py": "y = 2"}
    for path in (zipped(tmp_path / "z.zip", files), tar(tmp_path / "t.tar.gz", dict(files))):
        candidates, dropped = found(path)
        paths = [c.path for c in candidates.values()]
        assert "sound.py" in paths and len(paths) + sum(dropped.values()) == 2
        assert not any(part in ("", ".", "..") for each in paths for part in each.split("/"))
        assert all(c.license == "MIT" for c in candidates.values())


@pytest.mark.parametrize(
    "name", ["/", "//", "///x.py", "//x.py", "a/..", "..", "C:x.py", "\\\\host\\x.py", "../" * 500 + "x.py"]
)
def test_names_that_are_no_paths_are_left_out(tmp_path: Path, name: str) -> None:
    files = {"top/LICENSE": MIT, name: "x = 1", "top/sound.py": "y = 2"}
    for path in (zipped(tmp_path / "z.zip", files), tar(tmp_path / "t.tar.gz", dict(files))):
        candidates, _ = found(path)
        assert [c.path for c in candidates.values()] in (["sound.py"], ["top/sound.py"])


@example(names=["./\\", "./C:\\"])
@given(st.lists(st.text("ab/.\\:\0", min_size=1, max_size=12), min_size=1, max_size=4))
def test_names_of_any_kind_make_plain_paths(names: list[str]) -> None:
    everything = [
        Member(name, 1, "", "", bytes) for each in names for name in (each, f"{each}/x.py", f"{each}/LICENSE")
    ]
    dropped = Dropped()
    origin = Origin("r", "", "MIT", own=False)
    kept = plain_members(everything, dropped, "r")
    assert len(kept) + len(dropped.table()) == len(everything)
    for candidate in member_candidates(kept, origin, "zip", "z.zip", dropped):
        assert candidate.path == plain_path(candidate.path) and not posixpath.isabs(candidate.path)


def test_names_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "/".join("d" * 90 for _ in range(60)) + "/x.py"
    path = zipped(tmp_path / "z.zip", {long: "x", "/".join("d" * 300) + "/x.py": "x", "a/y.py": "y"})
    assert found(path)[1] == {"name too long": 2}
    monkeypatch.setattr(members, "MOST_NAME_BYTES", 4000)
    assert found(path) == ({}, {"archive expands beyond reason": 1})


def test_links_and_devices_in_archives(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as archive:
        for name, kind in {
            "a/l.py": tarfile.SYMTYPE,
            "a/h.py": tarfile.LNKTYPE,
            "a/p.py": tarfile.FIFOTYPE,
        }.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert found(tmp_path / "t.tar.gz") == ({}, {"link": 2, "not a file": 1})
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as zip_archive:
        info_ = zipfile.ZipInfo("a/l.py")
        info_.external_attr = (stat.S_IFLNK | 0o777) << 16
        zip_archive.writestr(info_, "/etc/passwd")
    assert found(tmp_path / "z.zip") == ({}, {"link": 1})


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 100_000)
    large = "\n" * 3_000_000
    for path in (zipped(tmp_path / "z.zip", {"a.py": large}), tar(tmp_path / "t.tar.gz", {"a.py": large})):
        assert found(path) == ({}, {"archive expands beyond reason": 1})
    monkeypatch.setattr(archives, "MOST_MEMBERS", 5)
    many = {f"{n}.py": "x" for n in range(10)}
    for path in (zipped(tmp_path / "z.zip", many), tar(tmp_path / "t.tar.gz", dict(many))):
        assert found(path) == ({}, {"archive expands beyond reason": 1})


def test_a_member_longer_than_the_archive_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", {"a.py": "x = 1\n" * 100, "b.py": "y"})
    (candidate, *_) = found(path)[0].values()
    with pytest.raises(UnreadableError, match="longer"):
        CandidateContents().text(candidate, 50)


@pytest.mark.parametrize(
    "name", ["z.zip", "w.whl", "t.tar.gz", "t.tar.xz", "t.tar.bz2", "t.tar", "t.tar.zst", "t.tgz"]
)
@pytest.mark.parametrize(
    "content", [b"", b"nothing of the sort" * 50, b"\x1f\x8b\x08\0\0\0\0\0\0\0cut", b"PK\3\4broken"]
)
def test_broken_archives_are_counted(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    candidates, dropped = found(tmp_path / name)
    assert candidates == {} and (not dropped or all("damaged" in reason for reason in dropped))


def test_archives_cut_in_half_give_what_is_whole(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"a/{n}.py": os.urandom(3000).hex() for n in range(40)}
    path = tar(tmp_path / "t.tar.gz", files)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    candidates, dropped = found(path)
    assert candidates == {} and "damaged archive" in next(iter(dropped))
    whole = tar(tmp_path / "u.tar.gz", files)
    candidates, _ = found(whole)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    contents, read = CandidateContents(), []
    for candidate in candidates.values():
        try:
            read.append(contents.text(candidate, 10_000))
        except UnreadableError as error:
            assert str(error) == "damaged or encrypted"
    assert 0 < len(read) < 40 and read == list(files.values())[: len(read)]


def test_a_zip_whose_content_is_damaged(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", {"a.py": "x = 1\n" * 200})
    data = bytearray(path.read_bytes())
    data[45] ^= 0xFF
    path.write_bytes(bytes(data))
    for candidate in found(path)[0].values():
        with pytest.raises(UnreadableError, match="damaged"):
            CandidateContents().text(candidate, 10_000)


def test_licences_of_archives_are_filtered_those_of_folders_are_not(
    tree: MakeTree, build: Build, tmp_path: Path
) -> None:
    gpl = "GNU GENERAL PUBLIC LICENSE Version 3"
    root = tree({"r1/COPYING": gpl, "r1/a.py": module("a"), "r2/b.py": module("b")})
    archive = tar(
        tmp_path / "mixed.tar.gz",
        {
            "m/COPYING": gpl,
            "m/c.py": module("c"),
            "m/free/LICENSE": MIT,
            "m/free/d.py": module("d"),
            "m/free/e.py": "# SPDX-License-Identifier: LGPL-2.1-or-later\n" + module("e"),
        },
    )
    manifest, corpus = build(root, archive)
    paths = sorted(d.path for split in ("train", "heldout") for d in corpus.documents(split))  # type: ignore[arg-type]
    assert paths == ["a.py", "b.py", "free/d.py"]
    assert manifest.dropped["choose"] == {"licence GPL-3.0-only": 1}
    assert manifest.dropped["read"] == {"licence LGPL-2.1-or-later": 1}


def test_compressed_archives_end_to_end(build: Build, tmp_path: Path) -> None:
    """Both readers through a whole build, in several batches."""
    for number in range(3):
        tar(
            tmp_path / f"lib{number}-1.tar.gz",
            {f"lib/m{n}.py": module(f"l{number}m{n}") for n in range(6)} | {"lib/LICENSE": MIT},
        )
    zipped(tmp_path / "wheel-1.whl", {"w/LICENSE": MIT} | {f"w/m{n}.py": module(f"w{n}") for n in range(6)})
    manifest, _ = build(*sorted(tmp_path.glob("*-1.*")))
    assert manifest.total().documents == 24 and set(manifest.licenses()) == {"MIT"}


def test_zstd_is_read(tmp_path: Path) -> None:
    import pyarrow as pa

    plain = tar(tmp_path / "t.tar", {"t/a.py": "a = 1"}, "w").read_bytes()
    (tmp_path / "t.tar.zst").write_bytes(pa.compress(plain, "zstd", asbytes=True))
    candidates, dropped = found(tmp_path / "t.tar.zst")
    assert [CandidateContents().text(c, 100) for c in candidates.values()] == ["a = 1"] and dropped == {}


def test_folders_of_a_zip_file_by_windows_own_sign(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as file:
        for name in ("pkg\\sub\\a.py", "pkg\\node_modules\\b.py", "pkg\\..\\..\\c.py"):
            file.writestr(name, "x = 1\n")
        file.writestr("pkg\\LICENSE", "MIT License")
    candidates, dropped = found(tmp_path / "w.zip")
    assert {path: candidate.license for path, candidate in candidates.items()} == {"w:sub/a.py": "MIT"}
    assert dropped == {"name leads out of the archive": 1}


def test_a_member_compressed_in_a_way_of_its_own(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.py", "x = 1\n")
    data = (tmp_path / "m.zip").read_bytes()
    entry = data.index(b"PK\x01\x02")
    data = data[:8] + b"\x62" + data[9 : entry + 10] + b"\x62" + data[entry + 11 :]
    (tmp_path / "m.zip").write_bytes(data)
    (candidate,) = found(tmp_path / "m.zip")[0].values()
    with pytest.raises(UnreadableError, match="compressed in a way that is not supported"):
        CandidateContents().text(candidate, 1000)


@pytest.mark.parametrize("damage", [b"\xff" * 512, bytes(100) + b"\xff" * 412, b"cut"])
def test_a_damaged_header_does_not_pass_for_the_end_of_a_tar_file(tmp_path: Path, damage: bytes) -> None:
    data = tar(tmp_path / "t.tar", {f"d/{n}.py": "x = 1\n" for n in range(9)}, "w:").read_bytes()
    place = 1024 * 4
    cut = damage == b"cut"
    (tmp_path / "t.tar").write_bytes(
        data[: place + 100] if cut else data[:place] + damage + data[place + 512 :]
    )
    assert found(tmp_path / "t.tar") == ({}, {"damaged archive (ReadError)": 1})
    (tmp_path / "t.tar").write_bytes(data[:place])
    assert len(found(tmp_path / "t.tar")[0]) == 4
