"""Attention from a decoder to an encoder's output."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from seqmodels.context import BATCH, EncoderOutput, StateSpec
from seqmodels.errors import InputError
from seqmodels.kernels import attention as kernel
from seqmodels.layers.dense import Dense, normal
from seqmodels.layers.heads import resolve_heads
from seqmodels.notation import Activations, State


class CrossAttention(nnx.Module):
  """Multi-head attention to an encoder's output (Vaswani et al. 2017, section 3.2.3), without positions.

  On a recurrent layer it is the attention of Bahdanau et al. (2015), with the dot product of Luong et al. (2015) as its
  score. The state holds the keys and values [b g s k] of the source.
  """

  def __init__(
    self, width: int, *, rngs: nnx.Rngs, heads: int = 0, kv_heads: int = 0, dtype: DTypeLike = jnp.float32
  ) -> None:
    self.heads, self.kv_heads = resolve_heads(width, heads, kv_heads)
    self.head_dim, self.dtype = width // self.heads, jnp.dtype(dtype)
    embed, heads_by_dim = {'embed': width}, {'heads': self.heads, 'head_dim': self.head_dim}
    self.query = Dense(embed, heads_by_dim, rngs=rngs, init=normal(), dtype=dtype)
    keys_values = {'key_value': 2, 'kv_heads': self.kv_heads, 'head_dim': self.head_dim}
    self.key_value = Dense(embed, keys_values, rngs=rngs, init=normal(), dtype=dtype)
    self.output = Dense(heads_by_dim, embed, rngs=rngs, init=normal(), dtype=dtype)

  def state_spec(self, batch: int, source_length: int) -> dict[str, StateSpec]:
    shape = (batch, self.kv_heads, source_length, self.head_dim)
    spec = StateSpec(shape, (BATCH, 'kv_heads', 'source', 'head_dim'), self.dtype)
    return {'k': spec, 'v': spec}

  def read(self, features: Float[Array, 'b s d']) -> State:
    """Return the keys and values [b g s k] of an encoder's output."""
    k, v = self.key_value(features).transpose(2, 0, 3, 1, 4)
    return {'k': k, 'v': v}

  def mixing_flops(self, source_length: float) -> float:
    """Return the forward FLOPs a token beyond two per weight."""
    return 4.0 * self.heads * self.head_dim * source_length

  def __call__(self, x: Activations, state: State, mask: Bool[Array, 'b s'] | None) -> Activations:
    k, v = state['k'].swapaxes(1, 2), state['v'].swapaxes(1, 2)
    return self.output(self._over(x, k, v, mask))

  def _over(
    self, x: Activations, k: Float[Array, 'b s g k'], v: Float[Array, 'b s g v'], mask: Bool[Array, 'b s'] | None
  ) -> Float[Array, 'b t h v']:
    b, t, _ = x.shape
    if k.shape[0] != b:
      raise InputError(f'the source has a batch of {k.shape[0]}, the input has a batch of {b}')
    bounds = None
    if mask is not None:
      zero = jnp.zeros((b, t), jnp.int32)
      bounds = zero, zero, jnp.where(mask, 0, -1)
    return kernel.attention(self.query(x), k, v, causal=False, bounds=bounds)

  def attention_map(self, x: Activations, encoder: EncoderOutput) -> Float[Array, 'b h t s']:
    """Return the weight of every position of the source in every output, of each head."""
    assert encoder.features is not None
    k = self.read(encoder.features)['k'].swapaxes(1, 2)
    return self._over(x, k, kernel.one_hot_values(k), encoder.mask).swapaxes(1, 2)

  def attend(self, x: Activations, encoder: EncoderOutput, state: State | None) -> Activations:
    """Attend to `encoder`, whose keys and values are in the state if there is one."""
    if state is None:
      assert encoder.features is not None
      state = self.read(encoder.features)
    return self(x, state, encoder.mask)
