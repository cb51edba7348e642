"""GGUF files written byte by byte, so that a test can write what no writer would."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

U8, U32, I32, F32, BOOL, STRING, ARRAY, U64, F64 = 0, 4, 5, 6, 7, 8, 9, 10, 12
_FORMS = {U8: "<B", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q", F64: "<d"}
ALIGNMENT = 32


@dataclass
class Raw:
    """A value as it stands in the file: its type's number and its bytes."""

    kind: int
    data: bytes


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind: int, content: Any) -> Raw:
    return Raw(kind, text(content) if kind == STRING else struct.pack(_FORMS[kind], content))


def array(kind: int, contents: list[Any], *, count: int | None = None) -> Raw:
    """``count``: the length that the file claims, where it is another than that of ``contents``."""
    items = b"".join(value(kind, content).data for content in contents)
    return Raw(ARRAY, struct.pack("<IQ", kind, len(contents) if count is None else count) + items)


def plain(content: Any) -> Raw:
    """The value that a converter would write for a Python one."""
    if isinstance(content, list):
        kinds = {str: STRING, float: F32, int: I32}
        return array(kinds[type(content[0])], content)
    kinds = {bool: BOOL, str: STRING, float: F32, int: U32}
    return value(kinds[type(content)], content)


@dataclass
class RawTensor:
    """``dims`` as in the file, columns first; ``kind`` is GGML's number, 0 for fp32."""

    name: str
    dims: tuple[int, ...]
    data: bytes
    kind: int = 0
    offset: int | None = None

    @classmethod
    def of(cls, name: str, values: np.ndarray) -> RawTensor:
        return cls(name, tuple(reversed(values.shape)), values.astype("<f4").tobytes())


@dataclass
class RawGguf:
    """A file in the making; ``keys`` may be lengthened by pairs that stand twice, in ``more``."""

    keys: dict[str, Raw]
    tensors: list[RawTensor]
    version: int = 3
    more: list[tuple[str, Raw]] = field(default_factory=list)
    key_count: int | None = None
    tensor_count: int | None = None

    def to_bytes(self) -> bytes:
        pairs = [*self.keys.items(), *self.more]
        head = b"GGUF" + struct.pack(
            "<IQQ",
            self.version,
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(pairs) if self.key_count is None else self.key_count,
        )
        for key, raw in pairs:
            head += text(key) + struct.pack("<I", raw.kind) + raw.data
        body = b""
        for tensor in self.tensors:
            offset = len(body) if tensor.offset is None else tensor.offset
            head += text(tensor.name) + struct.pack("<I", len(tensor.dims))
            head += b"".join(struct.pack("<Q", size) for size in tensor.dims)
            head += struct.pack("<IQ", tensor.kind, offset)
            body += tensor.data + bytes(-len(tensor.data) % ALIGNMENT)
        return head + bytes(-len(head) % ALIGNMENT) + body


NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, layer, rest = stem.split(".", 3)
        return f"blk.{layer}.{NAMES[rest]}.{kind}"
    return f"{NAMES[stem]}.{kind}"
