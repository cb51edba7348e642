"""The Llama architecture (Touvron et al. 2023), with the parameter names and layouts of Hugging Face's folders.

The types of model that differ from it in a few settings are computed, too: Mistral, Qwen 2 (biases), Qwen 3 (norms of
queries and keys), Granite (multipliers) and SmolLM3 (layers without rotary positions).

Shapes: B rows, T tokens of this pass, S tokens with those in the cache, H hidden_size, D head_dim, G key-value heads,
V vocab_size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from codecascade.model.attention import Documents, PassAttention, attend, attend_within, cpu_bf16
from codecascade.model.cache import KeyValueCache
from codecascade.model.config import LlamaConfig
from codecascade.model.cpu.norm import CastNorm, norm_is_cast_once
from codecascade.model.paged_attention import AttentionMetadata
from codecascade.model.rope import rotate, rotation


@dataclass(frozen=True)
class ForwardContext:
    """What the layers of one forward pass share.

    (An object of its own, because FSDP casts the tensors among a layer's arguments, and the rotation must stay fp32.)
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | Documents | PassAttention | None


class Llama(nn.Module):
    """A decoder and its head; ``lm_head`` exists only if the head is not tied to the embedding.

    Attributes:
        gradient_checkpointing: keep only the layers' inputs for the backward pass and compute the rest again.
        trained_rows: rows of the head's weight that its gradient is wanted for, int64; None for all.
    """

    lm_head: nn.Linear

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.trained_rows: Tensor | None = None
        self.model = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        cache: KeyValueCache | None = None,
        mask: Tensor | Documents | PassAttention | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H) after the final norm, divided by ``logits_scaling``: the head's products with them
        are the logits.

        Args:
            tokens: (B, T) int64.
            positions: (B, T) int64, where they do not just count on from what is in the cache.
            cache: earlier tokens, which are attended to; these tokens' keys and values are added to it. Row i of
                ``tokens`` goes on from its row i, or document i if they are packed. Tokens behind the last document
                are padding, and become part of no row.
            mask: None for causal attention; packed documents; or, without a cache, an attention of one's own, or
                (B or 1, 1, T or 1, T) bool, True where a token may attend.
        """
        new: AttentionMetadata | None = None
        if cache is not None:
            if mask is not None and not isinstance(mask, Documents):
                raise ValueError(
                    "with a cache, whose rows have no padding to hide, a mask can only be Documents"
                )
            documents = mask or Documents((tokens.shape[1],) * tokens.shape[0])
            new = AttentionMetadata(cache, documents, tokens.numel())
            if positions is None:
                positions = new.positions.view_as(tokens)
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.model.embed_tokens(tokens)
        if self.config.embedding_multiplier != 1:
            x = x * self.config.embedding_multiplier
        context = ForwardContext(*rotation(self.config, positions), new or mask)
        for layer in self.model.layers:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, context, use_reentrant=False)
            else:
                x = layer(x, context)
        if new is not None:
            new.finish()
        hidden: Tensor = self.model.norm(x)
        # here and not behind the head, because losses and engines multiply with the head by themselves
        return hidden if self.config.logits_scaling == 1 else hidden / self.config.logits_scaling

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., H) to (..., V)."""
        head = self._modules.get("lm_head")
        out: Tensor = F.linear(hidden, self.head_weight) if head is None else head(hidden)
        return out

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
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Layer(nn.Module):
    """Attention, then a feed-forward network; each works on the normed stream and adds to it."""

    def __init__(self, config: LlamaConfig, index: int) -> None:
        super().__init__()
        self.residual_multiplier = config.residual_multiplier
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, index)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        # (B, T, H) throughout
        multiplier = self.residual_multiplier
        x = torch.add(x, self.self_attn(self.input_layernorm(x), context), alpha=multiplier)
        return torch.add(x, self.mlp(self.post_attention_layernorm(x)), alpha=multiplier)


class Attention(nn.Module):
    """Grouped-query attention: each key-value head serves ``heads / key_value_heads`` query heads in a row."""

    def __init__(self, config: LlamaConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.head_dim = config.head_dim
        self.rotates = config.rotates(index)
        # the kernels multiply the scores by head_dim ** -0.5; the rest goes into the queries
        self.query_scale = config.attention_scale * self.head_dim**0.5 if config.attention_multiplier else 1.0
        hidden, bias = config.hidden_size, config.attention_bias
        queries, keys = (
            heads * self.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = nn.Linear(hidden, queries, bias=bias)
        self.k_proj = nn.Linear(hidden, keys, bias=bias)
        self.v_proj = nn.Linear(hidden, keys, bias=bias)
        self.o_proj = nn.Linear(queries, hidden, bias=config.attention_output_bias)
        if config.query_key_norm:
            self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps)
            self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps)

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        queries, keys, values = self._project(x, context)
        attended = attend_by(context.mask, self.index, queries, keys, values)
        # (B, T, heads, D) to (B, T, H)
        out: Tensor = self.o_proj(attended.flatten(2))
        return out

    def _project(self, x: Tensor, context: ForwardContext) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, H) to queries (B, T, heads, D), rotated and scaled, keys (B, T, G, D), rotated, and values."""
        heads = (-1, self.head_dim)
        queries: Tensor = self.q_proj(x).unflatten(-1, heads)
        keys: Tensor = self.k_proj(x).unflatten(-1, heads)
        values: Tensor = self.v_proj(x).unflatten(-1, heads)
        if hasattr(self, "q_norm"):
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        scale = self.query_scale
        if self.rotates:
            cos, sin = context.cos, context.sin
            # scaled with the rotation, which rounds once
            queries = rotate(queries, cos, sin) if scale == 1 else rotate(queries, cos * scale, sin * scale)
            keys = rotate(keys, cos, sin)
        elif scale != 1:
            queries = queries * scale
        return queries, keys, values


def attend_by(
    mask: Tensor | Documents | PassAttention | None,
    layer: int,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Attention of (B, T, heads, D) queries on (B, T, G, D) keys and values, and on others that a pass knows of.

    Args:
        mask: see :meth:`Llama.forward`; with a cache, the pass.
        layer: which one's memory of the cache is meant.
    """
    if mask is None and cpu_bf16(queries) and not torch.compiler.is_compiling():
        # the way that is fast there
        mask = Documents((queries.shape[1],) * queries.shape[0])
    if isinstance(mask, Documents):
        return attend_within(mask, queries, keys, values)
    if mask is not None and not isinstance(mask, Tensor):
        # (B x T, heads or G, D)
        packed = (tensor.flatten(0, 1) for tensor in (queries, keys, values))
        return mask.attend(layer, *packed).view_as(queries)
    # (B, heads or G, T, D)
    queries, keys, values = (tensor.transpose(1, 2) for tensor in (queries, keys, values))
    return attend(queries, keys, values, mask).transpose(1, 2)


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

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if norm_is_cast_once(x, self.weight):
            normed: Tensor = CastNorm.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
            return normed
        # the kernel wants one dtype, and autocast makes x another than the weight
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def document_mask(document_ids: Tensor) -> Tensor:
    """(B, T) ids of packed documents to a mask (B, 1, T, T): causal, and within one document."""
    return (document_ids[:, None, :, None] == document_ids[:, None, None, :]).tril()
