"""Performer: linear attention whose features approximate the softmax without bias (FAVOR+)."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.errors import InputError
from seqmodels.mixers.linear_attention import FeatureAttention

EPSILON = 1e-8  # added to every feature, the largest of which is 1, so that no normaliser is zero


class Performer(FeatureAttention):
  """Positive orthogonal random features of the softmax (Choromanski et al., 2021).

  φ(x) = exp(W x - |x|²/2) / √r for r directions W, with x = q / k^¼: E[φ(q)ᵀ φ(k)] = exp(q·k / √k). Largest exponents
  are taken out token by token; those of the keys come back through the stabiliser of `kernels/linear_attention.py`.

  features      r; 0: the power of two nearest to k ln k, at least k
  feature_seed  W is a function of this seed, the same in every layer, in training and decoding. It is no parameter:
                nothing trains it, and a checkpoint holds it as this number in its config
  redraw        every training step draws its own W (calls with `rngs` and no state); evaluation and decoding keep the
                seed's. To redraw every n steps, go on from a checkpoint with another `feature_seed`
  """

  implementations = ('auto', 'reference')
  stabilised = True
  epsilon = 1e-12  # for queries that see nothing; its square is a number too

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    heads: int = 0,
    position: str = 'none',
    implementation: str = 'auto',
    chunk: int = 0,
    features: int = 0,
    feature_seed: int = 0,
    redraw: bool = False,
  ):
    how: dict[str, Any] = {'heads': heads, 'position': position, 'implementation': implementation, 'chunk': chunk}
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype, **how)
    key_width = width // self.heads
    if features < 0 or (position == 'rotary' and features % 2):
      even = ', and even with position=rotary' if position == 'rotary' else ''
      raise InputError(f'mixer.features={features} must be 0 (chosen) or positive{even}')
    self.feature_width = features or choose_features(key_width)
    self.feature_seed, self.redraw = feature_seed, redraw
    self.stochastic = redraw

  def feature_flops(self):
    return 4.0 * self.width * self.feature_width

  def features(self, q, k, rngs):
    shape = self.feature_width, q.shape[-1]
    if self.redraw and rngs is not None:
      directions = draw_directions(rngs.params(), *shape)
    else:
      directions = jnp.asarray(fixed_directions(self.feature_seed, *shape))
    (q, _), (k, log_input) = (positive_features(a, directions) for a in (q, k))
    return q, k, log_input


def choose_features(key_width: int) -> int:
  """Θ(k log k) features bound the error uniformly (Choromanski et al., 2021, theorem 4)."""
  return 2 ** round(math.log2(max(key_width * math.log(key_width), key_width)))


def positive_features(
  x: Float[Array, 'b t h k'], directions: Float[Array, 'r k']
) -> tuple[Float[Array, 'b t h r'], Float[Array, 'b t h']]:
  """exp(W x' - |x'|²/2 - top) with x' = x / k^¼, and top, the largest exponent of each token and head, in float32."""
  x = x.astype(jnp.float32) * x.shape[-1] ** -0.25
  exponents = jnp.einsum('bthk,rk->bthr', x, directions, precision='highest')
  exponents = exponents - jnp.sum(jnp.square(x), axis=-1, keepdims=True) / 2
  top = exponents.max(-1, keepdims=True)
  return jnp.exp(exponents - top) + EPSILON, top[..., 0]


@functools.cache
def fixed_directions(seed: int, features: int, width: int) -> np.ndarray:
  """W [r k] of the seed: blocks of k orthogonal directions whose lengths are those of Gaussian vectors.

  NumPy's `RandomState` never changes its stream, so a checkpoint means the same features for ever.
  """
  random = np.random.RandomState(seed)
  blocks = []
  for _ in range(-(-features // width)):
    orthogonal, triangle = np.linalg.qr(random.normal(size=(width, width)))
    blocks.append(orthogonal * np.sign(np.diag(triangle)))
  lengths = np.linalg.norm(random.normal(size=(features, width)), axis=1)
  return (np.concatenate(blocks)[:features] * lengths[:, None]).astype(np.float32)


def draw_directions(key: jax.Array, features: int, width: int) -> Float[Array, 'r k']:
  """The same from a key, inside a program."""
  directions, lengths = jax.random.split(key)
  orthogonal = lambda key: nnx.initializers.orthogonal()(key, (width, width), jnp.float32)
  # One block at a time: see the recurrent mixers' orthogonal weights.
  blocks = jax.lax.map(orthogonal, jax.random.split(directions, -(-features // width)))
  norms = jnp.linalg.norm(jax.random.normal(lengths, (features, width)), axis=1)
  return blocks.reshape(-1, width)[:features] * norms[:, None]
