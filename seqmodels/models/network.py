"""Embedding, stack, norm and output layer: the parts of every whole model."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from seqmodels.config import ModelConfig
from seqmodels.context import BATCH, Apply, Context, Documents, EncoderOutput, StateSpec
from seqmodels.errors import InputError
from seqmodels.layers import Dense, Embed, Norm, dropout, parameter
from seqmodels.layers.dense import normal
from seqmodels.layers.draws import Draws
from seqmodels.mixers.base import DETERMINISTIC
from seqmodels.models.stack import Stack
from seqmodels.notation import State
from seqmodels.positions import ADDITIVE, advance, sinusoidal
from seqmodels.spec import Spec, Tokens, Vectors

Inputs = Int[Array, 'b t'] | Float[Array, 'b t n']
Source = Int[Array, 'b s'] | Float[Array, 'b s m']
SourceMask = Bool[Array, 'b s']


class Network(nnx.Module):
  """A causal model, a bidirectional encoder, or one half of an encoder–decoder (the encoder has no output `head`)."""

  def __init__(self, config: ModelConfig, spec: Spec, *, rngs: Draws, head: bool = True) -> None:
    d, dtype = config.width, jnp.dtype(config.dtype)
    self.config, self.spec = config, spec
    if isinstance(spec.input, Tokens):
      self.embed = Embed(spec.input.size, d, rngs=rngs, dtype=dtype)
    else:
      sizes = {'features': spec.input.size // spec.input.places}, {'embed': _channels(d, spec.input)}
      self.input = Dense(*sizes, rngs=rngs, init=normal(), bias=True, dtype=dtype)
    if config.position == 'learned':
      table = 0.1 * jax.random.normal(rngs.params(), (spec.length, d))
      self.position_table = parameter(table, ('position', 'embed'))
    cross_attention = spec.kind == 'seq2seq' and config.cross_attention
    causal = spec.kind != 'encode'
    image = spec.input.image if isinstance(spec.input, Vectors) else (1, 1)
    form: dict[str, Any] = {'causal': causal, 'cross_attention': cross_attention, 'image': image}
    self.stack = Stack(config, rngs=rngs, length=spec.length, **form)
    self.norm = Norm({'embed': d}, config.norm) if config.block != 'plain' else None
    if head and not config.tie_embeddings:
      # A small output layer: the first loss is that of the uniform distribution (or of predicting zero).
      outputs = {'vocab': spec.output.size}
      if isinstance(spec.output, Vectors):
        outputs = {'features': spec.output.size // spec.output.places}
      inputs = {'embed': _channels(d, spec.output)}
      self.output = Dense(inputs, outputs, rngs=rngs, init=normal(0.2), bias=True, dtype=dtype)

  def state_spec(self, batch: int, max_length: int, source_length: int = 0) -> Any:
    """Return a tree of `StateSpec`s."""
    self._check_table('max_length', max_length)
    spec = {'stack': self.stack.state_spec(batch, max_length, source_length)}
    if self.config.position in ADDITIVE:
      spec['position'] = StateSpec((batch,), (BATCH,), jnp.int32)
    return spec

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    self._check_table('max_length', max_length)
    return self._state(self.stack.init_state(batch, max_length, source_length), batch)

  def start(self, batch: int, max_length: int, encoder: EncoderOutput) -> State:
    """Return the state before the first token, with what the blocks need of an encoder's output."""
    self._check_table('max_length', max_length)
    return self._state(self.stack.start(batch, max_length, encoder), batch)

  def _state(self, stack: State, batch: int) -> State:
    state = {'stack': stack}
    if self.config.position in ADDITIVE:
      state['position'] = jnp.zeros((batch,), jnp.int32)
    return state

  def __call__(
    self,
    inputs: Inputs,
    state: State | None = None,
    context: Context = DETERMINISTIC,
    table: Float[Array, ' v *z'] | None = None,
  ) -> tuple[jax.Array, State | None]:
    """Return float32 outputs as `spec.readout` says, and the state after the segment.

    table: `projections()`, from which the first mixer's projection of every token is then read.
    """
    x, state = self.features(inputs, state, context, table)
    if self.spec.readout == 'last':
      x = context.documents.last(x)
    elif self.spec.readout == 'mean':
      x = _mean(x, context.documents)
    with jax.named_scope('output'):
      if self.spec.readout == 'every':
        outputs, _ = self._in_parts(lambda network, x, state, context: (network.outputs(x), None), x, None, context)
      else:
        outputs = self.outputs(x)
    outer = (BATCH, 'time')[: outputs.ndim - 1]
    return context.pin(outputs, *outer, 'vocab' if isinstance(self.spec.output, Tokens) else 'features'), state

  def features(
    self,
    inputs: Inputs,
    state: State | None = None,
    context: Context = DETERMINISTIC,
    table: Float[Array, ' v *z'] | None = None,
  ) -> tuple[Float[Array, 'b t d'], State | None]:
    """Return what the output layer reads: the stack's outputs, normalised where the blocks are."""
    x = inputs
    if isinstance(self.spec.input, Tokens):
      with jax.named_scope('embed'):
        x = self.embed(inputs, context)
    if table is not None:
      assert context.deterministic
      return self._read(x, state, context, jnp.take(table, inputs, axis=0))
    return self._in_parts(Network._read, x, state, context)

  def outputs(self, x: Float[Array, '*b d']) -> Float[Array, '*b n']:
    """Return the float32 outputs of features."""
    if self.config.tie_embeddings:
      return self.embed.logits(x)
    return _by_place(lambda x: self.output(x, jnp.float32), x, self.spec.output)

  def _in_parts(
    self, method: Any, x: jax.Array, state: State | None, context: Context
  ) -> tuple[jax.Array, State | None]:
    """Return method(self, x, state, context), each device with its part of the tokens where a mesh splits them."""
    if context.constrain is None:
      return method(self, x, state, context)
    graph, params = nnx.split(self)
    apply: Apply = lambda params, *arguments: method(nnx.merge(graph, params), *arguments)
    return context.constrain.in_parts(apply, nnx.to_pure_dict(params), x, state, context)

  def _read(
    self,
    x: Float[Array, 'b t _'],
    state: State | None,
    context: Context,
    projected: Float[Array, 'b t *z'] | None = None,
  ) -> tuple[Float[Array, 'b t d'], State | None]:
    """Return the features of embedded tokens, or of vectors."""
    at_input, inside = context.split(2)
    x, new_state = self._placed(x, state, at_input)
    own = None if state is None else state['stack']
    x, new_state['stack'] = self.stack(x, own, inside, projected)
    if self.norm is not None:
      x = self.norm(x)
    return x, None if state is None else new_state

  def _placed(
    self, x: jax.Array, state: State | None, context: Context
  ) -> tuple[Float[Array, 'b t d'], dict[str, Any]]:
    """Return what the first layer reads, with positions where they are added, and the state of those."""
    if not isinstance(self.spec.input, Tokens):
      x = context.documents.keep(x)  # a NaN in padding would reach the gradients of norms as 0 · NaN
      with jax.named_scope('embed'):
        x = _by_place(self.input, x, self.spec.input)
    new_state: dict[str, Any] = {}
    if self.config.position in ADDITIVE:
      start = jnp.zeros((x.shape[0],), jnp.int32) if state is None else state['position']
      if start.shape[0] != x.shape[0]:
        raise InputError(f'the state is for a batch of {start.shape[0]}, the input has a batch of {x.shape[0]}')
      position, new_state['position'] = advance(start, x.shape[1], context.documents)
      x = x + self._encoding(position, context.documents.count(x.shape[1])).astype(x.dtype)
    return context.pin(dropout(x, self.config.dropout, context), BATCH, 'time', 'embed'), new_state

  def attention_maps(self, inputs: Inputs, context: Context = DETERMINISTIC) -> dict[str, Float[Array, 'b h t _']]:
    """Return `Stack.attention_maps` of whole sequences, for a deterministic call."""
    x = self.embed(inputs, context) if isinstance(self.spec.input, Tokens) else inputs
    return self.stack.attention_maps(self._placed(x, None, context)[0], context)

  def projections(self) -> Float[Array, ' v *z'] | None:
    """Return `Mixer.project` of every token of the vocabulary, as the first mixer reads them.

    None where the mixer has no projection, and where its input does not depend on the token alone.
    """
    if not isinstance(self.spec.input, Tokens) or self.config.position in ADDITIVE:
      return None
    projected = self.stack.project(self.embed(jnp.arange(self.spec.input.size)[None]))
    return None if projected is None else projected[0]

  def _encoding(self, position: Int[Array, 'b t'], length: int) -> Float[Array, 'b t d']:
    """length: of all tokens."""
    if self.config.position == 'sinusoidal':
      return sinusoidal(position, self.config.width)
    self._check_table('length', length)
    return jnp.take(self.position_table[...], position, axis=0, mode='clip')

  def _check_table(self, name: str, length: int) -> None:
    """Raise InputError for more tokens than a table of learned positions has."""
    if self.config.position == 'learned' and length > self.spec.length:
      raise InputError(
        f'{name}={length} is beyond the table of model.position=learned, made for {self.spec.length} tokens'
      )


def _channels(width: int, side: Tokens | Vectors) -> int:
  """Return how many components of a vector of the model's width belong to one place of an image."""
  places = side.places if isinstance(side, Vectors) else 1
  if width % places:
    raise InputError(f'model.width={width} must be a multiple of {places}, the places of the images of the task')
  return width // places


def _by_place(layer: Callable[[jax.Array], jax.Array], x: jax.Array, side: Tokens | Vectors) -> jax.Array:
  """Return the layer's outputs for every place of x, one after the other."""
  if isinstance(side, Tokens) or side.places == 1:
    return layer(x)
  y = layer(x.reshape(*x.shape[:-1], side.places, -1))
  return y.reshape(*x.shape[:-1], -1)


def _mean(x: Float[Array, 'b t d'], documents: Documents) -> Float[Array, 'b d']:
  """Return the mean over what is not padding, in float32; zero where everything is."""
  wide = x.astype(jnp.float32)
  if documents.mask is None:
    return jnp.mean(wide, axis=1).astype(x.dtype)
  total = jnp.sum(documents.keep(wide), axis=1)
  return (total / jnp.maximum(jnp.sum(documents.mask, axis=1), 1)[:, None]).astype(x.dtype)
