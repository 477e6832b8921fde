"""Claims about what an architecture can do: recall, reach, order."""

from collections.abc import Sequence

import numpy as np

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


def recall_bottleneck(records: Sequence[Row]) -> Verdict:
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
    7,
    'Recall through a fixed-size state',
    'A state of fixed size is a bottleneck: an RNN recalls only so many things, attention all of them.',
    'Multi-query associative recall (Arora et al. 2023): accuracy over the number of key–value pairs, with the bytes '
    'of state beside; the same learning rates, updates and number of seeds for every architecture; each at its best '
    'learning rate on validation.',
    'at the largest number of pairs attention ≥ 99 % and every RNN < 90 %, of the RNNs that reach '
    '90 % at the fewest above one (the others have not learned the task)',
    'an RNN with no more bytes of state than attention reaches 99 % as well',
    ('recall_capacity',),
    recall_bottleneck,
    (
      Plot(
        'Associative recall',
        'recall_capacity',
        'accuracy',
        'pairs',
        series=('architecture', 'block', 'size'),
        baselines=True,
        log_x=True,
        x_label='key–value pairs',
        y_label='accuracy',
      ),
    ),
    ('baselines',),
    Quality('recall_capacity', 'accuracy', 'pairs', 'pairs = {}', True, NOT_FED_BACK),
    revised='in version 2 an RNN that does not reach 90 % at the fewest pairs above one has not learned the task and '
    'counts for neither side; before, it supported the statement',
    words='"compress the entire sequence history into a fixed-size hidden state vector"; "This bottleneck means '
    'information from early in the sequence must be preserved"',
    since='2026-11-25 17:36',
    earlier=(
      Rule(
        1,
        FIRST,
        'at the largest number of pairs attention ≥ 99 % and every RNN < 90 %, though an RNN reaches 90 % at the '
        'fewest above one',
        'an RNN with no more bytes of state than attention reaches 99 % as well',
        recall_bottleneck_first,
      ),
    ),
  ),
  Claim(
    9,
    'Reach of attention',
    'Attention reaches any distance directly, while what an RNN passes on fades.',
    'Norm of the gradient of the last output with respect to the input at a lag, relative to lag 1; accuracy of '
    'recalling a single key within the training length and beyond it.',
    'attention loses less than 1 decade of gradient at the largest lag, the RNN more than 1, and attention recalls ≥ '
    '99 % within and beyond its training length, where the best trained RNN recalls < 90 %',
    'attention loses more than 1 decade, the RNN less, attention recalls < 90 % and the RNN ≥ 99 %; some of these: '
    'mixed',
    ('reach',),
    direct_reach,
    (
      Plot(
        'Gradient against distance',
        'reach',
        'gradient_decades',
        'lag',
        series=('architecture',),
        log_x=True,
        x_label='lag',
        y_label='log₁₀ of the norm, relative to lag 1',
      ),
      Plot(
        'Recall of one key within and beyond the training length',
        'reach',
        'accuracy',
        'length',
        series=('architecture',),
        baselines=True,
        log_x=True,
        x_label='tokens in a sequence',
        y_label='accuracy',
      ),
    ),
    ('baselines',),
    Quality('reach', 'accuracy', 'length', 'T = {}', True, NOT_FED_BACK),
    revised='in version 2 what the best trained RNN recalls is judged too; before, of trained models only attention',
    words='"can directly attend to any previous position"; "regardless of distance"; "information degrades over '
    'long sequences"',
    since='2026-11-25 17:36',
    earlier=(
      Rule(
        1,
        FIRST,
        'attention loses less than 1 decade of gradient at the largest lag, the RNN more than 1, and attention recalls '
        '≥ 99 % within and beyond its training length',
        'attention loses more than 1 decade, the RNN less, and attention recalls < 90 %',
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
