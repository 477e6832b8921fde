"""`Context` and `Documents` go with the input and the state of a call; `StateSpec` describes the arrays of a state."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Bool, Float

from seqmodels.notation import BATCH, Flags, Key, Params, State
from seqmodels.part import Part

CACHE, LAYERS = 'cache', 'layers'  # axes that have a meaning everywhere, beside BATCH
SCATTERED = ('embed', 'recurrent')  # axes of gathered parameters along which the sum of their gradient may be split
FREE = 'free'  # in the place of an axis' name: the compiler chooses how it lies


class Documents(NamedTuple):
  """Describe where documents begin in the rows of a segment, and where padding stands. A pytree: None is structure.

  reset  [b t]: a document begins here; everything before it is forgotten. None: none begins
  mask   [b t]: False for padding, which changes no other output and no state. None: no padding
  part   of the rows, where their tokens are split over devices; the flags are those of the part. None: the whole rows

  Ops forget at every reset, also on padding; `counted` leaves those out. Inside an op the arrays may have other leading
  axes: `[t b]`, or `[b]` for one position. Where an array is None, what follows from it costs nothing.
  """

  reset: Flags | None = None
  mask: Flags | None = None
  part: Part | None = None

  @property
  def is_trivial(self) -> bool:
    """Whether there are neither resets nor padding."""
    return self.reset is None and self.mask is None

  def counted(self) -> 'Documents':
    """Return the same without the resets on padding."""
    return self if self.reset is None or self.mask is None else self._replace(reset=self.reset & self.mask)

  def without_padding(self) -> 'Documents':
    """Return the same for arrays whose padding has been cleared (`keep`)."""
    return self._replace(mask=None)

  def forget(self, state: jax.Array, empty: ArrayLike = 0) -> jax.Array:
    """Return `empty` where a document begins, elsewhere `state`, whose first axes are those of the flags."""
    return state if self.reset is None else jnp.where(_widen(self.reset, state.ndim), empty, state)

  def keep(self, new: jax.Array, old: ArrayLike = 0) -> jax.Array:
    """Return `old` on padding, elsewhere `new`, whose first axes are those of the flags."""
    return new if self.mask is None else jnp.where(_widen(self.mask, new.ndim), new, old)

  def count(self, length: int) -> int:
    """Return the number of all tokens of a row, of which `length` are here."""
    return length if self.part is None else length * self.part.count - self.part.padding

  def whole(self) -> 'Documents':
    """Return the documents of all parts."""
    return self if self.part is None else Documents(*self.part.gather((self.reset, self.mask)))

  def alone(self) -> 'Documents':
    """Return the documents of this part, as if there were no other."""
    return self._replace(part=None)

  def in_last(self, batch: int, length: int) -> Flags:
    """Return which tokens belong to the last document of their row and are not padding."""
    keep = jnp.ones((batch, length), bool) if self.mask is None else self.mask
    if self.reset is None:
      return keep
    superseded = jax.lax.cummax(self.reset.astype(jnp.int32), axis=1, reverse=True) > 0
    return keep & ~jnp.concatenate([superseded[:, 1:], jnp.zeros((batch, 1), bool)], axis=1)

  def last(self, values: Float[Array, 'b t d']) -> Float[Array, 'b d']:
    """Return the values at the last token of every row [b t] that is not padding; of padding alone, at its end."""
    if self.mask is None:
      return values[:, -1]
    index = values.shape[1] - 1 - jnp.argmax(self.mask[:, ::-1], axis=1)
    return jnp.take_along_axis(values, index[:, None, None], axis=1)[:, 0]

  def time_major(self) -> 'Documents':
    """Return the same with flags [t b]."""
    return jax.tree.map(lambda flags: flags.swapaxes(0, 1), self)

  def reversed(self) -> 'Documents':
    """Return the documents as they are read from the end of the rows [b t]."""
    # A document that starts at t ends at t - 1: read backwards, t - 1 is where everything is forgotten.
    ends, part = self.whole().reset, self.part
    if ends is not None:
      ends = jnp.roll(ends, -1, axis=1).at[:, -1].set(False)
      ends = ends if part is None else part.own(ends)
    backward = Documents(ends, self.mask, None if part is None else part.backward())
    return jax.tree.map(lambda flags: jnp.flip(flags, 1), backward)


ONE_DOCUMENT = Documents()


def _widen(flags: jax.Array, ndim: int) -> jax.Array:
  return jnp.expand_dims(flags, range(flags.ndim, ndim))


class EncoderOutput(NamedTuple):
  """Features that a decoder attends to.

  features: None where their keys and values are already in the state. mask: False for padding; None: no padding.
  """

  features: Float[Array, 'b s d'] | None
  mask: Bool[Array, 'b s'] | None


Apply = Callable[[Params, jax.Array, State | None, 'Context'], tuple[jax.Array, State | None]]


class Constrain(Protocol):
  """Lay activations out over devices, by the names of their axes."""

  def __call__(self, x: jax.Array, names: tuple[str, ...]) -> jax.Array:
    """Return x, whose axes are called `names`, where it should lie."""

  def in_parts(
    self, apply: Apply, params: Params, x: jax.Array, state: State | None, context: 'Context'
  ) -> tuple[jax.Array, State | None]:
    """Return apply(params, x, state, context), each device with its part of the tokens of x [b t …]."""


class Context(NamedTuple):
  """Describe one call to a layer. A pytree, so that it passes through `jax.checkpoint`, `jax.lax.scan` and `jax.jit`.

  reset, mask  as in `Documents`; a reset on padding is ignored
  key          for dropout and other noise; None: evaluation, the call is deterministic
  encoder      what cross-attention reads
  constrain    lays activations out over devices, by the names of their axes; a pytree without arrays; None: the
               compiler chooses
  part         of the tokens, where they are split over devices; `constrain` sets it. None: all tokens are here
  """

  reset: Flags | None = None
  mask: Flags | None = None
  key: Key | None = None
  encoder: EncoderOutput | None = None
  constrain: Constrain | None = None
  part: Part | None = None

  @property
  def deterministic(self) -> bool:
    return self.key is None

  @property
  def documents(self) -> Documents:
    """Return where documents begin and where padding stands."""
    return Documents(self.reset, self.mask, self.part)

  def with_documents(self, documents: Documents) -> 'Context':
    """Return the context with other documents."""
    return self._replace(reset=documents.reset, mask=documents.mask, part=documents.part)

  def pin(self, x: jax.Array, *names: str) -> jax.Array:
    """Return `x`, whose axes are called `names`, where `constrain` says that it lies."""
    return x if self.constrain is None else self.constrain(x, names)

  def gather(self, x: jax.Array, *names: str) -> jax.Array:
    """Return parameters `x` as `pin` does; their gradient is free along SCATTERED, so that its sum can be too."""
    return x if self.constrain is None else _gather(self.constrain, names, x)

  def fold_in(self, data: int | jax.Array) -> 'Context':
    """Return the context with another key, derived from `data`."""
    return self if self.key is None else self._replace(key=jax.random.fold_in(self.key, data))

  def split(self, count: int) -> tuple['Context', ...]:
    """Return `count` contexts with keys of their own."""
    if self.key is None:
      return (self,) * count
    return tuple(self._replace(key=key) for key in jax.random.split(self.key, count))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gather(constrain: Callable[..., jax.Array], names: tuple[str, ...], x: jax.Array) -> jax.Array:
  return constrain(x, names)


def _gather_backward(
  constrain: Callable[..., jax.Array], names: tuple[str, ...], _: None, gradient: jax.Array
) -> tuple[jax.Array]:
  return (constrain(gradient, tuple(FREE if name in SCATTERED else name for name in names)),)


_gather.defvjp(lambda constrain, names, x: (_gather(constrain, names, x), None), _gather_backward)


@dataclass(frozen=True)
class StateSpec:
  """One array of a state: its shape, the name of every axis, and its dtype.

  `batch` names the axis of the rows, `cache` the one that is as long as the state's room for tokens, `layers` the
  leading axis of states of repeated layers. Not a pytree: in a tree of specs every spec is a leaf.
  """

  shape: tuple[int, ...]
  axes: tuple[str, ...]
  dtype: DTypeLike = jnp.float32

  def __post_init__(self) -> None:
    if len(self.shape) != len(self.axes):
      raise ValueError(f'axes={self.axes} must name the {len(self.shape)} axes of shape={self.shape}')

  def axis(self, name: str) -> int | None:
    """Return the number of the axis `name`, or None if there is none."""
    return self.axes.index(name) if name in self.axes else None

  def stacked(self, layers: int) -> 'StateSpec':
    """Return the spec of the same array for `layers` repeated layers."""
    return StateSpec((layers, *self.shape), (LAYERS, *self.axes), self.dtype)

  def zeros(self) -> jax.Array:
    return jnp.zeros(self.shape, self.dtype)

  def lengthen(self, array: jax.Array) -> jax.Array:
    """Return `array` with zeros at the end of its `cache` axis, as long as here; it never gets shorter."""
    axis = self.axis(CACHE)
    missing = 0 if axis is None else self.shape[axis] - array.shape[axis]
    if axis is None or missing <= 0:
      return array
    return jnp.pad(array, [(0, missing if i == axis else 0) for i in range(array.ndim)])


def batch_axes(specs: Any) -> Any:
  """Return the number of the batch axis of every leaf of a tree of specs; -1 where there is none."""
  return jax.tree.map(lambda spec: -1 if spec.axis(BATCH) is None else spec.axis(BATCH), specs)


def zeros(specs: Any) -> State:
  """Return the state of zeros that a tree of specs describes."""
  return jax.tree.map(lambda spec: spec.zeros(), specs)
