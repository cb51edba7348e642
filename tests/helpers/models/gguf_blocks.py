"""The formats of GGUF's quantised blocks, read one number at a time."""

from __future__ import annotations

from collections.abc import Callable

import gguf
import numpy as np
import torch

Type = gguf.GGMLQuantizationType


# ---------------------------------------------------------------- the formats, one number at a time


def half(data: bytes) -> float:
    return float(np.frombuffer(data, np.float16)[0])


def decode_q8_0(block: bytes) -> list[float]:
    return [half(block[:2]) * value for value in np.frombuffer(block[2:], np.int8).tolist()]


def decode_q4_0(block: bytes) -> list[float]:
    nibbles = [byte & 15 for byte in block[2:]] + [byte >> 4 for byte in block[2:]]
    return [half(block[:2]) * (nibble - 8) for nibble in nibbles]


def decode_q4_1(block: bytes) -> list[float]:
    nibbles = [byte & 15 for byte in block[4:]] + [byte >> 4 for byte in block[4:]]
    return [half(block[:2]) * nibble + half(block[2:4]) for nibble in nibbles]


def decode_q4_k(block: bytes) -> list[float]:
    """Two halves, 12 bytes with 8 scales and 8 minima of 6 bits, 4 x 32 bytes of two nibbles."""
    scale, minimum, packed, nibbles = half(block[:2]), half(block[2:4]), block[4:16], block[16:]
    values = []
    for part in range(8):
        if part < 4:
            s, m = packed[part] & 63, packed[part + 4] & 63
        else:
            s = (packed[part + 4] & 15) | (packed[part - 4] >> 6 << 4)
            m = (packed[part + 4] >> 4) | (packed[part] >> 6 << 4)
        for byte in nibbles[part // 2 * 32 : part // 2 * 32 + 32]:
            nibble = byte >> 4 if part % 2 else byte & 15
            values += [scale * s * nibble - minimum * m]
    return values


def decode_q6_k(block: bytes) -> list[float]:
    """128 bytes of low nibbles, 64 of high bit pairs, 16 scales of 8 bits, a half; 16 groups of 16."""
    low, high, scales, scale = (
        block[:128],
        block[128:192],
        np.frombuffer(block[192:208], np.int8),
        half(block[208:]),
    )
    values = []
    for index in range(256):
        part, offset = divmod(index, 128)  # each half of the block packs 4 runs of 32
        run, column = divmod(offset, 32)
        nibble = low[part * 64 + run % 2 * 32 + column] >> (run // 2 * 4) & 15
        pair = high[part * 32 + column] >> (run * 2) & 3
        values.append(scale * int(scales[index // 16]) * ((nibble | pair << 4) - 32))
    return values


BLOCKS: dict[Type, tuple[int, int, list[int], Callable[[bytes], list[float]]]] = {
    # values a block, bytes a block, where its 16-bit scales are, how it is read
    Type.Q8_0: (32, 34, [0], decode_q8_0),
    Type.Q4_0: (32, 18, [0], decode_q4_0),
    Type.Q4_1: (32, 20, [0, 2], decode_q4_1),
    Type.Q4_K: (256, 144, [0, 2], decode_q4_k),
    Type.Q6_K: (256, 210, [208], decode_q6_k),
}


def quantised(kind: Type, rows: int, columns: int, seed: int) -> tuple[np.ndarray, torch.Tensor]:
    """Random blocks (rows, bytes), and the values (rows, columns) that the format says they are."""
    generator = np.random.default_rng(seed)
    size, width, scales, decode = BLOCKS[kind]
    blocks = generator.integers(0, 256, (rows, columns // size, width), dtype=np.uint8)
    for place in scales:
        drawn = generator.uniform(0.001, 0.01, blocks.shape[:2]).astype(np.float16)
        blocks[..., place : place + 2] = drawn[..., None].view(np.uint8)
    values = [[value for block in row for value in decode(block.tobytes())] for row in blocks]
    return blocks.reshape(rows, -1), torch.tensor(values, dtype=torch.float64).float()
