"""What programs may read, and what root may do in a container."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codecascade.sandbox.inside.kernel.readable import open_to_all
from codecascade.sandbox.program import Command
from codecascade.sandbox.sandbox import Sandbox


@pytest.fixture
def private_below_etc() -> Iterator[Path]:
    """A folder in ``/etc`` that all may enter, with a private file two levels down and a link to one outside."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="codecascade-", dir="/etc"))
    except OSError:
        pytest.skip("needs to write to /etc")
    try:
        folder.chmod(0o755)
        (folder / "deep" / "deeper").mkdir(parents=True)
        (folder / "deep" / "open").write_text("open")
        for name, mode in (("none", 0o600), ("group", 0o640)):
            (folder / "deep" / "deeper" / name).write_text("secret")
            (folder / "deep" / "deeper" / name).chmod(mode)
        (folder / "shut").mkdir(mode=0o700)
        (folder / "shut" / "open").write_text("secret")
        (folder / "link").symlink_to("/root")
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root reads what others may not")
@pytest.mark.parametrize("kind", ["namespaces", "landlock"])
def test_what_etc_keeps_from_others_stays_kept(kind: str, private_below_etc: Path, tmp_path: Path) -> None:
    """Also in namespaces with an interpreter's folder that is private, as a virtual environment in a home is."""
    (tmp_path / "private").mkdir(mode=0o700)
    script = (
        f"cat {private_below_etc}/deep/open; cat {private_below_etc}/deep/deeper/* {private_below_etc}/shut/open;"
        f"ls {private_below_etc}/link/"
    )
    with Sandbox("weak", workers=1, confinement=kind) as box:  # type: ignore[arg-type]
        outcome = box.run_command(Command(("sh", "-c", script), folders=(str(tmp_path / "private"),)))
    if outcome.outcome == "not_started":
        pytest.skip(f"this machine does not offer {kind}")
    assert outcome.stdout == "open", outcome


def test_what_is_open_to_all_is_named_by_its_largest_parts(tmp_path: Path) -> None:
    (tmp_path / "all" / "of" / "it").mkdir(parents=True)
    (tmp_path / "all" / "of" / "it" / "file").write_text("")
    (tmp_path / "some" / "kept").mkdir(parents=True)
    (tmp_path / "some" / "file").write_text("")
    (tmp_path / "some" / "kept").chmod(0o700)
    (tmp_path / "passed").mkdir()
    (tmp_path / "passed" / "named").write_text("")
    (tmp_path / "passed").chmod(0o711)
    (tmp_path / "link").symlink_to("/")
    os.mkfifo(tmp_path / "pipe", 0o644)
    for path in tmp_path.rglob("*"):
        if stat.S_ISREG(path.lstat().st_mode):
            path.chmod(0o644)
    found = {str(Path(path).relative_to(tmp_path)) for path in open_to_all(str(tmp_path))}
    assert found == {"all", "some/file", "passed/named"}
    assert open_to_all(str(tmp_path / "all")) == [str(tmp_path / "all")]
    assert open_to_all("/no/such/folder") == []


CONTAINER = (
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,"
    "+mknod,+audit_write,+setfcap"
)


AS_IN_A_CONTAINER = """
from codecascade.sandbox.attacks import PRIVATE, PROCESSES, PROMISES, VERDICT
from codecascade.sandbox.sandbox import Sandbox
with Sandbox("weak", workers=1, confinement="landlock") as box:
    outcome = box.run("print(1)")
    print(outcome.outcome, outcome.exception)
    if outcome.passed:
        attacks = {**PROMISES, "private": PRIVATE, "processes": PROCESSES, "forgery": VERDICT}
        print([name for name, attack in attacks.items() if not attack(box)])
with Sandbox("weak", workers=1, confinement="none") as box:
    print(box.run("import os\\nopen('x', 'w')\\nos.mkdir('d')\\nprint(1)").outcome, box.run("print(1)").outcome)
    print(box.run("while True: pass", timeout=0.1).outcome)
with Sandbox("weak", workers=1, confinement="namespaces") as box:
    print(box.run("pass").exception)
"""


setpriv = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None or shutil.which("unshare") is None,
    reason="needs root, setpriv and unshare",
)


def with_capabilities(bounding: str, script: str) -> list[str]:
    """The lines that a script prints as a root that has only some capabilities, in a PID namespace of its own."""
    alone = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    command = (*alone, "setpriv", f"--bounding-set={bounding}", sys.executable, "-c", script)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}, timeout=120
    )
    if "unshare" in done.stderr.split(":")[0]:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@setpriv
def test_root_with_a_container_s_capabilities(best: Sandbox) -> None:
    started, held, weak, spins, why = with_capabilities(CONTAINER, AS_IN_A_CONTAINER)
    assert (started, held, weak, spins) == ("passed None", "[]", "passed passed", "timed_out")
    assert "CAP_SYS_ADMIN" in why


@setpriv
@pytest.mark.parametrize("lacking", ["setuid", "chown", "dac_override"])
def test_root_without_the_rights_to_confine_says_so_and_runs_programs_unconfined(lacking: str) -> None:
    bounding = ",".join(each for each in CONTAINER.split(",") if each != f"+{lacking}")
    started, *weak, _ = with_capabilities(bounding, AS_IN_A_CONTAINER)
    assert started.startswith("not_started") and f"CAP_{lacking.upper()}" in started
    assert weak == ["passed passed", "timed_out"]
