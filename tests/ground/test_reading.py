"""Files that somebody else wrote are read whole, or refused with a sentence; never waited for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hostile import limited

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import open_regular, read_bytes, read_json, read_object, read_text


def test_what_is_there_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbf{}")
    (tmp_path / "link").symlink_to("a")
    assert read_bytes(tmp_path / "link", 5) == b"\xef\xbb\xbf{}"
    assert read_text(path) == "{}" and read_json(path) == read_object(path, 5) == {}
    with open_regular(path) as file:
        assert file.read() == b"\xef\xbb\xbf{}"
    with pytest.raises(UserError, match="a: is larger than 4 bytes"):
        read_bytes(path, 4)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with limited(5), pytest.raises(UserError, match="is a pipe, a socket or a device"):
        read_json(tmp_path / "a")


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/proc/self/mem"])
def test_devices_are_no_files(name: str) -> None:
    with limited(5), pytest.raises(UserError):
        read_json(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("{}")
    (tmp_path / "a").chmod(0)
    with pytest.raises(UserError, match="can't be opened"):
        read_json(tmp_path / "a")


@pytest.mark.parametrize("name", ["x" * 5000, "a/b", "absent"])
def test_names_of_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_text("{}")
    with pytest.raises(UserError):
        read_json(tmp_path / name)


@pytest.mark.parametrize("levels", [64, 65])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_depth(tmp_path: Path, levels: int, pair: tuple[str, str]) -> None:
    inner = "[]" if pair[0] == "[" else "{}"
    (tmp_path / "a").write_text(pair[0] * (levels - 1) + inner + pair[1] * (levels - 1))
    if levels == 64:
        assert read_json(tmp_path / "a")
    else:
        with pytest.raises(UserError, match="more than 64 levels"):
            read_json(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "value"), [('{"a": 1, "a": 2}', {"a": 2}), ('{"a": 1e999}', {"a": float("inf")}), ("7", 7)]
)
def test_json_as_everywhere(tmp_path: Path, content: str, value: Any) -> None:
    (tmp_path / "a").write_text(content)
    assert read_json(tmp_path / "a") == value


@pytest.mark.parametrize("content", ['{"a": "\\ud800"}', '{"\\udc00": 1}', "[]", "7"])
def test_objects_can_be_written_again(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content)
    with pytest.raises(UserError, match=r"must hold an object|surrogate"):
        read_object(tmp_path / "a", 100)
