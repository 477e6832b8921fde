"""Heads, states and decays of mixers whose state is a matrix for each head."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from seqmodels.context import BATCH, Documents, StateSpec
from seqmodels.errors import InputError
from seqmodels.layers import parameter
from seqmodels.layers.dense import lecun_normal
from seqmodels.layers.heads import resolve_heads


def count_heads(width: int, heads: int, position: str = 'none') -> int:
  """Return the number of heads; 0: chosen from the width.

  Raises InputError where they do not divide the width, or where rotary positions do not fit the size of a head.
  """
  heads, _ = resolve_heads(width, heads, 0)
  if position == 'rotary' and (width // heads) % 2:
    sizes = f'width={width} with heads={heads} gives {width // heads}'
    raise InputError(f'position=rotary needs an even head_dim; {sizes}')
  return heads


def multiple(heads: int, position: str = 'none') -> int:
  """Return what the size of a direction must be a multiple of, for `count_heads` to take it."""
  return max(heads, 1) * (2 if position == 'rotary' else 1)


def draw_together(rngs: nnx.Rngs, width: int, *columns: int) -> list[jax.Array]:
  """Return LeCun normal kernels [width, n], one for each n of `columns`, drawn as one matrix."""
  joined = lecun_normal(rngs.params(), (width, sum(columns)), jnp.float32)
  ends = [sum(columns[: i + 1]) for i in range(len(columns) - 1)]
  return jnp.split(joined, ends, axis=1)


def sum_spec(batch: int, heads: int, k: int, v: int) -> StateSpec:
  """Return the spec of a sum of outer products."""
  return StateSpec((batch, heads, k, v), (BATCH, 'heads', 'key_dim', 'value_dim'))


def position_spec(batch: int, position: str) -> dict[str, StateSpec]:
  """Return the spec of the next token's position in its document, which rotary positions need."""
  return {'position': StateSpec((batch,), (BATCH,), jnp.int32)} if position == 'rotary' else {}


def unit(x: Float[Array, 'b t h k'], epsilon: float = 1e-6) -> Float[Array, 'b t h k']:
  """Return the vectors scaled to length one."""
  y = x.astype(jnp.float32)
  return (y * jax.lax.rsqrt(jnp.sum(jnp.square(y), axis=-1, keepdims=True) + epsilon)).astype(x.dtype)


class Decay(nnx.Module):
  """The decay of Mamba-2: one number a token and head (Dao & Gu 2024).

  The step is Δ = softplus(x + bias), the log decay -exp(log_rate) Δ. Rates start uniform in [1, 16], softplus(bias)
  log-uniform in [0.001, 0.1].
  """

  def __init__(self, heads: int, *, rngs: nnx.Rngs) -> None:
    rate = jax.random.uniform(rngs.params(), (heads,), minval=1.0, maxval=16.0)
    step = jnp.exp(jax.random.uniform(rngs.params(), (heads,), minval=math.log(1e-3), maxval=math.log(0.1)))
    self.log_rate = parameter(jnp.log(rate), ('heads',))
    self.bias = parameter(jnp.log(jnp.expm1(step)), ('heads',))

  def __call__(self, x: Float[Array, 'b t h']) -> tuple[Float[Array, 'b t h'], Float[Array, 'b t h']]:
    """Return the log decay and the step, in float32."""
    step = jax.nn.softplus(x.astype(jnp.float32) + self.bias[...][None, None, :])
    return -jnp.exp(self.log_rate[...])[None, None, :] * step, step


def reflected(log_decay: Float[Array, 'b t h']) -> tuple[Float[Array, 'b t h'], Bool[Array, 'b t h']]:
  """Return log |2a - 1| for log a, and where 2a - 1 is below zero (Grazzi et al. 2024); at least log 1e-6.

  Its gradient grows as 1 / |2a - 1|, and with it the rounding of what it is multiplied by.
  """
  below = log_decay < -math.log(2)
  less_one = jnp.where(below, -2 * jnp.exp(log_decay), 2 * jnp.expm1(log_decay))  # |2a - 1| - 1
  return jnp.log1p(jnp.maximum(less_one, 1e-6 - 1)), below


def running_signs(
  below: Bool[Array, 'b t h'], documents: Documents
) -> tuple[Float[Array, 'b t h'], Float[Array, 'b h']]:
  """Return the sign of the product of all decays up to each token, and up to the last; below: those less than zero.

  With these a sum with decays of any sign is one with their absolute values: S_t = ±_t S'_t, where S' is the sum of
  k_t (±_t v_t)ᵀ.
  """
  signs = jnp.cumprod(documents.keep(jnp.where(below, -1.0, 1.0), 1.0), axis=1)
  last = signs[:, -1]
  if documents.part is None:
    return signs, last
  before, end = documents.part.scan(jnp.multiply, jnp.ones_like(last), last, 'heads')
  return before[:, None] * signs, end
