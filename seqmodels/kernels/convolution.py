"""Depthwise causal convolution over time, with the last inputs as its state: one form for all platforms."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.errors import InputError
from seqmodels.notation import Activations


def causal_depthwise(
  x: Activations,
  weights: Float[Array, 'w d'],
  history: Float[Array, 'b s d'],
  *,
  documents: Documents = ONE_DOCUMENT,
  dilation: int = 1,
  channels: str = '',
) -> tuple[Activations, Float[Array, 'b s d']]:
  """y_t = Σ_i weights[w-1-i] · x_{t - i·dilation} for i = 0 … w-1 (van den Oord et al., 2016, WaveNet).

  `history` holds the s = (w-1)·dilation inputs before x, the newest last, zeros where there are none; it comes back, in
  its own dtype, as the inputs before the next segment. A reset clears everything before it, also where it stands on
  padding. Padding is left out as if it were not there: windows skip it. y has the dtype of x; sums are float32.
  With a part of the tokens, `history` stands before all of them, and what comes back stands after all of them; then
  `channels` names the axis d, or the first of those that it joins.

  Raises InputError on a history of another length.
  """
  if documents.part is not None:
    return _in_parts(x, weights, history, documents, dilation, channels)
  reset, mask, _ = documents
  x = documents.keep(x)
  (taps, _), length, reach = weights.shape, x.shape[1], history.shape[1]
  if reach != (taps - 1) * dilation:
    raise InputError(f'history of {reach} inputs must be (taps-1)*dilation={(taps - 1) * dilation}')
  inputs = jnp.concatenate([history.astype(x.dtype), x], axis=1)
  # The history belongs to the document before any reset.
  document = None if reset is None else jnp.pad(jnp.cumsum(reset.astype(jnp.int32), axis=1), ((0, 0), (reach, 0)))
  last = None if document is None else document[:, -1:]
  if mask is None:
    y = _sum_of_shifts(inputs, weights, document, length, dilation)
    inputs, document = inputs[:, length:], None if document is None else document[:, length:]
  else:
    # Real tokens first, in their order; what follows them is padding, which no earlier position sees.
    joined = jnp.pad(mask, ((0, 0), (reach, 0)), constant_values=True)
    order = jnp.argsort(~joined, axis=1, stable=True)
    inputs, document = _pick(inputs, order), None if document is None else jnp.take_along_axis(document, order, axis=1)
    y = _sum_of_shifts(inputs, weights, document, length, dilation)
    count = jnp.cumsum(mask.astype(jnp.int32), axis=1)
    y = _pick(y, jnp.maximum(count - 1, 0))
    newest = count[:, -1:] + jnp.arange(reach, dtype=jnp.int32)[None, :]
    inputs = _pick(inputs, newest)
    if document is not None:
      document = jnp.take_along_axis(document, newest, axis=1)
  inputs = inputs.astype(history.dtype)
  if document is None or last is None:
    return y, inputs
  return y, jnp.where(jnp.equal(document, last)[:, :, None], inputs, 0)


def _in_parts(
  x: jax.Array, weights: jax.Array, history: jax.Array, documents: Documents, dilation: int, channels: str
) -> tuple[jax.Array, jax.Array]:
  """Return the convolution of a part: every part sends its last inputs, and how many they are, to all."""
  (batch, length, _), reach, part, here = x.shape, history.shape[1], documents.part, documents.alone()
  run = functools.partial(causal_depthwise, x, weights, documents=here, dilation=dilation)
  assert part is not None
  if not reach:
    return run(history)
  inputs = run(jnp.zeros_like(history))[1]
  count = jnp.full((batch,), length) if here.mask is None else jnp.sum(here.mask, axis=1)
  if here.reset is not None:
    count = jnp.where(here.reset.any(axis=1), reach, count)
  place = jnp.arange(reach)[None, :]

  def compose(history: jax.Array, summary: tuple[jax.Array, jax.Array]) -> jax.Array:
    inputs, count = summary
    moved = _pick(history, jnp.minimum(place + count[:, None], reach - 1))
    return jnp.where((place + count[:, None] >= reach)[:, :, None], inputs, moved)

  before, after = part.scan(compose, history, (inputs, count), 'history', channels)
  return run(before)[0], after


def _pick(a: jax.Array, index: jax.Array) -> jax.Array:
  return jnp.take_along_axis(a, index[:, :, None], axis=1)


def _sum_of_shifts(
  inputs: jax.Array, weights: jax.Array, document: jax.Array | None, length: int, dilation: int
) -> jax.Array:
  """Compute the convolution as products that XLA fuses into one pass; inputs of other documents count as zeros."""
  taps = weights.shape[0]
  now = (taps - 1) * dilation
  products = []
  for tap in range(taps):
    here = slice(tap * dilation, tap * dilation + length)
    product = weights[tap][None, None, :].astype(jnp.float32) * inputs[:, here].astype(jnp.float32)
    if document is not None and tap < taps - 1:
      product = jnp.where((document[:, here] == document[:, now:])[:, :, None], product, 0.0)
    products.append(product)
  return functools.reduce(jnp.add, products).astype(inputs.dtype)
