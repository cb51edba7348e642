"""The expected attention by the distance of two positions for each kind of RoPE (paper, Fig. 9a). No model is needed.

    python benchmarks/expected_attention.py                          # the paper's bases, and linear scaling by 4
    python benchmarks/expected_attention.py --theta 1e5 1e7 --dimension 64

A query and a key that are alike have the mean cosine of their angles as product. Each line is a distance: the mean
over the distances from half of it to it, since the cosines of single distances swing.
"""

from __future__ import annotations

import argparse

import torch
from rich.console import Console
from rich.table import Table

from codecascade.model.rope import expected_attention
from codecascade.model.rope_scaling import RopeScaling

DISTANCES = (16, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 100_000)


def main() -> None:
    """Print a table: a line for each distance, a column for each RoPE."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--theta", type=float, nargs="+", default=[1e4, 1e6], help="RoPE bases")
    parser.add_argument(
        "--linear", type=float, default=4.0, help="the first base with positions divided by it, too"
    )
    parser.add_argument(
        "--dimension", type=int, default=1024, help="of the vectors (the paper's figure: 1,024)"
    )
    options = parser.parse_args()
    ropes: list[tuple[float, RopeScaling | None]] = [(theta, None) for theta in options.theta]
    ropes.append((options.theta[0], RopeScaling("linear", options.linear)))
    names = [
        f"{theta:,.0f}" + (f", positions / {scaling.factor:g}" if scaling else "") for theta, scaling in ropes
    ]
    table = Table("distance", *names, title=f"expected attention, {options.dimension} dimensions")
    for distance in DISTANCES:
        around = torch.arange(distance // 2, distance + 1)
        means = [
            float(expected_attention(around, theta, scaling, options.dimension).mean())
            for theta, scaling in ropes
        ]
        table.add_row(f"{distance:,}", *(f"{mean:.3f}" for mean in means))
    Console().print(table)


if __name__ == "__main__":
    main()
