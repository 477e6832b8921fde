"""Judges of rules that were replaced: records that were measured before the present rule are bound by them."""

from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn.gigabytes import (
  CARD,
  CENTRE,
  GB,
  SMALL_CARD,
  STORED,
  TRANSFORMER_FORMS,
  TRUNCATED,
  VIDEO,
  needed,
)
from comparison.claims.backends import beside, ladder, rivals
from comparison.claims.base import COMPARED, RECURRENT, TRANSFORMER, Verdict, figure, grids, levels, where
from comparison.claims.points import Point, above, below, combine, not_measured, undecided
from comparison.claims.slopes import exponent, flattest
from comparison.claims.speed import speed_of_reading, speed_of_training
from comparison.records import Row
from comparison.statistics import Interval


def sequential_steps(records: Sequence[Row]) -> Verdict:
  """Apply the second rule of claim 1, which counted the time of a step as well."""
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
  rungs = ladder(
    [r for r in steps if r['length'] == longest], f'dependent steps at T = {longest:,}', recurrent=RECURRENT
  )
  return combine(points, text, ladder=rungs, beside=beside(records, 'training_time', 'step_seconds'))


def quadratic(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 10: exponents above 2,000 tokens, across changes of the block size."""
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
  return combine(
    points, text, ladder=ladder(memory, f'MB of temporaries at T = {longest:,}', 1e-6, recurrent=RECURRENT)
  )


def always_trains_faster(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 3: at every length up to 1,024, by any margin."""
  return speed_of_training(records, 1024, 1.0, 'always', recurrent=RECURRENT)


def latency_everywhere(records: Sequence[Row], low: int, high: int, rnn_first: bool) -> Verdict:
  """Apply the first rules of claims 24 (at every length and size) and 25 (always)."""
  return speed_of_reading(records, low, high, rnn_first, 'each' if rnn_first else 'always', RECURRENT)


def crossing_of_latency(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 26: the curves cross between 1,000 and 2,000 tokens."""
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
  rungs = ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3, recurrent=RECURRENT)
  others = beside(records, 'forward_latency', 'forward_seconds', low=1000)
  early = [p for p in points if p.interval.high < 1000]
  if early:
    reason = f'the RNN overtakes before 1,000 tokens already, so the cost does not begin to bite there: {early[0]}'
    value, low, high = early[0].interval
    return Verdict('mixed', value, 'tokens', low, high, text, reason, rungs, about=early[0].label, beside=others)
  return combine(points, text, ladder=rungs, beside=others)


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


def largest_plain_training(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 5: by the most that plain training needs at 2,000 to 4,096 tokens."""
  by_size = needed(records)
  if not by_size:
    return not_measured('training_bytes')
  points, text = [], []
  for size, forms in by_size.items():
    for length in (x for x in forms.get(STORED, {}) if 2000 <= x <= 4096):
      plain = Interval.exact(forms[STORED][length])
      label = f'GB of plain training on one sequence of {length:,} tokens, {size:,.0f} parameters'
      points.append(above(label, plain, CARD, SMALL_CARD, 'GB'))
      with_techniques = {name: forms[name][length] for name in TRANSFORMER_FORMS[1:] if length in forms.get(name, {})}
      shown = ', '.join(f'{name} {figure(gigabytes)}' for name, gigabytes in with_techniques.items())
      text.append(f'{points[-1]}; with techniques: {shown or "not measured"}')
  if not points:
    return undecided('materialised attention was not compiled at 2,000 to 4,096 tokens')
  points.sort(key=lambda point: -point.interval.value)
  return combine(points[:1], '; '.join(text) + f'. Against the {CARD} GB of a large consumer card.')


def longest_compiled_sequence(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 53: by the longest of the compiled sequences that fits, with the LSTM truncated."""
  by_size = needed(records)
  if not by_size:
    return not_measured('training_bytes')
  points = []
  for size, forms in by_size.items():
    best = [name for name in TRANSFORMER_FORMS if name in forms]
    if TRUNCATED not in forms or not best:
      continue
    for card in (SMALL_CARD, CARD):
      reach = {
        name: max((length for length, gigabytes in forms[name].items() if gigabytes <= card), default=0)
        for name in (*best, TRUNCATED)
      }
      attention, recurrent = max(reach[name] for name in best), reach[TRUNCATED]
      most = max(levels(where(records, 'training_bytes', 'training_bytes', size=size), 'length'))
      share = recurrent / attention if attention else float('inf') if recurrent else 1.0
      label = f'longest sequence in {card} GB, truncated LSTM ÷ best Transformer, {size:,.0f} parameters (to {most:,})'
      points.append(Point(label, Interval.exact(share), share >= 2, share < 2, '×'))
  if not points:
    return undecided('one of the sides was not compiled')
  return combine(points, '; '.join(map(str, points)) + '.')


def stored_scores_of_a_video(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 45: by attention that stores its scores alone."""
  rows = where(records, 'training_bytes', 'training_bytes', length=VIDEO)
  points, text = [], []
  for size in levels(rows, 'size'):
    forms = {row['form']: row['value'] / GB for row in rows if row['size'] == size}
    if STORED in forms:
      label = f'GB of training with stored scores on {VIDEO:,} tokens, {size:,.0f} parameters'
      points.append(above(label, Interval.exact(forms.pop(STORED)), CENTRE, CARD, 'GB'))
      shown = ', '.join(f'{form} {figure(gigabytes)}' for form, gigabytes in forms.items())
      text.append(f'{points[-1]}; in other forms: {shown or "not measured"}')
  if not points:
    return not_measured('training_bytes', f'no Transformer with stored scores and {VIDEO:,} tokens')
  return combine(points, '; '.join(text) + '. Fused attention and rematerialisation (remat) compute the same.')
