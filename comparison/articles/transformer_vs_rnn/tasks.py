"""Claims about tasks: where the loss of a language model falls."""

from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.claims import pairs
from comparison.claims.base import (
  FIRST,
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Quality,
  Rule,
  Verdict,
  levels,
  selection,
  tuned,
  where,
)
from comparison.claims.points import above, combine, not_measured, undecided
from comparison.claims.quality import TEACHER_FORCED
from comparison.records import Row

TIE = 0.01  # nats: a difference below it is a tie
EARLIEST = 4  # the band that the growth is measured from; the first tokens are few and their losses all noise


def long_context(records: Sequence[Row]) -> Verdict:
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
  own = ((rival, 'plain'), (TRANSFORMER, 'residual'))
  judged = [r for r in rows if r['index'] in indices and (r['architecture'], r['block']) in own and r['seed'] in both]

  def of_end(some: Sequence[Row]) -> list[float]:
    found = _gaps(some, rival, late)
    return [found[seed] for seed in both]

  def of_growth(some: Sequence[Row]) -> list[float]:
    found = {index: _gaps(some, rival, index) for index in indices}
    return [float(x @ [found[index][seed] for index in indices]) for seed in both]

  at_end = statistics.mean(of_end(judged), pairs.noise_of(judged, lambda some: float(np.mean(of_end(some)))))
  slope = statistics.mean(of_growth(judged), pairs.noise_of(judged, lambda some: float(np.mean(of_growth(some)))))
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


CLAIMS = (
  Claim(
    35,
    'Language modelling by token index',
    'Transformers dominate language modelling because they use long context.',
    'Characters of the embedded text; parameters matched within 2 %, the same tokens, learning rates and seeds; test '
    'loss by the index of the token in its window: the gap between the classical RNN that is best on validation and '
    f'the Transformer, and its slope over the logarithm of the index from the {EARLIEST}th token on.',
    'the Transformer is better at the last indices, and the gap grows with the index',
    f'the RNN ties (within {TIE} nats) or wins at the last indices',
    ('token_index',),
    long_context,
    (
      Plot(
        'Test loss by token index',
        'token_index',
        'loss',
        'index',
        series=('architecture', 'block'),
        baselines=True,
        log_x=True,
        x_label='token index',
        y_label='nats a character',
      ),
    ),
    ('baselines',),
    Quality('token_index', 'loss', 'index', 'token {}', False, TEACHER_FORCED),
    revised='in version 2 the gap grows by its slope over all bands, in place of the last band less the first; the RNN '
    'is the best on validation, in place of that with the lowest loss at the end; and an RNN that ties or wins at the '
    'end contradicts by itself',
    words='"dominate these tasks"; "long-range dependencies"',
    since='2026-11-25 17:36',
    earlier=(
      Rule(
        1,
        FIRST,
        'the Transformer is better at the last indices, and the gap has grown since the first',
        f'the RNN ties (within {TIE} nats) or wins at the last indices, and the gap has not grown',
        long_context_first,
      ),
    ),
  ),
)
