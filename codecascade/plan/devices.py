"""Devices by name: memory, speed and links, from their makers' data sheets.

Speeds are of dense bf16 matrix products without sparsity. Links are bytes per second that one device can send; data
sheets state the sum of both directions. Memory is the name's gigabytes (10^9). What a device has above that is left
for the CUDA context, buffers of the communication library and fragmentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes
from codecascade.ground.memory import whole_memory
from codecascade.ground.nearest import nearest
from codecascade.model.precision import choose_precision, matmul_peak

LINK_SHARE = 0.7
"""The part of a link's speed that large messages reach (estimate)."""
PER_MACHINE = 8
_USABLE = 0.94
"""The part of the memory of this machine's own GPU that training can have; of an 80 GB card it leaves 80 GB."""


@dataclass(frozen=True)
class Device:
    """One kind of device, in machines of ``per_machine``.

    Attributes:
        memory: bytes; None where it is not known.
        flops: FLOP/s of dense bf16 products; None where it is not known.
        within, between: bytes per second that a device sends to one in its machine, and to one in another machine.
        source: of these figures, in words.
        host_memory: bytes of a machine's own memory, or of the control group there; None where it is not known.
        fp32: whether it multiplies in fp32, as devices without bf16 instructions do.
    """

    name: str
    memory: int | None
    flops: float | None
    within: float
    between: float
    source: str
    per_machine: int = PER_MACHINE
    host_memory: int | None = None
    fp32: bool = False

    def __str__(self) -> str:
        known = [
            "" if self.memory is None else show_bytes(self.memory),
            "" if self.flops is None else f"{self.flops / 1e12:,.4g} TFLOP/s in matrix products",
        ]
        return f"{self.name} ({', '.join(filter(None, known))})" if any(known) else self.name

    def link(self, ranks: int) -> float:
        """Bytes per second that each device of a group of ``ranks`` neighbours sends."""
        return LINK_SHARE * (self.within if ranks <= self.per_machine else self.between)


def _sheet(
    name: str, gigabytes: int, teraflops: float, both_directions: float, network_gigabits: float, source: str
) -> Device:
    """A line of the table.

    Args:
        both_directions: GB/s of a device's links within a machine.
        network_gigabits: Gbit/s of the network adapter that each device has in its maker's own machines.
    """
    return Device(
        name,
        gigabytes * 10**9,
        teraflops * 1e12,
        both_directions / 2 * 1e9,
        network_gigabits / 8 * 1e9,
        source,
    )


DEVICES = {
    device.name: device
    for device in (
        _sheet("a100-40gb", 40, 312, 600, 200, "NVIDIA A100 data sheet; DGX A100: 8 x HDR InfiniBand"),
        _sheet("a100-80gb", 80, 312, 600, 200, "NVIDIA A100 data sheet; DGX A100: 8 x HDR InfiniBand"),
        _sheet("a100-40gb-pcie", 40, 312, 64, 200, "NVIDIA A100 PCIe data sheet (PCIe 4); network: assumed"),
        _sheet("a100-80gb-pcie", 80, 312, 64, 200, "NVIDIA A100 PCIe data sheet (PCIe 4); network: assumed"),
        _sheet("h100", 80, 989, 900, 400, "NVIDIA H100 SXM data sheet; DGX H100: 8 x ConnectX-7"),
        _sheet("h100-pcie", 80, 756, 128, 200, "NVIDIA H100 PCIe data sheet (PCIe 5); network: assumed"),
        _sheet("h200", 141, 989, 900, 400, "NVIDIA H200 SXM data sheet; DGX H200: 8 x ConnectX-7"),
        _sheet(
            "b200", 180, 2250, 1800, 400, "NVIDIA HGX B200 and DGX B200 (8 GPUs, 1,440 GB): 8 x ConnectX-7"
        ),
        _sheet("l40s", 48, 362, 64, 100, "NVIDIA L40S data sheet (PCIe 4); network: assumed"),
        _sheet("l4", 24, 121, 64, 100, "NVIDIA L4 data sheet (PCIe 4); network: assumed"),
        _sheet("rtx-4090", 24, 165, 64, 25, "NVIDIA Ada whitepaper, fp32 sums (PCIe 4); network: assumed"),
        _sheet("mi300x", 192, 1307, 896, 400, "AMD Instinct MI300X data sheet; network: assumed"),
    )
}
"""The table, by name."""

HERE = "here"
"""The name of this machine's own device."""

_CUDA_NAMES = (
    ("A100-SXM4-80GB", "a100-80gb"),
    ("A100-SXM-80GB", "a100-80gb"),
    ("A100-SXM4-40GB", "a100-40gb"),
    ("A100-PCIE-40GB", "a100-40gb-pcie"),
    ("A100 80GB PCIe", "a100-80gb-pcie"),
    ("H100 PCIe", "h100-pcie"),
    ("H100", "h100"),
    ("H200", "h200"),
    ("B200", "b200"),
    ("L40S", "l40s"),
    ("RTX 4090", "rtx-4090"),
    ("MI300X", "mi300x"),
    ("L4", "l4"),
)
"""Words in PyTorch's names of GPUs, the more exact ones first, and the device in the table."""
_NETWORK_OF_OTHERS = _sheet("", 0, 0, 64, 25, "")


def device_named(name: str, *, timed: bool = True) -> Device:
    """The device that ``--device`` names.

    Args:
        timed: whether ``here`` is timed for a fraction of a second, so that its speed is known.

    Raises:
        UserError: there is none of this name.
    """
    if name == HERE:
        return this_device(timed=timed)
    key = re.sub(r"[\s_-]+", "-", name.strip().lower())
    found = DEVICES.get(key)
    if found is None:
        raise UserError(
            f"there is no device {name!r} in the table ({_meant(key)}); leave it out and describe another by "
            "--memory and --tflops",
            key="--device",
        )
    return found


def _meant(name: str) -> str:
    """Those of the table that ``name`` may mean: of the same family first, as ``a100-80gb`` is of ``a100``."""
    alike = [key for key in DEVICES if key.partition("-")[0] == name.partition("-")[0]]
    if alike:
        return f"did you mean {' or '.join(map(repr, alike))}?"
    return nearest(name, [*DEVICES, HERE], f"it has {', '.join(DEVICES)}, and {HERE} for this machine's own")


def unknown_device() -> Device:
    """What is known of a device without a name: nothing but that machines have eight."""
    return Device(
        "devices that are not named", None, None, _NETWORK_OF_OTHERS.within, _NETWORK_OF_OTHERS.between, ""
    )


def this_device(*, timed: bool = True) -> Device:
    """This machine's own device. A GPU's memory is known; of a CPU, whose memory all ranks share, it is not given.

    Args:
        timed: whether its speed is timed for a fraction of a second. A GPU that the table has is as fast as it says
            there otherwise.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    flops = this_device_flops() if timed else None
    fp32 = choose_precision(device).dtype == torch.float32
    if device.type == "cpu":
        title = "this machine's CPU"
        links = _NETWORK_OF_OTHERS.within, _NETWORK_OF_OTHERS.between
        return Device(title, None, flops, *links, "timed", host_memory=whole_memory(), fp32=fp32)
    properties = torch.cuda.get_device_properties(device)
    name = f" {properties.name} "
    like = next((DEVICES[key] for words, key in _CUDA_NAMES if f" {words} " in name), _NETWORK_OF_OTHERS)
    return Device(
        f"this machine's {properties.name}",
        int(properties.total_memory * _USABLE),
        flops or like.flops or None,
        like.within,
        like.between,
        f"timed; links as {like.name}" if like.name else "timed; links assumed",
        max(1, torch.cuda.device_count()),
        whole_memory(),
        fp32,
    )


def this_device_flops() -> float:
    """FLOP/s of this machine's device in matrix products, timed for a fraction of a second."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return matmul_peak(device, choose_precision(device).dtype)
