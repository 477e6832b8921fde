"""Blocks: what stands around a mixer. Residual (pre-norm) or plain, with norms, feed-forward and dropout."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.config import ModelConfig
from seqmodels.mixers import make_mixer
from seqmodels.notation import Activations, Flags, Key, State


class Norm(nnx.Module):
  """RMS norm (Zhang & Sennrich 2019) or layer norm (Ba et al. 2016), computed in float32."""

  def __init__(self, width: int, kind: str) -> None:
    self.scale = nnx.Param(jnp.ones((width,)))
    self.bias = nnx.Param(jnp.zeros((width,))) if kind == 'layer' else None

  def __call__(self, x: jax.Array) -> jax.Array:
    y = x.astype(jnp.float32)
    if self.bias is not None:
      y = y - jnp.mean(y, axis=-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.mean(jnp.square(y), axis=-1, keepdims=True) + 1e-6)
    y = y * _row(self.scale[...], y.ndim)
    if self.bias is not None:
      y = y + _row(self.bias[...], y.ndim)
    return y.astype(x.dtype)


def _row(vector: jax.Array, rank: int) -> jax.Array:
  return vector.reshape((1,) * (rank - 1) + vector.shape)


class Dense(nnx.Module):
  """y = x w + bias, with w ~ N(0, scale²/d): the variance of the input is kept at scale 1 (LeCun et al. 1998)."""

  def __init__(
    self, d: int, n: int, *, rngs: nnx.Rngs, dtype: Any = jnp.float32, scale: float = 1.0, bias: bool = True
  ) -> None:
    self.weight = nnx.Param(scale * d**-0.5 * jax.random.normal(rngs.params(), (d, n)))
    self.bias = nnx.Param(jnp.zeros((n,))) if bias else None
    self.dtype = dtype

  def __call__(self, x: jax.Array) -> jax.Array:
    y = x.astype(self.dtype) @ self.weight[...].astype(self.dtype)
    return y if self.bias is None else y + _row(self.bias[...].astype(self.dtype), y.ndim)


class FeedForward(nnx.Module):
  """Two dense layers with GELU between (Hendrycks & Gimpel 2016)."""

  def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs, dtype: Any, scale: float) -> None:
    self.up = Dense(width, hidden, rngs=rngs, dtype=dtype)
    self.down = Dense(hidden, width, rngs=rngs, dtype=dtype, scale=scale)

  def __call__(self, x: jax.Array) -> jax.Array:
    return self.down(jax.nn.gelu(self.up(x), approximate=True))


def dropout(x: jax.Array, rate: float, key: Key | None) -> jax.Array:
  """Inverted dropout (Srivastava et al. 2014); the identity when key is None (evaluation) or the rate is 0."""
  if key is None or rate == 0.0:
    return x
  kept = jax.random.bernoulli(key, 1.0 - rate, x.shape)
  return jnp.where(kept, x / (1.0 - rate), jnp.zeros_like(x))


def feedforward_hidden(config: ModelConfig) -> int:
  return round(config.feedforward * config.width)


class Block(nnx.Module):
  """One mixer and what stands around it.

  residual: x + mixer(norm(x)), then x + feedforward(norm(x)); plain: mixer(x), then feedforward if there is one.
  """

  def __init__(self, mixer: str, config: ModelConfig, *, rngs: nnx.Rngs, causal: bool) -> None:
    dtype = jnp.dtype(config.dtype)
    self.residual = config.block == 'residual'
    self.rate = config.dropout
    options = dict(config.mixer) | {'heads': config.heads, 'kv_heads': config.kv_heads, 'position': config.position}
    self.mixer = make_mixer(mixer, config.width, rngs=rngs, causal=causal, dtype=dtype, options=options)
    hidden = feedforward_hidden(config)
    # The last layer of each branch starts small, so that the residual stream's variance does not grow with depth
    # (Radford et al. 2019).
    scale = (2 * config.depth) ** -0.5 if self.residual else 1.0
    self.feedforward = FeedForward(config.width, hidden, rngs=rngs, dtype=dtype, scale=scale) if hidden else None
    self.norm_mixer = Norm(config.width, config.norm) if self.residual else None
    self.norm_feedforward = Norm(config.width, config.norm) if self.residual and hidden else None

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: Key | None = None,
  ) -> tuple[Activations, State | None]:
    """The mixer contract (seqmodels/mixers/base.py), with everything around the mixer added."""
    keys: tuple[Key | None, ...] = (None, None, None) if rngs is None else tuple(jax.random.split(rngs, 3))
    y = self.norm_mixer(x) if self.norm_mixer is not None else x
    y, state = self.mixer(y, state, reset=reset, mask=mask, rngs=None if keys[0] is None else nnx.Rngs(keys[0]))
    y = dropout(y, self.rate, keys[1])
    x = x + y if self.residual else y
    if self.feedforward is not None:
      y = self.norm_feedforward(x) if self.norm_feedforward is not None else x
      y = dropout(self.feedforward(y), self.rate, keys[2])
      x = x + y if self.residual else y
    return x, state
