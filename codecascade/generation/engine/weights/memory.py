"""How much memory there is left for this process, and how much a model's weights take."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from codecascade.generation.engine.weights.layers import (
    PlainLinear,
    QuantisedEmbedding,
    QuantisedLinear,
    linear_bytes,
)
from codecascade.generation.engine.weights.packed import PackedLinear

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that can be taken without swapping, of the machine and of this process's control group.

    0 where the system does not tell.
    """
    left: list[int] = []
    try:
        lines = [line.split() for line in _MEMINFO.read_text().splitlines()]
        left += [int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"]
    except (OSError, ValueError, IndexError):
        pass
    if not left and "SC_AVPHYS_PAGES" in os.sysconf_names:
        left.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        left.append(limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        # no control group, or one without a limit
        pass
    return max(0, min(left, default=0))


def weight_bytes(model: nn.Module) -> tuple[int, int]:
    """Memory of a model's weights on a CPU, and that of copies in another layout or type.

    What several layers share is counted once.
    """
    copies = {
        id(module.copy) for module in model.modules() if isinstance(module, QuantisedLinear) and module.copy
    }
    parameters = list(model.parameters())
    own, copied = {id(parameter): parameter.nbytes for parameter in parameters}, 0
    for module in model.modules():
        if isinstance(module, QuantisedLinear):
            own[id(module.weight)] = module.weight.nbytes
        elif isinstance(module, QuantisedEmbedding):
            own[id(module.table)] = module.table.nbytes
        elif isinstance(module, (PackedLinear, PlainLinear)):
            if id(module) in copies:
                copied += linear_bytes(module)
                continue
            own[id(module.weight)] = linear_bytes(module)
            rows = getattr(module, "rows", None)
            # a tied head's rows are the embedding
            if rows is not None and not any(rows.data_ptr() == other.data_ptr() for other in parameters):
                copied += rows.nbytes
        else:
            continue
        if (bias := getattr(module, "bias", None)) is not None:
            own[id(bias)] = bias.nbytes
    return sum(own.values()), copied
