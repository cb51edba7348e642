"""What this machine confines, found out by attacking it: each layer alone, then all of them together.

Four promises are asked for (:data:`codecascade.sandbox.attacks.PROMISES`); with less, programs run only for those
who say ``--sandbox=weak``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from codecascade.sandbox import attacks
from codecascade.sandbox.attacks import PROMISES, Attack
from codecascade.sandbox.host.pool import Zones
from codecascade.sandbox.host.worker import Kind
from codecascade.sandbox.inside.kernel import landlock, processor_time, seccomp


@functools.cache
def best_confinement() -> Kind:
    """The strongest confinement that keeps all promises on this machine; ``none`` if none does."""
    kinds: tuple[Kind, ...] = ("namespaces", "bubblewrap", "landlock")
    for kind in kinds:
        with Zones(kind) as zones:
            if all(attack(zones) for attack in PROMISES.values()):
                return kind
    return "none"


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``held`` is None where the layer is not there to be attacked; ``why`` says why not."""

    name: str
    there: bool
    attack: str
    held: bool | None
    why: str | None = None


@dataclass(frozen=True)
class Report:
    """What ``codecascade sandbox check`` shows.

    Attributes:
        confinement: the best kind.
        layers: each alone, and what the best kind holds beside the promises.
        promises: what the best kind must hold.
    """

    confinement: Kind
    layers: list[Finding]
    promises: list[Finding]

    @property
    def strict(self) -> bool:
        """Whether all promises hold."""
        return all(finding.held for finding in self.promises)


def check() -> Report:
    """Attack each layer alone, then the best confinement as a whole. Takes some seconds."""
    best, version = best_confinement(), landlock.version()
    both = ("seccomp", "landlock")
    filtered = ("seccomp",) if seccomp.supported() else None
    layers: list[tuple[str, Kind, tuple[str, ...] | None, Attack]] = [
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
    with Zones(best) as zones:
        promises = [Finding(name, True, attack.tried, attack(zones)) for name, attack in PROMISES.items()]
    return Report(best, found, promises)


def _layer(name: str, kind: Kind, layers: tuple[str, ...] | None, attack: Attack) -> Finding:
    if layers is None:
        return Finding(name, False, attack.tried, None, "this kernel doesn't offer it")
    with Zones(kind, layers) as zones:
        tried = zones.run("pass")
        if tried.outcome == "not_started":
            return Finding(name, False, attack.tried, None, tried.exception)
        return Finding(name, True, attack.tried, attack(zones))
