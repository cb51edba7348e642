"""What this machine confines, found out by attacking it: each layer alone, then all of them together.

Four promises are asked for (:data:`codecascade.sandbox.attacks.PROMISES`); with less, programs run only for those
who say ``--sandbox=weak``.
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
    """The strongest confinement that keeps all promises on this machine; ``none`` if none does."""
    kinds: tuple[Confinement, ...] = ("namespaces", "bubblewrap", "landlock")
    for kind in kinds:
        with WorkerPool(kind) as pool:
            if all(attack(pool) for attack in PROMISES.values()):
                return kind
    return "none"


def unmeasured_python() -> str | None:
    """This Python, if nobody measured how deep calls lie on its C stack; else None.

    The verdict of tests in the program's process depends on that (``MEASURED`` of
    :mod:`codecascade.sandbox.inside.watch`).
    """
    name, version = sys.implementation.name, sys.version_info[:2]
    if name == "cpython" and version in MEASURED_PYTHONS:
        return None
    return f"{'Python' if name == 'cpython' else name} {version[0]}.{version[1]}"


@functools.cache
def verdict_holds(kind: Confinement) -> bool:
    """Whether programs with tests in their own process that claim to have passed are found out on this machine."""
    with WorkerPool(kind) as pool:
        return attacks.VERDICT(pool)


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``held`` is None where the layer is not there to be attacked; ``why`` says why not.

    ``note``: what a reader must know of a layer that is there.
    """

    name: str
    there: bool
    attack: str
    held: bool | None
    why: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class SandboxReport:
    """What ``codecascade sandbox check`` shows.

    Attributes:
        confinement: the best kind.
        layers: each alone, and what the best kind holds beside the promises.
        promises: what the best kind must hold.
    """

    confinement: Confinement
    layers: list[Finding]
    promises: list[Finding]

    @property
    def strict(self) -> bool:
        """Whether all promises hold."""
        return all(finding.held for finding in self.promises)


def check_sandbox() -> SandboxReport:
    """Attack each layer alone, then the best confinement as a whole. Takes some seconds."""
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
