"""Token embeddings, which may also be the output layer."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.context import Context
from seqmodels.layers.dense import contract
from seqmodels.layers.parameter import parameter
from seqmodels.notation import Activations, TokenIds


class Embed(nnx.Module):
  """A table [vocabulary d] with entries from N(0, 1/d), read with components of unit variance.

  The factor √d on what is read is that of Vaswani et al. (2017, section 3.4).
  """

  def __init__(self, size: int, width: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> None:
    table = width**-0.5 * jax.random.normal(rngs.params(), (size, width))
    self.embedding = parameter(table, ('vocab', 'embed'))
    self.width, self.dtype = width, jnp.dtype(dtype)

  def __call__(self, ids: TokenIds, context: Context = Context()) -> Activations:
    """Return the entries of `ids`. On a mesh the table is gathered, not what is read from it."""
    table = context.gather(self.embedding[...].astype(self.dtype), 'vocab', 'embed')
    return jnp.take(table, ids, axis=0) * self.width**0.5

  def logits(self, x: Float[Array, '*b d']) -> Float[Array, '*b n']:
    """Return float32 logits from the transposed table (Press & Wolf 2017)."""
    return contract(x.astype(self.dtype), self.embedding[...].astype(self.dtype).T, out_dtype=jnp.float32)
