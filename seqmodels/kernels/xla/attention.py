"""Exact attention in linear memory, with an own backward pass (Rabe & Staats, 2021; Dao et al., 2022).

The forward pass keeps the output and each row's log-sum-exp; the backward pass recomputes the scores from them. Queries
go in blocks. Under causality the sequence is cut into a few parts, and each part's program sees only the keys up to its
end: the prefix is static, hardly a masked score is computed, and the number of parts (hence compile time) is bounded.
Inside a part a loop runs over the blocks, and around everything a loop runs over groups of rows and heads, so that the
scores that exist at one time stay within the cache on CPU.
"""

import functools
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from seqmodels.kernels import relative as by_distance
from seqmodels.kernels.reference.attention import (
  MASKED,
  Bounds,
  Keys,
  Queries,
  Values,
  attend,
  visibility,
  zero_masked_rows,
)
from seqmodels.kernels.relative import Offset, Relative

MAX_PARTS = 4
SHORT = 512  # tokens
# Scores that exist at one time on CPU: of a long sequence what a core's cache holds, so that memory stays linear; of
# short ones many, since a loop over groups would keep every core but one from the exponentials.
SCORES_AT_ONCE, SHORT_SCORES_AT_ONCE = 2**18, 2**22


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
  rows: int  # of the batch at once
  heads: int  # key heads at once, of one row if `rows` is 1
  joined: bool = False  # whether rows and heads are one axis, as matmuls on CPU are fastest


def attention(
  q: Queries, k: Keys, v: Values, bounds: Bounds | None, *, causal: bool, in_groups: bool = False
) -> Float[Array, 'b t h v']:
  """Return the attention of `kernels/attention.py` without `relative`."""
  return blockwise(q, k, v, causal=causal, bounds=bounds, in_groups=in_groups)


def blockwise(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b s g k'],
  v: Float[Array, 'b s g v'],
  *,
  causal: bool = True,
  bounds: tuple[Int[Array, 'b t'], Int[Array, 'b t'], Int[Array, 'b s']] | None = None,
  block: int = 0,
  in_groups: bool = False,
) -> Float[Array, 'b t h v']:
  """Attention as in `attention.attention`; temporaries are O(t + s) per head.

  block: queries at a time; 0: chosen from t. in_groups: as many rows and heads at a time as a core's cache holds.
  """
  b, t, h, width = q.shape
  s, g = k.shape[1:3]
  size = min(block or choose_block(t), t)
  padding = -t % size
  if padding:
    q = jnp.pad(q, ((0, 0), (0, padding), (0, 0), (0, 0)))
    if bounds is not None:
      first, last, number = bounds
      bounds = jnp.pad(first, ((0, 0), (0, padding))), jnp.pad(last, ((0, 0), (0, padding))), number
  plan = make_plan(t + padding, s, b, g, h // g, causal, size, in_groups)
  out = _rows(q.reshape(b, t + padding, g, h // g, width), k, v, bounds, plan)
  return out.reshape(b, t + padding, h, v.shape[-1])[:, :t]


def choose_block(t: int) -> int:
  """As measured on CPU: parts of one block need no loop, which would copy dk and dv; small blocks mask less."""
  return -(-t // (MAX_PARTS * 64)) * 64 if t <= 2048 else 256


def make_plan(t: int, s: int, rows: int, heads: int, shared: int, causal: bool, block: int, in_groups: bool) -> Plan:
  """How t queries (a multiple of `block`) of `rows` × `heads` key heads, each for `shared` query heads, are cut up."""
  blocks = t // block
  count = min(MAX_PARTS, blocks) if causal else 1
  edges = [round(i * blocks / count) * block for i in range(count + 1)]
  parts = tuple(Part(a, z, min(z, s) if causal else s) for a, z in itertools.pairwise(edges))
  if not in_groups:
    return Plan(causal, block, parts, rows, heads)
  at_once = max(1, (SHORT_SCORES_AT_ONCE if t <= SHORT else SCORES_AT_ONCE) // (shared * block * s))
  divisor = lambda n, most: max(i for i in range(1, n + 1) if n % i == 0 and i <= most)
  if at_once >= heads:
    return Plan(causal, block, parts, divisor(rows, at_once // heads), heads, joined=True)
  return Plan(causal, block, parts, 1, divisor(heads, at_once), joined=True)


def rematerialised(
  q: Queries,
  k: Keys,
  v: Values,
  *,
  causal: bool = True,
  bounds: Bounds | None = None,
  relative: Relative,
  offset: Offset = 0,
  block: int = 0,
) -> Float[Array, 'b t h v']:
  """Loop over blocks of queries whose scores are computed again in the backward pass: temporaries are O(t + s).

  block: queries at a time; 0: chosen from t.
  """
  t, s = q.shape[1], k.shape[1]
  size = min(block or choose_block(t), t)
  padding = -t % size
  padded = t + padding
  q = jnp.pad(q, ((0, 0), (0, padding), (0, 0), (0, 0)))
  if bounds is not None:
    lower, upper = (jnp.pad(a, ((0, 0), (0, padding))) for a in bounds[:2])
    bounds = lower, upper, bounds[2]
  table = by_distance.make_table(relative, padded, s, offset, ahead=True)

  @jax.checkpoint
  def one(first: Int[Array, '']) -> Float[Array, 'b n h v']:
    rows = jax.lax.dynamic_slice_in_dim(q, first, size, axis=1)
    added = by_distance.scores(relative, by_distance.block_of(table, padded, s, first, size), rows, s)
    limits = None
    if bounds is not None:
      lower, upper = (jax.lax.dynamic_slice_in_dim(a, first, size, axis=1) for a in bounds[:2])
      limits = lower, upper, bounds[2]
    visible = visibility(size, s, causal, limits, first)
    out = attend(rows, k, v, visible, added)
    return out if limits is None else zero_masked_rows(out, visible)

  out = jax.lax.map(one, jnp.arange(0, padded, size, dtype=jnp.int32))
  return jnp.moveaxis(out, 0, 1).reshape(q.shape[0], padded, *out.shape[3:])[:, :t]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _rows(q, k, v, limits, plan):
  return _forward(q, k, v, limits, plan)[0]


def _forward(q, k, v, limits, plan):
  return _by_group(functools.partial(_group_forward, plan), plan, (q, k, v), limits)


def _save(q, k, v, limits, plan):
  out, log_sum = _forward(q, k, v, limits, plan)
  return out, (q, k, v, limits, out, log_sum)


def _backward(plan, saved, dout):
  q, k, v, limits, out, log_sum = saved
  arrays = q, k, v, log_sum, out, dout
  dq, dk, dv = _by_group(functools.partial(_group_backward, plan), plan, arrays, limits)
  return dq, dk, dv, None


_rows.defvjp(_save, _backward)


def _by_group(function, plan, arrays, limits):
  """Apply `function` to `plan.rows` rows and `plan.heads` key heads at a time.

  Arrays are `[b t g ...]`; the function sees `[n ... t k]`, n being (row, key head), and the limits of each n. Arrays
  are transposed a group at a time, so that no second copy of them exists at once.
  """
  rows, _, heads = arrays[0].shape[:3]
  if plan.heads < heads:

    def one_row(row):
      arrays, limits = row
      split = jax.tree.map(lambda a: jnp.moveaxis(a.reshape(len(a), -1, plan.heads, *a.shape[2:]), 1, 0), arrays)
      turned = lambda group: _turned(function, jax.tree.map(lambda a: a[None], group), limits)
      results = jax.lax.map(turned, split)
      return jax.tree.map(lambda a: jnp.moveaxis(a[:, 0], 0, 1).reshape(a.shape[2], heads, *a.shape[4:]), results)

    return jax.lax.map(one_row, (arrays, None if limits is None else tuple(a[:, None] for a in limits)))
  if not plan.joined:
    return _each_row(function, arrays, limits)
  if plan.rows == rows:
    return _turned(function, arrays, limits)
  split = jax.tree.map(lambda a: a.reshape(rows // plan.rows, plan.rows, *a.shape[1:]), (arrays, limits))
  results = jax.lax.map(lambda group: _turned(function, *group), split)
  return jax.tree.map(lambda a: a.reshape(rows, *a.shape[2:]), results)


def _turned(function, arrays, limits):
  """Call `function` on `[b t g r k]`, `[b s g k]`, `[b t g r]` as `[n r t k]`, `[n s k]`, `[n r t]`, and turn back."""
  rows, _, heads = arrays[0].shape[:3]

  def there(a, is_query):
    a = jnp.moveaxis(a, 1, 3 if is_query else 2)
    return a.reshape(rows * heads, *a.shape[2:])

  def back(a, is_query):
    return jnp.moveaxis(a.reshape(rows, heads, *a.shape[1:]), 3 if is_query else 2, 1)

  turned = [there(a, i not in (1, 2)) for i, a in enumerate(arrays)]
  if limits is not None:
    limits = tuple(jnp.repeat(a, heads, axis=0) for a in limits)
  results = function((*turned[:3], limits, *turned[3:]))
  return tuple(back(a, len(results) == 2 or i == 0) for i, a in enumerate(results))


def _each_row(function, arrays, limits):
  """Return `_turned` with rows and heads as two axes, so that a mesh can split each; joined they would be gathered."""

  def row(arrays, limits):
    single = None if limits is None else tuple(a[None] for a in limits)
    return tuple(a[0] for a in _turned(function, tuple(a[None] for a in arrays), single))

  return jax.vmap(row)(arrays, limits)


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


def _group_forward(plan, arrays):
  q, k, v, limits = arrays
  scale = 1 / math.sqrt(q.shape[-1])
  outs, log_sums = [], []
  for part in plan.parts:
    keys, values = k[:, : part.keys], v[:, : part.keys]

    def block(carry, first, part=part, keys=keys, values=values):
      rows = jax.lax.dynamic_slice_in_dim(q, first, plan.block, 2)
      scores = jnp.einsum('nrqk,nsk->nrqs', rows, keys, preferred_element_type=jnp.float32) * scale
      visible = _visible(plan, part, first, limits)
      scores = scores if visible is None else jnp.where(visible, scores, MASKED)
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
  """Scores stand here as [n s r q], keys first: then dv and dk are plain matmuls of them, and of dq's matmul the keys
  are what is transposed. XLA on CPU would write the large scores column by column otherwise."""
  q, k, v, limits, log_sum, out, dout = arrays
  scale = 1 / math.sqrt(q.shape[-1])
  delta = jnp.einsum('nrqv,nrqv->nrq', dout, out, preferred_element_type=jnp.float32)
  dk, dv = jnp.zeros(k.shape, jnp.float32), jnp.zeros(v.shape, jnp.float32)
  dqs = []
  for part in plan.parts:
    keys, values = k[:, : part.keys], v[:, : part.keys]
    turned = keys.swapaxes(1, 2)

    def block(carry, first, part=part, keys=keys, values=values, turned=turned):
      dk, dv = carry
      rows, log_sums, deltas, douts = (
        jax.lax.dynamic_slice_in_dim(a, first, plan.block, 2) for a in (q, log_sum, delta, dout)
      )
      scores = jnp.einsum('nsk,nrqk->nsrq', keys, rows, preferred_element_type=jnp.float32) * scale
      visible = _visible(plan, part, first, limits)
      if visible is not None:
        scores = jnp.where(jnp.moveaxis(visible, 3, 1), scores, MASKED)
      weights = jnp.exp(scores - log_sums[:, None])
      dv += jnp.einsum('nsrq,nrqv->nsv', weights.astype(v.dtype), douts, preferred_element_type=jnp.float32)
      dweights = jnp.einsum('nsv,nrqv->nsrq', values, douts, preferred_element_type=jnp.float32)
      dscores = (weights * (dweights - deltas[:, None]) * scale).astype(k.dtype)
      dk += jnp.einsum('nsrq,nrqk->nsk', dscores, rows, preferred_element_type=jnp.float32)
      dq = jnp.einsum('nks,nsrq->nkrq', turned, dscores, preferred_element_type=jnp.float32)
      return (dk, dv), jnp.moveaxis(dq, 1, 3).astype(q.dtype)

    (dk_part, dv_part), dq = _over_blocks(block, (dk[:, : part.keys], dv[:, : part.keys]), plan, part)
    dk, dv = dk.at[:, : part.keys].set(dk_part), dv.at[:, : part.keys].set(dv_part)
    dqs.append(dq)
  return jnp.concatenate(dqs, 2), dk.astype(k.dtype), dv.astype(v.dtype)


def _over_blocks(block, carry, plan: Plan, part: Part):
  """Scan `block(carry, first)` over a part's blocks; its results [n r q ...] are joined along the queries."""
  count = (part.stop - part.start) // plan.block
  if count == 1:
    return block(carry, part.start)
  carry, results = jax.lax.scan(block, carry, part.start + plan.block * jnp.arange(count))
  join = lambda a: jnp.moveaxis(a, 0, 2).reshape(*a.shape[1:3], count * plan.block, *a.shape[4:])
  return carry, jax.tree.map(join, results)
