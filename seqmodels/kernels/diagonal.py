"""Diagonal linear recurrences h_t = a_t · h_{t-1} + b_t, time-major `[t b e]`, in memory linear in t.

`scan`         one `lax.scan`: the fastest on CPU, where a step is one fused pass over memory
`associative`  `lax.associative_scan`, log2(t) passes: for accelerators, where t steps are t kernel launches
`native`       C++ for one CPU device, real numbers only: channels over threads, forward and backward one pass each
`auto`         native where it is built, else scan on CPU, else associative

The backward pass is the same recurrence in reverse, dh_t = dy_t + a_{t+1} · dh_{t+1}.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from seqmodels.errors import unknown
from seqmodels.kernels import native
from seqmodels.notation import Flags

ROTATING = ('auto', 'scan', 'associative')
IMPLEMENTATIONS = (*ROTATING, 'native')

Sequence = Inexact[Array, 't b e']
Carry = Inexact[Array, 'b e']
Pair = tuple[Float[Array, ' e'], Float[Array, ' e']]
Pairs = tuple[Float[Array, 't b e'], Float[Array, 't b e']]
CarryPair = tuple[Float[Array, 'b e'], Float[Array, 'b e']]


def diagonal(
  a: Sequence,
  b: Sequence,
  h: Carry,
  *,
  reset: Flags | None = None,
  mask: Flags | None = None,
  implementation: str = 'auto',
) -> tuple[Sequence, Carry]:
  """h_t = a_t · h_{t-1} + b_t from h. Returns (all h, the last h).

  a, b and h are all float32 or all complex64. The flags are batch-major, `[b t]`; they are folded into a and b, so that
  the recurrence itself knows nothing of them: a reset makes a zero, padding makes a one and b zero. Raises InputError
  on an unknown implementation, and on `native` where it cannot be had.
  """
  implementation = _chosen(implementation, IMPLEMENTATIONS, a, b, h)
  if mask is not None:
    padding = ~mask.T[:, :, None]
    a, b = jnp.where(padding, 1, a), jnp.where(padding, 0, b)
  if reset is not None:
    a = jnp.where(reset.T[:, :, None], 0, a)
  if a.shape[0] == 1:
    h = a[0] * h + b[0]
    return h[None], h
  hs = _recurrence(a, b, h, implementation)
  return hs, hs[-1]


def rotating(
  a: Pair,
  b: Pairs,
  h: CarryPair,
  *,
  reset: Flags | None = None,
  mask: Flags | None = None,
  implementation: str = 'auto',
) -> tuple[Pairs, CarryPair]:
  """The same with one complex a per channel, constant in time; complex numbers are pairs (real, imaginary).

  On CPU a scan over pairs is three to four times as fast as one over complex64, forward + backward, and autodiff
  through it as fast as an own backward pass.
  """
  implementation = _chosen(implementation, ROTATING)
  if implementation == 'associative' and b[0].shape[0] > 1:
    decay = jnp.broadcast_to(jax.lax.complex(*a)[None, None, :], b[0].shape)
    flags = {'reset': reset, 'mask': mask}
    states, end = diagonal(decay, jax.lax.complex(*b), jax.lax.complex(*h), implementation=implementation, **flags)
    return (states.real, states.imag), (end.real, end.imag)
  a_re, a_im = (part[None, :] for part in a)

  def step(h: Any, now: Any) -> tuple[Any, Any]:
    (b_re, b_im), reset, mask = now
    re, im = h if reset is None else (jnp.where(reset[:, None], 0.0, part) for part in h)
    new_re, new_im = a_re * re - a_im * im + b_re, a_re * im + a_im * re + b_im
    if mask is not None:
      new_re, new_im = (jnp.where(mask[:, None], n, old) for n, old in ((new_re, re), (new_im, im)))
    return (new_re, new_im), (new_re, new_im)

  start: Any = h
  last, hs = jax.lax.scan(step, start, (b, *(None if flags is None else flags.T for flags in (reset, mask))))
  return hs, last


def _chosen(implementation: str, allowed: tuple[str, ...], *arrays: jax.Array) -> str:
  """arrays: what native code would be given; none where there is none."""
  if implementation not in allowed:
    raise unknown('mixer.implementation', implementation, allowed)
  if implementation == 'native':
    native.check(*arrays)
  if implementation != 'auto':
    return implementation
  if arrays and native.suits(*arrays):
    return 'native'
  return 'scan' if jax.default_backend() == 'cpu' else 'associative'


def _associative(a: jax.Array, b: jax.Array, reverse: bool = False) -> jax.Array:
  """The recurrence from zero."""

  def join(earlier, later):
    return later[0] * earlier[0], later[0] * earlier[1] + later[1]

  return jax.lax.associative_scan(join, (a, b), reverse=reverse)[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _recurrence(a: Sequence, b: Sequence, h: Carry, implementation: str) -> Sequence:
  if implementation == 'associative':
    return _associative(a, b.at[0].add(a[0] * h))
  if implementation == 'native':
    return native.call('diagonal_forward', native.results(a.shape)[0], a, b, h)

  def step(h, now):
    a, b = now
    h = a * h + b
    return h, h

  return jax.lax.scan(step, h, (a, b))[1]


def _forward(a, b, h, implementation):
  hs = _recurrence(a, b, h, implementation)
  return hs, (a, h, hs)


def _backward(implementation, saved, dhs):
  """Cotangents are not conjugated: JAX's convention for complex products."""
  a, h, hs = saved
  if implementation == 'native':
    return native.call('diagonal_backward', native.results(a.shape, a.shape, h.shape), a, h, hs, dhs)
  before = jnp.concatenate([h[None], hs[:-1]])
  if implementation == 'associative':
    dh = _associative(jnp.concatenate([a[1:], jnp.zeros_like(a[:1])]), dhs, reverse=True)
    return dh * before, dh, a[0] * dh[0]

  def step(from_later, now):
    a, dh = now
    dh = dh + from_later
    return a * dh, dh

  first, dh = jax.lax.scan(step, jnp.zeros_like(h), (a, dhs), reverse=True)
  return dh * before, dh, first


_recurrence.defvjp(_forward, _backward)
