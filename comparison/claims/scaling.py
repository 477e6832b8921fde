"""Claims about how the cost grows with the length: sequential steps, training speed, time and memory."""

import dataclasses
from collections.abc import Sequence

from comparison.claims import statistics
from comparison.claims.backends import beside, gated, ladder, pick, ratios
from comparison.claims.base import (
  COMPARED,
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Verdict,
  above,
  below,
  combine,
  grids,
  levels,
  name,
  not_measured,
  undecided,
  where,
)
from comparison.claims.statistics import Interval
from comparison.records import Row

TRAINING = Plot(
  'Training step at a constant number of tokens',
  'training_time',
  'step_seconds',
  'length',
  where={'architecture': COMPARED},
  log_x=True,
  log_y=True,
  x_label='tokens in a sequence',
  y_label='seconds a step',
)
OTHERS_TRAINING = dataclasses.replace(
  TRAINING, title='The same, of what is not in the verdict', where={}, without={'architecture': COMPARED}
)


def exponent(rows: Sequence[Row], architectures: Sequence[str], column: str = 'length') -> Interval | None:
  """Return the log-log slope over `column` of the best backend at every point; None with fewer than two points."""
  points: dict[float, Sequence[float]] = {}
  for x in levels(rows, column):
    chosen = pick((r for r in rows if r[column] == x), architectures)
    if chosen is not None:
      points[x] = chosen.samples
  return statistics.log_slope(points) if len(points) > 1 else None


def flattest(rows: Sequence[Row], architectures: Sequence[str]) -> Interval | None:
  """Return the smallest log-log slope of any one backend, for numbers that the compiler reports exactly."""
  slopes = []
  for series in levels([{'series': name(r)} for r in rows if r.get('architecture') in architectures], 'series'):
    values = {r['length']: [max(1.0, r['value'])] for r in rows if name(r) == series}
    if len(values) > 1:
      slopes.append(statistics.log_slope(values))
  return min(slopes, default=None)


def sequential_steps(records: Sequence[Row]) -> Verdict:
  steps = where(records, 'training_time', 'sequential_steps')
  steps = [row for row in steps if row.get('backend') != 'cpu']  # loops in C++ are not in the compiled program
  times = [r for r in where(records, 'training_time', 'step_seconds') if 64 <= r['length'] <= 1024]
  if not steps or not times:
    return not_measured('training_time')
  points = []
  counted = grids(steps)
  for regime, rows in grids(times).items():
    program = counted.get(regime, [])
    measured = [
      (above, 'RNN step time', exponent(rows, RECURRENT), 0.5, 0.25),
      (below, 'Transformer step time', exponent(rows, [TRANSFORMER]), 0.25, 0.5),
      (above, 'RNN dependent steps in the program', flattest(program, RECURRENT), 0.9, 0.1),
      (below, 'Transformer dependent steps in the program', flattest(program, [TRANSFORMER]), 0.1, 0.9),
    ]
    if all(interval is not None for _, _, interval, _, _ in measured):
      points += [
        make(f'{label} ∝ T^p at {regime}, p', interval, threshold, otherwise)
        for make, label, interval, threshold, otherwise in measured
        if interval is not None
      ]
  if not points:
    return undecided('fewer than two lengths of 64 … 1,024 were measured for both sides')
  longest = max(levels(steps, 'length'))
  text = f'At a constant number of tokens: {"; ".join(map(str, points))}.'
  rungs = ladder([r for r in steps if r['length'] == longest], f'dependent steps at T = {longest:,}')
  return combine(points, text, ladder=rungs, notes=beside(records, 'training_time', 'step_seconds'))


def trains_faster(records: Sequence[Row]) -> Verdict:
  rows = [r for r in where(records, 'training_time', 'step_seconds') if r['length'] <= 1024]
  if not rows:
    return not_measured('training_time')
  label = 'RNN ÷ Transformer step time'
  points = ratios(rows, RECURRENT, [TRANSFORMER], label)
  if not points:
    return undecided('no length was measured for both sides')
  longest = max(levels(rows, 'length'))
  text = f'The ratio of the best backends goes from {points[0]} to {points[-1]}.'
  text += gated(rows, RECURRENT, [TRANSFORMER], label)
  rungs = ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3)
  notes = beside(records, 'training_time', 'step_seconds', high=1024)
  return combine(points, text, universal=True, ladder=rungs, notes=notes)


def quadratic(records: Sequence[Row]) -> Verdict:
  found = {
    metric: [r for r in where(records, 'forward_latency', metric, architecture=COMPARED) if r['length'] > 2000]
    for metric in ('flops', 'forward_seconds', 'temporary_bytes')
  }
  if not where(records, 'forward_latency', 'forward_seconds'):
    return not_measured('forward_latency')
  points = []
  for metric, label in (
    ('flops', 'FLOPs (by formula)'),
    ('forward_seconds', 'time'),
    ('temporary_bytes', 'temporary bytes'),
  ):
    slope = exponent if metric == 'forward_seconds' else flattest
    for regime, rows in grids(found[metric]).items():
      for side, architectures in (('attention', [TRANSFORMER]), ('RNN', RECURRENT)):
        interval = slope(rows, architectures)
        if interval is not None:
          make = above if side == 'attention' else below
          points.append(make(f'{label} of {side} at {regime} ∝ T^p, p', interval, 1.5))
  if not points or not found['temporary_bytes']:
    return undecided('needs two lengths above 2,000 tokens, which this scale does not have')
  longest = max(levels(found['temporary_bytes'], 'length'))
  text = 'Above 2,000 tokens, with the best backend of each side: ' + '; '.join(str(p) for p in points) + '.'
  memory = [r for r in where(records, 'forward_latency', 'temporary_bytes') if r['length'] == longest]
  return combine(points, text, ladder=ladder(memory, f'MB of temporaries at T = {longest:,}', 1e-6))


CLAIMS = (
  Claim(
    1,
    'Sequential steps of training',
    'Training an RNN on T tokens takes T dependent steps; the depth of a Transformer does not grow with T.',
    'Trip counts of the loops in the compiled training step, and the time of a step at a constant number of tokens '
    '(batch × T), T = 64 … 1,024; exponents of T.',
    'dependent steps: exponent ≥ 0.9 for the RNN and ≤ 0.1 for the Transformer; time: ≥ 0.5 for the RNN and ≤ 0.25 for '
    'the Transformer',
    'the exponents of the two sides are those of the other side (steps 0.1 / 0.9, time 0.25 / 0.5)',
    ('training_time',),
    sequential_steps,
    (
      TRAINING,
      Plot(
        'Dependent steps in the compiled program',
        'training_time',
        'sequential_steps',
        'length',
        where={'architecture': COMPARED},
        without={'backend': ('cpu',)},
        log_x=True,
        log_y=True,
        x_label='tokens in a sequence',
        y_label='dependent steps',
      ),
    ),
    revised='backends in C++ are left out of the dependent steps, since their loops are not in the program; before, '
    'they counted as one step',
  ),
  Claim(
    3,
    'Training speed below 1,000 tokens',
    'Below 1,000 tokens a Transformer always trains faster than an RNN of the same number of parameters.',
    'Interleaved training steps at T = 32 … 1,024, constant tokens a step; ratio of the best RNN backend to the best '
    'attention backend.',
    'RNN ÷ Transformer > 1 at every length and size',
    'RNN ÷ Transformer < 1 anywhere',
    ('training_time',),
    trains_faster,
    (
      TRAINING,
      OTHERS_TRAINING,
    ),
  ),
  Claim(
    10,
    'Scaling with the length',
    'Attention costs O(n²) in time and memory, an RNN O(n).',
    'One sequence, forward: exponents of T above 2,000 tokens of the FLOPs, of the time and of the temporary bytes '
    'that the compiler reports, with the best backend of each side.',
    'every exponent of attention ≥ 1.5 and every exponent of the RNN ≤ 1.5',
    'every exponent is on the other side; some of them: mixed (blockwise attention has linear memory)',
    ('forward_latency',),
    quadratic,
    (
      Plot(
        'Temporary memory of one forward pass',
        'forward_latency',
        'temporary_bytes',
        'length',
        where={'architecture': COMPARED},
        log_x=True,
        log_y=True,
        x_label='tokens in a sequence',
        y_label='bytes',
      ),
      Plot(
        'FLOPs of one forward pass',
        'forward_latency',
        'flops',
        'length',
        series=('architecture',),
        log_x=True,
        log_y=True,
        x_label='tokens in a sequence',
        y_label='floating-point operations',
      ),
    ),
  ),
)
