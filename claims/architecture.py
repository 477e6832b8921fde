"""Claims about architecture and memory: sequential steps, recall, reach, scaling, order."""

from collections.abc import Sequence

import numpy as np

from claims import statistics
from claims.base import (
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Point,
  Verdict,
  above,
  below,
  best,
  best_ratio,
  combine,
  grids,
  ladder,
  levels,
  name,
  not_measured,
  samples,
  seeds,
  show,
  tuned,
  undecided,
  where,
)
from claims.statistics import Interval
from records import Row

COMPARED = (*RECURRENT, TRANSFORMER)


def exponent(rows: Sequence[Row], architectures: Sequence[str], column: str = 'length') -> Interval | None:
  """Log-log slope over `column` of the best backend at every point; None with fewer than two points."""
  points: dict[float, Sequence[float]] = {}
  for x in levels(rows, column):
    row = best(r for r in rows if r[column] == x and r.get('architecture') in architectures)
    if row is not None:
      points[x] = samples(row)
  return statistics.log_slope(points) if len(points) > 1 else None


def flattest(rows: Sequence[Row], architectures: Sequence[str]) -> Interval | None:
  """The smallest log-log slope of any one backend, for numbers that the compiler gives exactly."""
  slopes = []
  for series in levels([{'series': name(r)} for r in rows if r.get('architecture') in architectures], 'series'):
    values = {r['length']: [max(1.0, r['value'])] for r in rows if name(r) == series}
    if len(values) > 1:
      slopes.append(statistics.log_slope(values))
  return min(slopes, default=None)


def sequential_steps(records: Sequence[Row]) -> Verdict:
  steps = where(records, 'training_time', 'sequential_steps')
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
  chain = tuple(
    f'{name(r)}: {r["value"]:,.0f} dependent steps at T = {longest}, {r.get("size", 0):,.0f} parameters'
    for r in steps
    if r['length'] == longest
  )
  return combine(points, text, ladder=tuple(dict.fromkeys(chain)))


def trains_faster(records: Sequence[Row]) -> Verdict:
  rows = [r for r in where(records, 'training_time', 'step_seconds') if r['length'] <= 1024]
  if not rows:
    return not_measured('training_time')
  points = []
  for regime, grid in grids(rows).items():
    for length in levels(grid, 'length'):
      ratio = best_ratio([r for r in grid if r['length'] == length], RECURRENT, [TRANSFORMER])
      if ratio:
        points.append(above(f'RNN ÷ Transformer step time at T = {length}, {regime}', ratio, 1.0, unit='×'))
  if not points:
    return undecided('no length was measured for both sides')
  points.sort(key=lambda point: point.interval.value)
  longest = max(levels(rows, 'length'))
  text = f'The ratio of the best backends goes from {points[0]} to {points[-1]}.'
  return combine(points, text, universal=True, ladder=ladder([r for r in rows if r['length'] == longest], 'ms', 1e3))


def recall_bottleneck(records: Sequence[Row]) -> Verdict:
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
  for group in learned:
    accuracy, fits = seeds(group), group[0]['state_bytes'] <= limit
    label = f'accuracy of {group[0]["architecture"]} ({group[0]["block"]}) at {pairs} pairs'
    points.append(Point(label, accuracy, accuracy.high < 0.9, fits and accuracy.low >= 0.99))
  points.sort(key=lambda point: -point.interval.value)
  return combine(points, text, universal=True)


def direct_reach(records: Sequence[Row]) -> Verdict:
  norms = where(records, 'reach', 'gradient_decades', architecture=COMPARED)
  accuracy = tuned(where(records, 'reach', 'accuracy', architecture=COMPARED), 'architecture', 'size')
  if not norms:
    return not_measured('reach')
  lag = max(levels(norms, 'lag'))
  far = {a: seeds(r for r in norms if (r['architecture'], r['lag']) == (a, lag)) for a in levels(norms, 'architecture')}
  recurrent = [a for a in far if a in RECURRENT]
  if TRANSFORMER not in far or not recurrent:
    return undecided('gradient norms are missing for one of the sides')
  least = max(recurrent, key=lambda a: far[a].value)
  points = [
    above(f'Transformer, decades of gradient at lag {lag} relative to lag 1', far[TRANSFORMER], -1.0),
    below(f'{least}, decades of gradient at lag {lag} relative to lag 1', far[least], -1.0),
  ]
  rival = max(
    (r for r in accuracy if r['architecture'] in RECURRENT), key=lambda r: r.get('selection', 0), default=None
  )
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
  memory = [r for r in found['temporary_bytes'] if r['length'] == longest]
  return combine(points, text, ladder=ladder(memory, f'MB of temporaries at T = {longest}', 1e-6))


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
      Plot(
        'Training step at a constant number of tokens',
        'training_time',
        'step_seconds',
        'length',
        log_x=True,
        log_y=True,
        x_label='tokens in a sequence',
        y_label='seconds a step',
      ),
      Plot(
        'Dependent steps in the compiled program',
        'training_time',
        'sequential_steps',
        'length',
        log_x=True,
        log_y=True,
        x_label='tokens in a sequence',
        y_label='dependent steps',
      ),
    ),
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
      Plot(
        'Training step at a constant number of tokens',
        'training_time',
        'step_seconds',
        'length',
        log_x=True,
        log_y=True,
        x_label='tokens in a sequence',
        y_label='seconds a step',
      ),
    ),
  ),
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
        log_x=True,
        x_label='key–value pairs',
        y_label='accuracy',
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
        log_x=True,
        x_label='tokens in a sequence',
        y_label='accuracy',
      ),
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
  ),
)
