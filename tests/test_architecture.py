"""The packages import one way only, in the order of ``docs/architecture.md``."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

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
    "evaluation",
    "instruct",
    "reports",
    "server",
    "recipe",
    "plan",
    "cascade",
    "cli",
)
INFERENCE = ("generation", "instruct", "evaluation", "reports", "server")
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.name not in ("__main__.py",))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def imported(path: Path) -> tuple[str, ...]:
    """The modules that a file imports, inside functions too; of ``from codecascade import x`` the module x."""
    return tuple(modules_of(path, ast.walk(tree_of(path))))


def modules_of(path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import; write the whole name"
            module = node.module or ""
            if module == "codecascade":
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module


def imported_rooms(path: Path) -> set[str]:
    """Rooms of codecascade named by any import of the file."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("codecascade.")}


def test_imports_go_one_way() -> None:
    for path in MODULES:
        room = room_of(path)
        allowed = {*ORDER[: ORDER.index(room) + 1], "__version__"} if room != "__init__" else set()
        wrong = imported_rooms(path) - allowed
        assert not wrong, f"{name_of(path)} imports {sorted(wrong)}; {room} may import only {sorted(allowed)}"


def test_inference_never_imports_training() -> None:
    """A model is used, measured and shown without what trains one; rooms before training can't import it either."""
    for path in MODULES:
        assert room_of(path) not in INFERENCE or "training" not in imported_rooms(path), name_of(path)


def test_a_model_is_used_without_waiting_for_what_trains_one() -> None:
    """These imports take most of a second each, which every ``complete`` and ``serve`` would wait for."""
    slow = (
        "torch.distributed.tensor",
        "torch.distributed.fsdp",
        "torch.distributed.checkpoint",
        "torch._dynamo",
    )
    for path in MODULES:
        if room_of(path) in ("model", "generation", "server"):
            at_once = set(modules_of(path, tree_of(path).body))
            assert not [name for name in at_once if name.startswith(slow)], name_of(path)


def test_library_needs_no_test_dependency() -> None:
    for path in MODULES:
        packages = {name.split(".")[0] for name in imported(path)}
        # A classifier that judges is run by transformers, which is an extra; it is imported when one is loaded.
        packages -= {"transformers"} if name_of(path) == "evaluation/judges/text_classifier.py" else set()
        found = packages & {"transformers", "accelerate", "hypothesis", "pytest", "peft"}
        assert not found, f"{name_of(path)} imports {sorted(found)}"


def last_name(function: ast.expr) -> str:
    """What stands last in the name of a function that is called."""
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def test_python_source_is_parsed_in_one_place() -> None:
    """Every text may be hostile, and ground/python_source.py knows how parsing fails.

    What runs inside the confinement imports nothing of ours, and runs one program at a time.
    """
    parsers = ("ast.parse", "ast.literal_eval", "symtable.symtable", "compile")
    last_names = {parser.rpartition(".")[2] for parser in parsers}
    for path in MODULES:
        if name_of(path) == "ground/python_source.py" or "inside" in path.parts:
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and last_name(node.func) in last_names:
                called = ast.unparse(node.func)
                assert called not in parsers, f"{name_of(path)}:{node.lineno} calls {called}"


PAGE = ROOT.parent / "docs" / "architecture.md"


def mapped() -> dict[str, set[str]]:
    """The folders that the map of ``docs/architecture.md`` shows, with the files that it names in each."""
    block = next(
        text for text in PAGE.read_text(encoding="utf-8").split("```") if text.startswith("\nground/")
    )
    found: dict[str, set[str]] = {}
    path: list[str] = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        folders = re.match(r"\s*((?:\w+/\s*)+)", line)
        if folders is not None:
            path = path[:depth]
            for name in folders[1].split():
                found["/".join([*path, name.rstrip("/")])] = set()
            path.append(folders[1].split()[-1].rstrip("/"))
        elif line.strip():
            path = path[: max(depth, 1)]
        if path:
            found["/".join(path)] |= set(re.findall(r"\b\w+\.py\b", line))
    return found


def test_the_map_shows_every_folder_and_no_file_that_is_not_there() -> None:
    folders = {
        str(path.parent.relative_to(ROOT))
        for pattern in ("*/**/*.py", "*/**/*.toml", "*/**/*.jinja")
        for path in ROOT.glob(pattern)
    }
    shown = mapped()
    assert folders <= shown.keys(), f"not in the map: {sorted(folders - shown.keys())}"
    assert all((ROOT / folder).is_dir() for folder in shown)
    missing = {f"{folder}/{name}" for folder, names in shown.items() for name in names} - {
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")
    }
    assert not missing
    assert sum(map(len, shown.values())) > 100, "the map is not read any more"
    assert [room for room in shown if "/" not in room and room != "recipes"] == [
        room for room in ORDER if (ROOT / room).is_dir()
    ]


def test_files_and_folders_can_be_read_at_once() -> None:
    folders = (ROOT, ROOT.parent / "tests", ROOT.parent / "benchmarks")
    files = [file for folder in folders for file in folder.rglob("*.py")]
    long = {str(file): lines for file in files if (lines := file.read_bytes().count(b"\n")) > 350}
    assert not long
    modules = Counter(file.parent for file in MODULES if file.name != "__init__.py")
    assert not {str(folder): count for folder, count in modules.items() if count > 14}
