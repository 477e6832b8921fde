"""Exact attention in linear memory, with an own backward pass (Rabe & Staats, 2021; Dao et al., 2022).

The forward pass keeps the output and each row's log-sum-exp; the backward pass recomputes the scores from them. Queries
go in blocks. Under causality the sequence is cut into a few parts, and each part's program sees only the keys up to its
end: the prefix is static, hardly a masked score is computed, and the number of parts (hence compile time) is bounded.
Inside a part a loop runs over the blocks, and around everything a loop runs over groups of heads, so that the scores
that exist at one time stay within the cache on CPU.
"""

import functools
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

MAX_PARTS = 8
MASKED = -1e30
SCORES_AT_ONCE = 2**19  # on CPU: about what a core's cache holds, in float32 scores


class Part(NamedTuple):
  """Queries [start, stop), which see no key at or after `keys`."""

  start: int
  stop: int
  keys: int


class Plan(NamedTuple):
  """Everything static about one call."""

  causal: bool
  block: int
  parts: tuple[Part, ...]
  group: int  # rows (batch × key head) at once


def blockwise(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b s g k'],
  v: Float[Array, 'b s g v'],
  *,
  causal: bool = True,
  bounds: tuple[Int[Array, 'b t'], Int[Array, 'b t'], Int[Array, 'b s']] | None = None,
  block: int = 0,
) -> Float[Array, 'b t h v']:
  """Attention as in `attention.attention`; temporaries are O(t + s) per head.

  block: queries at a time; 0: chosen from t.
  """
  b, t, h, width = q.shape
  s, g = k.shape[1:3]
  size = min(block or choose_block(t), t)
  padding = -t % size
  plan = make_plan(t + padding, s, b * g, h // g, causal, size)
  # Rows are (batch, key head); the r query heads that share a key head ride along: [n r t k], [n s k].
  rows_q = q.reshape(b, t, g, h // g, width).transpose(0, 2, 3, 1, 4).reshape(b * g, h // g, t, width)
  rows_k, rows_v = (a.swapaxes(1, 2).reshape(b * g, s, a.shape[-1]) for a in (k, v))
  limits = None
  if bounds is not None:
    limits = tuple(jnp.repeat(a, g, axis=0) for a in bounds)
  if padding:
    rows_q = jnp.pad(rows_q, ((0, 0), (0, 0), (0, padding), (0, 0)))
    if limits is not None:
      limits = (*(jnp.pad(a, ((0, 0), (0, padding))) for a in limits[:2]), limits[2])
  out = _rows(rows_q, rows_k, rows_v, limits, plan)[:, :, :t]
  return out.reshape(b, g, h // g, t, v.shape[-1]).transpose(0, 3, 1, 2, 4).reshape(b, t, h, v.shape[-1])


def choose_block(t: int) -> int:
  """As measured on CPU: small blocks mask less, large ones keep the number of programs and loop steps down."""
  return 64 if t <= 128 else 128 if t <= 1024 else 256


def make_plan(t: int, s: int, rows: int, shared: int, causal: bool, block: int) -> Plan:
  """How t queries (a multiple of `block`) of `rows` rows are cut up."""
  blocks = t // block
  count = min(MAX_PARTS, blocks) if causal else 1
  edges = [round(i * blocks / count) * block for i in range(count + 1)]
  parts = tuple(Part(a, z, min(z, s) if causal else s) for a, z in itertools.pairwise(edges))
  group = rows
  if jax.default_backend() == 'cpu':
    wanted = max(1, SCORES_AT_ONCE // (shared * block * s))
    group = max(n for n in range(1, rows + 1) if rows % n == 0 and n <= wanted)
  return Plan(causal, block, parts, group)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _rows(q, k, v, limits, plan):
  return _forward(q, k, v, limits, plan)[0]


def _forward(q, k, v, limits, plan):
  return _by_group(functools.partial(_group_forward, plan), plan, (q, k, v, limits))


def _save(q, k, v, limits, plan):
  out, log_sum = _forward(q, k, v, limits, plan)
  return out, (q, k, v, limits, out, log_sum)


def _backward(plan, saved, dout):
  q, k, v, limits, out, log_sum = saved
  delta = jnp.sum(dout.astype(jnp.float32) * out.astype(jnp.float32), axis=-1)
  dq, dk, dv = _by_group(functools.partial(_group_backward, plan), plan, (q, k, v, limits, log_sum, delta, dout))
  return dq, dk, dv, None


_rows.defvjp(_save, _backward)


def _by_group(function, plan, arrays):
  """Applies `function` to `plan.group` rows at a time."""
  rows = arrays[0].shape[0]
  if plan.group == rows:
    return function(arrays)
  split = jax.tree.map(lambda a: a.reshape(rows // plan.group, plan.group, *a.shape[1:]), arrays)
  joined = jax.lax.map(function, split)
  return jax.tree.map(lambda a: a.reshape(rows, *a.shape[2:]), joined)


def _visible(plan: Plan, part: Part, first: jax.Array | int, limits):
  """[n 1 q s] or [1 1 q s]: what the block of queries from `first` sees of the part's keys. None: everything."""
  visible = None
  if plan.causal:
    row = first + jnp.arange(plan.block)
    visible = (row[:, None] >= jnp.arange(part.keys)[None, :])[None, None]
  if limits is not None:
    lower, upper, position = limits
    lower, upper = (jax.lax.dynamic_slice_in_dim(a, first, plan.block, 1)[:, None, :, None] for a in (lower, upper))
    position = position[:, None, None, : part.keys]
    inside = (position >= lower) & (position <= upper)
    visible = inside if visible is None else inside & jnp.broadcast_to(visible, (inside.shape[0], *visible.shape[1:]))
  return visible


def _scores(plan, part, q, k, limits, first):
  """Scaled scores of one block of queries [n r q s], masked."""
  scores = jnp.einsum('nrqk,nsk->nrqs', q, k, preferred_element_type=jnp.float32) / math.sqrt(q.shape[-1])
  visible = _visible(plan, part, first, limits)
  return scores if visible is None else jnp.where(visible, scores, MASKED)


def _group_forward(plan, arrays):
  q, k, v, limits = arrays
  outs, log_sums = [], []
  for part in plan.parts:
    keys, values = k[:, : part.keys], v[:, : part.keys]

    def block(carry, first, part=part, keys=keys, values=values):
      rows = jax.lax.dynamic_slice_in_dim(q, first, plan.block, 2)
      scores = _scores(plan, part, rows, keys, limits, first)
      top = scores.max(-1, keepdims=True)
      weights = jnp.exp(scores - top)
      if limits is not None:
        weights = jnp.where(top > MASKED / 2, weights, 0.0)
      total = weights.sum(-1, keepdims=True)
      out = jnp.einsum('nrqs,nsv->nrqv', weights.astype(values.dtype), values, preferred_element_type=jnp.float32)
      # A query that saw nothing: total is 0, its output 0, and exp(score - log_sum) is 0 in the backward pass.
      blind = total == 0
      out = out / jnp.where(blind, 1.0, total)
      log_sum = jnp.where(blind, -MASKED, top + jnp.log(jnp.where(blind, 1.0, total)))
      return carry, (out.astype(values.dtype), log_sum[..., 0])

    _, (out, log_sum) = _over_blocks(block, (), plan, part)
    outs.append(out)
    log_sums.append(log_sum)
  return jnp.concatenate(outs, 2), jnp.concatenate(log_sums, 2)


def _group_backward(plan, arrays):
  q, k, v, limits, log_sum, delta, dout = arrays
  scale = 1 / math.sqrt(q.shape[-1])
  dk, dv = jnp.zeros(k.shape, jnp.float32), jnp.zeros(v.shape, jnp.float32)
  dqs = []
  for part in plan.parts:
    keys, values = k[:, : part.keys], v[:, : part.keys]

    def block(carry, first, part=part, keys=keys, values=values):
      dk, dv = carry
      rows, log_sums, deltas, douts = (
        jax.lax.dynamic_slice_in_dim(a, first, plan.block, 2) for a in (q, log_sum, delta, dout)
      )
      scores = _scores(plan, part, rows, keys, limits, first)
      weights = jnp.exp(scores - log_sums[..., None])
      low = weights.astype(values.dtype)
      dv += jnp.einsum('nrqs,nrqv->nsv', low, douts, preferred_element_type=jnp.float32)
      dweights = jnp.einsum('nrqv,nsv->nrqs', douts, values, preferred_element_type=jnp.float32)
      dscores = (weights * (dweights - deltas[..., None]) * scale).astype(keys.dtype)
      dk += jnp.einsum('nrqs,nrqk->nsk', dscores, rows, preferred_element_type=jnp.float32)
      dq = jnp.einsum('nrqs,nsk->nrqk', dscores, keys, preferred_element_type=jnp.float32)
      return (dk, dv), dq.astype(q.dtype)

    (dk_part, dv_part), dq = _over_blocks(block, (dk[:, : part.keys], dv[:, : part.keys]), plan, part)
    dk, dv = dk.at[:, : part.keys].set(dk_part), dv.at[:, : part.keys].set(dv_part)
    dqs.append(dq)
  return jnp.concatenate(dqs, 2), dk.astype(k.dtype), dv.astype(v.dtype)


def _over_blocks(block, carry, plan: Plan, part: Part):
  """Scans `block(carry, first)` over a part's blocks; its results [n r q ...] are joined along the queries."""
  count = (part.stop - part.start) // plan.block
  if count == 1:
    return block(carry, part.start)
  carry, results = jax.lax.scan(block, carry, part.start + plan.block * jnp.arange(count))
  join = lambda a: jnp.moveaxis(a, 0, 2).reshape(*a.shape[1:3], count * plan.block, *a.shape[4:])
  return carry, jax.tree.map(join, results)
