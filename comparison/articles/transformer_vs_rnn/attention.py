"""Claims about efficient attention: fused kernels, linear attention."""

import dataclasses
from collections.abc import Sequence

from comparison import statistics
from comparison.claims.backends import ladder, of_one_cell, pick
from comparison.claims.base import TRANSFORMER, Claim, Plot, Verdict, grids, levels, name, samples, show, where
from comparison.claims.points import above, below, combine, not_measured, undecided
from comparison.claims.slopes import exponent
from comparison.records import Row

MATERIALISED = 'reference'
LINEAR = 'linear_transformer'
WRITTEN = '2026-11-29 02:50'
KERNELS = Plot(
  'Latency of one sequence, by kernel of attention',
  'forward_latency',
  'forward_seconds',
  'length',
  where={'architecture': (TRANSFORMER,)},
  log_x=True,
  log_y=True,
  x_label='tokens in the sequence',
  y_label='seconds',
)
KINDS = dataclasses.replace(
  KERNELS, title='Softmax and linear attention', where={'architecture': (TRANSFORMER, LINEAR)}
)  # fmt: skip


def fused_attention(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'forward_latency', 'forward_seconds', architecture=TRANSFORMER)
  if not rows:
    return not_measured('forward_latency')
  points = []
  for regime, grid in grids(rows).items():
    for length in (x for x in levels(grid, 'length') if x >= 1000):
      here = of_one_cell([r for r in grid if r['length'] == length])
      plain = [r for r in here if r.get('backend') == MATERIALISED]
      fused = pick(r for r in here if r.get('backend') != MATERIALISED)
      if plain and fused:
        rounds = statistics.pairwise(samples(plain[0]), fused.samples)
        label = f'materialised ÷ fused attention ({name(fused.row)}) at T = {length:,}, {regime}'
        points.append(above(label, statistics.median(rounds), 1.3, 1.0, '×', rounds))
  if not points:
    return undecided('no length from 1,000 tokens on was measured with both kernels')
  text = f'Reading a prompt in one call: {"; ".join(map(str, points))}. Decoding token by token: not measured.'
  longest = max(levels(rows, 'length'))
  return combine(
    points, text, ladder=ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3)
  )


def linear_attention(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'forward_latency', 'forward_seconds', architecture=(LINEAR, TRANSFORMER))
  if not any(r['architecture'] == LINEAR for r in rows):
    return not_measured('forward_latency', 'linear attention')
  points, text = [], ''
  for regime, grid in grids(r for r in rows if r['length'] >= 512).items():
    slope = exponent(grid, [LINEAR])
    if slope is not None:
      points.append(below(f'time of linear attention from 512 tokens on, {regime}: ∝ T^p, p', slope, 1.1, 1.5))
    softmax = exponent(grid, [TRANSFORMER])
    if softmax is not None:
      text += f' Softmax attention there, {regime}: ∝ T^{show(softmax)}.'
  if not points:
    return undecided('fewer than two lengths from 512 tokens on were measured')
  text = '; '.join(map(str, points)) + '.' + text + ' What it costs in quality is no part of this statement.'
  return combine(points, text)


CLAIMS = (
  Claim(
    55,
    'Fused attention',
    'Specialised attention kernels make inference faster.',
    'One sequence, forward, from 1,000 tokens on: time of materialised attention over the time of the fastest other '
    'kernel that computes the same, interleaved in one cell.',
    'materialised ÷ fused ≥ 1.3 at every length and size',
    'materialised ÷ fused < 1 at every length and size',
    ('forward_latency',),
    fused_attention,
    (KERNELS,),
    words='"further optimize transformer inference"',
    since=WRITTEN,
  ),
  Claim(
    57,
    'Linear attention',
    'Linear attention has a cost of O(n).',
    'One sequence, forward, from 512 tokens on: exponent of T of the time of linear attention (Katharopoulos et al. '
    '2020).',
    'the exponent is ≤ 1.1 at every size',
    'the exponent is > 1.5 at every size',
    ('forward_latency',),
    linear_attention,
    (KINDS,),
    words='"reduce complexity from O(n²) to O(n)"',
    since=WRITTEN,
  ),
)
