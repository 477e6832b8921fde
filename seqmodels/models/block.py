"""Blocks: what stands around a mixer. Residual (pre-norm) or plain, with norms, feed-forward and dropout."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import projection
from seqmodels.mixers import make_mixer
from seqmodels.mixers.attention import choose_heads
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
    y = projection.dot(x, self.weight[...], self.dtype)
    return y if self.bias is None else y + _row(self.bias[...].astype(self.dtype), y.ndim)


class FeedForward(nnx.Module):
  """Two dense layers with GELU between (Hendrycks & Gimpel 2016)."""

  def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs, dtype: Any, scale: float) -> None:
    self.up = Dense(width, hidden, rngs=rngs, dtype=dtype)
    self.down = Dense(hidden, width, rngs=rngs, dtype=dtype, scale=scale)

  @staticmethod
  def unit_size(width: int) -> int:
    """Parameters of one hidden unit."""
    return 2 * width + 1

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


class Memory(NamedTuple):
  """What a decoder attends to: an encoder's outputs [b s d] (None: their keys and values are in the state), and which
  of them are not padding (None: all)."""

  encoded: Float[Array, 'b s d'] | None
  mask: Bool[Array, 'b s'] | None


class CrossAttention(nnx.Module):
  """Attention from a decoder to an encoder's outputs (Vaswani et al. 2017, section 3.2.3), without positions.

  Heads are grouped as in `mixers.attention`. On a recurrent layer it is the attention of Bahdanau et al. (2015), with
  the dot product of Luong et al. (2015) as its score.
  """

  def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs, dtype: Any) -> None:
    d = config.width
    self.heads = config.heads or choose_heads(d)
    self.kv_heads = config.kv_heads or self.heads
    if d % self.heads or self.heads % self.kv_heads:
      raise InputError(f'kv_heads={self.kv_heads} must divide heads={self.heads}, and these width={d}')
    self.key_width, self.dtype = d // self.heads, dtype
    self.query = Dense(d, d, rngs=rngs, dtype=dtype, bias=False)
    self.key_value = Dense(d, 2 * self.kv_heads * self.key_width, rngs=rngs, dtype=dtype, bias=False)
    self.output = Dense(d, d, rngs=rngs, dtype=dtype, bias=False)

  def init_state(self, batch: int, source_length: int) -> State:
    zeros = jnp.zeros((batch, self.kv_heads, source_length, self.key_width), self.dtype)
    return {'k': zeros, 'v': zeros}

  def read(self, encoded: Float[Array, 'b s d']) -> State:
    """The keys and values [b g s k] of an encoder's outputs."""
    joined = self.key_value(encoded).reshape(*encoded.shape[:2], 2, self.kv_heads, self.key_width)
    k, v = joined.transpose(2, 0, 3, 1, 4)
    return {'k': k, 'v': v}

  def mixing_flops(self, source_length: float) -> float:
    """Forward FLOPs a token beyond two per weight."""
    return 4.0 * self.heads * self.key_width * source_length

  def __call__(self, x: Activations, state: State, mask: Bool[Array, 'b s'] | None) -> Activations:
    b, t, d = x.shape
    if state['k'].shape[0] != b:
      raise InputError(f'the source has a batch of {state["k"].shape[0]}, the input has a batch of {b}')
    q = self.query(x).reshape(b, t, self.heads, self.key_width)
    bounds = None
    if mask is not None:
      zero = jnp.zeros((b, t), jnp.int32)
      bounds = zero, zero, jnp.where(mask, 0, -1)
    k, v = state['k'].swapaxes(1, 2), state['v'].swapaxes(1, 2)
    return self.output(kernel.attention(q, k, v, causal=False, bounds=bounds).reshape(b, t, d))


class Block(nnx.Module):
  """One mixer and what stands around it.

  residual: x + mixer(norm(x)), then x + cross(norm(x)) where there is cross-attention, then x + feedforward(norm(x));
  plain: mixer(x), x + cross(x), feedforward(x), of those that there are.
  """

  def __init__(
    self, mixer: str, config: ModelConfig, *, rngs: nnx.Rngs, causal: bool, length: int, cross_attention: bool = False
  ) -> None:
    """length: of the longest sequence in training."""
    dtype = jnp.dtype(config.dtype)
    self.residual = config.block == 'residual'
    self.rate = config.dropout
    options = dict(config.mixer) | {'heads': config.heads, 'kv_heads': config.kv_heads, 'position': config.position}
    options['length'] = options.get('length') or length
    if not config.native:
      options.setdefault('implementation', 'xla')
    self.mixer = make_mixer(mixer, config.width, rngs=rngs, causal=causal, dtype=dtype, options=options)
    self.mixer.check_length(length)
    hidden = feedforward_hidden(config)
    # The last layer of each branch starts small, so that the residual stream's variance does not grow with depth
    # (Radford et al. 2019).
    scale = (2 * config.depth) ** -0.5 if self.residual else 1.0
    self.feedforward = FeedForward(config.width, hidden, rngs=rngs, dtype=dtype, scale=scale) if hidden else None
    self.norm_mixer = Norm(config.width, config.norm) if self.residual else None
    self.cross = CrossAttention(config, rngs=rngs, dtype=dtype) if cross_attention else None
    self.norm_cross = Norm(config.width, config.norm) if self.residual and cross_attention else None
    self.norm_feedforward = Norm(config.width, config.norm) if self.residual and hidden else None

  @property
  def bare(self) -> bool:
    """Whether there is nothing around the mixer, without dropout."""
    return not self.residual and self.cross is None and self.feedforward is None

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    state = self.mixer.init_state(batch, max_length)
    return state if self.cross is None else {'mixer': state, 'cross': self.cross.init_state(batch, source_length)}

  def start(self, batch: int, max_length: int, memory: Memory) -> State:
    """The state before the first token, with the keys and values of what the encoder gave."""
    assert self.cross is not None
    assert memory.encoded is not None
    return {'mixer': self.mixer.init_state(batch, max_length), 'cross': self.cross.read(memory.encoded)}

  def project(self, x: Activations) -> Float[Array, 'b t z'] | None:
    """See `Mixer.project`; a call that is given `projected` still needs its `x`."""
    return self.mixer.project(x if self.norm_mixer is None else self.norm_mixer(x))

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
  ) -> tuple[Activations, State | None]:
    """The mixer contract (seqmodels/mixers/base.py), with everything around the mixer added."""
    keys: tuple[Key | None, ...] = (None, None, None) if rngs is None else tuple(jax.random.split(rngs, 3))
    own = state if self.cross is None or state is None else state['mixer']
    y = self.norm_mixer(x) if self.norm_mixer is not None else x
    given: dict[str, Any] = {} if projected is None else {'projected': projected}
    rngs_mixer = None if keys[0] is None else nnx.Rngs(keys[0])
    y, own = self.mixer(y, own, reset=reset, mask=mask, rngs=rngs_mixer, **given)
    y = dropout(y, self.rate, keys[1])
    x = x + y if self.residual else y
    if self.cross is None:
      state = own
    else:
      assert memory is not None
      if state is None:
        assert memory.encoded is not None
        across = self.cross.read(memory.encoded)
      else:
        across = state['cross']
      y = self.cross(self.norm_cross(x) if self.norm_cross is not None else x, across, memory.mask)
      x = x + dropout(y, self.rate, None if keys[1] is None else jax.random.fold_in(keys[1], 1))
      state = None if state is None else {'mixer': own, 'cross': across}
    if self.feedforward is not None:
      y = self.norm_feedforward(x) if self.norm_feedforward is not None else x
      y = dropout(self.feedforward(y), self.rate, keys[2])
      x = x + y if self.residual else y
    return x, state
