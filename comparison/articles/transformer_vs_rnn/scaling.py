"""Claims about how training grows with the length: sequential steps and speed."""

import functools
from collections.abc import Sequence

from comparison.articles.transformer_vs_rnn.earlier import always_trains_faster, sequential_steps
from comparison.claims.backends import PARALLEL, PLAIN, beside, ladder, plain, ratios
from comparison.claims.base import (
  COMPARED,
  ELMAN,
  FIRST,
  GATED,
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Rule,
  Verdict,
  grids,
  levels,
  name,
  of_others,
  show,
  where,
)
from comparison.claims.points import Kind, above, below, combine, not_measured, undecided
from comparison.claims.slopes import exponent, flattest
from comparison.claims.speed import AS_IN_THE_BOX, GATED_ALONE, speed_of_training
from comparison.records import Row

DRAMATIC = 2.0  # times: what the article's "dramatically faster" is read as
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
OTHERS_TRAINING = of_others(TRAINING)


def dependent_steps(records: Sequence[Row], recurrent: Sequence[str] = GATED) -> Verdict:
  steps = [row for row in where(records, 'training_time', 'sequential_steps') if row.get('backend') != 'cpu']
  if not steps:
    return not_measured('training_time')
  points, notes = [], []
  for regime, program in grids(steps).items():
    rnn, attention = flattest(program, recurrent), flattest(program, [TRANSFORMER])
    if rnn and attention:
      points.append(above(f'RNN dependent steps ∝ T^p at {regime}, p', rnn, 0.9, 0.1))
      points.append(below(f'Transformer dependent steps ∝ T^p at {regime}, p', attention, 0.1, 0.9))
      notes += _other_steps(program, regime)
  if not points:
    return undecided('fewer than two lengths were measured for both sides')
  longest = max(levels(steps, 'length'))
  text = f'In the compiled program: {"; ".join(map(str, points))}.'
  times = [r for r in where(records, 'training_time', 'step_seconds') if 64 <= r['length'] <= 1024]
  for regime, rows in grids(times).items():
    slopes = exponent(rows, recurrent), exponent(rows, [TRANSFORMER])
    if slopes[0] and slopes[1]:
      text += f' Time of a step at a constant number of tokens, {regime}: ∝ T^{show(slopes[0])} for the RNN, '
      text += f'T^{show(slopes[1])} for the Transformer.'
  parallel = flattest(steps, PARALLEL)
  if parallel:
    text += f' Of an RNN whose gates do not read the state, with a parallel scan: T^{show(parallel)}.'
  rungs = ladder(
    [r for r in steps if r['length'] == longest], f'dependent steps at T = {longest:,}', recurrent=recurrent
  )
  slopes_of_plain = {} if ELMAN in recurrent else {regime: flattest(of, [ELMAN]) for regime, of in grids(steps).items()}
  others = tuple(f'{PLAIN} dependent steps ∝ T^p at {r}, p: {show(p)}' for r, p in slopes_of_plain.items() if p)
  others += beside(records, 'training_time', 'step_seconds')
  return combine(points, text, ladder=rungs, notes=tuple(notes), beside=others)


def _other_steps(program: Sequence[Row], regime: str) -> list[str]:
  """Say with which backends the dependent steps of the Transformer do grow: its exponent is that of the flattest."""
  notes = []
  mine = [row for row in program if row['architecture'] == TRANSFORMER]
  for series in dict.fromkeys(map(name, mine)):
    line = sorted((row['length'], row['value']) for row in mine if name(row) == series)
    (first, fewest), (last, most) = line[0], line[-1]
    if most > fewest:
      notes.append(
        f'The exponent of the Transformer is that of its flattest backend; with {series}, which computes in blocks, '
        f'{regime}, the dependent steps go from {fewest:,.0f} at T = {first:,} to {most:,.0f} at T = {last:,}'
      )
  return notes


def trains_faster(records: Sequence[Row], recurrent: Sequence[str] = GATED, kind: Kind = 'often') -> Verdict:
  return speed_of_training(records, 999, DRAMATIC, kind, recurrent=recurrent)


def very_long_training(records: Sequence[Row], recurrent: Sequence[str] = GATED) -> Verdict:
  """Judge claim 6: whether an RNN trains faster than a Transformer somewhere from 10,000 tokens on."""
  rows = [r for r in where(records, 'training_time', 'step_seconds') if r['length'] >= 10_000]
  if not rows:
    return not_measured('training_time', 'no sequence of 10,000 tokens')
  label = 'Transformer ÷ RNN step time'
  points = ratios(rows, [TRANSFORMER], recurrent, label)
  if not points:
    return undecided('no length from 10,000 tokens on was measured for both sides')
  text = '; '.join(map(str, points)) + '.'
  for regime, grid in grids(where(records, 'training_time', 'step_seconds')).items():
    below_it = ratios([r for r in grid if r['length'] < 10_000], [TRANSFORMER], recurrent, label)
    text += f' Below, {regime}: from {below_it[0]} to {below_it[-1]}.' if below_it else ''
  others = plain(rows, [TRANSFORMER], recurrent, label)
  others += beside(records, 'training_time', 'step_seconds', low=10_000)
  return combine(points, text, kind='can', beside=others)


CLAIMS = (
  Claim(
    1,
    'Sequential steps of training',
    'Training an RNN on T tokens takes T dependent steps; the depth of a Transformer does not grow with T.',
    'Trip counts of the loops in the compiled training step; exponents of T, of the flattest backend a side. Beside '
    'it, the time of a step at a constant number of tokens (batch × T), T = 64 … 1,024, which says how far the device '
    'is from waiting for them.',
    'the exponent of the dependent steps is ≥ 0.9 for the RNN, an LSTM or a GRU, and ≤ 0.1 for the Transformer',
    'it is ≤ 0.1 for the RNN and ≥ 0.9 for the Transformer',
    ('training_time',),
    dependent_steps,
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
    revised='version 2 leaves out backends in C++, whose loops are not in the program; version 3 judges what the '
    f'article says, which is about steps: the time says only when a device is saturated; in version 4 {AS_IN_THE_BOX}',
    words='"requires 512 sequential steps"; "processes all tokens in parallel"',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        FIRST,
        'dependent steps: exponent ≥ 0.9 for the RNN and ≤ 0.1 for the Transformer; time: ≥ 0.5 for the RNN and ≤ 0.25 '
        'for the Transformer',
        'the exponents of the two sides are those of the other side (steps 0.1 / 0.9, time 0.25 / 0.5)',
      ),
      Rule(
        2,
        '2026-11-25 22:03',
        'dependent steps, of backends that are not in C++: exponent ≥ 0.9 for the RNN and ≤ 0.1 for the Transformer; '
        'time: ≥ 0.5 for the RNN and ≤ 0.25 for the Transformer',
        'the exponents of the two sides are those of the other side (steps 0.1 / 0.9, time 0.25 / 0.5)',
        sequential_steps,
      ),
      Rule(
        3,
        '2026-11-29 02:40',
        'the exponent of the dependent steps is ≥ 0.9 for the RNN and ≤ 0.1 for the Transformer',
        'it is ≤ 0.1 for the RNN and ≥ 0.9 for the Transformer',
        functools.partial(dependent_steps, recurrent=RECURRENT),
      ),
    ),
  ),
  Claim(
    3,
    'Training speed below 1,000 tokens',
    'Below 1,000 tokens a Transformer trains dramatically faster on a GPU than an RNN with as many parameters.',
    'Interleaved training steps at T = 32 … 999, constant tokens a step; ratio of the best backend of LSTM or GRU to '
    f'the best attention backend. "Dramatically" is read as {DRAMATIC:g} times or more.',
    f'RNN ÷ Transformer ≥ {DRAMATIC:g} at more than half of the lengths, every size weighing the same; the RNN is an '
    'LSTM or a GRU',
    'RNN ÷ Transformer < 1 at more than half of them',
    ('training_time',),
    trains_faster,
    (
      TRAINING,
      OTHERS_TRAINING,
    ),
    revised="version 2 heeds the article's words: it speaks of GPUs, of a dramatic difference and of less than 1,000 "
    f'tokens, and does not say "always"; in version 3 {AS_IN_THE_BOX}, and a size with more lengths than another '
    'weighs no more',
    words='"For sequences under 1,000 tokens, transformers train dramatically faster than RNNs on modern GPUs"',
    speaks_of='GPUs',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        FIRST,
        'RNN ÷ Transformer > 1 at every length (32 … 1,024) and size',
        'RNN ÷ Transformer < 1 anywhere',
        always_trains_faster,
      ),
      Rule(
        2,
        '2026-11-29 02:40',
        f'RNN ÷ Transformer ≥ {DRAMATIC:g} at more than half of the lengths and sizes',
        'RNN ÷ Transformer < 1 at more than half of them',
        functools.partial(trains_faster, recurrent=RECURRENT, kind='counted'),
      ),
    ),
  ),
  Claim(
    6,
    'Training on very long sequences',
    'At 10,000 tokens and more, an RNN can be the more practical to train.',
    'Interleaved training steps on one sequence of 10,000 tokens or more; ratio of the best attention backend (exact, '
    'without materialised scores) to the best backend of LSTM or GRU.',
    "Transformer ÷ RNN ≥ 1 at one length and size at least, after Holm's correction; the RNN is an LSTM or a GRU",
    'Transformer ÷ RNN < 1 at every one of them',
    ('training_time',),
    very_long_training,
    (TRAINING,),
    revised=f'in version 2 {AS_IN_THE_BOX}',
    words='"For sequences of 10,000+ tokens, RNNs’ linear complexity can make training more practical"',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        '2026-11-29 03:10',
        "Transformer ÷ RNN ≥ 1 at one length and size at least, after Holm's correction",
        'Transformer ÷ RNN < 1 at every one of them',
        functools.partial(very_long_training, recurrent=RECURRENT),
      ),
    ),
  ),
)
