"""``results.json`` of an evaluation: one model's figures on every benchmark so far, and how they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.evaluation.running.versions import versions
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import write_json
from codecascade.ground.files.reading import read_json


def check_results_folder(folder: Path, model: str) -> None:
    """Refuse a folder whose ``results.json`` is not of this model.

    Raises:
        UserError: it has the results of another model, or something else.
    """
    path = folder / "results.json"
    if not path.exists():
        return
    content = read_json(path)
    models = list(content.get("models", {})) if isinstance(content, dict) else []
    if models != [model]:
        raise UserError(
            f"holds the results of {', '.join(models) or 'something else'}, not of {model}; choose another folder "
            "with -o (or the same name with --name)",
            file=path,
        )


def _is_readable(content: Any, model: str) -> bool:
    """Whether the content has the form that :func:`write_results` writes, as far as it is read again."""
    if not isinstance(content, dict):
        return False
    models, described = content.get("models", {}), content.get("benchmarks", {})
    return (
        isinstance(models, dict)
        and isinstance(models.get(model, {}), dict)
        and isinstance(described, dict)
        and all(isinstance(each, dict) and "seconds" in each for each in described.values())
    )


def write_results(
    folder: Path,
    model: str,
    results: Mapping[str, BenchmarkResult],
    *,
    about: Mapping[str, str],
    command: str,
) -> None:
    """Write ``results.json``. Benchmarks that earlier calls measured stay in it.

    It has ``models`` (the figures), ``cost`` and ``versions``. For a reader it has ``benchmarks`` (titles, settings,
    notes, numbers of tasks, the ``command`` that measured each first, ...), ``model`` (revision, precision, ...) and
    the last ``command``.
    """
    path = folder / "results.json"
    before = read_json(path) if path.exists() else {}
    if not _is_readable(before, model):
        raise UserError(
            "is damaged; delete it: it is written again from the benchmarks' own files", file=path
        )
    models = before.get("models", {}).get(model, {}) | {
        name: {metric: figure.to_json() for metric, figure in result.metrics.items()}
        for name, result in results.items()
    }
    described = before.get("benchmarks", {})
    benchmarks = described | {
        name: {
            **result.about,
            "notes": result.notes,
            "seconds": result.seconds,
            "command": described.get(name, {}).get("command") or command,
        }
        for name, result in results.items()
    }
    cost = {
        "evaluation_seconds": round(sum(each["seconds"] for each in benchmarks.values()), 2),
        "generated_tokens": sum(each.get("tokens", 0) for each in benchmarks.values()),
        "samples": sum(each.get("samples", 0) for each in benchmarks.values()),
    }
    write_json(
        path,
        {
            "models": {model: models},
            "cost": {model: cost},
            # The versions that measured the benchmarks of earlier calls stay.
            "versions": before.get("versions", {}) | versions(results),
            "model": dict(about),
            "benchmarks": benchmarks,
            "command": command,
        },
    )
