"""Checks the capabilities of root: container engines leave it some and remove others (``linux/capability.h``).

To run programs as a separate user, root needs all of :data:`_TO_BECOME_ANOTHER`. A root without one of them runs
programs as itself. That is no confinement, because the kernel doesn't count root's processes, and lets them change
root's files.
"""

from __future__ import annotations

import os

from codecascade.sandbox.inside.kernel import landlock

DAC_OVERRIDE, DAC_READ_SEARCH, SYS_PTRACE = 1, 2, 19
_SYS_ADMIN = 21
_NAMES = {
    0: "CAP_CHOWN",
    DAC_OVERRIDE: "CAP_DAC_OVERRIDE",
    3: "CAP_FOWNER",
    5: "CAP_KILL",
    6: "CAP_SETGID",
    7: "CAP_SETUID",
    _SYS_ADMIN: "CAP_SYS_ADMIN",
}
_TO_BECOME_ANOTHER = (0, DAC_OVERRIDE, 3, 5, 6, 7)


def effective() -> int:
    """The effective capabilities of this process, as a bit mask."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))


def has(capability: int) -> bool:
    """Whether this process has a capability."""
    return bool(effective() >> capability & 1)


def can_become_another(kind: str) -> bool:
    """Whether root can run programs as another user.

    Raises:
        OSError: it can't, although ``kind`` is to confine them.
    """
    mask = effective()
    missing = [_NAMES[capability] for capability in _TO_BECOME_ANOTHER if not mask >> capability & 1]
    if missing and kind != "none":
        raise OSError(
            f"this root can't run programs as a user of their own: it lacks {', '.join(missing)}; start as an "
            "ordinary user, or leave root these capabilities (container engines do by default)"
        )
    return not missing


def why_no_namespaces() -> str:
    """A sentence that says why the kernel refuses namespaces to this process."""
    if os.getuid() == 0:
        lacks = "" if has(_SYS_ADMIN) else f": it lacks {_NAMES[_SYS_ADMIN]}, as in a container"
        return f"this root may not make namespaces{lacks}"
    return (
        "an ordinary user may not make user namespaces here (user.max_user_namespaces, "
        "kernel.unprivileged_userns_clone, AppArmor's or a container's rule)"
    )


def reading_capability(kind: str) -> int:
    """The capability that lets a program read what only root may read: the weaker one if possible.

    Raises:
        OSError: ``kind`` is to confine the program, but this kernel has no Landlock.
    """
    if kind != "none" and not landlock.version():
        raise OSError(
            "the interpreter lies in a private folder of root's, and this kernel has no Landlock to hold programs "
            "to that folder"
        )
    return DAC_READ_SEARCH if has(DAC_READ_SEARCH) else DAC_OVERRIDE
