"""Whole models. `build(config, spec)` returns a Model: a graph split once from its parameters, and pure functions."""

import functools
import math
import zlib
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.config import ModelConfig
from seqmodels.context import Context
from seqmodels.errors import InputError
from seqmodels.kernels import dispatch
from seqmodels.layers import MLP, axes_of
from seqmodels.layers.draws import Draws
from seqmodels.mixers import MIXERS, mixer_options, parse_entry
from seqmodels.mixers.base import DETERMINISTIC, grow
from seqmodels.models import widths
from seqmodels.models.decoder import Decoder
from seqmodels.models.encoder_decoder import EncoderDecoder
from seqmodels.models.network import Inputs, Network, Source, SourceMask
from seqmodels.notation import Key, Params, State
from seqmodels.positions import ADDITIVE
from seqmodels.spec import Spec, Tokens, Vectors


class Model:
  """A network split once: `graph` holds no arrays, parameters are a nested dict that the caller owns.

  `abstract_params` are the shapes and dtypes of the parameters, `axes` the names of their axes, in the same structure.
  """

  def __init__(self, config: ModelConfig, spec: Spec) -> None:
    self.config, self.spec = config, spec
    abstract = nnx.eval_shape(lambda: self._make(Draws(jax.random.key(0), has_shapes_alone=True)))
    self.axes: Params = axes_of(abstract)
    self.graph, params = nnx.split(abstract)
    self.abstract_params: Params = nnx.to_pure_dict(params)

  def _make(self, rngs: Draws) -> Network | EncoderDecoder:
    kind = EncoderDecoder if self.spec.kind == 'seq2seq' else Network
    return kind(self.config, self.spec, rngs=rngs)

  def _network(self, params: Params) -> Network | EncoderDecoder:
    return nnx.merge(self.graph, params)

  def init(self, key: Key) -> Params:
    """Return float32 parameters, drawn in one compiled program (eager initialisation takes seconds)."""
    return jax.jit(self._init)(key)

  def _init(self, key: Key) -> Params:
    params = nnx.to_pure_dict(nnx.state(self._make(Draws(key))))
    return uniform(params, key, self.config.init_scale) if self.config.init_scale else params

  def state_spec(self, batch: int, max_length: int, source_length: int = 0) -> Any:
    """Return a tree of `StateSpec`s with the structure of `init_state`."""
    return self._network(self.abstract_params).state_spec(batch, max_length, source_length)

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    """Return the state before the first token; attention keeps up to `max_length` tokens.

    Raise InputError for more of them than a table of learned positions has. Of a seq2seq model: the state after a
    source of `source_length` padded tokens (0: the spec's), with the shapes of what `start` returns.
    """
    return self._network(self.abstract_params).init_state(batch, max_length, source_length)

  def grow_state(self, state: State, max_length: int) -> State:
    """Return the state as if made for `max_length` tokens; one made for more, or of fixed size, stays as it is.

    Exact as long as no document is longer than the state was made for: then nothing has been forgotten yet.
    """
    # One row and one source token, so that neither axis is longer than the state's.
    return grow(state, self.state_spec(1, max_length, 1))

  def start(self, params: Params, source: Source, max_length: int, *, source_mask: SourceMask | None = None) -> State:
    """Return the state of a seq2seq model that has read the source, keys and values of cross-attention included.

    Call it inside `jax.jit`. Raise InputError for other models.
    """
    network = self._network(params)
    if not isinstance(network, EncoderDecoder):
      raise InputError(f'a source was given to a model of kind={self.spec.kind}; only seq2seq models read one')
    return network.start(source, max_length, source_mask)

  def apply(
    self,
    params: Params,
    inputs: Inputs,
    state: State | None = None,
    context: Context = DETERMINISTIC,
    *,
    source: Source | None = None,
    source_mask: SourceMask | None = None,
  ) -> tuple[jax.Array, State | None]:
    """Return float32 outputs, [b t n] or [b n] as spec.readout says, and the state after the segment.

    state None: start from the initial state and return None in its place. context: resets, padding mask and, in
    training, the key of dropout. source: for seq2seq models without a state. Call it inside `jax.jit`.
    """
    network = self._network(params)
    if isinstance(network, EncoderDecoder):
      return network(inputs, state, context, source=source, source_mask=source_mask)
    if source is not None:
      raise InputError(f'a source was given to a model of kind={self.spec.kind}; only seq2seq models read one')
    return network(inputs, state, context)

  def attention_maps(
    self,
    params: Params,
    inputs: Inputs,
    context: Context = DETERMINISTIC,
    *,
    source: Source | None = None,
    source_mask: SourceMask | None = None,
  ) -> dict[str, Float[Array, 'b h _ _']]:
    """Return how much each output of softmax attention is made of each position, of every layer and head.

    Keys are `block_00/mixer` and `block_00/cross`, of a seq2seq model after `encoder/` or `decoder/`; layers without
    such weights (recurrent, linear ones) have none. Rows sum to one; those of padding, and of what sees nothing, are
    zero. Arguments as for `apply`; the whole maps are in memory. Call it inside `jax.jit`.
    """
    network = self._network(params)
    if isinstance(network, EncoderDecoder):
      if source is None:
        raise InputError('the attention maps of a seq2seq model need a source')
      return network.attention_maps(inputs, context, source, source_mask)
    return network.attention_maps(inputs, context)

  def decoder(self, params: Params, tokens: int = 0) -> Decoder:
    """Return a decoder that writes token by token with these parameters; see `Decoder`."""
    return Decoder.of(self, params, tokens)

  @functools.cached_property
  def decoding_graph(self) -> Any:
    """The graph with a block for every layer, which `decoding_params` belong to."""
    return nnx.split(self._unstacked(self.abstract_params))[0]

  def decoding_params(self, params: Params) -> Params:
    """Return the parameters with arrays of its own for every layer."""
    return nnx.to_pure_dict(nnx.split(self._unstacked(params))[1])

  def _unstacked(self, params: Params) -> Network | EncoderDecoder:
    network = self._network(params)
    for part in (network.encoder, network.decoder) if isinstance(network, EncoderDecoder) else (network,):
      part.stack.unstack()
    return network

  def networks(self) -> dict[str, tuple[Network, Params]]:
    """Return the parts, `encoder` before `decoder` for seq2seq, with abstract parameters: to read, not to run."""
    whole = self._network(self.abstract_params)
    if not isinstance(whole, EncoderDecoder):
      return {'model': (whole, self.abstract_params)}
    return {name: (getattr(whole, name), self.abstract_params[name]) for name in ('encoder', 'decoder')}

  @property
  def attends(self) -> bool:
    """Whether `attention_maps` has any."""
    networks = [network for network, _ in self.networks().values()]
    return any(n.stack.layer(i).attends for n in networks for i in range(len(n.config.pattern)))

  @property
  def stochastic(self) -> bool:
    """Whether a mixer draws noise in every training step, which then needs a key even without dropout."""
    networks = [network for network, _ in self.networks().values()]
    return any(n.stack.layer(i).mixer.stochastic for n in networks for i in range(len(n.config.pattern)))

  def network(self) -> Network:
    """Return the part that writes: the model itself, or the decoder."""
    return list(self.networks().values())[-1][0]


def build(config: ModelConfig, spec: Spec) -> Model:
  """Return the model of a config for a task's spec; `config.params` is turned into a width first (within 2 %)."""
  dispatch.check(config.kernels)
  _check_directions(config, spec)
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


def _check_directions(config: ModelConfig, spec: Spec) -> None:
  """Raise InputError for a mixer that cannot read in the direction in which the task is read."""

  def barred(pattern: tuple[str, ...], can: str) -> str:
    return ', '.join(sorted({name for name, _ in map(parse_entry, pattern) if not getattr(MIXERS[name], can)}))

  if config.bidirectional and spec.kind != 'encode':
    raise InputError(
      f'model.bidirectional=True is for tasks that are read both ways; this one is {spec.kind}: name an architecture '
      'that is not bidirectional'
    )
  if spec.kind != 'encode' and (names := barred(config.pattern, 'can_be_causal')):
    raise InputError(f'model.pattern names {names}, which cannot be causal; this task needs a causal model')
  if spec.kind == 'encode' and (names := barred(config.pattern, 'can_be_bidirectional')):
    raise InputError(f'model.pattern names {names}, which cannot be bidirectional; this task is read both ways')
  if spec.kind == 'seq2seq':
    can = 'can_be_bidirectional' if config.cross_attention else 'can_be_causal'
    if names := barred(config.encoder().pattern, can):
      word = can.removeprefix('can_be_')
      raise InputError(f"the encoder's pattern names {names}, which cannot be {word}; name another encoder_pattern")


def _check_position(position: str, pattern: tuple[str, ...]) -> None:
  """Raise InputError for an encoding that acts inside mixers, where no mixer of the pattern has it or one cannot.

  Mixers without an option `position` do not matter; an entry may fix one of its own.
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


def uniform(params: Params, key: Key, scale: float) -> Params:
  """Return the parameters with kernels and embeddings from U(−scale, scale), by their names; the others stay."""

  def draw(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
    if not path[-1].key.endswith(('kernel', 'embedding')):
      return leaf
    own = jax.random.fold_in(key, zlib.crc32(jax.tree_util.keystr(path).encode()))
    return jax.random.uniform(own, leaf.shape, leaf.dtype, -scale, scale)

  return jax.tree_util.tree_map_with_path(draw, params)


def count_parameters(model: Model, *, embedding: bool = True) -> int:
  """Return the number of parameters; without `embedding`, without embeddings, position tables and token outputs."""
  left_out: tuple[str, ...] = () if embedding else ('embed', 'position_table')
  if not embedding and isinstance(model.spec.output, Tokens):
    left_out += ('output',)
  counted = [tree for _, part in model.networks().values() for name, tree in part.items() if name not in left_out]
  return sum(leaf.size for leaf in jax.tree.leaves(counted))


def solve_width(config: ModelConfig, spec: Spec) -> ModelConfig:
  """Return the config with the width that meets `config.params`; see `widths.solve`."""

  def size(width: int, feedforward: float) -> int:
    model = Model(config.replace(width=width, feedforward=feedforward, params=0.0), spec)
    return count_parameters(model, embedding=False)

  blocks = config.depth + (config.encoder().depth if spec.kind == 'seq2seq' else 0)
  places = [side.places for side in (spec.input, spec.output) if isinstance(side, Vectors)]
  return widths.solve(config, size, lambda width: blocks * MLP.unit_size(width), math.lcm(*places))
