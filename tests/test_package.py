"""What is installed: the wheel holds the package as it stands here, its templates, compilers and recipes included."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

import codecascade

ROOT = Path(__file__).parent.parent
# What `python -m build` calls, without the isolated environment, which would have to be downloaded.
_BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    tree, out = folder / "tree", folder / "out"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "codecascade", tree / "codecascade", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", _BUILD, out], cwd=tree, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "codecascade").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert there == here
    kinds = {path.rpartition(".")[2] for path in there}
    assert {"py", "jinja", "toml", "java", "cs", "js", "typed"} <= kinds


def test_the_version_comes_from_one_place(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (info,) = tmp_path.glob("*.dist-info")
    assert PathDistribution(info).version == codecascade.__version__
    assert wheel.name.startswith(f"codecascade-{codecascade.__version__}-")


def test_what_the_wheel_holds_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    done = subprocess.run(
        [sys.executable, "-m", "codecascade", "plan", "code-llama-7b", "--tflops", "312"],
        cwd=elsewhere,
        env={"PATH": "", "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("code-llama-7b on 1 device")


def test_recipes_keep_their_old_path() -> None:
    assert (ROOT / "recipes").resolve() == ROOT / "codecascade" / "recipes"
    assert (ROOT / "recipes").is_symlink()
