"""Judges of rules that were replaced: records that were measured before the present rule are bound by them."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn.trained_grids import MARGIN
from comparison.claims.backends import beside, ladder, rivals
from comparison.claims.base import COMPARED, RECURRENT, TRANSFORMER, Claim, Judge, Rule, Verdict, grids, levels, where
from comparison.claims.points import Point, above, below, combine, not_measured, undecided
from comparison.claims.slopes import exponent, flattest
from comparison.claims.speed import speed_of_reading, speed_of_training
from comparison.records import Row

COUNTED = '2026-11-29 21:37'
NOISE = 'Intervals of seeds and, by the jackknife over 20 parts of them in their order, of the test examples'


def of_seeds_alone(judge: Judge) -> Judge:
  """Return a judge as it was before the noise of the test examples counted: it reads no scores on parts of them."""
  return lambda records: judge([{**row, 'parts': []} if row.get('parts') else row for row in records])


def counting_noise(claim: Claim) -> Claim:
  """Return a claim with a further rule, which is the same and counts the noise of the test examples."""
  before = Rule(
    len(claim.rules), claim.since, claim.supported_if, claim.contradicted_if, of_seeds_alone(claim.judge)
  )  # fmt: skip
  revised = (
    f'version {before.version + 1} counts the noise of the test examples, where rows hold scores on parts of them'
  )
  return dataclasses.replace(
    claim,
    protocol=f'{claim.protocol} {NOISE}.',
    revised=f'{claim.revised}; {revised}' if claim.revised else revised,
    since=COUNTED,
    earlier=(*claim.earlier, before),
  )


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
  rungs = ladder([r for r in steps if r['length'] == longest], f'dependent steps at T = {longest:,}')
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
  return combine(points, text, ladder=ladder(memory, f'MB of temporaries at T = {longest:,}', 1e-6))


def always_trains_faster(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 3: at every length up to 1,024, by any margin."""
  return speed_of_training(records, 1024, 1.0, 'always')


def latency_everywhere(records: Sequence[Row], low: int, high: int, rnn_first: bool) -> Verdict:
  """Apply the first rules of claims 24 (at every length and size) and 25 (always)."""
  return speed_of_reading(records, low, high, rnn_first, 'each' if rnn_first else 'always')


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
  rungs = ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3)
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


def bottleneck_at_equal_fit(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 22: the test loss at the lowest training loss that all sizes of the state reach."""
  train, test = (where(records, 'state_sizes', metric) for metric in ('train_loss', 'loss'))
  points = []
  for family in levels(test, 'family'):
    growths = _growths_at_fit([r for r in train if r['family'] == family], [r for r in test if r['family'] == family])
    if len(growths) > 1:
      label = f'{family}, growth of the test loss at equal training loss, from the smallest state to the largest'
      point = above(label, statistics.mean(growths), MARGIN, MARGIN, 'nats')
      p_for = statistics.p_above(np.exp(growths).tolist(), float(np.exp(MARGIN)))
      points.append(dataclasses.replace(point, p_for=p_for))
  if not points:
    return not_measured('state_sizes')
  return combine(points, '; '.join(map(str, points)) + '.', kind='can')


def _growths_at_fit(train: Sequence[Row], test: Sequence[Row]) -> list[float]:
  """Return, for each seed, the growth over the sizes of the test losses at a training loss that all of them reach."""
  of_trial = {(r['seed'], r['state_bytes'], r['learning_rate']): r['value'] for r in test}
  growths = []
  for seed in levels(train, 'seed'):
    curves: dict[int, list[tuple[float, float]]] = {}
    for row in train:
      key = seed, row['state_bytes'], row['learning_rate']
      if row['seed'] == seed and key in of_trial:
        curves.setdefault(row['state_bytes'], []).append((row['value'], of_trial[key]))
    if len(curves) > 1:
      equal = max(min(loss for loss, _ in curve) for curve in curves.values())
      at_equal = {size: float(np.interp(equal, *np.array(sorted(curve)).T)) for size, curve in curves.items()}
      growths.append(growth_over_sizes(at_equal))
  return growths


def growth_over_sizes(losses: Mapping[int, float]) -> float:
  """Return how much a straight line over the logarithm of the sizes, which losses are of, grows over their range."""
  sizes = np.log2(list(losses))
  return float(np.polyfit(sizes, list(losses.values()), 1)[0] * np.ptp(sizes))
