"""A pattern of blocks repeated over the depth, run unrolled or as one scanned program.

The parameters and the state are stacked either way (`layout.py`), so that neither depends on how the layers are run.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.config import ModelConfig
from seqmodels.context import BATCH, LAYERS, Context, EncoderOutput
from seqmodels.layers.draws import Draws
from seqmodels.mixers.base import DETERMINISTIC
from seqmodels.models import layout
from seqmodels.models.block import Block
from seqmodels.notation import Activations, State

UNROLLED = 12  # blocks up to which `layers=auto` unrolls; deeper models would compile for minutes


class Stack(nnx.Module):
  """`depth` blocks whose mixers repeat `pattern`. It keeps the mixer contract itself.

  `group_j` is the block of the pattern's entry j, its parameters stacked over the repeats. After `unstack`, each layer
  is a block of its own.
  """

  def __init__(
    self,
    config: ModelConfig,
    *,
    rngs: Draws,
    causal: bool,
    length: int,
    cross_attention: bool = False,
    image: tuple[int, int] = (1, 1),
  ) -> None:
    """length, image: see `mixers.base.Form`."""
    self.depth, self.period, self.stacked = config.depth, len(config.pattern), True
    self.remat = config.remat
    self.scanned = config.layers == 'scan' or (config.layers == 'auto' and config.depth > UNROLLED)
    form: dict[str, Any] = {'causal': causal, 'length': length, 'cross_attention': cross_attention, 'image': image}
    makes = {entry: functools.partial(Block, entry, config, **form) for entry in config.pattern}
    found = {entry: _abstract(make) for entry, make in makes.items()}
    graphs, shapes, draws = zip(*[found[entry] for entry in config.pattern], strict=True)
    first = rngs.skip(config.depth // self.period * sum(draws))
    for j, entry in enumerate(config.pattern):
      if rngs.has_shapes_alone:
        params = jax.tree.map(lambda leaf: jnp.zeros((self.repeats, *leaf.shape), leaf.dtype), shapes[j])
      else:
        starts = first + sum(draws[:j]) + sum(draws) * jnp.arange(self.repeats, dtype=jnp.uint32)
        # One layer after the other: on CPU two decompositions at once (orthogonal initialisation) wait for each other
        # for ever where the thread pool has two threads.
        params = jax.lax.map(lambda start, make=makes[entry]: _params(make(rngs=Draws(rngs.key, start))), starts)
      block = nnx.merge(graphs[j], params)
      for _, variable in nnx.to_flat_state(nnx.state(block)):
        variable.set_metadata(axes=(LAYERS, *variable.get_metadata()['axes']))
      setattr(self, layout.group_name(j), block)

  @property
  def repeats(self) -> int:
    return self.depth // self.period

  def layer(self, i: int) -> Block:
    """Return block i, counted from the input."""
    if not self.stacked:
      return getattr(self, layout.block_name(i))
    graph, params = nnx.split(getattr(self, layout.group_name(i % self.period)))
    own = lambda leaf: layout.slice_layer(leaf, i // self.period)
    return nnx.merge(graph, jax.tree.map(own, nnx.to_pure_dict(params)))

  def unstack(self) -> None:
    """Give every layer parameters of its own, as decoding needs them: it reads all weights for every token."""
    parts = self._parts()
    for j in range(self.period):
      delattr(self, layout.group_name(j))
    for i, (graph, params) in enumerate(parts):
      setattr(self, layout.block_name(i), nnx.merge(graph, params))
    self.stacked = False

  def _parts(self) -> list[tuple[Any, Any]]:
    """Return (graph, parameters) of every layer."""
    if not self.stacked:
      split = [nnx.split(self.layer(i)) for i in range(self.depth)]
      return [(graph, nnx.to_pure_dict(params)) for graph, params in split]
    groups = [nnx.split(getattr(self, layout.group_name(j))) for j in range(self.period)]
    slices = [layout.unstack(nnx.to_pure_dict(params), self.repeats) for _, params in groups]
    return [(groups[i % self.period][0], slices[i % self.period][i // self.period]) for i in range(self.depth)]

  def state_spec(self, batch: int, max_length: int, source_length: int = 0) -> Any:
    """Return a tree of `StateSpec`s, in the layout of the parameters."""
    layers = [self.layer(i).state_spec(batch, max_length, source_length) for i in range(self.period)]
    if not self.stacked:
      return layout.name_layers([layers[i % self.period] for i in range(self.depth)])
    stacked = [jax.tree.map(lambda spec: spec.stacked(self.repeats), spec) for spec in layers]
    return {layout.group_name(j): spec for j, spec in enumerate(stacked)}

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    states = [self.layer(j).init_state(batch, max_length, source_length) for j in range(self.period)]
    return self._pack([states[i % self.period] for i in range(self.depth)])

  def start(self, batch: int, max_length: int, encoder: EncoderOutput) -> State:
    """Return the initial state with each layer's keys and values of the encoder's output."""
    blocks = [nnx.merge(graph, params) for graph, params in self._parts()]
    return self._pack([block.start(batch, max_length, encoder) for block in blocks])

  def _pack(self, states: list[State]) -> State:
    return layout.join_layers(states, self.period) if self.stacked else layout.name_layers(states)

  def project(self, x: Activations) -> Float[Array, 'b t *z'] | None:
    """Return `Mixer.project` of the first block."""
    return self.layer(0).project(x)

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    context: Context = DETERMINISTIC,
    projected: Float[Array, 'b t *z'] | None = None,
  ) -> tuple[Activations, State | None]:
    """See `Mixer`. projected: `project(x)`, for layers that are not scanned."""
    if self.scanned and self.stacked and projected is None:
      return self._scan(x, state, context)
    states = None if state is None else layout.split_layers(state, self.depth)
    new = []
    for i, (graph, params) in enumerate(self._parts()):
      own, given = None if states is None else states[i], projected if i == 0 else None
      with jax.named_scope(layout.block_name(i)):
        x, after = _apply(graph, self.remat)(params, x, own, context.fold_in(i), given)
      new.append(after)
    return x, None if states is None else self._pack(new)

  def attention_maps(self, x: Activations, context: Context) -> dict[str, Float[Array, 'b h t _']]:
    """Return the weights of every layer that has some, by `block_00/mixer` and `block_00/cross`."""
    found: dict[str, jax.Array] = {}
    for i in range(self.depth):
      block = self.layer(i)
      found |= {f'{layout.block_name(i)}/{name}': map_ for name, map_ in block.attention_maps(x, context).items()}
      x, _ = block(x, None, context)
    return found

  def _scan(self, x: Activations, state: State | None, context: Context) -> tuple[Activations, State | None]:
    groups = [nnx.split(getattr(self, layout.group_name(j))) for j in range(self.period)]
    names = [layout.group_name(j) for j in range(self.period)]
    applies = [_apply(graph, self.remat) for graph, _ in groups]
    stacked = [nnx.to_pure_dict(params) for _, params in groups]

    def body(x: jax.Array, repeat: Any) -> tuple[jax.Array, State | None]:
      index, params, states = repeat
      new = {}
      for j, (name, apply) in enumerate(zip(names, applies, strict=True)):
        own = None if states is None else states[name]
        with jax.named_scope(name):
          x, new[name] = apply(params[j], x, own, context.fold_in(index * self.period + j), None)
      return x, None if states is None else new

    return jax.lax.scan(body, x, (jnp.arange(self.repeats), stacked, state))


def _abstract(make: Any) -> tuple[Any, Any, int]:
  """Return the graph of a block, the shapes of its parameters, and how many keys they are drawn with."""
  counts = []

  def build() -> Block:
    draws = Draws(jax.random.key(0))
    block = make(rngs=draws)
    counts.append(draws.count)
    return block

  graph, shapes = nnx.split(nnx.eval_shape(build))
  return graph, nnx.to_pure_dict(shapes), counts[0]


def _params(block: Block) -> Any:
  return nnx.to_pure_dict(nnx.split(block)[1])


def _apply(graph: Any, remat: str) -> Any:
  """Return the block of `graph` as a pure function of its parameters, computed again as `ModelConfig.remat` says."""

  def apply(
    params: Any, x: jax.Array, state: State | None, context: Context, projected: jax.Array | None
  ) -> tuple[jax.Array, State | None]:
    x, state = nnx.merge(graph, params)(x, state, context, projected)
    return context.pin(x, BATCH, 'time', 'embed'), state

  if remat == 'none':
    return apply
  # Dense layers are products without batch axes, scores of attention have some.
  policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == 'dots' else None
  return jax.checkpoint(apply, policy=policy)
