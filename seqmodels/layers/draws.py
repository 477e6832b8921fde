"""Random keys for initialisation, counted in Python."""

import jax
from flax import nnx

from seqmodels.notation import Key


class Draws(nnx.Rngs):
  """The keys of `nnx.Rngs(key)`, beginning with the one numbered `first`.

  Key number n is `fold_in(key, n)`. `first` may be traced: the layers of a stack are drawn by one program, in which
  each begins where the layer before it ended. With `has_shapes_alone`, a stack draws nothing: the shapes are wanted.
  """

  def __init__(self, key: Key, first: int | jax.Array = 0, *, has_shapes_alone: bool = False) -> None:
    self.key, self.first = nnx.data(key), nnx.data(first)
    self.count, self.has_shapes_alone = 0, has_shapes_alone

  def params(self) -> Key:
    self.count += 1
    return jax.random.fold_in(self.key, self.first + self.count - 1)

  def skip(self, count: int) -> int | jax.Array:
    """Leave out `count` keys; return the number of the first."""
    self.count += count
    return self.first + self.count - count
