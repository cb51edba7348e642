"""The packages import one way only, in the order of ``docs/architecture.md``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import codecascade

ROOT = Path(codecascade.__file__).parent
ORDER = (
    "ground",
    "tokens",
    "model",
    "sandbox",
    "corpus",
    "training",
    "generation",
    "instruct",
    "evaluation",
    "reports",
    "server",
    "recipe",
    "plan",
    "cascade",
    "cli",
)
INFERENCE = ("generation", "instruct", "evaluation", "reports", "server")
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.name not in ("__main__.py",))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of codecascade named by any import of the file, those inside functions included."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            module = node.module or ""
            names = (
                [f"{module}.{alias.name}" for alias in node.names] if module == "codecascade" else [module]
            )
        rooms |= {name.split(".")[1] for name in names if name.startswith("codecascade.")}
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert not imported_rooms(path)
        return
    allowed = {*ORDER[: ORDER.index(room) + 1], "__version__"}
    assert imported_rooms(path) <= allowed, f"{room} may import only {sorted(allowed)}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room_of(path) in INFERENCE],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_inference_never_imports_training(path: Path) -> None:
    """A model is used, measured and shown without what trains one; rooms before training can't import it either."""
    assert "training" not in imported_rooms(path)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_library_needs_no_test_dependency(path: Path) -> None:
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not names & {"transformers", "accelerate", "hypothesis", "pytest", "peft"}
