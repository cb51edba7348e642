"""Which attention a micro-batch of packed rows gets."""

from __future__ import annotations

import torch
from torch import Tensor

from codecascade.model.attention import Documents, PassAttention
from codecascade.model.llama import document_mask
from codecascade.model.precision import Precision
from codecascade.training.varlen import VariableLengths


def pass_attention(
    document_ids: Tensor | None, device: torch.device, precision: Precision, compiled: bool
) -> Documents | PassAttention | Tensor | None:
    """The attention of rows of packed documents.

    On GPUs lengths go to a kernel for sequences of different lengths as a tensor. Elsewhere, and in fp32, for which
    there is no such kernel, attention is made document by document, which takes a tenth of the time of a mask. Only
    on a CPU compiled layers get a mask, since they would be compiled again for each new list of lengths; on a GPU
    such a mask would take more memory than all else.

    Args:
        document_ids: (B, T), on the CPU; None without document masks.
    """
    if document_ids is None or not bool((document_ids != document_ids[:, :1]).any()):
        return None
    if compiled and device.type == "cpu":
        return document_mask(document_ids)
    documents = Documents.of(document_ids)
    if device.type == "cuda" and precision.dtype == torch.bfloat16:
        lengths, longest = documents.lengths, document_ids.shape[1]
        return VariableLengths.of(lengths, lengths, longest=longest, device=device)
    return documents
