"""Data sets of the hub by name: which of their files are read, from the hub or this machine's cache."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues.places import files_of_source
from codecascade.instruct.dialogues.reading import read_source
from codecascade.instruct.dialogues.settings import DialogueSource

LINE = json.dumps({"prompt": "a", "completion": "b"})


class Hub:
    """One data set, and the cache that downloads go to."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder, self.files, self.online = folder, files, True
        self.revision: str | None = ""

    def list_repo_files(self, name: str, *, repo_type: str, revision: str | None) -> list[str]:
        assert repo_type == "dataset"
        self.revision = revision
        if not self.online:
            raise OSError("no network here")
        if name != "owner/name":
            raise RuntimeError("404: no such data set")
        return list(self.files)

    def snapshot_download(
        self,
        name: str,
        *,
        repo_type: str,
        revision: str | None,
        allow_patterns: Sequence[str] | None = None,
        local_files_only: bool = False,
    ) -> str:
        assert repo_type == "dataset"
        if local_files_only:
            if not self.folder.exists():
                raise FileNotFoundError("nothing in the cache")
            return str(self.folder)
        for file in allow_patterns or ():
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / file).write_text(LINE + "\n")
        return str(self.folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path / "cache", ["README.md", "dataset_infos.json", "data/train.jsonl", "data/test.jsonl"])
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def names(hub: Hub, source: str, **changes: Any) -> list[str]:
    found = files_of_source(DialogueSource(source=source), **changes)
    return [str(Path(file).relative_to(hub.folder)) for file in found]


def test_the_training_split_is_read(hub: Hub) -> None:
    assert names(hub, "hub:owner/name") == ["data/train.jsonl"]
    assert len(read_source(DialogueSource(source="hub:owner/name")).table) == 1
    assert names(hub, "hub:owner/name/data/test*") == ["data/test.jsonl"]
    assert names(hub, "hub:owner/name/data") == ["data/test.jsonl", "data/train.jsonl"]


def test_a_revision_can_be_named(hub: Hub) -> None:
    names(hub, "hub:owner/name@v1.0/data/test*")
    assert hub.revision == "v1.0"
    names(hub, "hub:owner/name")
    assert hub.revision is None


def test_shards_are_one_part_and_several_parts_are_a_choice(hub: Hub) -> None:
    hub.files = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert names(hub, "hub:owner/name") == hub.files
    # The hub's own conversions have a hash of each file in its name.
    hub.files = [
        "data/train-00000-of-00002-a09b74b3ef9c3b56.parquet",
        "data/train-00001-of-00002-0123456789abcdef.parquet",
    ]
    assert names(hub, "hub:owner/name") == hub.files
    hub.files = ["data/train_sft-00000-of-00001.parquet", "data/train_gen-00000-of-00001.parquet"]
    with pytest.raises(
        UserError, match=r"several parts \(data/train_gen, data/train_sft\); name one, such as hub:"
    ):
        names(hub, "hub:owner/name")
    assert names(hub, "hub:owner/name/data/train_sft*") == ["data/train_sft-00000-of-00001.parquet"]


def test_without_the_hub_the_cache_is_read(hub: Hub) -> None:
    hub.online = False
    with pytest.raises(
        UserError, match=r"hub:owner/name: can't be fetched from the hub \(no network here\).*local copy"
    ):
        names(hub, "hub:owner/name")
    hub.online = True
    names(hub, "hub:owner/name")
    hub.online = False
    assert names(hub, "hub:owner/name") == ["data/train.jsonl"]
    assert names(hub, "hub:owner/name", offline=True) == ["data/train.jsonl"]


def test_what_is_not_there_is_named(hub: Hub) -> None:
    with pytest.raises(UserError, match=r"no such file; its files are data/test\.jsonl, data/train\.jsonl"):
        names(hub, "hub:owner/name/other.jsonl")
    hub.files = ["README.md"]
    with pytest.raises(UserError, match="no file in JSON lines, JSON or Parquet"):
        names(hub, "hub:owner/name")
    for source in ("hub:", "hub:owner", "hub:owner/"):
        with pytest.raises(UserError, match="must be hub:OWNER/NAME"):
            names(hub, source)
    with pytest.raises(UserError, match="404: no such data set"):
        names(hub, "hub:owner/absent")
