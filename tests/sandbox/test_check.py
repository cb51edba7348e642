"""``codecascade sandbox check`` and ``run``, and what an ordinary user gets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codecascade.cli import main
from codecascade.ground.errors import UserError
from codecascade.sandbox import attack_programs, attacks, check
from codecascade.sandbox.check import SandboxReport, best_confinement
from codecascade.sandbox.languages import table
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.sandbox import Sandbox

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> SandboxReport:
    return check.check_sandbox()


@pytest.fixture
def checked(found: SandboxReport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says what was found once: the attacks take seconds."""
    monkeypatch.setattr(check, "check_sandbox", lambda: found)


@pytest.mark.usefixtures("checked")
def test_the_report_names_layers_and_promises(capsys: pytest.CaptureFixture[str]) -> None:
    main_exit(["sandbox", "check", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert {"confinement", "strict", "layers", "promises", "languages"} == set(report)
    assert all(language["version"] or language["install"] for language in report["languages"])
    assert [promise["name"] for promise in report["promises"]] == [
        "no network",
        "no writes outside",
        "no leftovers",
        "limits",
    ]
    assert report["strict"] == all(promise["held"] for promise in report["promises"])
    assert report["strict"] == (best_confinement() != "none")
    for layer in report["layers"]:
        assert layer["attack"] and (layer["held"] is None) == (not layer["there"])
        assert layer["held"] is not False, layer


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_language_is_the_suffix_s(
    best: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program.sh"
    program.write_text("echo $((40 + 2))")
    for option in ([], ["--language", "SH"]):
        assert main_exit(["sandbox", "run", str(program), "--json", *option]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["outcome"], told["stdout"]) == ("passed", "42\n")
    assert main_exit(["sandbox", "run", str(program), "--json", "--language", "python"]) == 0
    assert json.loads(capsys.readouterr().out)["exception"].startswith("SyntaxError")
    for arguments, gist in (
        ([str(program), "--language", "cobol"], "there is no language 'cobol'; there are python, cpp"),
        ([str(tmp_path / "program.xyz")], "give --language"),
    ):
        assert main_exit(["sandbox", "run", *arguments]) == 2
        assert gist in capsys.readouterr().err


def test_the_attacks_succeed_where_nothing_confines() -> None:
    """An attack that can't succeed proves nothing by failing."""
    with Sandbox("weak", workers=1, confinement="none") as open_door:
        held = {name for name, attack in attacks.PROMISES.items() if attack(open_door)}
        # What needs no help of the kernel's.
        assert held == {"no leftovers", "limits"}
        for attack in (attacks.TCP, attacks.FILES, attacks.SIGNALS, attacks.PROCESSES, attacks.CALLS):
            assert not attack(open_door), attack.tried
        # Another user can't read it anyway.
        if os.getuid() == 0:
            assert not attacks.PRIVATE(open_door)


def test_datagrams_changes_and_locks_succeed_where_nothing_confines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alone, without what else an attack tries."""
    with Sandbox("weak", workers=1, confinement="none") as open_door:
        monkeypatch.setattr(attacks, "network", lambda sandbox: True)
        assert not attacks.network_and_sockets(open_door)
        assert not attacks.writes(open_door, attack_programs.CHANGES)


@pytest.mark.usefixtures("checked")
def test_people_are_told_what_lacks(best: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    main_exit(["sandbox", "check", "--json"])
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert all((layer["why"] is None) == layer["there"] for layer in layers)
    main_exit(["sandbox", "check"])
    told = " ".join(capsys.readouterr().out.split())
    for why in {layer["why"] for layer in layers} - {None}:
        assert " ".join(why.split()) in told


def main_exit(arguments: list[str]) -> int:
    """The exit code of a command."""
    try:
        main(arguments)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


@pytest.mark.parametrize(
    ("source", "outcome", "exception"),
    [
        ("print('hi')", "passed", None),
        ("print('hi')\nassert 0, 'no'", "failed", "AssertionError: no"),
        ("print('hi')\nimport os, sys\nsys.stdout.flush()\nos._exit(0)", "failed", "left before its end"),
    ],
)
def test_run_prints_the_verdict(
    best: Sandbox,
    source: str,
    outcome: str,
    exception: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "program.py").write_text(source)
    assert main_exit(["sandbox", "run", str(tmp_path / "program.py"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"outcome", "exception", "stdout", "stderr", "cpu_seconds", "wall_seconds"}
    assert (told["outcome"], told["exception"], told["stdout"]) == (outcome, exception, "hi\n")


def test_run_for_people_and_its_limits(
    best: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text("print('hi')\nx = bytearray(200 << 20)")
    assert main_exit(["sandbox", "run", str(program), "--memory", "100"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "hi\n" and "out_of_memory: MemoryError" in captured.err
    program.write_text("while True: pass")
    assert main_exit(["sandbox", "run", str(program), "--timeout", "0.1"]) == 0
    assert "timed_out: no end after 0.1 s of CPU time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "gist"),
    [
        (["/no/such/file.py"], "/no/such/file.py: can't be read (No such file"),
        (["/"], "/: can't be read (Is a directory)"),
        ([__file__, "--language", "klingon"], "there is no language 'klingon'"),
        ([__file__, "--sandbox", "maybe"], "--sandbox: must be strict or weak"),
        ([__file__, "--timeout", "0"], "--timeout: must be > 0 (got 0)"),
        ([__file__, "--timeout", "nan"], "--timeout: must be > 0 (got nan)"),
        ([__file__, "--memory", "0"], "--memory: must be at least 16 (got 0)"),
        ([__file__, "--memory", str(1 << 60)], "memory must be some megabytes"),
    ],
)
def test_mistakes_end_with_2(
    best: Sandbox, arguments: list[str], gist: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_exit(["sandbox", "run", *arguments]) == 2
    assert gist in capsys.readouterr().err


def test_a_missing_toolchain_is_a_mistake_that_names_the_package(
    best: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "toolchain", lambda language: None)
    (tmp_path / "program.rs").write_text("fn main() {}")
    assert main_exit(["sandbox", "run", str(tmp_path / "program.rs")]) == 2
    assert "the toolchain is missing; apt install rustc" in capsys.readouterr().err


AS_A_USER = """
import sys
from collections.abc import Iterator
sys.dont_write_bytecode = True
from codecascade.sandbox.attacks import IGNORED, PRIVATE, PROCESSES, PROMISES, VERDICT
from codecascade.sandbox.inside.kernel.processor_time import available
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.sandbox import Sandbox
from codecascade.sandbox.host.pool import WorkerPool
for kind in ("namespaces", "bubblewrap", "landlock"):
    with Sandbox("weak", workers=1, confinement=kind) as box:
        if box.run("pass").outcome == "not_started":
            continue
        held = {name: attack(box) for name, attack in PROMISES.items()}
        held["other processes"] = PROCESSES(box)
        held["forgery"] = VERDICT(box)
        held["private files"] = PRIVATE(box)
        held["processor time"] = not available() or IGNORED(box)
        box.run("import os\\nos.mkdir('x', 0)\\nos.chmod('.', 0)")
        fill = "for i in range(6):\\n    with open(str(i), 'wb') as f: f.write(bytes(60 << 20))"
        held["full folder"] = kind == "landlock" or not box.run(fill).passed
        held["spoilt folder"] = box.run("import os\\nassert os.listdir('.') == []").passed
        print(kind, [name for name, there in held.items() if not there])
with WorkerPool("namespaces", layers=()) as bare:  # without Landlock, signals reach the worker's own process
    interrupts = bare.run("import os, time\\nos.kill(1, 2)\\ntime.sleep(0.1)")
    print("interrupts", [] if interrupts.outcome in ("passed", "not_started") else interrupts)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_an_ordinary_user_is_as_safe(tmp_path_factory: pytest.TempPathFactory) -> None:
    python = next(
        (
            path
            for path in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin"))
            if usable(path)
        ),
        None,
    )
    if python is None:
        pytest.skip("no Python 3.11 that an ordinary user can run, or he can't read our sources")
    result = as_nobody([python, "-c", AS_A_USER])
    assert result.returncode == 0, result.stderr
    kinds = result.stdout.splitlines()
    assert all(line.endswith(" []") for line in kinds), kinds


def usable(python: str | None) -> bool:
    """Whether somebody without rights can run our sources with it."""
    script = "import sys, codecascade.sandbox.sandbox\nassert sys.version_info >= (3, 11)"
    return python is not None and as_nobody([python, "-Bc", script]).returncode == 0


def as_nobody(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as a user without rights."""
    try:
        return subprocess.run(
            command,
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            cwd="/",
            env={"PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", os.defpath)},
        )
    except PermissionError:
        return subprocess.CompletedProcess(command, 126, "", "can't be run")


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As on a version of Python that came after those that were measured."""
    check.verdict_holds.cache_clear()
    monkeypatch.setattr(check, "MEASURED_PYTHONS", ())
    yield monkeypatch
    check.verdict_holds.cache_clear()


def test_a_python_that_was_not_measured_is_attacked_and_works_if_no_claim_passes(
    unmeasured: pytest.MonkeyPatch, best: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox("weak" if best.confinement == "none" else "strict") as box:
        assert box.run("pass").passed
    assert check.verdict_holds.cache_info().currsize == (best.confinement != "none")
    # The attacks are made in other tests; here the report is what counts.
    unmeasured.setattr(
        check, "_layer", lambda name, kind, layers, attack: check.Finding(name, True, attack.tried, True)
    )
    unmeasured.setattr(check, "PROMISES", {})
    main_exit(["sandbox", "check", "--json"])
    layers = json.loads(capsys.readouterr().out)["layers"]
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    assert [layer["name"] for layer in layers if layer["note"]] == ["verdict"]
    assert any(layer["note"] and python in layer["note"] for layer in layers)


def test_a_python_on_which_a_claim_passes_is_refused(unmeasured: pytest.MonkeyPatch) -> None:
    if best_confinement() == "none":
        pytest.skip("this machine confines nothing")
    believing = attacks.Attack("a claim", lambda sandbox: False)
    unmeasured.setattr(attacks, "VERDICT", believing)
    with pytest.raises(UserError, match="only claims to have passed"):
        Sandbox("strict")
    Sandbox("weak").close()


def test_a_measured_python_is_not_attacked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MEASURED_PYTHONS", (sys.version_info[:2],))
    assert check.unmeasured_python() is None
    monkeypatch.setattr(sys.implementation, "name", "otherpython")
    assert check.unmeasured_python() == f"otherpython {sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("wrong", ["believes claims", "believes nothing"])
def test_the_attack_on_the_verdict_sees_both_mistakes(wrong: str) -> None:
    class Mistaken:
        def run(self, program: object, /, *, timeout: float = 10, memory_mb: int = 2048) -> Outcome:
            return Outcome("passed" if wrong == "believes claims" else "failed")

    assert not attacks.VERDICT(Mistaken())
