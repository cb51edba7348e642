"""Reads files of ``torch.save`` that hold tensors by name, and nothing else.

A pickle is a program. Here it may only call what rebuilds tensors: its instructions are looked through before one of
them is carried out, and ``torch.load`` with ``weights_only`` looks again. So no code of the file's runs, and its
tensors take at most twice the file's length. This is no protection from errors in PyTorch's own reading of a tensor.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import open_regular
from codecascade.ground.files.values import first_words, short

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# What the pickle of a dictionary of tensors calls.
_CALLED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double")),
}
# Instructions that name or call something in another way; torch.save writes none of them.
_NEVER = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")
_MOST_PICKLE = 8 << 20
_MOST_ENTRIES = 2**18


def read_pickled_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file of ``torch.save``, memory-mapped.

    Raises:
        UserError: the file is missing, broken or in PyTorch's format of before 2020, holds something else than dense
            tensors of floating-point numbers, or calls something.
    """
    open_regular(file).close()
    _check_archive(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise UserError(f"is not a whole file of torch.save ({first_words(error)})", file=file) from None
    if not isinstance(content, dict):
        raise UserError("must hold tensors by name", file=file)
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(f"must hold tensors by name (got {short(name)})", file=file)
        if tensor.layout != torch.strided or tensor.dtype not in _FLOATS or not tensor.is_contiguous():
            raise UserError("is no dense tensor of floating-point numbers", file=file, key=short(name))
    # two names may stand for the same numbers (a tied head), but a small file must not become a large model
    if sum(tensor.nbytes for tensor in content.values()) > 2 * file.stat().st_size:
        raise UserError("holds less than its tensors would take", file=file)
    return content


def _check_archive(file: Path) -> None:
    """The archive around the numbers: stored as they are, with one small pickle that calls nothing but tensors."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            pickles = [entry for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"]
            if len(entries) > _MOST_ENTRIES or len(set(names)) < len(names) or len(pickles) != 1:
                raise UserError("is not a file of torch.save", file=file)
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise UserError("is compressed, which torch.save never does", file=file)
            if pickles[0].file_size > _MOST_PICKLE:
                raise UserError(f"has a pickle of more than {_MOST_PICKLE >> 20} MiB", file=file)
            program = archive.read(pickles[0])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise UserError(
            f"is not a whole file of torch.save in its format since 2020 ({first_words(error)}); fetch it again, or "
            "save it again with PyTorch",
            file=file,
        ) from None
    try:
        for instruction, argument, _ in pickletools.genops(program):
            called = argument if instruction.name == "GLOBAL" else None
            if instruction.name in _NEVER or (called is not None and called not in _CALLED):
                raise UserError(
                    f"would call {short(called or instruction.name)}: it holds more than tensors, and is not opened",
                    file=file,
                )
    except ValueError as error:
        raise UserError(f"holds a broken pickle ({first_words(error)})", file=file) from None
