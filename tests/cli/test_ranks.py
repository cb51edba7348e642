"""Several ranks tell a mistake once, over a store as torchrun's agent keeps one."""

from __future__ import annotations

import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from torch.distributed import HashStore, PrefixStore, TCPStore

from codecascade.cli import main, ranks
from codecascade.ground import signals
from codecascade.ground.errors import RunFailed, Stopped, UserError
from codecascade.training.failures import store
from codecascade.training.failures.store import noted_stop

As = Callable[..., None]


@pytest.fixture
def agent() -> Iterator[TCPStore]:
    yield TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=10))


@pytest.fixture
def as_rank(agent: TCPStore, monkeypatch: pytest.MonkeyPatch) -> As:
    monkeypatch.setattr(ranks, "_PATIENCE", timedelta(seconds=0.3))

    def become(rank: int, attempt: int = 0, size: int = 2) -> None:
        for key, value in {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": agent.port,
            "TORCHELASTIC_RUN_ID": "test",
            "TORCHELASTIC_RESTART_COUNT": attempt,
        }.items():
            monkeypatch.setenv(key, str(value))

    return become


def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> tuple[object, str]:
    """Exit code and message of a command that ends with ``error``."""

    def fail() -> None:
        raise error

    monkeypatch.setattr("codecascade.cli.app", lambda args=None: fail())
    with pytest.raises(SystemExit) as caught:
        main([])
    return caught.value.code, capsys.readouterr().err


def test_a_mistake_is_printed_once_by_the_first_rank(
    as_rank: As, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mistake = UserError("is missing", file="x.toml", key="base")
    as_rank(0)
    assert ended(monkeypatch, capsys, mistake) == (2, "error: x.toml: base: is missing\n")
    as_rank(1)
    assert ended(monkeypatch, capsys, mistake) == (2, "")
    for rank in (0, 1):  # and not again by those that torchrun starts after them
        as_rank(rank, attempt=1)
        assert ended(monkeypatch, capsys, mistake) == (2, "")
    assert ended(monkeypatch, capsys, UserError("is another")) == (2, "error: is another\n")


def test_what_only_another_rank_finds_is_printed_by_it(
    as_rank: As, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_rank(1)
    assert ended(monkeypatch, capsys, UserError("the disk is full")) == (2, "error: the disk is full\n")


def test_ranks_that_lose_one_which_tells_end_as_it_does(
    as_rank: As, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_rank(0)
    ended(monkeypatch, capsys, UserError("is missing"))
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:537] Connection closed by peer [127.0.0.1]:13509")
    as_rank(1)
    for consequence in (lost, Stopped(15), RunFailed("the checkpoint could not be read: gloo")):
        assert ended(monkeypatch, capsys, consequence) == (2, "")
    # nothing of it concerns the next group
    as_rank(1, attempt=1)
    code, told = ended(monkeypatch, capsys, lost)
    assert code == 1
    assert told.startswith("failed: another rank has ended")


def test_a_fault_of_ours_keeps_its_traceback(as_rank: As, monkeypatch: pytest.MonkeyPatch) -> None:
    as_rank(1)
    monkeypatch.setattr("codecascade.cli.app", lambda args=None: {}["key"])
    with pytest.raises(KeyError):
        main([])


def test_a_process_on_its_own_tells_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert ended(monkeypatch, capsys, UserError("is missing")) == (2, "error: is missing\n")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store within this process in place of torchrun's, to which many connections take long."""
    one = HashStore()
    monkeypatch.setattr(store, "open_store", lambda name, patience=None: PrefixStore(name, one))


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("rank", "size"), [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGINT])
def test_any_rank_that_a_signal_stops_has_those_end_that_torchrun_starts_again(
    as_rank: As,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rank: int,
    size: int,
    signum: signal.Signals,
) -> None:
    as_rank(rank, size=size)
    assert noted_stop() is None
    assert ended(monkeypatch, capsys, Stopped(signum))[0] == 128 + signum
    as_rank(0, attempt=1, size=size)
    assert noted_stop() == signum


@pytest.mark.usefixtures("kept")
def test_the_signal_by_which_torchrun_ends_ranks_after_a_crash_is_no_stop(
    as_rank: As, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_rank(0)
    assert ended(monkeypatch, capsys, Stopped(signal.SIGTERM))[0] == 143
    as_rank(0, attempt=1)
    assert noted_stop() is None


@pytest.mark.usefixtures("kept")
def test_a_signal_that_comes_while_a_rank_imports_the_commands_is_noted(
    as_rank: As, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_rank(1)
    hold = signals.hold

    def hold_one() -> None:
        hold()
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(signals, "hold", hold_one)
    monkeypatch.setattr(sys, "argv", ["codecascade", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("codecascade", run_name="__main__")
    assert caught.value.code == 138
    assert capsys.readouterr() == ("", "stopped; run the same command again to continue\n")
    assert noted_stop() == signal.SIGUSR1
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {*signals.STOPPING}


@pytest.mark.usefixtures("kept")
def test_a_further_signal_does_not_keep_a_rank_from_noting_the_first(
    as_rank: As, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_rank(0)
    note = ranks.note_stop

    def interrupted(signum: int) -> None:
        signal.raise_signal(signal.SIGINT)
        note(signum)

    monkeypatch.setattr(ranks, "note_stop", interrupted)
    assert ended(monkeypatch, capsys, Stopped(signal.SIGUSR1))[0] == 138
    assert noted_stop() == signal.SIGUSR1
