"""Under which id a service knows the training of a stage, so that a resumed one continues the same curve."""

from __future__ import annotations

import secrets
from pathlib import Path

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import write_json
from codecascade.ground.files.reading import read_json

IDS = "trackers.json"


def run_id(folder: Path, stage: str, tracker: str) -> str:
    """The id of a stage's training; the first call draws it and keeps it in ``folder/logs/trackers.json``.

    Another folder's run of the same recipe has another id, and a folder that was moved keeps its own.
    """
    path = folder / "logs" / IDS
    try:
        known = read_json(path) if path.exists() else {}
    except UserError:
        known = {}
    ids = known if isinstance(known, dict) else {}
    key = f"{tracker} {stage}"
    found = ids.get(key)
    if isinstance(found, str) and found:
        return found
    made = secrets.token_hex(8)
    write_json(path, {**ids, key: made})
    return made
