"""Commands (compilers, runtimes) and services (compilers that stay)."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command
from codecascade.sandbox.sandbox import Sandbox


def shell(script: str, **options: object) -> Command:
    """A command that runs a shell script."""
    return Command(("sh", "-c", script), **options)  # type: ignore[arg-type]


def test_a_command_has_input_files_environment_and_a_status(sandbox: Sandbox) -> None:
    command = shell(
        "cat; cat data; ./tool; echo $WORD; exit 3",
        stdin="in,",
        files={"data": "file,", "tool": "#!/bin/sh\necho tool"},
        environment={"WORD": "set"},
    )
    outcome = sandbox.run_command(command)
    assert (outcome.outcome, outcome.exit_status, outcome.exception) == ("failed", 3, "exit status 3")
    assert outcome.stdout == "in,file,tool\nset\n"
    assert sandbox.run_command(shell("exit 0")).exit_status == 0


def test_outputs_come_back_and_nothing_else_does(sandbox: Sandbox) -> None:
    command = shell(
        "mkdir -p out/deep; echo a > out/a; echo b > out/deep/b; echo c > c; ln -s /etc/passwd link;"
        "ln -s /etc escape; mkfifo pipe; ln -s ../c out/link; head -c 2000000 /dev/zero > big",
        outputs=("out/", "c", "link", "escape/passwd", "pipe", "missing", "big"),
        limits=Limits(file_mb=1),
    )
    outcome = sandbox.run_command(command)
    assert outcome.files == {"out/a": b"a\n", "out/deep/b": b"b\n", "c": b"c\n"}


def test_commands_are_held_to_the_limits(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    spin = sandbox.run_command(shell("while :; do :; done", limits=Limits(cpu_seconds=0.2)))
    assert (spin.outcome, spin.exit_status) == ("timed_out", None)
    hoard = sandbox.run_command(
        shell("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}", limits=Limits(memory_mb=100))
    )
    assert hoard.outcome != "passed"
    reserve = Command(
        ("sh", "-c", "ulimit -v"),
        limits=Limits(memory_mb=100, address_space=False),
        # Runtimes that only reserve are let be.
    )
    assert int(sandbox.run_command(reserve).stdout.replace("unlimited", "999999999")) > 200_000


def test_resident_memory_is_watched_where_address_space_is_free(best: Sandbox) -> None:
    limits = Limits(memory_mb=100, address_space=False, cpu_seconds=5)
    script = "x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo ${#x}; sleep 5"
    assert best.run_command(shell(script, limits=limits)).outcome == "out_of_memory"


def test_a_killed_command_says_so(best: Sandbox) -> None:
    outcome = best.run_command(shell("kill -SEGV $$"))
    assert (outcome.outcome, outcome.exception) == ("killed", "killed by signal 11")


def test_a_missing_command_is_not_started(sandbox: Sandbox) -> None:
    outcome = sandbox.run_command(Command(("no-such-compiler", "x")))
    assert outcome.outcome == "not_started" and "no-such-compiler" in (outcome.exception or "")


@pytest.mark.parametrize(
    "files",
    [
        {"program": b"\x7fELFrubbish"},
        {"program": b"of no kind"},
        {"program": b""},
        {"program": b"#!/no/such/interpreter\n"},
        {"program/inside": b"a folder"},
        {},
    ],
    ids=["rubbish", "no format", "empty", "no interpreter", "folder", "missing"],
)
def test_a_product_that_can_not_be_executed_has_failed(sandbox: Sandbox, files: dict[str, bytes]) -> None:
    """Nobody counts what could not start: no answer may make itself one."""
    outcome = sandbox.run_command(Command(("./program",), files=files))
    assert outcome.outcome == "failed" and "can't be executed" in (outcome.exception or ""), outcome
    alien = bytearray(Path("/bin/true").read_bytes())
    # The processor that it is for.
    alien[18:20] = b"\xff\x00"
    assert sandbox.run_command(Command(("./program",), files={"program": bytes(alien)})).outcome == "failed"


def test_arguments_that_are_too_long_have_failed(sandbox: Sandbox) -> None:
    for argument in ("x" * 200_000, "x\0y"):
        outcome = sandbox.run_command(Command(("cat", argument)))
        assert outcome.outcome == "failed" and "can't be executed" in (outcome.exception or ""), outcome


def test_further_folders_can_be_read_not_written(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "library").write_text("content")
    hidden = sandbox.run_command(shell(f"cat {tmp_path}/library"))
    assert hidden.outcome == "failed" and "content" not in hidden.stdout
    command = shell(f"cat {tmp_path}/library; echo x >> {tmp_path}/library", folders=(str(tmp_path),))
    outcome = sandbox.run_command(command)
    if os.getuid() == 0 or sandbox.confinement != "landlock":
        assert outcome.stdout == "content"
    assert outcome.outcome == "failed"
    assert (tmp_path / "library").read_text() == "content"


def test_names_stay_inside(best: Sandbox) -> None:
    for command in (shell("", files={"../x": ""}), shell("", outputs=("/etc/passwd",))):
        with pytest.raises(UserError, match="relative name"):
            best.run_command(command)


def test_a_service_answers_until_it_is_closed(sandbox: Sandbox) -> None:
    command = Command(("cat",), limits=Limits(cpu_seconds=math.inf))
    with sandbox.start(command) as service:
        for line in (b"one\n", b"two\n"):
            service.stdin.write(line)
            service.stdin.flush()
            assert service.stdout.readline() == line
        assert service.alive
    assert not service.alive


def test_a_service_that_ends_is_seen_to(best: Sandbox) -> None:
    with best.start(shell("echo bye; echo wrong >&2; exit 1")) as service:
        assert service.stdout.read() == b"bye\n"
        service.wait(120)
        assert not service.alive and service.stderr == "wrong\n"
