"""Claims about inference: latency by length, decoding by position, what a cache costs."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from comparison.claims import statistics
from comparison.claims.backends import beside, gated, ladder, ratios, rivals
from comparison.claims.base import (
  COMPARED,
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Point,
  Verdict,
  above,
  combine,
  figure,
  grids,
  levels,
  name,
  not_measured,
  samples,
  undecided,
  where,
)
from comparison.claims.statistics import Interval
from comparison.records import Row

NOISE = 0.25  # an interval that reaches further says that the timing was too noisy, not that the cost is constant
FORWARD = Plot(
  'Latency of one sequence',
  'forward_latency',
  'forward_seconds',
  'length',
  where={'architecture': COMPARED},
  log_x=True,
  log_y=True,
  x_label='tokens in the sequence',
  y_label='seconds',
)
DECODING = Plot(
  'Time of one decoded token',
  'decoding',
  'token_seconds',
  'position',
  where={'architecture': COMPARED},
  log_x=True,
  log_y=True,
  x_label='position',
  y_label='seconds a token',
)
OTHERS = 'The same, of what is not in the verdict'
OTHERS_FORWARD, OTHERS_DECODING = (
  dataclasses.replace(plot, title=OTHERS, where={}, without={'architecture': COMPARED}) for plot in (FORWARD, DECODING)
)


def _latency(records: Sequence[Row], low: int, high: int, rnn_first: bool) -> Verdict:
  rows = where(records, 'forward_latency', 'forward_seconds')
  if not rows:
    return not_measured('forward_latency')
  rows = [r for r in rows if low <= r['length'] <= high]
  sides: tuple[Sequence[str], Sequence[str]] = (RECURRENT, [TRANSFORMER])
  numerator, denominator = sides[::-1] if rnn_first else sides
  label = 'Transformer ÷ RNN latency' if rnn_first else 'RNN ÷ Transformer latency'
  points = ratios(rows, numerator, denominator, label)
  if not points:
    return undecided(f'no length of {low} … {high} was measured for both sides')
  text = (
    f'With the best backend of each side, from {points[0]} to {points[-1]}.{gated(rows, numerator, denominator, label)}'
  )
  longest = max(levels(rows, 'length'))
  rungs = ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3)
  notes = beside(records, 'forward_latency', 'forward_seconds', low, high)
  return combine(points, text, universal=not rnn_first, ladder=rungs, notes=notes)


def short_latency(records: Sequence[Row]) -> Verdict:
  return _latency(records, 1, 99, rnn_first=True)


def medium_latency(records: Sequence[Row]) -> Verdict:
  return _latency(records, 100, 1000, rnn_first=False)


def long_latency(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'forward_latency', 'forward_seconds')
  if not rows:
    return not_measured('forward_latency')
  longest = max(levels(rows, 'length'))
  if longest < 2000:
    return undecided(f'the longest sequence of this scale is {longest} tokens')
  points = []
  for regime, grid in grids(rows).items():
    for backends, side in ((None, 'best attention'), (('reference',), 'materialised attention')):
      slower = _slower(grid, backends)
      if len(slower) > 1:
        cross = statistics.crossing(slower)
        inside = cross.low >= 1000 and cross.high <= 2000
        label = (
          f'length from which the RNN is faster than {side} (0: all lengths), {regime}, measured to {max(slower):,}'
        )
        points.append(Point(label, cross, inside, cross.low > 2000, 'tokens'))
  if not points:
    return undecided('fewer than two lengths were measured for both sides')
  text = '; '.join(str(p) for p in points) + ' (inf: at none).'
  text += ' The arithmetic stands on any device: 10,000 tokens make 100,000,000 pairs.'
  rungs = ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3)
  notes = beside(records, 'forward_latency', 'forward_seconds', low=1000)
  early = [p for p in points if p.interval.high < 1000]
  if early:
    reason = f'the RNN overtakes before 1,000 tokens already, so the cost does not begin to bite there: {early[0]}'
    value, low, high = early[0].interval
    return Verdict('mixed', value, 'tokens', low, high, text, reason, rungs, notes, early[0].label)
  return combine(points, text, ladder=rungs, notes=notes)


def _slower(rows: Sequence[Row], backends: Sequence[str] | None) -> dict[float, Sequence[float]]:
  """Return length → pairwise ratios of the Transformer's time to the best RNN's."""
  rows = [r for r in rows if r['architecture'] != TRANSFORMER or backends is None or r.get('backend') in backends]
  found: dict[float, Sequence[float]] = {}
  for length in levels(rows, 'length'):
    pair = rivals([r for r in rows if r['length'] == length], [TRANSFORMER], RECURRENT)
    if pair:
      attention, recurrent = (np.asarray(side.samples) for side in pair)
      count = min(len(attention), len(recurrent))
      found[length] = list(attention[:count] / recurrent[:count])
  return found


def _series(rows: Sequence[Row], architectures: Sequence[str], backend: str | None = None) -> dict[str, list[Row]]:
  """Return backend → rows over the position, of one side."""
  found: dict[str, list[Row]] = {}
  for row in rows:
    if row['architecture'] in architectures and backend in (None, row.get('backend')):
      found.setdefault(name(row), []).append(row)
  return found


def constant_decoding(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'decoding', 'token_seconds')
  series = {
    f'{k}, {regime}': v
    for regime, grid in grids(rows, 'batch').items()
    for k, v in _series(grid, RECURRENT).items()
    if len(levels(v, 'position')) > 1
  }
  if not series:
    return not_measured('decoding')
  points = []
  for label, line in sorted(series.items(), key=lambda item: sum(r['value'] for r in item[1])):
    grown = statistics.growth({r['position']: samples(r) for r in line})
    flat = grown.low <= 0 <= grown.high <= NOISE or max(abs(grown.low), abs(grown.high)) < 0.05
    points.append(Point(f'growth of {label} over the range', grown, flat, grown.low > 0.05))
  last = max(levels(rows, 'position'))
  text = f'Relative growth of the time of a token from position 1 to {last:,}: ' + '; '.join(map(str, points)) + '.'
  return combine(points, text)


def growing_decoding(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'decoding', 'token_seconds', architecture=TRANSFORMER)
  if not rows:
    return not_measured('decoding')
  points, text = [], ''
  last = max(levels(rows, 'position'))
  for regime, grid in grids(rows, 'batch').items():
    for backend in ('cached', 'uncached'):
      line = {r['position']: r for r in grid if r.get('backend') == backend}
      if 1 in line and 100 in line:
        grown = statistics.ratio(samples(line[100]), samples(line[1]))
        points.append(above(f'{backend}, {regime}: time at position 100 ÷ position 1', grown, 1.05, unit='×'))
        if last in line:
          text += f' {backend}, {regime}: × {figure(line[last]["value"] / line[1]["value"])} at position {last:,}.'
  if not points:
    return undecided('positions 1 and 100 were not both measured')
  return combine(points, '; '.join(map(str, points)) + '.' + text)


def cache_bytes(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'state_bytes', 'state_bytes', architecture=TRANSFORMER)
  if not rows:
    return not_measured('state_bytes')
  points = []
  for variant in levels(rows, 'backend'):
    ratios = [r['value'] / r['formula'] for r in rows if r['backend'] == variant and r['length'] >= 10]
    if not ratios:
      continue
    spread = Interval(float(np.median(ratios)), min(ratios), max(ratios))
    inside = spread.low >= 0.99 and spread.high <= 1.01
    points.append(Point(f'{variant}: bytes ÷ formula', spread, inside, not inside, '×'))
  if not points:
    return undecided('no cache of 10 tokens or more was measured')
  text = f'Bytes of the cache over 2·L·n·d_kv·B: {"; ".join(map(str, points))}.'
  for regime, times in grids(where(records, 'decoding', 'token_seconds', architecture=TRANSFORMER), 'batch').items():
    both = [
      x
      for x in levels(times, 'position')
      if {'cached', 'uncached'} <= {r['backend'] for r in times if r['position'] == x}
    ]
    if both:
      here = {r['backend']: r for r in times if r['position'] == both[-1]}
      saved = statistics.ratio(samples(here['uncached']), samples(here['cached']))
      label = f'recomputation ÷ cache, time of a token at position {both[-1]:,}, {regime}'
      points.append(above(label, saved, 1.0, unit='×'))
      text += f' {points[-1]}.'
  text += ' A window or grouped keys bound or divide the memory; what they cost in quality is not part of this claim.'
  return combine(points, text)


CLAIMS = (
  Claim(
    24,
    'Latency below 100 tokens',
    'Under 100 tokens the latency of an RNN is as good as that of a Transformer, or better.',
    'One sequence (batch 1), forward, T = 8 … 99; ratio of the best attention backend to the best RNN backend.',
    'Transformer ÷ RNN ≥ 1 at every length and size',
    'Transformer ÷ RNN < 1 at every length and size',
    ('forward_latency',),
    short_latency,
    (FORWARD, OTHERS_FORWARD),
  ),
  Claim(
    25,
    'Latency from 100 to 1,000 tokens',
    'From 100 to 1,000 tokens the Transformer has the lower latency.',
    'One sequence (batch 1), forward, T = 100 … 1,000; ratio of the best RNN backend to the best attention backend.',
    'RNN ÷ Transformer > 1 over the whole band',
    'RNN ÷ Transformer < 1 anywhere in the band',
    ('forward_latency',),
    medium_latency,
    (FORWARD, OTHERS_FORWARD),
  ),
  Claim(
    26,
    'Latency beyond 1,000 tokens',
    'Beyond 1,000 tokens the quadratic cost of attention bites, while an RNN goes on at the same cost a token.',
    'One sequence (batch 1), forward; the length from which the best RNN backend is faster than the best attention '
    'backend, and than materialised attention.',
    'the curves cross between 1,000 and 2,000 tokens',
    'they cross later, or not up to the longest length measured',
    ('forward_latency',),
    long_latency,
    (FORWARD, OTHERS_FORWARD),
  ),
  Claim(
    27,
    'Decoding with an RNN',
    'Decoding with an RNN costs the same at every position.',
    'Time of one decoded token against the position, all positions interleaved; slope of a straight line × range.',
    'the interval of the growth includes 0 and ends below 25 %, or lies within ± 5 %',
    'it grows by more than 5 %',
    ('decoding',),
    constant_decoding,
    (DECODING, OTHERS_DECODING),
    revised='the bound of 25 %, without which a noisy measurement supported the statement',
  ),
  Claim(
    28,
    'Decoding with a Transformer',
    'Decoding with a Transformer grows with the position: the 100th token is slower than the first.',
    'Time of one decoded token at position 100 over that at position 1, with a key/value cache and by recomputation.',
    'more than 5 % slower, with the cache and without',
    'less than 5 % slower, with the cache and without',
    ('decoding',),
    growing_decoding,
    (DECODING,),
  ),
  Claim(
    29,
    'The key/value cache',
    'A key/value cache trades recomputation for memory that grows with the length.',
    'Bytes of the state of multi-head and grouped-query attention against 2·L·n·d_kv·B·(bytes of a number); time of a '
    'token by recomputation over the time with the cache, at the largest position.',
    'bytes within 1 % of the formula from 10 tokens on, and recomputation slower',
    'bytes off the formula, and recomputation no slower',
    ('state_bytes', 'decoding'),
    cache_bytes,
    (
      Plot(
        'Bytes of state',
        'state_bytes',
        'state_bytes',
        'length',
        where={'batch': (1,)},
        log_x=True,
        log_y=True,
        x_label='tokens remembered',
        y_label='bytes',
      ),
      DECODING,
    ),
  ),
)
