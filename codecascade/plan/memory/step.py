"""The memory of each device at the peak of a training step (estimates, which plan/simulation checks).

Moments that can be the peak are: while the loss is computed; when its gradients are scaled; when the backward pass
has just begun, in the last layer or the one before it; and when the tables' gradients are reduced at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from codecascade.model.config import LlamaConfig
from codecascade.model.loss import CHUNK_TOKENS, SOFTMAX_TOKENS
from codecascade.plan.memory.kinds import Memory
from codecascade.plan.mesh import tokens_on_device
from codecascade.recipe.settings import Stage
from codecascade.training.parallel.methods.reduction import MOST
from codecascade.training.parallel.settings import Checkpointing, MeshShape

_SOFTMAX_BYTES = 4 * SOFTMAX_TOKENS
"""For each row of the head: the probabilities of a few tokens, in fp32."""


def product_bytes(stage: Stage) -> int:
    """Bytes of one number in the matrix products. ``auto`` is counted as bf16, which it is on every GPU."""
    return 4 if stage.precision == "fp32" else 2


def micro_batches(stage: Stage, mesh: MeshShape) -> int:
    """Forward and backward passes of a step."""
    return math.ceil(max(1, stage.rows // mesh.data) / stage.micro_batch_rows)


def reduces_once(config: LlamaConfig, stage: Stage, mesh: MeshShape, memory: int | None) -> bool:
    """Whether gradients are reduced once a step and not after each micro-batch, as the settings or memory say.

    Args:
        memory: of a device; None: not known, and taken not to be enough.
    """
    if stage.sharing.reduce_gradients != "auto":
        return stage.sharing.reduce_gradients == "step"
    return memory is not None and 4 * trained_parameters(config, stage) // mesh.tensor <= MOST * memory


def trained_parameters(config: LlamaConfig, stage: Stage) -> int:
    """How many parameters are trained."""
    if stage.train == "all":
        return config.num_parameters()
    # the inputs and outputs of q, k, v and o, and of the feed-forward network
    queries, keys = _widths(config)
    attention = 3 * config.hidden_size + queries + config.hidden_size + queries + 2 * keys
    feed_forward = 3 * (config.hidden_size + config.intermediate_size)
    return config.num_hidden_layers * stage.lora_rank * (attention + feed_forward)


def step_state(config: LlamaConfig, stage: Stage, mesh: MeshShape) -> Memory:
    """What each device keeps of weights, gradients and moments."""
    over, trained = mesh.shards * mesh.tensor, trained_parameters(config, stage)
    frozen = 0 if stage.train == "all" else product_bytes(stage) * config.num_parameters()
    return Memory(
        weights=(4 * trained + frozen) // over, gradients=4 * trained // over, moments=8 * trained // over
    )


def step_memory(config: LlamaConfig, stage: Stage, mesh: MeshShape, memory: int | None = None) -> Memory:
    """The memory of each device at the peak of a step of ``stage`` on ``mesh``.

    Args:
        memory: of a device, by which it is decided how often gradients are reduced.
    """
    step = _Step(config, stage, mesh, memory)
    return max(step.moments(), key=lambda moment: moment.total)


def _widths(config: LlamaConfig) -> tuple[int, int]:
    """Numbers of a token's queries, and of its keys."""
    return config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim


@dataclass(frozen=True)
class _Step:
    """The moments of a step. Parameters are counted as a device of a tensor-parallel group has them."""

    config: LlamaConfig
    stage: Stage
    mesh: MeshShape
    memory: int | None

    def moments(self) -> tuple[Memory, ...]:
        return (
            self._moment(
                activations=self.tokens * (self._kept(self.config.num_hidden_layers) + 2 * self._hidden),
                gathered_layers=0,
                logits=self._loss_gradients + self._logits,
            ),
            self._moment(
                activations=self.tokens * self._kept(self.config.num_hidden_layers),
                gathered_layers=0,
                logits=2 * self.tokens * self.width * self.config.hidden_size + 10 * self._head,
            ),
            self._in_a_layer(reduced=0),
            self._in_a_layer(reduced=1),
            self._at_the_end(),
        )

    def _in_a_layer(self, *, reduced: int) -> Memory:
        """The gradients of the last layer are made; or they are on their way, and those of the one before are made.

        Within a layer the most is kept while the feed-forward network's gradients are made: all activations, two of
        the width of that network, and the gradient of one weight.
        """
        kept = self._kept(self.config.num_hidden_layers - reduced)
        own = self.layer_activations() - self._hidden if self._checkpointing != "none" else 0
        gradients = 2 * self.width * self.config.intermediate_size // self._tensor + self._hidden_of_all
        one_weight = self.config.hidden_size * self.config.intermediate_size // self._tensor
        return self._moment(
            activations=self.tokens * (kept + own + gradients)
            + (self.width * one_weight if self._trains_all else 0),
            # the next layer's weights are on their way, if there is one
            gathered_layers=min(2, self.config.num_hidden_layers - reduced),
            reduced=reduced * self._layer,
            logits=self.width * self._head,
            layers_reduced=reduced,
        )

    def _at_the_end(self) -> Memory:
        """The vocabulary tables' gradients are reduced; all other gradients are where they belong."""
        own = self.width * self._tables if self._sharded and self._trains_all else 0
        return self._moment(
            activations=self.tokens * self._hidden,
            gathered_layers=None,
            reduced=self._tables,
            extra_communication=own,
        )

    def _moment(
        self,
        *,
        activations: int,
        gathered_layers: int | None,
        logits: int = 0,
        reduced: int = 0,
        layers_reduced: int | None = None,
        extra_communication: int = 0,
    ) -> Memory:
        """What all moments have, and what is given.

        Args:
            gathered_layers: layers that are gathered, besides the vocabulary tables; None: not even these.
            reduced: parameters whose fp32 gradients are on their way.
            layers_reduced: layers whose gradients are there, in the first micro-batch; None: all.
        """
        state = step_state(self.config, self.stage, self.mesh)
        gradients = state.gradients
        if layers_reduced is not None and (self._passes == 1 or self._once):
            gradients = 4 * layers_reduced * self._layer // self.mesh.shards if self._trains_all else 0
        elif gathered_layers == 0 and (self._passes == 1 or self._once):
            gradients = 0
        communication = extra_communication
        if self._sharded and gathered_layers is not None:
            communication += self.width * (self._tables + gathered_layers * self._layer)
        if self._sharded and self._trains_all:
            communication += 4 * reduced
            if self._once and self._passes > 1 and gathered_layers is not None:
                waiting = self.config.num_hidden_layers - (layers_reduced or 0)
                communication += 4 * (self._tables + waiting * self._layer)
        return Memory(
            weights=state.weights,
            gradients=gradients,
            moments=state.moments,
            activations=activations + self._casts,
            communication=communication,
            logits=logits,
        )

    # ---- what is counted

    @property
    def width(self) -> int:
        return product_bytes(self.stage)

    @property
    def tokens(self) -> int:
        return tokens_on_device(self.stage, self.mesh)

    @property
    def _tensor(self) -> int:
        return self.mesh.tensor

    @property
    def _sharded(self) -> bool:
        """Whether FSDP gathers weights in the products' format; one device alone computes with its fp32 weights."""
        return self.mesh.devices > 1

    @property
    def _trains_all(self) -> bool:
        return self.stage.train == "all"

    @property
    def _checkpointing(self) -> Checkpointing:
        return self.stage.activation_checkpointing

    @cached_property
    def _passes(self) -> int:
        return micro_batches(self.stage, self.mesh)

    @cached_property
    def _once(self) -> bool:
        return reduces_once(self.config, self.stage, self.mesh, self.memory)

    @property
    def _stream(self) -> int:
        """Bytes of a number of the residual stream."""
        return self.width if self._sharded else 4

    @property
    def _hidden_of_all(self) -> int:
        """Bytes of a token in the residual stream."""
        return self._stream * self.config.hidden_size

    @property
    def _hidden(self) -> int:
        """The same, of a device of a tensor-parallel group: between products they share the tokens."""
        return self._hidden_of_all // self._tensor

    @cached_property
    def _head(self) -> int:
        """Parameters of the head, if it is trained."""
        return self.config.vocab_size * self.config.hidden_size // self._tensor if self._trains_all else 0

    @cached_property
    def _tables(self) -> int:
        """Parameters of the vocabulary tables."""
        config = self.config
        return (2 - config.tie_word_embeddings) * config.vocab_size * config.hidden_size // self._tensor

    @cached_property
    def _layer(self) -> int:
        """Parameters of one layer."""
        in_layers = self.config.num_parameters() // self._tensor - self._tables
        return in_layers // self.config.num_hidden_layers

    @property
    def _casts(self) -> int:
        """The weights in the products' format, which autocast keeps where no rank gathers them."""
        cast = not self._sharded and self.width == 2 and self._trains_all
        return 2 * self.config.num_parameters() if cast else 0

    def layer_activations(self) -> int:
        """Bytes a token that the backward pass of one layer needs."""
        config, width, tensor = self.config, self.width, self._tensor
        queries, keys = _widths(config)
        # the stream before each half; of its norms only a number a token is kept besides
        kept = 2 * self._hidden
        # what the projections take in; under tensor parallelism it is gathered for them
        kept += 2 * width * config.hidden_size
        # queries, keys, values, what attention gives, and the logarithms of its sums
        kept += (width * (2 * queries + 2 * keys) + 4 * config.num_attention_heads) // tensor
        # keys and values of the whole rows
        if self.mesh.context > 1:
            kept += 2 * width * keys * self.mesh.context // tensor
        # gate, its activation, up, and their product
        kept += 4 * width * config.intermediate_size // tensor
        if config.query_key_norm:
            kept += width * (queries + keys) // tensor
        if not self._sharded:
            # norms give fp32, and autocast makes a copy of it for each projection
            kept += 2 * 4 * config.hidden_size + 3 * width * config.hidden_size
        return kept

    def _kept(self, layers: int) -> int:
        """Bytes a token that so many layers keep for the backward pass."""
        config, width = self.config, self.width
        if self._checkpointing == "full":
            return layers * self._hidden
        if self._checkpointing == "none":
            return layers * self.layer_activations()
        # what attention gives, and every second product: queries, values, gate and the layer's result
        queries, keys = _widths(config)
        some = self._hidden + width * (
            2 * queries + keys + config.intermediate_size + config.hidden_size
        ) // (self._tensor)
        gathered = 2 * width * config.hidden_size if self._tensor > 1 else 0
        return layers * (some + gathered)

    @property
    def _loss_gradients(self) -> int:
        """Gradients by the hidden states; and by the head, of which the second chunk makes two, added up in fp32."""
        chunks = -(-self.tokens // (self.stage.loss_chunk_tokens or CHUNK_TOKENS))
        # devices that share tokens gather them for the head
        times = 2 if self._tensor > 1 else 1
        return (
            times * self.tokens * self.width * self.config.hidden_size + (8 if chunks > 1 else 2) * self._head
        )

    @property
    def _logits(self) -> int:
        """One chunk's logits, and the probabilities of a few tokens: in place, or, of split rows, in two steps."""
        chunk = min(self.stage.loss_chunk_tokens or CHUNK_TOKENS, self.tokens)
        times = 2 if self._tensor > 1 else 1
        return (self.width * chunk + times * _SOFTMAX_BYTES) * self.config.vocab_size // self._tensor
