"""Whole models. `build(config, spec)` gives a Model: a graph split once from its parameters, and pure functions."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from seqmodels.blocks import Dense, Norm, dropout
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS
from seqmodels.notation import Flags, Key, Params, State
from seqmodels.positions import ADDITIVE, advance, sinusoidal
from seqmodels.spec import Spec, Tokens
from seqmodels.stack import Stack


class Network(nnx.Module):
  """Embedding, stack, output projection: a causal model or a bidirectional encoder, as the spec says."""

  def __init__(self, config: ModelConfig, spec: Spec, *, rngs: nnx.Rngs) -> None:
    d, dtype = config.width, jnp.dtype(config.dtype)
    self.config, self.spec = config, spec
    if isinstance(spec.input, Tokens):
      self.embedding = nnx.Param(d**-0.5 * jax.random.normal(rngs.params(), (spec.input.size, d)))
    else:
      self.input = Dense(spec.input.size, d, rngs=rngs, dtype=dtype)
    if config.position == 'learned':
      self.position_table = nnx.Param(0.1 * jax.random.normal(rngs.params(), (spec.length, d)))
    self.stack = Stack(config, rngs=rngs, causal=spec.kind == 'causal')
    self.norm = Norm(d, config.norm) if config.block == 'residual' else None
    if not config.tie_embeddings:
      # A small output layer: the first loss is that of the uniform distribution (or of predicting zero).
      self.output = Dense(d, spec.output.size, rngs=rngs, dtype=dtype, scale=0.2)

  def init_state(self, batch: int, max_length: int) -> State:
    state = {'stack': self.stack.init_state(batch, max_length)}
    if self.config.position in ADDITIVE:
      state['position'] = jnp.zeros((batch,), jnp.int32)
    return state

  def __call__(
    self,
    inputs: Int[Array, 'b t'] | Float[Array, 'b t n'],
    state: State | None,
    reset: Flags | None,
    mask: Flags | None,
    key: Key | None,
  ) -> tuple[jax.Array, State | None]:
    keys: tuple[Key | None, ...] = (None, None) if key is None else tuple(jax.random.split(key))
    x = self._embed(inputs)
    new_state: dict[str, Any] = {}
    if self.config.position in ADDITIVE:
      start = jnp.zeros((x.shape[0],), jnp.int32) if state is None else state['position']
      position, new_state['position'] = advance(start, x.shape[1], reset, mask)
      x = x + self._encoding(position).astype(x.dtype)
    x = dropout(x, self.config.dropout, keys[0])
    x, stack_state = self.stack(x, None if state is None else state['stack'], reset=reset, mask=mask, rngs=keys[1])
    new_state['stack'] = stack_state
    if self.spec.readout == 'last':
      x = _last(x, mask)
    return self._project(x), None if state is None else new_state

  def _embed(self, inputs: jax.Array) -> jax.Array:
    """Components of unit variance, whatever the width (Vaswani et al. 2017, section 3.4)."""
    if not isinstance(self.spec.input, Tokens):
      return self.input(inputs)
    table = self.embedding[...].astype(self.config.dtype)
    return jnp.take(table, inputs, axis=0) * self.config.width**0.5

  def _encoding(self, position: Int[Array, 'b t']) -> Float[Array, 'b t d']:
    if self.config.position == 'sinusoidal':
      return sinusoidal(position, self.config.width)
    if position.shape[1] > self.spec.length:
      raise InputError(
        f'length={position.shape[1]} is beyond the table of model.position=learned, made for {self.spec.length} tokens'
      )
    return jnp.take(self.position_table[...], position, axis=0, mode='clip')

  def _project(self, x: jax.Array) -> jax.Array:
    if self.norm is not None:
      x = self.norm(x)
    if self.config.tie_embeddings:
      return (x @ self.embedding[...].astype(x.dtype).T).astype(jnp.float32)
    return self.output(x).astype(jnp.float32)


def _last(x: Float[Array, 'b t d'], mask: Flags | None) -> Float[Array, 'b d']:
  if mask is None:
    return x[:, -1]
  index = x.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
  return jnp.take_along_axis(x, index[:, None, None], axis=1)[:, 0]


class Model:
  """A network split once: `graph` holds no arrays, parameters are a nested dict that the caller owns."""

  def __init__(self, config: ModelConfig, spec: Spec) -> None:
    self.config, self.spec = config, spec
    abstract = nnx.eval_shape(lambda: Network(config, spec, rngs=nnx.Rngs(0)))
    self.graph, params = nnx.split(abstract)
    self.abstract_params: Params = nnx.to_pure_dict(params)

  def init(self, key: Key) -> Params:
    """Float32 parameters, drawn in one compiled program (eager initialisation takes seconds)."""
    return jax.jit(self._init)(key)

  def _init(self, key: Key) -> Params:
    network = Network(self.config, self.spec, rngs=nnx.Rngs(key))
    return nnx.to_pure_dict(nnx.state(network))

  def init_state(self, batch: int, max_length: int) -> State:
    """What is remembered before the first token; attention keeps up to `max_length` tokens."""
    return nnx.merge(self.graph, self.abstract_params).init_state(batch, max_length)

  def apply(
    self,
    params: Params,
    inputs: Int[Array, 'b t'] | Float[Array, 'b t n'],
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    key: Key | None = None,
  ) -> tuple[jax.Array, State | None]:
    """Outputs in float32, [b t n] or [b n] as spec.readout says, and the state after the segment.

    state None: from the start, and no state is wanted. key None: evaluation, no dropout. Call it inside `jax.jit`.
    """
    return nnx.merge(self.graph, params)(inputs, state, reset, mask, key)

  def network(self) -> Network:
    """The module with abstract parameters: for reading its structure, not for running it."""
    return nnx.merge(self.graph, self.abstract_params)


def build(config: ModelConfig, spec: Spec) -> Model:
  """The model of a config for a task's spec; `config.params` is turned into a width first (within 2 %)."""
  if spec.kind == 'causal':
    barred = sorted({name for name in config.pattern if name in MIXERS and not MIXERS[name].can_be_causal})
    if barred:
      raise InputError(
        f'model.pattern names {", ".join(barred)}, which cannot be causal; this task needs a causal model'
      )
  if config.tie_embeddings and spec.input != spec.output:
    raise InputError('model.tie_embeddings=True needs the same tokens as input and output')
  if config.params:
    config = solve_width(config, spec)
  return Model(config, spec)


def batch_axes(init_state: Callable[[int, int], State]) -> Any:
  """The batch axis of every leaf of a state (scanned layers lead with an axis over layers); -1: it has none."""

  def differing(two: jax.ShapeDtypeStruct, three: jax.ShapeDtypeStruct) -> int:
    return next((i for i, (a, b) in enumerate(zip(two.shape, three.shape, strict=True)) if a != b), -1)

  two, three = (jax.eval_shape(lambda n=n: init_state(n, 4)) for n in (2, 3))
  return jax.tree.map(differing, two, three)


def count_parameters(model: Model, *, embedding: bool = True) -> int:
  """Parameters; without `embedding`, the token embedding, position table and token output layer are left out."""
  tree: dict[str, Any] = dict(model.abstract_params)
  if not embedding:
    tree.pop('embedding', None)
    tree.pop('position_table', None)
    if isinstance(model.spec.output, Tokens):
      tree.pop('output', None)
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def solve_width(config: ModelConfig, spec: Spec) -> ModelConfig:
  """A width, and a feed-forward a little off its multiple, that meet `config.params` within 2 %.

  With a feed-forward, the width is a multiple of 4, of 32 where one is near, and the hidden width takes up what is
  left. InputError, with the nearest reachable number, where no width meets the budget.
  """
  target = config.params
  repeats = config.depth // len(config.pattern)

  def size(width: int, feedforward: float) -> int:
    """One period of blocks is built and multiplied: building deep models again and again takes seconds."""
    one = config.replace(width=width, feedforward=feedforward, params=0.0, depth=len(config.pattern))
    model = Model(one, spec)
    stack = sum(leaf.size for leaf in jax.tree.leaves(model.abstract_params['stack']))
    return count_parameters(model, embedding=False) + (repeats - 1) * stack

  step = _width_step(config)
  low, high = 1, 2
  while size(high * step, config.feedforward) < target:
    low, high = high, high * 2
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if size(middle * step, config.feedforward) < target else (low, middle)
  best: tuple[float, float, int, float, int] | None = None
  for width in sorted({_friendly(low * step, step), low * step, high * step}):
    feedforward = _fit_feedforward(config, width, size)
    reached = size(width, feedforward)
    off = abs(reached / target - 1)
    # Of the widths within the budget, the one whose feed-forward is nearest to what was asked for; a hardware-friendly
    # width may be a third off.
    distance = abs(math.log(feedforward / config.feedforward)) - 0.3 * (width % 16 == 0) if config.feedforward else 0.0
    best = min(best or (math.inf, math.inf, 0, 0.0, 0), (max(off, 0.01), distance, width, feedforward, reached))
  assert best is not None
  _, _, width, feedforward, reached = best
  if abs(reached / target - 1) > 0.02:
    raise InputError(f'model.params={target:g} cannot be met within 2 %; the nearest is {reached} (width {width})')
  return config.replace(width=width, feedforward=feedforward, params=0.0)


def _width_step(config: ModelConfig) -> int:
  heads = 2 * config.heads if config.heads else 1  # an even key width, as rotary positions need it
  if not config.feedforward:
    return math.lcm(heads, 2 if 'attention' in config.pattern else 1)
  return math.lcm(heads, 4)


def _friendly(width: int, step: int) -> int:
  """The nearest multiple of 32 or 16 that is at most an eighth away: vector units and key widths like it."""
  for unit in (32, 16):
    rounded = round(width / unit) * unit
    if rounded and rounded % step == 0 and abs(rounded - width) <= width / 8:
      return rounded
  return width


def _fit_feedforward(config: ModelConfig, width: int, size: Any) -> float:
  """The multiple that meets the budget at this width, in whole hidden units, never below half the width."""
  if not config.feedforward:
    return 0.0
  one, two = size(width, 1.0), size(width, 2.0)
  hidden = round(width * (1 + (config.params - one) / (two - one)))
  return max(hidden, width // 2) / width
