"""Embedding, stack, norm and output projection: what every whole model is made of."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models.block import Dense, Memory, Norm, dropout
from seqmodels.models.stack import Stack
from seqmodels.notation import Flags, Key, State
from seqmodels.positions import ADDITIVE, advance, sinusoidal
from seqmodels.spec import Spec, Tokens

Inputs = Int[Array, 'b t'] | Float[Array, 'b t n']
Source = Int[Array, 'b s'] | Float[Array, 'b s m']
SourceMask = Bool[Array, 'b s']


class Network(nnx.Module):
  """A causal model, a bidirectional encoder, or one half of an encoder–decoder (the encoder has no output `head`)."""

  def __init__(self, config: ModelConfig, spec: Spec, *, rngs: nnx.Rngs, head: bool = True) -> None:
    d, dtype = config.width, jnp.dtype(config.dtype)
    self.config, self.spec = config, spec
    if isinstance(spec.input, Tokens):
      self.embedding = nnx.Param(d**-0.5 * jax.random.normal(rngs.params(), (spec.input.size, d)))
    else:
      self.input = Dense(spec.input.size, d, rngs=rngs, dtype=dtype)
    if config.position == 'learned':
      self.position_table = nnx.Param(0.1 * jax.random.normal(rngs.params(), (spec.length, d)))
    cross_attention = spec.kind == 'seq2seq' and config.cross_attention
    how: dict[str, Any] = {'causal': spec.kind != 'encode', 'length': spec.length, 'cross_attention': cross_attention}
    self.stack = Stack(config, rngs=rngs, **how)
    self.norm = Norm(d, config.norm) if config.block == 'residual' else None
    if head and not config.tie_embeddings:
      # A small output layer: the first loss is that of the uniform distribution (or of predicting zero).
      self.output = Dense(d, spec.output.size, rngs=rngs, dtype=dtype, scale=0.2)

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    self._check_table('max_length', max_length)
    return self._state(self.stack.init_state(batch, max_length, source_length), batch)

  def start(self, batch: int, max_length: int, memory: Memory) -> State:
    """The state before the first token, with what the blocks need of an encoder's outputs."""
    self._check_table('max_length', max_length)
    return self._state(self.stack.start(batch, max_length, memory), batch)

  def _state(self, stack: State, batch: int) -> State:
    state = {'stack': stack}
    if self.config.position in ADDITIVE:
      state['position'] = jnp.zeros((batch,), jnp.int32)
    return state

  def __call__(
    self,
    inputs: Inputs,
    state: State | None,
    reset: Flags | None,
    mask: Flags | None,
    key: Key | None,
    memory: Memory | None = None,
    projections: Float[Array, 'v z'] | None = None,
  ) -> tuple[jax.Array, State | None]:
    x, state = self.features(inputs, state, reset, mask, key, memory, projections)
    if self.spec.readout == 'last':
      x = _last(x, mask)
    elif self.spec.readout == 'mean':
      x = _mean(x, mask)
    return self._project(x), state

  def features(
    self,
    inputs: Inputs,
    state: State | None,
    reset: Flags | None,
    mask: Flags | None,
    key: Key | None,
    memory: Memory | None = None,
    projections: Float[Array, 'v z'] | None = None,
  ) -> tuple[Float[Array, 'b t d'], State | None]:
    """What the output layer reads: the stack's outputs, normalised where the blocks are residual.

    projections: what the method of that name gave; it says nothing of an input with dropout (a key).
    """
    assert projections is None or key is None
    keys: tuple[Key | None, ...] = (None, None) if key is None else tuple(jax.random.split(key))
    x = self._embed(inputs)
    new_state: dict[str, Any] = {}
    if self.config.position in ADDITIVE:
      start = jnp.zeros((x.shape[0],), jnp.int32) if state is None else state['position']
      if start.shape[0] != x.shape[0]:
        raise InputError(f'the state is for a batch of {start.shape[0]}, the input has a batch of {x.shape[0]}')
      position, new_state['position'] = advance(start, x.shape[1], reset, mask)
      x = x + self._encoding(position).astype(x.dtype)
    x = dropout(x, self.config.dropout, keys[0])
    stack_state = None if state is None else state['stack']
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'rngs': keys[1], 'memory': memory}
    if projections is not None:
      how['projected'] = jnp.take(projections, inputs, axis=0)
    x, new_state['stack'] = self.stack(x, stack_state, **how)
    if self.norm is not None:
      x = self.norm(x)
    return x, None if state is None else new_state

  def projections(self) -> Float[Array, 'v z'] | None:
    """What the first mixer computes of each token of the vocabulary alone (`Mixer.project`).

    None where it computes nothing of that kind, and where its input is not a token's alone.
    """
    if not isinstance(self.spec.input, Tokens) or self.config.position in ADDITIVE:
      return None
    projected = self.stack.project(self._embed(jnp.arange(self.spec.input.size)[None]))
    return None if projected is None else projected[0]

  def _embed(self, inputs: jax.Array) -> jax.Array:
    """Components of unit variance, whatever the width (Vaswani et al. 2017, section 3.4)."""
    if not isinstance(self.spec.input, Tokens):
      return self.input(inputs)
    table = self.embedding[...].astype(self.config.dtype)
    return jnp.take(table, inputs, axis=0) * self.config.width**0.5

  def _encoding(self, position: Int[Array, 'b t']) -> Float[Array, 'b t d']:
    if self.config.position == 'sinusoidal':
      return sinusoidal(position, self.config.width)
    self._check_table('length', position.shape[1])
    return jnp.take(self.position_table[...], position, axis=0, mode='clip')

  def _check_table(self, name: str, length: int) -> None:
    """Raises InputError for more tokens than a table of learned positions has."""
    if self.config.position == 'learned' and length > self.spec.length:
      raise InputError(
        f'{name}={length} is beyond the table of model.position=learned, made for {self.spec.length} tokens'
      )

  def _project(self, x: jax.Array) -> jax.Array:
    if self.config.tie_embeddings:
      return (x @ self.embedding[...].astype(x.dtype).T).astype(jnp.float32)
    return self.output(x).astype(jnp.float32)


def _last(x: Float[Array, 'b t d'], mask: Flags | None) -> Float[Array, 'b d']:
  if mask is None:
    return x[:, -1]
  index = x.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
  return jnp.take_along_axis(x, index[:, None, None], axis=1)[:, 0]


def _mean(x: Float[Array, 'b t d'], mask: Flags | None) -> Float[Array, 'b d']:
  """Over what is not padding, in float32; zero where everything is."""
  wide = x.astype(jnp.float32)
  if mask is None:
    return jnp.mean(wide, axis=1).astype(x.dtype)
  total = jnp.sum(jnp.where(mask[:, :, None], wide, 0.0), axis=1)
  return (total / jnp.maximum(jnp.sum(mask, axis=1), 1)[:, None]).astype(x.dtype)
