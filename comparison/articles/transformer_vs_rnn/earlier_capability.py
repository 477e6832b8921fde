"""Judges of earlier rules about recall, reach and context, which bind the records measured under them."""

from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.claims.base import (
  COMPARED,
  RECURRENT,
  TRANSFORMER,
  Verdict,
  levels,
  seeds,
  selection,
  show,
  tuned,
  where,
)
from comparison.claims.points import Point, above, below, combine, not_measured, undecided
from comparison.records import Row

TIE = 0.01  # nats: a difference below it is a tie
EARLIEST = 4  # the band that the growth is measured from; the first tokens are few and their losses all noise


def recall_bottleneck_second(records: Sequence[Row]) -> Verdict:
  """Apply the second rule of claim 7: accuracies at the most pairs, of the RNNs that learned the task."""
  return _recall(records, every_rnn=False)


def recall_bottleneck_first(records: Sequence[Row]) -> Verdict:
  """Apply the first rule: every RNN counts, where one of them has learned the task."""
  return _recall(records, every_rnn=True)


def _recall(records: Sequence[Row], *, every_rnn: bool) -> Verdict:
  rows = where(records, 'recall_capacity', 'accuracy', architecture=COMPARED)
  rows = tuned(rows, 'architecture', 'block', 'size', 'pairs')
  if not rows:
    return not_measured('recall_capacity')
  pairs = max(levels(rows, 'pairs'))
  top = [r for r in rows if r['pairs'] == pairs]
  attention = [r for r in top if r['architecture'] == TRANSFORMER]
  series = levels([{'key': (r['architecture'], r['block'], r['size'])} for r in top if r not in attention], 'key')
  groups = [[r for r in top if (r['architecture'], r['block'], r['size']) == key] for key in series]
  if not attention or not groups:
    return undecided(f'accuracy at {pairs} pairs is missing for one of the sides')
  reached = seeds(attention)
  text = f'At {pairs} pairs the Transformer recalls {show(reached)}; ' + ', '.join(
    f'{g[0]["architecture"]} ({g[0]["block"]}, {g[0]["state_bytes"] / 1024:.3g} KiB of state) {show(seeds(g))}'
    for g in groups
  )
  text += f'; the Transformer keeps {attention[0]["state_bytes"] / 1024:.3g} KiB.'
  if reached.low < 0.99:
    return undecided(
      f'the Transformer itself reached only {show(reached)} at {pairs} pairs within the updates of this scale', text
    )
  fewest = min((n for n in levels(rows, 'pairs') if n > 1), default=pairs)  # a single pair needs no key
  easy = {
    key: seeds(r for r in rows if r['pairs'] == fewest and (r['architecture'], r['block'], r['size']) == key)
    for key in series
  }
  learned = [group for key, group in zip(series, groups, strict=True) if easy[key].low >= 0.9]
  text += (
    f' At {fewest}: ' + ', '.join(f'{a} ({block}) {show(easy[a, block, size])}' for a, block, size in series) + '.'
  )
  if not learned:
    return undecided(
      f'no RNN learned the task within the updates of this scale: at {fewest} pairs the best reached '
      f'{show(max(easy.values()))}, so that what is low at {pairs} pairs is not the capacity of the state',
      text,
    )
  limit = attention[0]['state_bytes']
  points = []
  for group in groups if every_rnn else learned:
    accuracy, fits = seeds(group), group[0]['state_bytes'] <= limit
    label = f'accuracy of {group[0]["architecture"]} ({group[0]["block"]}) at {pairs} pairs'
    points.append(Point(label, accuracy, accuracy.high < 0.9, fits and accuracy.low >= 0.99))
  points.sort(key=lambda point: -point.interval.value)
  if max(point.interval.value for point in points) >= 0.9:
    text += ' The capacity of that state was not reached.'
  return combine(points, text, kind='always')


def direct_reach(records: Sequence[Row]) -> Verdict:
  """Apply the second rule of claim 9: the Transformer with rotary positions; RNNs within the training length too."""
  norms = where(records, 'reach', 'gradient_decades', architecture=COMPARED)
  accuracy = tuned(where(records, 'reach', 'accuracy', architecture=COMPARED), 'architecture', 'size')
  if not norms:
    return not_measured('reach')
  lag = max(levels(norms, 'lag'))
  norms = [r for r in norms if r['lag'] == lag]
  far = {a: seeds(r for r in norms if r['architecture'] == a) for a in levels(norms, 'architecture')}
  recurrent = [a for a in far if a in RECURRENT]
  if TRANSFORMER not in far or not recurrent:
    return undecided('gradient norms are missing for one of the sides')
  least = max(recurrent, key=lambda a: far[a].value)
  points = [
    above(f'Transformer, decades of gradient at lag {lag} relative to lag 1', far[TRANSFORMER], -1.0),
    below(f'{least}, decades of gradient at lag {lag} relative to lag 1', far[least], -1.0),
  ]
  rival = max((r for r in accuracy if r['architecture'] in RECURRENT), key=selection, default=None)
  for row in {r['length']: r for r in accuracy if r['architecture'] == TRANSFORMER}.values():
    found = {
      a: seeds(same)
      for a in (TRANSFORMER, rival and rival['architecture'])
      if (same := [r for r in accuracy if (r['architecture'], r['length']) == (a, row['length'])])
    }
    label = f'accuracy at {row["length"] / row["train_length"]:g} × the training length'
    points.append(above(f'Transformer, {label}', found.pop(TRANSFORMER), 0.99, 0.9))
    points += [below(f'{a}, {label}', reached, 0.9, 0.99) for a, reached in found.items()]
  text = f'Gradient of the last output: {points[0]}; {points[1]}.' + ''.join(f' {point}.' for point in points[2:])
  return combine(points, text)


def long_context(records: Sequence[Row]) -> Verdict:
  """Apply the second rule of claim 35: the gap at the last indices, and its slope over the index."""
  rows = tuned(where(records, 'token_index', 'loss'), 'architecture', 'block', 'size')
  if not rows:
    return not_measured('token_index')
  indices = [index for index in levels(rows, 'index') if index >= EARLIEST]
  if len(indices) < 2:
    return undecided(f'fewer than two bands of tokens from the {EARLIEST}th on were measured')
  late = indices[-1]
  recurrent = [r for r in rows if r['architecture'] in RECURRENT and r.get('block') == 'plain']
  if not recurrent or not any(r['architecture'] == TRANSFORMER for r in rows):
    return undecided('the loss of one of the sides is missing')
  rival = max(recurrent, key=selection)['architecture']  # the better one on validation
  gaps = {index: _gaps(rows, rival, index) for index in indices}
  both = sorted(set.intersection(*(set(gap) for gap in gaps.values())))
  if len(both) < 2:
    return undecided('fewer than two seeds were measured for both sides')
  x = np.log2(indices)
  x = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
  at_end = statistics.mean([gaps[late][seed] for seed in both])
  slope = statistics.mean([float(x @ [gaps[index][seed] for index in indices]) for seed in both])
  points = [
    above(f'{rival} − Transformer loss around token {late}', at_end, 1e-9, TIE, 'nats'),
    above(f'growth of that gap with each doubling of the index from {indices[0]} on', slope, 1e-9, 0.0, 'nats'),
  ]
  text = '; '.join(map(str, points)) + '.'
  # A gap that grows and ends at a tie, or behind, is no dominance.
  return combine(points[:1] if points[0].contradicts else points, text)


def long_context_first(records: Sequence[Row]) -> Verdict:
  """Apply the first rule: the gap around the last tokens, and that it is larger than around the first."""
  rows = tuned(where(records, 'token_index', 'loss'), 'architecture', 'block', 'size')
  if not rows:
    return not_measured('token_index')
  indices = levels(rows, 'index')
  early, late = indices[0], indices[-1]
  recurrent = [r for r in rows if r['architecture'] in RECURRENT and r.get('block') == 'plain']
  if not recurrent or not any(r['architecture'] == TRANSFORMER for r in rows):
    return undecided('the loss of one of the sides is missing')
  rival = min(recurrent, key=lambda r: r['value'] if r['index'] == late else float('inf'))['architecture']
  gaps = {index: _gaps(rows, rival, index) for index in (early, late)}
  both = sorted(gaps[early].keys() & gaps[late].keys())
  if len(both) < 2:
    return undecided('fewer than two seeds were measured for both sides')
  at_end = statistics.mean([gaps[late][seed] for seed in both])
  widening = statistics.mean([gaps[late][seed] - gaps[early][seed] for seed in both])
  points = [
    above(f'{rival} − Transformer loss around token {late}', at_end, 1e-9, TIE, 'nats'),
    above(f'growth of that gap since around token {early}', widening, 1e-9, TIE, 'nats'),
  ]
  return combine(points, '; '.join(map(str, points)) + '.')


def _gaps(rows: Sequence[Row], rival: str, index: float) -> dict[int, float]:
  """Return seed → loss of the rival minus loss of the Transformer, around one token index."""
  here = [
    r
    for r in rows
    if r['index'] == index and r['block'] == ('residual' if r['architecture'] == TRANSFORMER else 'plain')
  ]
  loss = {(r['architecture'], r['seed']): r['value'] for r in here}
  return {
    seed: loss[rival, seed] - loss[TRANSFORMER, seed]
    for seed in levels(here, 'seed')
    if (rival, seed) in loss and (TRANSFORMER, seed) in loss
  }
