"""The contract of a token mixer: a layer over time, and the state that it carries from segment to segment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Context, zeros
from seqmodels.errors import InputError, check_positive
from seqmodels.kernels.cache import Cache, is_cache
from seqmodels.notation import Activations, State

DETERMINISTIC = Context()


@dataclass(frozen=True)
class Form:
  """The settings that all mixers share; each has `Options` of its own.

  width    of the activations
  causal   False: bidirectional; the mixer then takes no state
  dtype    of the computation, float32 or bfloat16; parameters and accumulating states are float32
  kernels  the backend of its kernels (`seqmodels.kernels`)
  length   the longest sequence in training
  image    height and width of the images that the inputs are; (1, 1): they are none
  """

  width: int
  causal: bool = True
  dtype: str = 'float32'
  kernels: str = 'auto'
  length: int = 0
  image: tuple[int, int] = (1, 1)

  def __post_init__(self) -> None:
    check_positive(width=self.width)


@dataclass(frozen=True)
class NoOptions:
  """The options of a mixer that has none."""


class Mixer(nnx.Module):
  """Mix tokens over time: `[b t d] -> [b t d]`.

  - One call = any split into segments = token by token (`t == 1`).
  - `state=None`: start from the initial state and return None in its place.
  - `context.reset[b, t]`: everything before position t is forgotten. `context.mask[b, t]` False: padding, which changes
    no other output and no state; a reset on padding is ignored.
  - Nothing leaks from the future of a causal mixer.
  - Parameters are float32 and name their axes (`seqmodels.layers`), the computation is in `form.dtype`, states that
    accumulate are float32.
  - With `context.part`, x is a part of the tokens, which are split over devices: outputs and state are those of one
    call with all tokens, and every part returns the same state. Only mixers with `can_be_split` take a part.
  - A state grows: as long as a document is no longer than its state was made for, the state for a longer `max_length`
    is the same with zeros at the ends of its `cache` axes.

  A subclass implements `state_spec` and `mix`, and names its options in a frozen dataclass, `Options`, whose
  `__post_init__` checks their values.
  """

  Options: ClassVar[type] = NoOptions
  can_be_causal: ClassVar[bool] = True
  can_be_bidirectional: ClassVar[bool] = True
  can_be_split: ClassVar[bool] = False
  positions: ClassVar[tuple[str, ...]] = ()  # the values of the option `position` that act inside the mixer
  stochastic: bool = False  # whether it draws noise in every training step, even without dropout

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    del rngs
    name = type(self).__name__
    if form.causal and not self.can_be_causal:
      raise InputError(f'mixer {name} cannot be causal; it is for encoders only')
    if not form.causal and not self.can_be_bidirectional:
      raise InputError(f'mixer {name} cannot be bidirectional; it is for causal models only')
    self.options = self.Options() if options is None else options
    self.width, self.causal, self.kernels = form.width, form.causal, form.kernels
    self.dtype = jnp.dtype(form.dtype)

  def state_spec(self, batch: int, max_length: int) -> Any:
    """Return a tree of `StateSpec`s: the state for `batch` sequences of up to `max_length` tokens."""
    raise NotImplementedError

  def init_state(self, batch: int, max_length: int) -> State:
    """Return the state before the first token: zeros, unless a mixer says otherwise."""
    return zeros(self.state_spec(batch, max_length))

  def __call__(
    self, x: Activations, state: State | None = None, context: Context = DETERMINISTIC
  ) -> tuple[Activations, State | None]:
    """Return (y, the state after x or None), both in the mixer's dtypes; see the class for the rules.

    Padding is set to zero here, once for all mixers: what stands in it (NaN, infinity) can then reach nothing.
    """
    self.check_call(x, state)
    if context.part is not None and not self.can_be_split:
      raise InputError(f'mixer {type(self).__name__} needs all tokens on one device: they cannot be split over time')
    x = x.astype(self.dtype)
    x = context.documents.keep(x)
    y, state = self.mix(x, state, context.with_documents(context.documents.counted()))
    return y.astype(self.dtype), state

  def mix(self, x: Activations, state: State | None, context: Context) -> tuple[Activations, State | None]:
    """Return what a call returns. x is in the mixer's dtype and zero on padding, where there are no resets either."""
    raise NotImplementedError

  def project(self, x: Activations) -> Float[Array, 'b t *z'] | None:
    """Return the part of the computation that depends on each token alone; None: there is no such part.

    Where it is not None, `from_projection(project(x), state, context)` equals a call, so that decoding can look the
    projection up in a table over the vocabulary.
    """
    del x
    return None

  def from_projection(
    self, projected: Float[Array, 'b t *z'], state: State, context: Context
  ) -> tuple[Activations, State]:
    """Return what a call returns, from `project(x)`."""
    raise NotImplementedError

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    """Return the forward FLOPs a token beyond two per weight, the mean over `length` tokens in one call.

    memory: 0: the tokens are read from the start, in the form that trains. Else each of them sees the last `memory`
    positions, its own included; with `length` 1 that is decoding.

    A multiply-add is two FLOPs. Products that are summed count: matmuls, additions to a state that is a matrix, reading
    it. Elementwise work (softmax, norms, gates, decays) does not, nor do pairs that a mask leaves out. Chunks count as
    a whole. What the rows of a batch share is counted as for one row. Weights that are looked up are subtracted, since
    they are among the weights.
    """
    del length, memory
    return 0.0

  def attention_map(self, x: Activations, context: Context = DETERMINISTIC) -> Float[Array, 'b h t t'] | None:
    """Return the weight of every position (last axis) in every output, of each head; None: it has no such weights.

    Rows sum to one where they see anything, and are zero elsewhere. All weights exist at once: it is for looking.
    """
    del x, context
    return None

  def check_length(self, length: int) -> None:
    """Raise InputError if an input of `length` tokens is too long."""

  def check_call(self, x: jax.Array, state: State | None) -> None:
    """Raise InputError for a state in the bidirectional form, or one whose batch is not that of x."""
    if state is None:
      return
    if not self.causal:
      raise InputError(f'a bidirectional {type(self).__name__} takes no state: it sees the whole sequence at once')
    batch = x.shape[0]

    def check(node: Any, spec: Any) -> None:
      spec = jax.tree.leaves(spec)[0]  # all blocks of a cache have the same axes
      axis = spec.axis(BATCH)
      for leaf in jax.tree.leaves(node):
        if axis is not None and leaf.shape[axis] != batch:
          raise InputError(f'the state is for a batch of {leaf.shape[axis]}, the input has a batch of {batch}')

    jax.tree.map(check, state, self.state_spec(batch, 1), is_leaf=is_cache)


class Direction(nnx.Module):
  """One reading direction of a mixer whose state has a fixed size: `[b t d] -> [b t size]`, from the left.

  Its state is a pytree of float32 arrays. `context.reset` counts here even where it stands on padding (read from the
  end, a document may begin there); the rest is the contract of `Mixer`.
  """

  size: int

  def state_spec(self, batch: int) -> Any:
    """Return a tree of `StateSpec`s."""
    raise NotImplementedError

  def init_state(self, batch: int) -> State:
    return zeros(self.state_spec(batch))

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    raise NotImplementedError

  def project(self, x: Activations) -> Float[Array, 'b t *z'] | None:
    """See `Mixer.project`."""
    del x
    return None

  def from_projection(
    self, projected: Float[Array, 'b t *z'], state: State, context: Context
  ) -> tuple[Float[Array, 'b t e'], State]:
    """See `Mixer.from_projection`."""
    raise NotImplementedError

  def mixing_flops(self, length: int) -> float:
    """See `Mixer.mixing_flops`; for one token, of the recurrent form."""
    del length
    return 0.0


class Directional(Mixer):
  """A mixer made of `Direction`s: one when causal, else one each way, each of half the width (Schuster & Paliwal 1997).

  A subclass calls `set_directions` at the end of its `__init__`.
  """

  def set_directions(self, make: Callable[[int], Direction], multiple: int = 1) -> None:
    """Build the directions with make(size). Raise InputError where two of a `multiple` do not fit the width."""
    if not self.causal and self.width < 2 * multiple:
      raise InputError(f'width={self.width} must be at least {2 * multiple} for two directions')
    backward = 0 if self.causal else self.width // (2 * multiple) * multiple
    self.forward = make(self.width - backward)
    if backward:
      self.backward = make(backward)

  def state_spec(self, batch: int, max_length: int) -> Any:
    del max_length
    return self.forward.state_spec(batch)

  def init_state(self, batch: int, max_length: int) -> State:
    del max_length
    return self.forward.init_state(batch)

  def project(self, x: Activations) -> Float[Array, 'b t *z'] | None:
    return self.forward.project(x) if self.causal else None

  def from_projection(
    self, projected: Float[Array, 'b t *z'], state: State, context: Context
  ) -> tuple[Activations, State]:
    return self.forward.from_projection(projected, state, context.with_documents(context.documents.counted()))

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    del memory
    return self.forward.mixing_flops(length) + (0.0 if self.causal else self.backward.mixing_flops(length))

  def mix(self, x: Activations, state: State | None, context: Context) -> tuple[Activations, State | None]:
    start = self.forward.init_state(x.shape[0]) if state is None else state
    y, end = self.forward(x, start, context)
    if not self.causal:
      y = jnp.concatenate([y, self._from_the_end(x, context)], axis=-1)
    return y, None if state is None else end

  def _from_the_end(self, x: Activations, context: Context) -> Float[Array, 'b t e']:
    start = self.backward.init_state(x.shape[0])
    y, _ = self.backward(jnp.flip(x, 1), start, context.with_documents(context.documents.reversed()))
    return jnp.flip(y, 1)


def grow(state: State, specs: Any) -> State:
  """Return the state with zeros at the ends of its `cache` axes, as long as in `specs`; none gets shorter.

  Exact as long as no document is longer than the state was made for: then nothing has been forgotten yet.
  """

  def lengthen(node: Any, spec: Any) -> Any:
    return node.lengthen(spec) if isinstance(node, Cache) else spec.lengthen(node)

  return jax.tree.map(lengthen, state, specs, is_leaf=is_cache)
