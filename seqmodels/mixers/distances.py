"""Position encodings that act inside softmax attention by distance, with their parameters."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from seqmodels import positions
from seqmodels.kernels.relative import Relative, meet
from seqmodels.layers import Dense, parameter
from seqmodels.layers.dense import normal

CLIP = 64
BUCKETS, FARTHEST = 32, 128
BLOCK = 64


class Shaw(nnx.Module, Relative):
  """Relative keys for distances up to `CLIP`, shared by the heads (Shaw et al. 2018, equation 4)."""

  reach = CLIP

  def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs, ahead: bool) -> None:
    self.ahead, self.width = ahead, width
    head_dim = width // heads
    rows = 2 * CLIP + 1 if ahead else CLIP + 1
    table = head_dim**-0.5 * jax.random.normal(rngs.params(), (rows, head_dim))
    self.table = parameter(table, ('distance', 'head_dim'))

  def flops(self, length: int, met: float, distances: int) -> float:
    del distances
    met = min(met, self.reach + 1) if length == 1 else met  # one query meets each entry of the table once
    return 2.0 * self.width * met - 2.0 * self.table.size

  def keys(self, distance: Int[Array, ' m']) -> Float[Array, '1 m k']:
    lowest = -CLIP if self.ahead else 0
    return jnp.take(self.table[...], jnp.clip(distance, lowest, CLIP) - lowest, axis=0)[None]


class T5Bias(nnx.Module, Relative):
  """A learned bias for each head and bucket of distances (Raffel et al. 2020), one table a layer; it starts at 0."""

  reach = FARTHEST

  def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs, ahead: bool) -> None:
    del width, rngs
    self.ahead = ahead
    self.table = parameter(jnp.zeros((BUCKETS, heads)), ('bucket', 'heads'))

  def flops(self, length: int, met: float, distances: int) -> float:
    del length, met, distances
    return -2.0 * self.table.size

  def bias(self, distance: Int[Array, ' m']) -> Float[Array, 'h m']:
    bucket = positions.t5_bucket(distance, buckets=BUCKETS, farthest=FARTHEST, ahead=self.ahead)
    return jnp.take(self.table[...], bucket, axis=0).T


class Alibi(nnx.Module, Relative):
  """A penalty in proportion to the distance, |distance| when bidirectional (Press et al. 2022). No parameters."""

  def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs, ahead: bool) -> None:
    del width, rngs
    self.ahead, self.heads = ahead, heads

  def bias(self, distance: Int[Array, ' m']) -> Float[Array, 'h m']:
    slopes = jnp.asarray(positions.alibi_slopes(self.heads))
    return -slopes[:, None] * jnp.abs(distance).astype(jnp.float32)[None, :]


class Sinusoids(nnx.Module, Relative):
  """Sinusoids of the distance, projected for each head, and two biases of the queries (Dai et al. 2019, section 3.3).

  The queries that come in have the content bias u added; here they meet the distances with the position bias v.
  """

  def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs, ahead: bool) -> None:
    self.ahead, self.width, self.heads = ahead, width, heads
    sizes = {'heads': heads, 'head_dim': width // heads}
    self.projection = Dense({'embed': width}, sizes, rngs=rngs, init=normal())
    self.content_bias = parameter(jnp.zeros(tuple(sizes.values())), tuple(sizes))
    self.position_bias = parameter(jnp.zeros(tuple(sizes.values())), tuple(sizes))

  def flops(self, length: int, met: float, distances: int) -> float:
    if length == 1:  # the query is projected, rotated, and meets the sinusoids themselves (`met`)
      blocks, waves = -(-int(met) // BLOCK), 2 * ((self.width + 1) // 2)
      return 2.0 * self.heads * waves * blocks * (min(BLOCK, met) + 2)
    return 2.0 * self.width * met + 2.0 * self.projection.kernel.size * (distances / length - 1)

  def content(self, q: Float[Array, 'b t h k']) -> Float[Array, 'b t h k']:
    return q + self.content_bias[...].astype(q.dtype)[None, None]

  def keys(self, distance: Int[Array, ' m']) -> Float[Array, 'h m k']:
    return self.projection(positions.sinusoidal(distance[None], self.width)[0]).swapaxes(0, 1)

  def queries(self, q: Float[Array, 'b t h k']) -> Float[Array, 'b t h k']:
    return q + (self.position_bias[...] - self.content_bias[...]).astype(q.dtype)[None, None]

  def met(self, q: Float[Array, 'b t h k'], lowest: int, count: int) -> Float[Array, 'b h t {count}']:
    if q.shape[1] > 1:
      return meet(self.queries(q), self.keys(lowest + jnp.arange(count, dtype=jnp.int32)))
    # One query is projected in place of the sinusoids: m · width products a head instead of m · width · head_dim. By
    # the sine of a sum, the query rotated to every BLOCK-th distance meets the same BLOCK waves each time: sines of all
    # m distances would take longer than the products.
    half = (self.width + 1) // 2
    projected = jnp.einsum('bthk,dhk->bhtd', self.queries(q).astype(jnp.float32), self.projection.kernel[...])
    of_sine = projected[..., :half]
    of_cosine = jnp.pad(projected[..., half:], [(0, 0)] * 3 + [(0, self.width % 2)])  # an odd width has one sine more
    far = lowest + BLOCK * jnp.arange(-(-count // BLOCK), dtype=jnp.int32)
    sine, cosine = (a[None] for a in jnp.split(positions.sinusoidal(far[None], 2 * half), 2, axis=-1))
    turned = [of_sine * cosine - of_cosine * sine, of_sine * sine + of_cosine * cosine]
    near = positions.sinusoidal(jnp.arange(min(BLOCK, count), dtype=jnp.int32)[None], 2 * half)[0]
    met = jnp.einsum('bhnd,md->bhnm', jnp.concatenate(turned, axis=-1), near)
    return met.reshape(*met.shape[:2], 1, -1)[..., :count]


BY_DISTANCE: dict[str, type[Shaw] | type[T5Bias] | type[Alibi] | type[Sinusoids]] = {
  'relative': Shaw,
  't5': T5Bias,
  'alibi': Alibi,
  'transformer_xl': Sinusoids,
}
