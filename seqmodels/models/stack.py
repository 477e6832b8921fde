"""A pattern of blocks repeated over depth, unrolled or scanned.

Parameters are always kept per layer (`block_00`, `block_01`, …), so that a checkpoint does not depend on how the layers
are run; a scan stacks them inside the program.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.config import ModelConfig
from seqmodels.models.block import Block, Memory
from seqmodels.notation import Activations, Flags, Key, State


class Stack(nnx.Module):
  """`depth` blocks whose mixers repeat `pattern`. It keeps the mixer contract itself."""

  def __init__(
    self, config: ModelConfig, *, rngs: nnx.Rngs, causal: bool, length: int, cross_attention: bool = False
  ) -> None:
    self.depth, self.period = config.depth, len(config.pattern)
    self.remat = config.remat
    scanned = config.layers == 'scan' or (config.layers == 'auto' and jax.default_backend() != 'cpu')
    self.scanned = scanned and self.depth > self.period
    for i in range(self.depth):
      how: dict[str, Any] = {'causal': causal, 'length': length, 'cross_attention': cross_attention}
      setattr(self, f'block_{i:02}', Block(config.pattern[i % self.period], config, rngs=rngs, **how))

  def block(self, i: int) -> Block:
    return getattr(self, f'block_{i:02}')

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    """A tuple of layer states; when scanned, one entry a pattern position with a leading axis over the repeats."""
    return self._joined([self.block(i).init_state(batch, max_length, source_length) for i in range(self.depth)])

  def start(self, batch: int, max_length: int, memory: Memory) -> State:
    """The same, with each layer's keys and values of an encoder's outputs."""
    return self._joined([self.block(i).start(batch, max_length, memory) for i in range(self.depth)])

  def _joined(self, states: list[State]) -> State:
    if not self.scanned:
      return tuple(states)
    return tuple(_stack(states[j :: self.period]) for j in range(self.period))

  def project(self, x: Activations) -> Float[Array, 'b t z'] | None:
    """See `Mixer.project`; of the first layer. A scan has one program for all layers: they cannot be given it."""
    return None if self.scanned else self.block(0).project(x)

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: Key | None = None,
    memory: Memory | None = None,
    projected: Float[Array, 'b t z'] | None = None,
  ) -> tuple[Float[Array, 'b t n'], State | None]:
    shared = reset, mask, memory
    return self._scan(x, state, shared, rngs) if self.scanned else self._unroll(x, state, shared, rngs, projected)

  def _unroll(
    self, x: Activations, state: State | None, shared: Any, key: Key | None, projected: jax.Array | None
  ) -> tuple[Activations, State | None]:
    states = []
    for i in range(self.depth):
      layer_key = None if key is None else jax.random.fold_in(key, i)
      graph, params = nnx.split(self.block(i))
      apply = _apply(graph, self.remat)
      own, given = None if state is None else state[i], projected if i == 0 else None
      x, layer_state = apply(nnx.to_pure_dict(params), x, own, shared, layer_key, given)
      states.append(layer_state)
    return x, None if state is None else tuple(states)

  def _scan(
    self, x: Activations, state: State | None, shared: Any, key: Key | None
  ) -> tuple[Activations, State | None]:
    graphs, stacked = [], []
    for j in range(self.period):
      parts = [nnx.split(self.block(i)) for i in range(j, self.depth, self.period)]
      graphs.append(parts[0][0])
      stacked.append(_stack([nnx.to_pure_dict(params) for _, params in parts]))
    applies = [_apply(graph, self.remat) for graph in graphs]

    def body(x: jax.Array, group: Any) -> tuple[jax.Array, State | None]:
      index, params, states = group
      new = []
      for j, apply in enumerate(applies):
        layer_key = None if key is None else jax.random.fold_in(key, index * self.period + j)
        x, layer_state = apply(params[j], x, None if states is None else states[j], shared, layer_key)
        new.append(layer_state)
      return x, None if states is None else tuple(new)

    return jax.lax.scan(body, x, (jnp.arange(self.depth // self.period), tuple(stacked), state))


def _apply(graph: Any, remat: bool) -> Any:
  """The block of `graph` as a pure function of its parameters, recomputed in the backward pass if `remat`."""

  def apply(
    params: Any, x: jax.Array, state: State | None, shared: Any, key: Key | None, projected: jax.Array | None = None
  ) -> tuple[jax.Array, State | None]:
    reset, mask, memory = shared
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'rngs': key, 'memory': memory, 'projected': projected}
    return nnx.merge(graph, params)(x, state, **how)

  return jax.checkpoint(apply) if remat else apply


def _stack(trees: list[Any]) -> Any:
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
