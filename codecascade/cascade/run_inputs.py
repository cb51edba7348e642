"""Checksums of everything that a run reads: ``RUN/inputs.json``.

A recipe names a base, a corpus and files of dialogues. When a run is resumed a week later, there may be other
contents under these names. So checksums of the contents are stored when they are first used, and are compared
whenever the run is resumed. The same is done with the stages' models, because later stages start from them.

All bytes of the weights are hashed, because two models of the same shape have equal headers and sizes. That at most
doubles the time to load them. The shards of a corpus may be terabytes, so only their size, first megabyte and last
megabyte are hashed. A Parquet file ends with the sizes and value ranges of all its columns, so a change of text
changes the last megabyte.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from codecascade.cascade.run_folder import RunFolder
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.sources.addresses import address_stamp, is_remote
from codecascade.ground.diff import changed_values
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import content_digest, write_json
from codecascade.ground.files.reading import read_json
from codecascade.instruct.dialogues.places import files_of_source
from codecascade.instruct.dialogues.settings import DialogueSource
from codecascade.model.sources import files_of
from codecascade.training.checksums import Sums, changed_files, checksums

logger = logging.getLogger(__name__)

Content = dict[str, Any]


class _File(BaseModel):
    bytes: int


class _Split(BaseModel):
    documents: int
    bytes: int


class _Corpus(BaseModel):
    sources: list[str]
    settings: dict[str, Any]
    documents: dict[str, _Split]
    shards: dict[str, _File]


class _InputsFile(BaseModel):
    """The values of ``inputs.json`` that are used here. The file has others, which are only compared."""

    base: dict[str, dict[str, _File]] = {}
    corpus: dict[str, _Corpus] = {}
    dialogues: dict[str, dict[str, _File]] = {}
    models: dict[str, dict[str, _File]] = {}
    teacher: dict[str, dict[str, _File]] = {}


_NEW_FOLDER = "or start a new run in another folder with -o"
_OWN = "its own"
"""The name, in ``inputs.json``, of the corpus that the run has built."""


class RunInputs:
    """The checksums of one run's inputs. Only the first rank may use this.

    Each ``check_`` method compares an input with its stored checksums. If there are none yet, it stores them.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._file = run.inputs
        self._known = self._read()
        self._models: dict[str, Sums] = {}

    def check_base(self, name: str) -> Sums:
        """Compare the files of the base model; returns their checksums.

        Raises:
            UserError: they have changed since the run began.
        """
        folder, files = files_of(name)
        now = checksums(folder, files)
        self._compare("base", name, now, "put the old files back", changed_files)
        return now

    def check_corpus(self, corpus: Corpus) -> None:
        """Compare a corpus that stages are trained on. Raises as :meth:`check_base`."""
        name = _OWN if corpus.path == self._run.corpus else str(corpus.path)
        self._compare("corpus", name, _content_of(corpus), "put the old one back", _changed_corpus)

    def check_dialogues(self, source: DialogueSource) -> None:
        """Compare the files of a source of dialogues. Raises as :meth:`check_base`."""
        files = files_of_source(source)
        folder = os.path.commonpath([os.path.dirname(file) for file in files])
        local = [file for file in files if not is_remote(file)]
        now: Content = dict(checksums(Path(folder), [os.path.relpath(file, folder) for file in local]))
        now |= {file: {"bytes": 0, "stamp": address_stamp(file)} for file in files if is_remote(file)}
        name = os.path.expanduser(source.source)
        self._compare("dialogues", name, now, "put the old file back", changed_files)

    def check_teacher(self, name: str) -> None:
        """Compare the files of a model that is asked for dialogues. Raises as :meth:`check_base`."""
        folder, files = files_of(name)
        self._compare("teacher", name, checksums(folder, files), "put the old files back", changed_files)

    def check_model(self, stage: str) -> Sums:
        """Compare the model of a trained stage, before it is measured or trained further; returns its checksums.

        Raises:
            UserError: its files have changed since it was trained.
        """
        if stage not in self._models:
            folder = self._run.model(stage)
            now = _model_files(folder)
            before = self._known.get("models", {}).get(stage)
            if isinstance(before, dict) and (changes := changed_files(before, now)):
                raise UserError(
                    f"has changed since it was trained: {'; '.join(changes)}; put the old files back, or delete this "
                    "folder to train the stage again",
                    file=folder,
                )
            self._models[stage] = now
            self._write("models", stage, now)
        return self._models[stage]

    def record_model(self, stage: str) -> None:
        """Store the checksums of a stage's model, which has just been trained."""
        self._models[stage] = _model_files(self._run.model(stage))
        self._write("models", stage, self._models[stage])

    # ---- the file

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {}
        try:
            known: dict[str, Any] = read_json(self._file)
            _InputsFile.model_validate(known)
            return known
        except (UserError, ValidationError):
            pass
        logger.warning(
            "%s can't be read, so whether the base, the corpus or a model has changed since the run began is not "
            "known; a new file is begun",
            self._file,
        )
        return {}

    def _write(self, kind: str, name: str, content: Content) -> None:
        self._known.setdefault(kind, {})[name] = content
        write_json(self._file, self._known)

    def _compare(
        self,
        kind: str,
        name: str,
        now: Content,
        remedy: str,
        changes: Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]],
    ) -> None:
        before = self._known.get(kind, {}).get(name)
        if isinstance(before, dict):
            if changed := changes(before, now):
                shown = "" if name == _OWN else f" {name}"
                have = "have" if kind == "dialogues" else "has"
                raise UserError(
                    f"the {kind}{shown} {have} changed since this run began: {'; '.join(changed)}. "
                    f"To continue, {remedy}; {_NEW_FOLDER}",
                    file=self._run.path,
                )
        else:
            self._write(kind, name, now)


def _model_files(folder: Path) -> Sums:
    return checksums(*files_of(str(folder)))


def _content_of(corpus: Corpus) -> Content:
    manifest = corpus.manifest
    shards = sorted(corpus.path.glob("*/*.parquet"))
    return {
        "sources": manifest.sources,
        "settings": manifest.settings.model_dump(mode="json"),
        "documents": {
            name: {**split.total.model_dump(), "ids": split.fingerprint}
            for name, split in manifest.splits.items()
        },
        "shards": {
            str(shard.relative_to(corpus.path)): {
                "bytes": shard.stat().st_size,
                "ends": content_digest(shard),
            }
            for shard in shards
        },
    }


def _changed_corpus(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How two corpora differ, a phrase each; empty if the same documents are in the same files.

    Other sources or settings are only named if the documents differ too.
    """
    documents, shards = list(_changed_documents(before, now)), changed_files(before["shards"], now["shards"])
    if not documents:
        return shards
    found = list(documents)
    if before["sources"] != now["sources"]:
        found.append(f"sources {', '.join(before['sources'])}, now {', '.join(now['sources'])}")
    return [*found, *changed_values(before["settings"], now["settings"])]


def _changed_documents(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for split, old in before["documents"].items():
        new = now["documents"].get(split)
        if new == old:
            continue
        if new is None:
            yield f"{split} is missing"
        elif (new["documents"], new["bytes"]) == (old["documents"], old["bytes"]):
            yield f"{split} has other documents, though as many ({new['documents']:,})"
        else:
            yield (
                f"{split} had {old['documents']:,} documents ({old['bytes']:,} bytes), now {new['documents']:,} "
                f"({new['bytes']:,} bytes)"
            )
