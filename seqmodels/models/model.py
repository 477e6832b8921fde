"""Whole models. `build(config, spec)` gives a Model: a graph split once from its parameters, and pure functions."""

import functools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS, mixer_options, parse_entry
from seqmodels.mixers.base import grow
from seqmodels.models import widths
from seqmodels.models.block import FeedForward
from seqmodels.models.encoder_decoder import EncoderDecoder
from seqmodels.models.network import Inputs, Network, Source, SourceMask
from seqmodels.notation import Flags, Key, Params, State
from seqmodels.positions import ADDITIVE
from seqmodels.spec import Spec, Tokens

LARGEST_TABLE = 2**24  # floats


class Prepared(NamedTuple):
  """What many single tokens are computed with: the parameters, and what follows from them alone."""

  params: Params
  projections: Float[Array, 'v z'] | None


class Model:
  """A network split once: `graph` holds no arrays, parameters are a nested dict that the caller owns."""

  def __init__(self, config: ModelConfig, spec: Spec) -> None:
    self.config, self.spec = config, spec
    self._table: tuple[list[weakref.ref], jax.Array | None] = [], None  # of `prepare`, and what it was made of
    abstract = nnx.eval_shape(lambda: self._make(nnx.Rngs(0)))
    self.graph, params = nnx.split(abstract)
    self.abstract_params: Params = nnx.to_pure_dict(params)

  def _make(self, rngs: nnx.Rngs) -> Network | EncoderDecoder:
    kind = EncoderDecoder if self.spec.kind == 'seq2seq' else Network
    return kind(self.config, self.spec, rngs=rngs)

  def init(self, key: Key) -> Params:
    """Float32 parameters, drawn in one compiled program (eager initialisation takes seconds)."""
    return jax.jit(self._init)(key)

  def _init(self, key: Key) -> Params:
    return nnx.to_pure_dict(nnx.state(self._make(nnx.Rngs(key))))

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    """What is remembered before the first token; attention keeps up to `max_length` tokens.

    InputError for more of them than a table of learned positions has.

    For seq2seq models the state after a source of `source_length` padded tokens (0: the spec's): the shapes of what
    `start` makes of a real one.
    """
    network = nnx.merge(self.graph, self.abstract_params)
    return network.init_state(batch, max_length, source_length)

  def grow_state(self, state: State, max_length: int) -> State:
    """The state as if made for `max_length` tokens; one made for more, or of fixed size, stays as it is.

    Exact as long as no document is longer than the state was made for: then nothing has been forgotten yet.
    """
    # One row and one source token, so that neither axis is longer than the state's.
    return grow(state, jax.eval_shape(lambda: self.init_state(1, max_length, 1)))

  def start(self, params: Params, source: Source, max_length: int, *, source_mask: SourceMask | None = None) -> State:
    """The state of a seq2seq model that has read the source: cross-attention's keys and values are computed here, once.

    From it, `apply` writes in segments or token by token. Call it inside `jax.jit`. InputError for other models.
    """
    network = nnx.merge(self.graph, params)
    if not isinstance(network, EncoderDecoder):
      raise InputError(f'a source was given to a model of kind={self.spec.kind}; only seq2seq models read one')
    return network.start(source, max_length, source_mask)

  def apply(
    self,
    params: Params,
    inputs: Inputs,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    key: Key | None = None,
    source: Source | None = None,
    source_mask: SourceMask | None = None,
    projections: Float[Array, 'v z'] | None = None,
  ) -> tuple[jax.Array, State | None]:
    """Outputs in float32, [b t n] or [b n] as spec.readout says, and the state after the segment.

    state None: from the start, and no state is wanted. key None: evaluation, no dropout. source: for seq2seq models
    without a state. projections: what `prepare` made of the same parameters. Call it inside `jax.jit`.
    """
    network = nnx.merge(self.graph, params)
    if isinstance(network, EncoderDecoder):
      return network(inputs, state, reset, mask, key, source, source_mask, projections)
    if source is not None:
      raise InputError(f'a source was given to a model of kind={self.spec.kind}; only seq2seq models read one')
    return network(inputs, state, reset, mask, key, None, projections)

  def prepare(self, params: Params, tokens: int) -> Prepared:
    """What `apply` reads for `tokens` tokens one by one, computed once, outside of their loop.

    What the first layer computes of a token alone becomes a table over the vocabulary, where that is no more work than
    to compute it for `tokens` tokens. These weights, of two LSTM layers a quarter of all, are then not read again. The
    table is kept for the next call with the same arrays, as long as they live.
    """
    shape = self._projections_shape
    if shape is None or shape.shape[0] > tokens or shape.size > LARGEST_TABLE:
      return Prepared(params, None)
    leaves = jax.tree.leaves(params)
    if any(isinstance(leaf, jax.core.Tracer) or not isinstance(leaf, jax.Array) for leaf in leaves):
      return Prepared(params, _projections(self, params))
    known, table = self._table
    if len(known) != len(leaves) or any(ref() is not leaf for ref, leaf in zip(known, leaves, strict=True)):
      table = _projections(self, params)
      forget = functools.partial(_forget_table, weakref.ref(self))
      self._table = [weakref.ref(leaf, forget) for leaf in leaves], table
    return Prepared(params, table)

  @functools.cached_property
  def _projections_shape(self) -> jax.ShapeDtypeStruct | None:
    return jax.eval_shape(functools.partial(_projections, self), self.abstract_params)

  def networks(self) -> dict[str, tuple[Network, Params]]:
    """The parts, `encoder` before `decoder` for seq2seq, with abstract parameters: for reading, not for running."""
    whole = nnx.merge(self.graph, self.abstract_params)
    if not isinstance(whole, EncoderDecoder):
      return {'model': (whole, self.abstract_params)}
    return {name: (getattr(whole, name), self.abstract_params[name]) for name in ('encoder', 'decoder')}

  @property
  def stochastic(self) -> bool:
    """Whether a mixer draws anew in every training step, which then needs a key even without dropout."""
    return any(
      network.stack.block(i).mixer.stochastic
      for network, _ in self.networks().values()
      for i in range(network.config.depth)
    )

  def network(self) -> Network:
    """The part that writes: the model itself, or the decoder."""
    return list(self.networks().values())[-1][0]


def _forget_table(model: 'weakref.ref[Model]', leaf: object) -> None:
  del leaf
  if (alive := model()) is not None:
    alive._table = [], None


@functools.partial(jax.jit, static_argnames=('model',))
def _projections(model: Model, params: Params) -> Float[Array, 'v z'] | None:
  return nnx.merge(model.graph, params).projections()


def build(config: ModelConfig, spec: Spec) -> Model:
  """The model of a config for a task's spec; `config.params` is turned into a width first (within 2 %)."""
  if spec.kind != 'encode':
    barred = sorted({name for name, _ in map(parse_entry, config.pattern) if not MIXERS[name].can_be_causal})
    if barred:
      raise InputError(
        f'model.pattern names {", ".join(barred)}, which cannot be causal; this task needs a causal model'
      )
  if spec.kind != 'seq2seq' and (config.encoder_pattern or config.encoder_depth):
    raise InputError(
      f'model.encoder_pattern={config.encoder_pattern} and model.encoder_depth={config.encoder_depth} are for tasks '
      f'with a source (seq2seq); this one is {spec.kind}'
    )
  _check_position(config.position, config.pattern + config.encoder().pattern)
  if config.tie_embeddings and spec.input != spec.output:
    raise InputError('model.tie_embeddings=True needs the same tokens as input and output')
  if config.params:
    config = solve_width(config, spec)
  return Model(config, spec)


def _check_position(position: str, pattern: tuple[str, ...]) -> None:
  """Raises InputError for an encoding that acts inside mixers, where no mixer of the pattern takes it or one cannot.

  Mixers without an option `position` do not care; an entry may fix one of its own.
  """
  if position in ('none', *ADDITIVE):
    return
  entries = [parse_entry(entry) for entry in dict.fromkeys(pattern)]
  names, left = ', '.join(dict.fromkeys(pattern)), [name for name, fixed in entries if 'position' not in fixed]
  if not any(position in MIXERS[name].positions for name in left):
    takers = ', '.join(sorted(name for name, mixer in MIXERS.items() if position in mixer.positions))
    but = '' if len(left) == len(entries) else ' without a position of its own'
    raise InputError(f'model.position={position} acts inside {takers}; the pattern {names} has none of them{but}')
  barred = [name for name in left if 'position' in mixer_options(name) and position not in MIXERS[name].positions]
  if barred:
    raise InputError(
      f'model.position={position} does not act inside {", ".join(barred)}, of the pattern {names}; an entry may have a '
      f'position of its own, as {barred[0]}:position=none'
    )


def batch_axes(init_state: Callable[[int, int], State], max_length: int = 1) -> Any:
  """The batch axis of every leaf of the states for `max_length`; -1: it has none. Scanned layers lead with theirs."""

  def differing(two: jax.ShapeDtypeStruct, three: jax.ShapeDtypeStruct) -> int:
    return next((i for i, (a, b) in enumerate(zip(two.shape, three.shape, strict=True)) if a != b), -1)

  two, three = (jax.eval_shape(lambda n=n: init_state(n, max_length)) for n in (2, 3))
  return jax.tree.map(differing, two, three)


def count_parameters(model: Model, *, embedding: bool = True) -> int:
  """Parameters; without `embedding`, token embeddings, position tables and a token output layer are left out."""
  left_out: tuple[str, ...] = () if embedding else ('embedding', 'position_table')
  if not embedding and isinstance(model.spec.output, Tokens):
    left_out += ('output',)
  counted = [tree for _, part in model.networks().values() for name, tree in part.items() if name not in left_out]
  return sum(leaf.size for leaf in jax.tree.leaves(counted))


def solve_width(config: ModelConfig, spec: Spec) -> ModelConfig:
  """See `widths.solve`."""

  def size(width: int, feedforward: float) -> int:
    """One period of blocks is built and multiplied: building deep models again and again takes seconds."""
    periods = {'depth': len(config.pattern)}
    if spec.kind == 'seq2seq':
      periods['encoder_depth'] = len(config.encoder().pattern)
    model = Model(config.replace(width=width, feedforward=feedforward, params=0.0, **periods), spec)
    total = count_parameters(model, embedding=False)
    for network, params in model.networks().values():
      whole = config if network.spec.kind == spec.kind else config.encoder()
      repeats = whole.depth // network.config.depth
      total += (repeats - 1) * sum(leaf.size for leaf in jax.tree.leaves(params['stack']))
    return total

  blocks = config.depth + (config.encoder().depth if spec.kind == 'seq2seq' else 0)
  return widths.solve(config, size, lambda width: blocks * FeedForward.unit_size(width))
