"""Claims about decoding: its cost by position, what a cache costs, long generations."""

import functools
from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.claims.backends import PLAIN, best_rounds
from comparison.claims.base import (
  COMPARED,
  ELMAN,
  FIRST,
  GATED,
  RECURRENT,
  STATE_BYTES,
  TRANSFORMER,
  Claim,
  Plot,
  Rule,
  Verdict,
  figure,
  grids,
  levels,
  name,
  of_others,
  samples,
  show,
  where,
)
from comparison.claims.points import Point, above, combine, not_measured, undecided
from comparison.claims.speed import AS_IN_THE_BOX, GATED_ALONE
from comparison.records import Row
from comparison.statistics import Interval

NO_FIRST_CALL = (
  'Position 1 is no first call: every sample follows an untimed call from the same state, and the cache has as much '
  'room at all positions. A position stands for the 16 tokens of its call, 100 for tokens 97 to 112'
)
NOISE = 0.25  # an interval that reaches further says that the timing was too noisy, not that the cost is constant
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
OTHERS_DECODING = of_others(DECODING)


def _series(rows: Sequence[Row], architectures: Sequence[str], backend: str | None = None) -> dict[str, list[Row]]:
  """Return backend → rows over the position, of one side."""
  found: dict[str, list[Row]] = {}
  for row in rows:
    if row['architecture'] in architectures and backend in (None, row.get('backend')):
      found.setdefault(name(row), []).append(row)
  return found


def constant_decoding(records: Sequence[Row], recurrent: Sequence[str] = GATED) -> Verdict:
  rows = where(records, 'decoding', 'token_seconds')
  series = _growths(rows, recurrent)
  if not series:
    return not_measured('decoding')
  points = []
  for label, grown in series.items():
    flat = grown.low <= 0 <= grown.high <= NOISE or max(abs(grown.low), abs(grown.high)) < 0.05
    points.append(Point(f'growth of {label} over the range', grown, flat, grown.low > 0.05))
  last = max(levels(rows, 'position'))
  text = f'Relative growth of the time of a token from position 1 to {last:,}: ' + '; '.join(map(str, points)) + '.'
  plain = {} if ELMAN in recurrent else _growths(rows, [ELMAN])
  beside = tuple(f'growth of the {PLAIN}, {label} over the range: {show(grown)}' for label, grown in plain.items())
  return combine(points, text, beside=beside)


def _growths(rows: Sequence[Row], architectures: Sequence[str]) -> dict[str, Interval]:
  """Return series and regime → the growth over the positions, the fastest series first."""
  series = {
    f'{k}, {regime}': line
    for regime, grid in grids(rows, 'batch').items()
    for k, line in _series(grid, architectures).items()
    if len(levels(line, 'position')) > 1
  }
  ordered = sorted(series.items(), key=lambda item: sum(r['value'] for r in item[1]))
  return {label: statistics.growth({r['position']: samples(r) for r in line}) for label, line in ordered}


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
  return combine(points, '; '.join(map(str, points)) + '.' + text, notes=(NO_FIRST_CALL,))


def cache_bytes(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'state_bytes', 'state_bytes', architecture=TRANSFORMER)
  if not rows:
    return not_measured('state_bytes')
  points = []
  for variant in levels(rows, 'backend'):
    shares = [r['value'] / r['formula'] for r in rows if r['backend'] == variant and r['length'] >= 10]
    if not shares:
      continue
    spread = Interval(float(np.median(shares)), min(shares), max(shares))
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


def long_generation(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'decoding', 'generation_seconds', architecture=COMPARED)
  if not rows:
    return not_measured('decoding')
  points, crossings = [], []
  for regime, grid in grids(rows, 'batch').items():
    found = {
      x: best_rounds([r for r in grid if r['length'] == x], [TRANSFORMER], GATED) for x in levels(grid, 'length')
    }
    found = {x: rounds for x, rounds in found.items() if rounds}
    for x in (x for x in found if x >= 1000):
      label = f'Transformer ÷ RNN, time of {x:,} generated tokens, {regime}'
      points.append(above(label, statistics.median(found[x]), 1.0, unit='×', samples=found[x]))
    if found:
      crossings.append(f'{regime}: {show(statistics.crossing(found))}')
  if not points:
    return undecided('no generation of 1,000 tokens or more was measured for both sides')
  text = '; '.join(map(str, points)) + '. Tokens from which the RNN is faster (0: from the first length measured): '
  return combine(points, text + '; '.join(crossings) + '.')


CLAIMS = (
  Claim(
    27,
    'Decoding with an RNN',
    'Decoding with an RNN costs the same at every position.',
    'Time of one decoded token against the position, all positions interleaved; slope of a straight line × range.',
    'the interval of the growth of LSTM and GRU includes 0 and ends below 25 %, or lies within ± 5 %',
    'it grows by more than 5 %',
    ('decoding',),
    constant_decoding,
    (DECODING, OTHERS_DECODING),
    revised='version 2 has the bound of 25 %, without which a noisy measurement supported the statement; in version 3 '
    f'{AS_IN_THE_BOX}',
    words='"Each step has constant cost regardless of sequence length"',
    since=GATED_ALONE,
    earlier=(
      Rule(1, FIRST, 'the interval of the growth includes 0, or lies within ± 5 %', 'it grows by more than 5 %'),
      Rule(
        2,
        '2026-11-25 22:03',
        'the interval of the growth includes 0 and ends below 25 %, or lies within ± 5 %',
        'it grows by more than 5 %',
        functools.partial(constant_decoding, recurrent=RECURRENT),
      ),
    ),
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
    words='"The cost grows linearly with the number of already-generated tokens"; "making later steps more '
    'expensive than early ones"',
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
    words='"KV caching trades computation for memory"; "grows linearly with sequence length"',
    definition=True,
    plots=(
      STATE_BYTES,
      DECODING,
    ),
  ),
  Claim(
    30,
    'Long generation',
    'From about 1,000 generated tokens on, the constant cost of an RNN makes it attractive.',
    'Seconds to generate 64 to 8,000 tokens from nothing, with a key/value cache, LSTM or GRU, whichever is faster, '
    'interleaved; the length from which the RNN is faster beside it.',
    'Transformer ÷ RNN > 1 at every length from 1,000 tokens on, size and batch',
    'Transformer ÷ RNN < 1 at every one of them',
    ('decoding',),
    long_generation,
    (
      Plot(
        'Time of a whole generation',
        'decoding',
        'generation_seconds',
        'length',
        where={'architecture': COMPARED},
        log_x=True,
        log_y=True,
        x_label='generated tokens',
        y_label='seconds',
      ),
    ),
    words='"For very long generation (1,000+ tokens), RNNs’ constant-per-step cost becomes attractive"',
    since='2026-11-29 02:50',
  ),
)
