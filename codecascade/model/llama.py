"""The Llama architecture (Touvron et al. 2023), with the parameter names and layouts of Hugging Face's folders.

Shapes: B rows, T tokens of this pass, S tokens with those in the cache, H hidden_size, D head_dim, V vocab_size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from codecascade.model.cache import KeyValueCache
from codecascade.model.config import LlamaConfig
from codecascade.model.rope import rotate, rotation


@dataclass(frozen=True)
class Documents:
    """Packed documents, by their lengths in tokens, row after row of a batch: each attends to itself alone, causally.

    Attention is then made document by document: for short ones in long rows a tenth of the work that a mask takes.
    """

    lengths: tuple[int, ...]

    @classmethod
    def of(cls, document_ids: Tensor) -> Documents:
        """From (B, T) ids, best on the CPU: each run of equal ids within a row is a document."""
        starts = torch.ones_like(document_ids, dtype=torch.bool)
        starts[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
        places = starts.flatten().nonzero().flatten().tolist()
        ends = [*places[1:], document_ids.numel()]
        return cls(tuple(end - start for start, end in zip(places, ends, strict=True)))


@dataclass(frozen=True)
class Context:
    """What the layers of one forward pass share.

    (An object of its own, because FSDP casts the tensors among a layer's arguments, and the rotation must stay fp32.)
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | Documents | None
    cache: KeyValueCache | None


class Llama(nn.Module):
    """A decoder and its head; ``lm_head`` exists only if the head is not tied to the embedding.

    Attributes:
        gradient_checkpointing: keep only the layers' inputs for the backward pass and compute the rest again.
    """

    lm_head: nn.Linear

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.model = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        cache: KeyValueCache | None = None,
        mask: Tensor | Documents | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H) after the final norm, for :meth:`logits`.

        Args:
            tokens: (B, T) int64.
            positions: (B, T) int64, where they do not just count on from what is in the cache.
            cache: earlier tokens, which are attended to; these tokens' keys and values are added to it.
            mask: None for causal attention; packed documents; or (B or 1, 1, T or 1, S) bool, True where a token
                may attend.
        """
        if isinstance(mask, Documents) and cache is not None:
            raise ValueError("packed documents can't go on from a cache")
        past = 0 if cache is None else cache.length
        length = tokens.shape[1]
        if positions is None:
            positions = torch.arange(past, past + length, device=tokens.device)
        if mask is None and past and length > 1:
            mask = torch.ones(length, past + length, dtype=torch.bool, device=tokens.device).tril(past)
        x = self.model.embed_tokens(tokens)
        context = Context(*rotation(self.config, positions), mask, cache)
        for layer in self.model.layers:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, context, use_reentrant=False)
            else:
                x = layer(x, context)
        if cache is not None:
            cache.length += length
        hidden: Tensor = self.model.norm(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., H) to (..., V)."""
        return F.linear(hidden, self.head_weight)

    @property
    def head_weight(self) -> Tensor:
        """(V, H): the head's, or the embedding's if they are tied."""
        return self.model.embed_tokens.weight if self.config.tie_word_embeddings else self.lm_head.weight


class Decoder(nn.Module):
    """What Hugging Face names ``model``: all but the head."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_hidden_layers))
        self.norm = RMSNorm(config)


class Layer(nn.Module):
    """Attention, then a feed-forward network; each works on the normed stream and adds to it."""

    def __init__(self, config: LlamaConfig, index: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config)
        self.self_attn = Attention(config, index)
        self.post_attention_layernorm = RMSNorm(config)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), context)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Attention(nn.Module):
    """Grouped-query attention: each key-value head serves ``heads / key_value_heads`` query heads in a row."""

    def __init__(self, config: LlamaConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.head_dim = config.head_dim
        hidden, bias = config.hidden_size, config.attention_bias
        queries, keys = (
            heads * self.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = nn.Linear(hidden, queries, bias=bias)
        self.k_proj = nn.Linear(hidden, keys, bias=bias)
        self.v_proj = nn.Linear(hidden, keys, bias=bias)
        self.o_proj = nn.Linear(queries, hidden, bias=config.attention_output_bias)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        heads = (-1, self.head_dim)
        queries = rotate(self.q_proj(x).unflatten(-1, heads), context.cos, context.sin)
        keys = rotate(self.k_proj(x).unflatten(-1, heads), context.cos, context.sin)
        values = self.v_proj(x).unflatten(-1, heads)
        if isinstance(context.mask, Documents):
            attended = attend_within(context.mask, queries, keys, values)
        else:
            keys, values = keys.transpose(1, 2), values.transpose(1, 2)
            if context.cache is not None:
                keys, values = context.cache.append(self.index, keys, values)
            attended = attend(queries.transpose(1, 2), keys, values, context.mask).transpose(1, 2)
        out: Tensor = self.o_proj(attended.flatten(2))
        return out


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, heads, T, D) queries on (B, kv heads, S, D) keys and values. No mask: T = S and causal, or T = 1."""
    if queries.shape[2] == 1:
        # a group's heads become the rows of one product: several times as fast in bf16 on a CPU
        grouped = queries.reshape(*keys.shape[:2], -1, keys.shape[-1])
        return F.scaled_dot_product_attention(grouped, keys, values, mask).reshape(queries.shape)
    gqa = queries.shape[1] != keys.shape[1]
    return F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=mask is None, enable_gqa=gqa)


def attend_within(documents: Documents, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention of (B, T, heads, D) queries, keys and values within each document."""
    # A CPU's kernel for few queries takes twice the time in bf16, whose products it makes one tile at a time.
    dtype = torch.float32 if queries.device.type == "cpu" else queries.dtype
    lengths = list(documents.lengths)
    parts = [torch.split(tensor.flatten(0, 1).to(dtype), lengths) for tensor in (queries, keys, values)]
    with torch.autocast(queries.device.type, enabled=False):
        attended = [
            attend(*(tensor.transpose(0, 1)[None] for tensor in document))[0].transpose(0, 1)
            for document in zip(*parts, strict=True)
        ]
    return torch.cat(attended).view_as(queries).to(queries.dtype)


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        hidden, ffn, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = nn.Linear(hidden, ffn, bias=bias)
        self.up_proj = nn.Linear(hidden, ffn, bias=bias)
        self.down_proj = nn.Linear(ffn, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class RMSNorm(nn.Module):
    """Root-mean-square norm (Zhang and Sennrich 2019), in fp32 within one kernel."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        self.eps = config.rms_norm_eps

    def forward(self, x: Tensor) -> Tensor:
        # the kernel wants one dtype, and autocast makes x another than the weight
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def document_mask(document_ids: Tensor) -> Tensor:
    """(B, T) ids of packed documents to a mask (B, 1, T, T): causal, and within one document."""
    return (document_ids[:, None, :, None] == document_ids[:, None, None, :]).tril()
