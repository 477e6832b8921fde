"""Claims about what an architecture can do: reach and order."""

from collections.abc import Sequence

import numpy as np

from comparison.articles.transformer_vs_rnn import earlier_capability
from comparison.claims.base import (
  COMPARED,
  FIRST,
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Quality,
  Rule,
  Verdict,
  levels,
  seeds,
  selection,
  show,
  tuned,
  where,
)
from comparison.claims.points import Point, above, below, combine, not_measured, undecided
from comparison.claims.quality import NOT_FED_BACK
from comparison.records import Row
from comparison.statistics import Interval

LEARNED = 0.9  # accuracy at the shortest distance, below which an RNN has not learned the task


def direct_reach(records: Sequence[Row]) -> Verdict:
  """Judge the Transformer with the encoding that is best on validation; RNNs beyond the training length."""
  norms = where(records, 'reach', 'gradient_decades', architecture=COMPARED)
  if not norms:
    return not_measured('reach')
  every = where(records, 'reach', 'accuracy', architecture=COMPARED)
  attention, encoding = tuned([r for r in every if r['architecture'] == TRANSFORMER], 'size'), chosen_encoding(records)
  lag = max(levels(norms, 'lag'))
  norms = [r for r in norms if r['lag'] == lag]
  far = {
    a: seeds(same)
    for a in levels(norms, 'architecture')
    if (same := [r for r in norms if r['architecture'] == a and (a != TRANSFORMER or r.get('position') == encoding)])
  }
  recurrent = [a for a in far if a in RECURRENT]
  if TRANSFORMER not in far or not recurrent:
    return undecided('gradient norms are missing for one of the sides')
  least = max(recurrent, key=lambda a: far[a].value)
  name = f'Transformer ({encoding})' if encoding else 'Transformer'
  points = [
    above(f'{name}, decades of gradient at lag {lag} relative to lag 1', far[TRANSFORMER], -1.0),
    below(f'{least}, decades of gradient at lag {lag} relative to lag 1', far[least], -1.0),
  ]
  for row, reached in _by_length(attention):
    points.append(above(f'{name}, {_where(row)}', reached, 0.99, 0.9))
  recalled, unlearned = _of_best_rnn([r for r in every if r['architecture'] in RECURRENT])
  points += recalled
  text = f'Gradient of the last output: {points[0]}; {points[1]}.' + ''.join(f' {point}.' for point in points[2:])
  return combine(points, f'{text}{unlearned}', notes=_of_encodings(every))


def chosen_encoding(records: Sequence[Row]) -> str | None:
  """Return the position encoding with which the Transformer recalls best on validation; None where there is one."""
  found = tuned(where(records, 'reach', 'accuracy', architecture=TRANSFORMER), 'size')
  found = found or where(records, 'reach', 'gradient_decades', architecture=TRANSFORMER)
  return found[0].get('position') if found else None


def _of_best_rnn(rows: Sequence[Row]) -> tuple[list[Point], str]:
  """Return what the best trained RNN recalls beyond the training length; no points and why, if it has not learned."""
  found = tuned(rows, 'architecture', 'size')
  rival = max(found, key=selection, default=None)
  if rival is None:
    return [], ''
  name = rival['architecture']
  recalled = _by_length([r for r in found if r['architecture'] == name])
  nearest, reached = recalled[0]
  if reached.value < LEARNED:
    return [], f' No RNN learned the task: the best, {name}, reaches {show(reached)}, {_where(nearest)}.'
  beyond = [(row, share) for row, share in recalled if row['length'] > row['train_length']]
  return [below(f'{name}, {_where(row)}', share, 0.9, 0.99) for row, share in beyond], ''


def _by_length(rows: Sequence[Row]) -> list[tuple[Row, Interval]]:
  """Return the first row and the mean score at each length of the test, the shortest first."""
  found = [[r for r in rows if r['length'] == length] for length in levels(rows, 'length')]
  return [(same[0], seeds(same)) for same in found]


def _where(row: Row) -> str:
  return f'accuracy at {row["length"] / row["train_length"]:g} × the training length'


def _of_encodings(rows: Sequence[Row]) -> tuple[str, ...]:
  """Return a note on what the Transformer recalls with every encoding; none where there is one."""
  attention = tuned([r for r in rows if r['architecture'] == TRANSFORMER and r.get('position')], 'position', 'size')
  names = levels(attention, 'position')
  if len(names) < 2:
    return ()
  shown = (
    f'{name} ' + ', '.join(show(share) for _, share in _by_length([r for r in attention if r['position'] == name]))
    for name in names
  )
  lengths = ', '.join(f'{length:,}' for length in levels(attention, 'length'))
  return (f'Accuracy of the Transformer at T = {lengths}, by encoding: {"; ".join(shown)}',)


def order_blind(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'order', 'reordering', architecture=TRANSFORMER, position='none')
  if not rows:
    return not_measured('order')
  points = []
  for kind in levels(rows, 'kind'):
    for depth in levels([r for r in rows if r['kind'] == kind], 'depth'):
      values = [r['value'] for r in rows if (r['kind'], r['depth']) == (kind, depth)]
      spread = Interval(float(np.median(values)), min(values), max(values))
      points.append(below(f'{kind}, {depth} layer(s)', spread, 1e-4, 1e-3, 'relative change'))
  sentence = where(records, 'order', 'sentence_pair', architecture=TRANSFORMER)
  text = 'Change of what is read out when the words before are reordered, no positions: '
  text += '; '.join(str(p) for p in points) + '.'
  if sentence:
    pair = ', '.join(f'{r["kind"]}, {r["depth"]} layer(s), {r["position"]}: {r["value"]:.2g}' for r in sentence)
    text += f' The pair "the cat ate the mouse" / "the mouse ate the cat": {pair}.'
  return combine(points, text)


CLAIMS = (
  Claim(
    9,
    'Reach of attention',
    'Attention reaches any distance directly, while what an RNN passes on fades.',
    'Norm of the gradient of the last output with respect to the input at a lag, relative to lag 1; accuracy of '
    'recalling a single key, the first of T tokens, at the last of them, for T within the training length and beyond '
    'it. Transformers with each of four position encodings; learning rates, and the encoding, are chosen by the '
    'accuracy of validation over all these T.',
    'the Transformer with the encoding that is best on validation loses less than 1 decade of gradient at the largest '
    'lag, the RNN more than 1, this Transformer recalls ≥ 99 % within and beyond its training length, and the best '
    'trained RNN < 90 % beyond it',
    'this Transformer loses more than 1 decade, the RNN less, this Transformer recalls < 90 % and the RNN ≥ 99 %; some '
    'of these: mixed. An RNN that recalls < 90 % at the shortest T has not learned the task, and what it recalls '
    'beyond counts for neither side',
    ('reach',),
    direct_reach,
    (
      Plot(
        'Gradient against distance',
        'reach',
        'gradient_decades',
        'lag',
        series=('architecture', 'position'),
        log_x=True,
        x_label='lag',
        y_label='log₁₀ of the norm, relative to lag 1',
      ),
      Plot(
        'Recall of one key within and beyond the training length',
        'reach',
        'accuracy',
        'length',
        series=('architecture', 'position'),
        baselines=True,
        log_x=True,
        x_label='tokens in a sequence, and from the key to the query',
        y_label='accuracy',
      ),
    ),
    ('baselines',),
    Quality('reach', 'accuracy', 'length', 'T = {}', True, NOT_FED_BACK),
    revised='in version 2 what the best trained RNN recalls is judged too; before, of trained models only attention. '
    'In version 3 the Transformer has the position encoding that is best on validation, in place of the rotary one, '
    'every T has one lag, and an RNN is judged beyond the training length, if it has learned the task',
    words='"can directly attend to any previous position"; "regardless of distance"; "information degrades over '
    'long sequences"',
    since='2026-11-29 20:28',
    earlier=(
      Rule(
        1,
        FIRST,
        'attention loses less than 1 decade of gradient at the largest lag, the RNN more than 1, and attention recalls '
        '≥ 99 % within and beyond its training length',
        'attention loses more than 1 decade, the RNN less, and attention recalls < 90 %',
      ),
      Rule(
        2,
        '2026-11-25 17:36',
        'attention loses less than 1 decade of gradient at the largest lag, the RNN more than 1, and attention recalls '
        '≥ 99 % within and beyond its training length, where the best trained RNN recalls < 90 %',
        'attention loses more than 1 decade, the RNN less, attention recalls < 90 % and the RNN ≥ 99 %; some of these: '
        'mixed',
        earlier_capability.direct_reach,
      ),
    ),
  ),
  Claim(
    12,
    'Order without positions',
    'Without position encodings a Transformer cannot tell reorderings of its input apart.',
    'Untrained models (the statement is about the function class): relative change of what is read out when the '
    'earlier tokens are reordered; encoder (outputs compared up to the order) and causal decoder (last output).',
    'the change is below 1e-4 for the encoder and for the causal decoder at every depth',
    'the change is above 1e-3 for both; the decoder only: mixed',
    ('order',),
    order_blind,
    (
      Plot(
        'Change of the output when the input is reordered',
        'order',
        'reordering',
        'depth',
        series=('architecture', 'kind', 'position'),
        log_y=True,
        x_label='layers',
        y_label='relative change',
      ),
    ),
    words='"Without explicit position information, transformers can’t distinguish"; "both generate the same output '
    'without positional encoding"',
  ),
)
