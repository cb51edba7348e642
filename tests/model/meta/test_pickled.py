"""Files of torch.save: tensors by name, and nothing else is carried out or made of them."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from codecascade.ground.errors import UserError
from codecascade.model.meta.pickled import read_pickled_tensors


class Runs:
    """Unpickled, it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


class Allocates:
    def __reduce__(self) -> Any:
        return bytearray, (10**11,)


def archive(path: Path, program: bytes, *, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", program)
        file.writestr("archive/version", b"3\n")
        file.writestr("archive/byteorder", b"little")
    return path


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_calls_something_is_refused(protocol: int, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    for thing, called in ((Runs(f"touch {proof}"), "system"), (Allocates(), "bytearray")):
        path = archive(tmp_path / "m.pth", pickle.dumps({"norm.weight": thing}, protocol))
        with pytest.raises(UserError, match=f"m.pth: would call .*({called}|STACK_GLOBAL)") as caught:
            read_pickled_tensors(path)
        assert "not opened" in str(caught.value)
    # outside of an archive
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Runs(f"touch {proof}"), protocol))
    with pytest.raises(UserError, match=r"is not a whole file of torch\.save"):
        read_pickled_tensors(tmp_path / "bare.pth")
    assert not proof.exists()


def expanded(path: Path, shape: tuple[int, ...], strides: tuple[int, ...]) -> Path:
    torch.save({"norm.weight": torch.ones(4).as_strided(shape, strides)}, path)
    return path


def test_a_small_file_is_no_large_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no dense tensor"):
        read_pickled_tensors(expanded(tmp_path / "m.pth", (2**20, 2**20), (0, 0)))
    one = torch.ones(10_000)
    torch.save({f"layers.{number}.norm.weight": one for number in range(100)}, tmp_path / "m.pth")
    with pytest.raises(UserError, match="less than its tensors would take"):
        read_pickled_tensors(tmp_path / "m.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.ones(3)], "must hold tensors by name"),
        ({"a": 5}, "must hold tensors by name"),
        ({5: torch.ones(3)}, "must hold tensors by name"),
        ({"a": torch.ones(3, dtype=torch.int64)}, "would call 'torch LongStorage'"),
        ({"a": torch.ones(3, 3).to_sparse()}, "would call"),
        ({"a": torch.ones(3, 4).T}, "no dense tensor"),
    ],
)
def test_what_is_no_tensor_is_refused(content: Any, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(UserError, match=words):
        read_pickled_tensors(tmp_path / "m.pth")


def test_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"norm.weight": torch.ones(1000)}, path)
    whole = path.read_bytes()
    assert torch.equal(read_pickled_tensors(path)["norm.weight"], torch.ones(1000))
    for data in (
        b"",
        b"PK",
        whole[:-100],
        whole[:500],
        b"\0" * 5000,
        whole.replace(b"norm.weight", b"norm.w\x80ight"),
    ):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"m\.pth: "):
            read_pickled_tensors(path)
    archive(path, pickle.dumps({}, 2) + bytes(10**7), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="compressed"):
        read_pickled_tensors(path)
    archive(path, pickle.dumps({}, 2) + bytes(10**7))
    with pytest.raises(UserError, match="a pickle of more than"):
        read_pickled_tensors(path)
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises(UserError, match="pipe"):
        read_pickled_tensors(path)
