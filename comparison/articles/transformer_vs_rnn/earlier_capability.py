"""Judges of earlier rules about recall, reach and context, which bind the records measured under them."""

from collections.abc import Sequence

from comparison.claims.base import (
  COMPARED,
  RECURRENT,
  TRANSFORMER,
  Verdict,
  levels,
  seeds,
  selection,
  tuned,
  where,
)
from comparison.claims.points import above, below, combine, not_measured, undecided
from comparison.records import Row


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
