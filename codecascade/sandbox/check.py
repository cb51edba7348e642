"""Finds out what this machine can confine, by attacking each layer alone and then all together.

Four promises must hold (:data:`codecascade.sandbox.attacks.PROMISES`). Otherwise programs run only with
``--sandbox=weak``.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace

from codecascade.sandbox import attacks
from codecascade.sandbox.attacks import PROMISES, Attack
from codecascade.sandbox.host.pool import WorkerPool
from codecascade.sandbox.host.worker import Confinement
from codecascade.sandbox.inside.kernel import landlock, processor_time, seccomp
from codecascade.sandbox.inside.watch import MEASURED_PYTHONS


@functools.cache
def best_confinement() -> Confinement:
    """The strongest confinement on this machine that keeps all promises; ``none`` if there is none."""
    kinds: tuple[Confinement, ...] = ("namespaces", "bubblewrap", "landlock")
    for kind in kinds:
        with WorkerPool(kind) as pool:
            if all(attack(pool) for attack in PROMISES.values()):
                return kind
    return "none"


def unmeasured_python() -> str | None:
    """The name of this Python if the depth of its C stack was never measured; else None.

    The verdict of tests inside the program's process depends on it
    (:data:`codecascade.sandbox.inside.watch.MEASURED_PYTHONS`).
    """
    name, version = sys.implementation.name, sys.version_info[:2]
    if name == "cpython" and version in MEASURED_PYTHONS:
        return None
    return f"{'Python' if name == 'cpython' else name} {version[0]}.{version[1]}"


@functools.cache
def verdict_holds(kind: Confinement) -> bool:
    """Whether this machine detects programs that only claim to have passed, with their tests in the same process."""
    with WorkerPool(kind) as pool:
        return attacks.VERDICT(pool)


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        there: whether the layer exists on this machine.
        held: whether it resisted the attack; None if the layer does not exist.
        why: why it does not exist.
        note: what a reader must know about an existing layer.
    """

    name: str
    there: bool
    attack: str
    held: bool | None
    why: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class SandboxReport:
    """The result of ``codecascade sandbox check``.

    Attributes:
        confinement: the strongest one.
        layers: each layer alone, and what the strongest confinement withstands besides the promises.
        promises: what the strongest confinement must withstand.
    """

    confinement: Confinement
    layers: list[Finding]
    promises: list[Finding]

    @property
    def strict(self) -> bool:
        """Whether all promises hold."""
        return all(finding.held for finding in self.promises)


def check_sandbox() -> SandboxReport:
    """Attack each layer alone, then the strongest confinement as a whole. Takes some seconds."""
    best, version = best_confinement(), landlock.version()
    both = ("seccomp", "landlock")
    filtered = ("seccomp",) if seccomp.supported() else None
    layers: list[tuple[str, Confinement, tuple[str, ...] | None, Attack]] = [
        ("network namespace", "namespaces", (), attacks.NETWORK),
        ("read-only root", "namespaces", (), attacks.WRITES),
        ("PID namespace", "namespaces", (), attacks.LEFTOVERS),
        ("bubblewrap", "bubblewrap", (), attacks.WRITES),
        ("seccomp", "none", filtered, attacks.CALLS),
        ("Landlock: files", "none", ("landlock",) if version >= 1 else None, attacks.FILES),
        ("Landlock: TCP", "none", ("landlock",) if version >= 4 else None, attacks.TCP),
        ("Landlock: signals", "none", ("landlock",) if version >= 6 else None, attacks.SIGNALS),
        ("Landlock and seccomp", "landlock", both if version and filtered else None, attacks.WRITES),
        ("child subreaper", "none", (), attacks.LEFTOVERS),
        ("resource limits, watch", "none", (), attacks.LIMITS),
        ("processor time", "none", () if processor_time.available() else None, attacks.IGNORED),
        ("other processes", best, None if best == "none" else both, attacks.PROCESSES),
        ("private files", best, None if best == "none" else both, attacks.PRIVATE),
        ("verdict", best, both, attacks.VERDICT),
        ("verdict, tests apart", best, both, attacks.TESTS_APART),
    ]
    found = [_layer(*layer) for layer in layers]
    if (python := unmeasured_python()) is not None:
        note = f"{python} is none of the versions on which this was measured; it is known by the attack alone"
        found = [replace(one, note=note) if one.name == "verdict" else one for one in found]
    with WorkerPool(best) as pool:
        promises = [Finding(name, True, attack.tried, attack(pool)) for name, attack in PROMISES.items()]
    return SandboxReport(best, found, promises)


def _layer(name: str, kind: Confinement, layers: tuple[str, ...] | None, attack: Attack) -> Finding:
    if layers is None:
        return Finding(name, False, attack.tried, None, "this kernel doesn't offer it")
    with WorkerPool(kind, layers) as pool:
        tried = pool.run("pass")
        if tried.outcome == "not_started":
            return Finding(name, False, attack.tried, None, tried.exception)
        return Finding(name, True, attack.tried, attack(pool))
