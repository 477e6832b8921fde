"""The contract of a token mixer: what a layer computes over time, and what it must remember between two segments."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.errors import InputError, check_positive
from seqmodels.kernels import chunks, dispatch
from seqmodels.kernels.cache import Ring
from seqmodels.kernels.cpu import library
from seqmodels.notation import Activations, Flags, State

Options = dict[str, Any]


class Mixer(nnx.Module):
  """Mixes tokens over time: `[b t d] -> [b t d]`.

  - One call = any split into segments = token by token (`t == 1`).
  - `state=None`: from the start, and nobody wants the state (None is returned).
  - `reset[b, t]`: everything before position t is forgotten. `mask[b, t]` false: padding, which changes no other output
    and no state; a `reset` on a padded position is part of the padding and is ignored.
  - `causal=False` is the bidirectional form; it takes no state.
  - Parameters are float32 `nnx.Param`s, the computation is in `dtype`, states that accumulate are float32.
  - A state grows: as long as a document is no longer than it was made for, it is that of a longer `max_length` with
    zeros cut off the ends of its arrays (`grow`).
  """

  can_be_causal: bool = True
  implementations: tuple[str, ...] = ()  # the values of the option `implementation`, the default first
  positions: tuple[str, ...] = ()  # the values of `position` that act inside the mixer
  stochastic: bool = False  # draws anew in every training step, so that a call without `rngs` is another thing

  def __init__(self, width: int, *, rngs: nnx.Rngs, causal: bool = True, dtype: DTypeLike = jnp.float32):
    del rngs
    check_positive(width=width)
    if causal and not self.can_be_causal:
      raise InputError(f'mixer {type(self).__name__} cannot be causal; it is for encoders only')
    self.width = width
    self.causal = causal
    self.dtype = jnp.dtype(dtype)

  def init_state(self, batch: int, max_length: int) -> State:
    """What is remembered before the first token, for `batch` sequences of up to `max_length` tokens."""
    raise NotImplementedError

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: nnx.Rngs | None = None,
  ) -> tuple[Activations, State | None]:
    raise NotImplementedError

  def project(self, x: Activations) -> Float[Array, 'b t z'] | None:
    """What it computes first, of each token alone; None: nothing that a call could be given.

    A mixer that has something here also takes it in a call, as `projected`, and then reads nothing else of `x`.
    """
    del x
    return None

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    """Forward FLOPs a token beyond two per weight, the mean over `length` tokens read in one call.

    memory  0: they are read from the start, in the form that trains. Else they follow so many that each of them sees
            the last `memory` positions, its own included; with `length` 1 that is decoding

    What counts are products that are summed: matmuls, what is added to a state that is a matrix, and what reads it. A
    multiply-add is two; what is done element by element (softmax, norms, gates, decays) is nothing. Pairs that a mask
    leaves out do not count, whatever the form computes; chunks, as long as they are on this backend, count as a whole.
    What the rows of a batch share is counted as for one row. Weights that are looked up and not multiplied with are
    subtracted, since they are among the weights.
    """
    del length, memory
    return 0.0

  def check_implementation(self, implementation: str, chunk: int = 0) -> None:
    """Raises InputError on an unknown implementation, on native code that cannot be had, and on a bad chunk."""
    dispatch.check(implementation)
    if implementation == 'cpu' and (reason := library.why_not(self.dtype)):
      raise InputError(f'model.kernels=cpu: {reason}')
    chunks.choose(chunk, 1)

  def check_length(self, length: int) -> None:
    """Raises InputError where an input of `length` tokens is too long."""

  def check_call(self, x: jax.Array, state: State | None) -> None:
    """Raises InputError for a state in the bidirectional form, or one whose batch is not that of `x`."""
    if state is None:
      return
    if not self.causal:
      raise InputError(f'a bidirectional {type(self).__name__} takes no state: it sees the whole sequence at once')
    for leaf in jax.tree.leaves(state):
      if leaf.shape[0] != x.shape[0]:
        raise InputError(f'the state is for a batch of {leaf.shape[0]}, the input has a batch of {x.shape[0]}')


def grow(state: State, longer: State) -> State:
  """The state with room for what `longer` (a state or its shapes) has room for: rings and arrays grow at their ends."""

  def fill(a: Any, b: Any) -> Any:
    if isinstance(a, Ring):
      return a.grown(b)
    missing = [(0, max(0, size - old)) for old, size in zip(a.shape, b.shape, strict=True)]
    return jnp.pad(a, missing) if any(behind for _, behind in missing) else a

  return jax.tree.map(fill, state, longer, is_leaf=lambda node: isinstance(node, Ring))


class Direction(nnx.Module):
  """One reading direction of a mixer whose state has a fixed size: `[b t d] -> [b t size]`, from the left.

  The state is a pytree of float32 arrays `[b ...]`. A `reset` counts here even where it stands on padding (read from
  the end, a document may begin there); the rest is the contract of `Mixer`.
  """

  size: int

  def init_state(self, batch: int) -> State:
    raise NotImplementedError

  def __call__(
    self, x: Activations, state: State, reset: Flags | None, mask: Flags | None
  ) -> tuple[Float[Array, 'b t e'], State]:
    raise NotImplementedError

  def project(self, x: Activations) -> Float[Array, 'b t z'] | None:
    """See `Mixer.project`."""
    del x
    return None

  def mixing_flops(self, length: int) -> float:
    """See `Mixer.mixing_flops`; of one token the recurrent form."""
    del length
    return 0.0


class Directional(Mixer):
  """A mixer made of `Direction`s: one when causal, else one each way, each of half the width (Schuster & Paliwal 1997).

  A subclass calls `set_directions` at the end of its `__init__`.
  """

  def set_directions(self, make: Callable[[int], Direction], multiple: int = 1) -> None:
    """make(size) builds one direction. Raises InputError where two directions of a `multiple` do not fit the width."""
    if not self.causal and self.width < 2 * multiple:
      raise InputError(f'width={self.width} must be at least {2 * multiple} for two directions')
    backward = 0 if self.causal else self.width // (2 * multiple) * multiple
    self.forward = make(self.width - backward)
    if backward:
      self.backward = make(backward)

  def init_state(self, batch: int, max_length: int) -> State:
    del max_length
    return self.forward.init_state(batch)

  def project(self, x: Activations) -> Float[Array, 'b t z'] | None:
    return self.forward.project(x) if self.causal else None

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    del memory
    return self.forward.mixing_flops(length) + (0.0 if self.causal else self.backward.mixing_flops(length))

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: nnx.Rngs | None = None,
    projected: Float[Array, 'b t z'] | None = None,
  ) -> tuple[Activations, State | None]:
    del rngs
    self.check_call(x, state)
    if reset is not None and mask is not None:
      reset = reset & mask
    start = self.forward.init_state(x.shape[0]) if state is None else state
    given: dict[str, Any] = {} if projected is None else {'projected': projected}
    y, end = self.forward(x, start, reset, mask, **given)
    if not self.causal:
      y = jnp.concatenate([y, self._from_the_end(x, reset, mask)], axis=-1)
    return y, None if state is None else end

  def _from_the_end(self, x: Activations, reset: Flags | None, mask: Flags | None) -> Float[Array, 'b t e']:
    # A document that starts at t ends at t - 1: read backwards, t - 1 is where everything is forgotten.
    ends = None if reset is None else jnp.roll(reset, -1, axis=1).at[:, -1].set(False)
    ends, mask = (None if flags is None else jnp.flip(flags, 1) for flags in (ends, mask))
    y, _ = self.backward(jnp.flip(x, 1), self.backward.init_state(x.shape[0]), ends, mask)
    return jnp.flip(y, 1)
