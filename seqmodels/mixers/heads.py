"""What mixers with a matrix for a state share: how many heads, which positions, and norms head by head."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.errors import InputError, unknown
from seqmodels.layers.heads import choose_heads
from seqmodels.positions import ADDITIVE

POSITIONS = ('none', 'rotary', *ADDITIVE)


def count_heads(width: int, heads: int, position: str = 'none') -> int:
  """The number of heads; 0: chosen from the width.

  Raises InputError where they do not divide the width, or where rotary positions do not fit the key width.
  """
  heads = heads or choose_heads(width)
  if heads < 0 or width % heads:
    raise InputError(f'heads={heads} must divide width={width}')
  if position not in POSITIONS:
    raise unknown('model.position', position, POSITIONS)
  if position == 'rotary' and (width // heads) % 2:
    raise InputError(
      f'position=rotary needs an even key width; width={width} with heads={heads} gives {width // heads}'
    )
  return heads


def multiple(heads: int, position: str = 'none') -> int:
  """What the size of a direction must be a multiple of, for `count_heads` to take it."""
  return max(heads, 1) * (2 if position == 'rotary' else 1)


def split_heads(a: Float[Array, 'b t e'], heads: int) -> Float[Array, 'b t h k']:
  return a.reshape(*a.shape[:2], heads, -1)


def rms_norm(y: Float[Array, 'b t h v'], scale: Float[Array, ' h*v'], epsilon: float = 1e-5) -> Float[Array, 'b t h*v']:
  """Each head by its own root mean square (Zhang & Sennrich, 2019), in float32; heads come back side by side."""
  y = y.astype(jnp.float32)
  y = y * jax.lax.rsqrt(jnp.mean(jnp.square(y), axis=-1, keepdims=True) + epsilon)
  return y.reshape(*y.shape[:2], -1) * scale[None, None, :]


def group_norm(
  y: Float[Array, 'b t h v'], scale: Float[Array, ' h*v'], bias: Float[Array, ' h*v'], epsilon: float = 1e-5
) -> Float[Array, 'b t h*v']:
  """Each head by its own mean and variance (Wu & He, 2018), in float32; heads come back side by side."""
  y = y.astype(jnp.float32)
  y = y - jnp.mean(y, axis=-1, keepdims=True)
  return rms_norm(y, scale, epsilon) + bias[None, None, :]


def unit(x: Float[Array, 'b t h k'], epsilon: float = 1e-6) -> Float[Array, 'b t h k']:
  """Vectors of length one."""
  y = x.astype(jnp.float32)
  return (y * jax.lax.rsqrt(jnp.sum(jnp.square(y), axis=-1, keepdims=True) + epsilon)).astype(x.dtype)


def draw_decay(rngs: nnx.Rngs, heads: int) -> tuple[nnx.Param, nnx.Param]:
  """Mamba-2's parameters of `decay`: rates uniform in [1, 16], steps log-uniform in [0.001, 0.1] (Dao & Gu, 2024)."""
  rate = jax.random.uniform(rngs.params(), (heads,), minval=1.0, maxval=16.0)
  step = jnp.exp(jax.random.uniform(rngs.params(), (heads,), minval=math.log(1e-3), maxval=math.log(0.1)))
  return nnx.Param(jnp.log(rate)), nnx.Param(jnp.log(jnp.expm1(step)))


def decay(
  step: Float[Array, 'b t h'], rate: Float[Array, ' h'], bias: Float[Array, ' h']
) -> tuple[Float[Array, 'b t h'], Float[Array, 'b t h']]:
  """The log decay -exp(rate) Δ and the step Δ = softplus(step + bias)."""
  step = jax.nn.softplus(step + bias[None, None, :])
  return -jnp.exp(rate)[None, None, :] * step, step
