"""Performer: linear attention whose features approximate the softmax without bias (FAVOR+)."""

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.errors import InputError
from seqmodels.mixers.base import Form
from seqmodels.mixers.linear_attention import FeatureAttention
from seqmodels.mixers.options import LARGEST, check_range
from seqmodels.notation import Key

EPSILON = 1e-8  # added to every feature, the largest of which is 1, so that no normaliser is zero


class Performer(FeatureAttention):
  """Positive orthogonal random features of the softmax (Choromanski et al. 2021).

  φ(x) = exp(W x - |x|²/2) / √r for r directions W, with x = q / k^¼: E[φ(q)ᵀ φ(k)] = exp(q·k / √k). Largest exponents
  are taken out token by token; those of the keys come back through the stabiliser of `kernels/linear_attention.py`.
  """

  @dataclass(frozen=True)
  class Options(FeatureAttention.Options):
    """The options of Performer, beside those of linear attention.

    features      r; 0: the power of two nearest to k ln k, at least k
    feature_seed  W is a function of this seed, the same in every layer, in training and decoding. It is no parameter:
                  nothing trains it, and a checkpoint holds it as this number in its config
    redraw        every training step draws its own W (calls with a key and no state); evaluation and decoding keep the
                  seed's. To redraw every n steps, go on from a checkpoint with another `feature_seed`
    """

    features: int = 0
    feature_seed: int = 0
    redraw: bool = False

    def __post_init__(self) -> None:
      super().__post_init__()
      check_range(self, 0, LARGEST, 'features')
      if self.position == 'rotary' and self.features % 2:
        raise InputError(f'mixer.features={self.features} must be even with position=rotary')
      check_range(self, 0, 2**32 - 1, 'feature_seed')

  stabilised: ClassVar[bool] = True
  epsilon: ClassVar[float] = 1e-12  # for queries that see nothing; its square is a number too

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.features = self.options.features or choose_features(self.head_dim)
    self.stochastic = self.options.redraw

  def feature_flops(self) -> float:
    return 4.0 * self.width * self.features

  def feature_map(self, q: jax.Array, k: jax.Array, key: Key | None) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    shape = self.features, self.head_dim
    if self.options.redraw and key is not None:
      directions = draw_directions(key, *shape)
    else:
      directions = jnp.asarray(fixed_directions(self.options.feature_seed, *shape))
    (q, _), (k, log_input) = (positive_features(a, directions) for a in (q, k))
    return q, k, log_input


def choose_features(head_dim: int) -> int:
  """Return Θ(k log k) features, which bound the error uniformly (Choromanski et al. 2021, theorem 4)."""
  return 2 ** round(math.log2(max(head_dim * math.log(head_dim), head_dim)))


def positive_features(
  x: Float[Array, 'b t h k'], directions: Float[Array, 'r k']
) -> tuple[Float[Array, 'b t h r'], Float[Array, 'b t h']]:
  """Return exp(W x' - |x'|²/2 - top) with x' = x / k^¼, and top, each token's and head's largest exponent; float32."""
  x = x.astype(jnp.float32) * x.shape[-1] ** -0.25
  exponents = jnp.einsum('bthk,rk->bthr', x, directions, precision='highest')
  exponents = exponents - jnp.sum(jnp.square(x), axis=-1, keepdims=True) / 2
  top = exponents.max(-1, keepdims=True)
  return jnp.exp(exponents - top) + EPSILON, top[..., 0]


@functools.cache
def fixed_directions(seed: int, features: int, width: int) -> np.ndarray:
  """Return W [r k] of the seed: blocks of k orthogonal directions whose lengths are those of Gaussian vectors.

  NumPy's `RandomState` never changes its stream, so a checkpoint means the same features for ever.
  """
  random = np.random.RandomState(seed)
  blocks = []
  for _ in range(-(-features // width)):
    orthogonal, triangle = np.linalg.qr(random.normal(size=(width, width)))
    blocks.append(orthogonal * np.sign(np.diag(triangle)))
  lengths = np.linalg.norm(random.normal(size=(features, width)), axis=1)
  return (np.concatenate(blocks)[:features] * lengths[:, None]).astype(np.float32)


def draw_directions(key: Key, features: int, width: int) -> Float[Array, 'r k']:
  """Return the same from a key, inside a program."""
  directions, lengths = jax.random.split(key)
  orthogonal = lambda key: nnx.initializers.orthogonal()(key, (width, width), jnp.float32)
  # One block at a time: see the recurrent mixers' orthogonal weights.
  blocks = jax.lax.map(orthogonal, jax.random.split(directions, -(-features // width)))
  norms = jnp.linalg.norm(jax.random.normal(lengths, (features, width)), axis=1)
  return blocks.reshape(-1, width)[:features] * norms[:, None]
