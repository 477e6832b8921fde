"""The convolutional LSTM by its definition: a scan with XLA's convolutions, differentiated by JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.context import Documents

Arrays = tuple[jax.Array, ...]
SPATIAL = ('NHWC', 'HWIO', 'NHWC')


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Return the correlation of images with a kernel, zeros beyond their edges, summed in float32."""
  return jax.lax.conv_general_dilated(
    x.astype(kernel.dtype), kernel, (1, 1), 'SAME', dimension_numbers=SPATIAL, preferred_element_type=jnp.float32
  )


def conv_lstm(x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> Any:
  """Return (all h, the last carry), batch first; see `kernels/conv_lstm.py`."""
  w, u, bias, peepholes = weights
  z = project(convolve, x, w, bias, dtype) if projected is None else projected
  u = u.astype(dtype)

  def step(carry: Any, now: Any) -> tuple[Any, Any]:
    z, documents = now
    h, c = (documents.forget(a) for a in carry)
    new, _ = cell(z + convolve(h, u), c, peepholes)
    new = tuple(documents.keep(a, old) for a, old in zip(new, (h, c), strict=True))
    return new, new[0].astype(dtype)

  carry, hs = jax.lax.scan(step, carry, (z.swapaxes(0, 1), documents.time_major()))
  return hs.swapaxes(0, 1), carry


def cell(z: jax.Array, c: jax.Array, peepholes: jax.Array | None) -> tuple[Arrays, Arrays]:
  """Return (h, c) and the gates of one position, from the sums of all gates and the cell before it."""
  i, f, g, o = jnp.split(z, 4, axis=-1)
  if peepholes is not None:
    i, f = i + peepholes[None, 0] * c, f + peepholes[None, 1] * c
  i, f, g = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g)
  c = f * c + i * g
  o = jax.nn.sigmoid(o if peepholes is None else o + peepholes[None, 2] * c)
  return (o * jnp.tanh(c), c), (i, f, g, o)


def project(
  convolve: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array, kernel: jax.Array, bias: jax.Array, dtype: Any
) -> jax.Array:
  """Return the input's share of every gate, [b t h w 4c], in float32."""
  images = x.astype(dtype).reshape(-1, *x.shape[2:])
  z = convolve(images, kernel.astype(dtype))
  return z.reshape(*x.shape[:2], *z.shape[1:]) + bias.reshape(1, 1, 1, 1, -1)
