"""Claims about how the cost grows with the length: sequential steps, training speed, time and memory."""

from collections.abc import Sequence

from comparison.articles.transformer_vs_rnn.earlier import always_trains_faster, quadratic, sequential_steps
from comparison.claims.backends import PARALLEL, beside, ladder, ratios
from comparison.claims.base import (
  COMPARED,
  FIRST,
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Rule,
  Verdict,
  grids,
  levels,
  of_others,
  show,
  where,
)
from comparison.claims.points import above, below, combine, not_measured, undecided
from comparison.claims.slopes import exponent, flattest, quadratic_share
from comparison.claims.speed import speed_of_training
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


def dependent_steps(records: Sequence[Row]) -> Verdict:
  steps = [row for row in where(records, 'training_time', 'sequential_steps') if row.get('backend') != 'cpu']
  if not steps:
    return not_measured('training_time')
  points = []
  for regime, program in grids(steps).items():
    recurrent, attention = flattest(program, RECURRENT), flattest(program, [TRANSFORMER])
    if recurrent and attention:
      points.append(above(f'RNN dependent steps ∝ T^p at {regime}, p', recurrent, 0.9, 0.1))
      points.append(below(f'Transformer dependent steps ∝ T^p at {regime}, p', attention, 0.1, 0.9))
  if not points:
    return undecided('fewer than two lengths were measured for both sides')
  longest = max(levels(steps, 'length'))
  text = f'In the compiled program: {"; ".join(map(str, points))}.'
  times = [r for r in where(records, 'training_time', 'step_seconds') if 64 <= r['length'] <= 1024]
  for regime, rows in grids(times).items():
    slopes = exponent(rows, RECURRENT), exponent(rows, [TRANSFORMER])
    if slopes[0] and slopes[1]:
      text += f' Time of a step at a constant number of tokens, {regime}: ∝ T^{show(slopes[0])} for the RNN, '
      text += f'T^{show(slopes[1])} for the Transformer.'
  parallel = flattest(steps, PARALLEL)
  if parallel:
    text += f' Of an RNN whose gates do not read the state, with a parallel scan: T^{show(parallel)}.'
  rungs = ladder([r for r in steps if r['length'] == longest], f'dependent steps at T = {longest:,}')
  return combine(points, text, ladder=rungs, beside=beside(records, 'training_time', 'step_seconds'))


def trains_faster(records: Sequence[Row]) -> Verdict:
  return speed_of_training(records, 999, DRAMATIC, 'often')


def very_long_training(records: Sequence[Row]) -> Verdict:
  """Judge claim 6: whether an RNN trains faster than a Transformer somewhere from 10,000 tokens on."""
  rows = [r for r in where(records, 'training_time', 'step_seconds') if r['length'] >= 10_000]
  if not rows:
    return not_measured('training_time', 'no sequence of 10,000 tokens')
  label = 'Transformer ÷ RNN step time'
  points = ratios(rows, [TRANSFORMER], RECURRENT, label)
  if not points:
    return undecided('no length from 10,000 tokens on was measured for both sides')
  text = '; '.join(map(str, points)) + '.'
  for regime, grid in grids(where(records, 'training_time', 'step_seconds')).items():
    below_it = ratios([r for r in grid if r['length'] < 10_000], [TRANSFORMER], RECURRENT, label)
    text += f' Below, {regime}: from {below_it[0]} to {below_it[-1]}.' if below_it else ''
  return combine(points, text, kind='can', beside=beside(records, 'training_time', 'step_seconds', low=10_000))


def pairs_cost(records: Sequence[Row]) -> Verdict:
  """Judge claim 10: how much of FLOPs and time is quadratic at the longest length, and how memory grows."""
  rows = [r for r in where(records, 'forward_latency', 'forward_seconds', architecture=COMPARED) if r['length'] >= 256]
  if not rows:
    return not_measured('forward_latency')
  points = []
  for metric, label in (('flops', 'FLOPs (by formula)'), ('forward_seconds', 'time')):
    found = [r for r in where(records, 'forward_latency', metric, architecture=COMPARED) if r['length'] >= 256]
    for regime, grid in grids(found).items():
      for side, architectures in (('attention', [TRANSFORMER]), ('RNN', RECURRENT)):
        share, longest = quadratic_share(grid, architectures)
        if share is not None:
          label_of = f'quadratic share of the {label} of {side} at T = {longest:,}, {regime}'
          points.append(above(label_of, share, 0.5, 0.1) if side == 'attention' else below(label_of, share, 0.1, 0.5))
  for regime, grid in grids(where(records, 'forward_latency', 'temporary_bytes', architecture=COMPARED)).items():
    grid = [r for r in grid if r['length'] > 2048]  # beyond the lengths at which blockwise attention has other blocks
    for side, architectures, backend in (
      ('materialised attention', [TRANSFORMER], 'reference'), ('the leanest attention', [TRANSFORMER], None),
      ('the leanest RNN', RECURRENT, None),
    ):  # fmt: skip
      slope = flattest([r for r in grid if backend in (None, r.get('backend'))], architectures)
      if slope is not None:
        make = below if architectures is RECURRENT else above
        points.append(make(f'temporary bytes of {side} at {regime} ∝ T^p, p', slope, 1.5))
  if len(points) < 3:
    return undecided('needs four lengths from 256 tokens on, which this scale does not have')
  last = max(levels(rows, 'length'))
  memory = [r for r in where(records, 'forward_latency', 'temporary_bytes') if r['length'] == last]
  rungs = ladder(memory, f'MB of temporaries at T = {last:,}', 1e-6)
  return combine(points, 'One sequence, forward: ' + '; '.join(map(str, points)) + '.', ladder=rungs)


CLAIMS = (
  Claim(
    1,
    'Sequential steps of training',
    'Training an RNN on T tokens takes T dependent steps; the depth of a Transformer does not grow with T.',
    'Trip counts of the loops in the compiled training step; exponents of T. Beside it, the time of a step at a '
    'constant number of tokens (batch × T), T = 64 … 1,024, which says how far the device is from waiting for them.',
    'the exponent of the dependent steps is ≥ 0.9 for the RNN and ≤ 0.1 for the Transformer',
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
    'article says, which is about steps: the time says only when a device is saturated',
    words='"requires 512 sequential steps"; "processes all tokens in parallel"',
    since='2026-11-29 02:40',
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
    ),
  ),
  Claim(
    3,
    'Training speed below 1,000 tokens',
    'Below 1,000 tokens a Transformer trains dramatically faster on a GPU than an RNN with as many parameters.',
    'Interleaved training steps at T = 32 … 999, constant tokens a step; ratio of the best RNN backend to the best '
    f'attention backend. "Dramatically" is read as {DRAMATIC:g} times or more.',
    f'RNN ÷ Transformer ≥ {DRAMATIC:g} at more than half of the lengths and sizes',
    'RNN ÷ Transformer < 1 at more than half of them',
    ('training_time',),
    trains_faster,
    (
      TRAINING,
      OTHERS_TRAINING,
    ),
    revised="version 2 heeds the article's words: it speaks of GPUs, of a dramatic difference and of less than 1,000 "
    'tokens, and does not say "always"',
    words='"For sequences under 1,000 tokens, transformers train dramatically faster than RNNs on modern GPUs"',
    speaks_of='GPUs',
    since='2026-11-29 02:40',
    earlier=(
      Rule(
        1,
        FIRST,
        'RNN ÷ Transformer > 1 at every length (32 … 1,024) and size',
        'RNN ÷ Transformer < 1 anywhere',
        always_trains_faster,
      ),
    ),
  ),
  Claim(
    6,
    'Training on very long sequences',
    'At 10,000 tokens and more, an RNN can be the more practical to train.',
    'Interleaved training steps on one sequence of 10,000 tokens or more; ratio of the best attention backend (exact, '
    'without materialised scores) to the best RNN backend.',
    "Transformer ÷ RNN ≥ 1 at one length and size at least, after Holm's correction",
    'Transformer ÷ RNN < 1 at every one of them',
    ('training_time',),
    very_long_training,
    (TRAINING,),
    words='"For sequences of 10,000+ tokens, RNNs’ linear complexity can make training more practical"',
    since='2026-11-29 03:10',
  ),
  Claim(
    10,
    'Scaling with the length',
    'Attention costs O(n²) in time and memory, an RNN O(n).',
    'One sequence, forward: a·T + b·T² through FLOPs and times at four lengths or more from 256 tokens on, of one '
    'backend a side, the fastest at the longest length; exponents above 2,048 tokens of the temporary bytes that the '
    'compiler reports, of materialised attention and of the leanest.',
    'at the longest length half of the cost of attention or more is quadratic and at most a tenth of that of the RNN; '
    'the exponents of the bytes are ≥ 1.5 for attention and ≤ 1.5 for the RNN',
    'at most a tenth of the cost of attention is quadratic, half or more of that of the RNN, and the exponents are on '
    'the other side; some of these: mixed (blockwise attention has linear memory)',
    ('forward_latency',),
    pairs_cost,
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
    revised='version 2 fits a straight and a quadratic part, as an exponent near their crossing is neither, '
    'and leaves out lengths at which blockwise attention changes its blocks, which had looked like growth',
    words='"O(n²) memory and computation complexity"; "RNNs scale linearly"',
    since='2026-11-29 02:40',
    earlier=(
      Rule(
        1,
        FIRST,
        'every exponent of attention (FLOPs, time and bytes above 2,000 tokens) ≥ 1.5 and every exponent of the RNN ≤ '
        '1.5',
        'every exponent is on the other side; some of them: mixed (blockwise attention has linear memory)',
        quadratic,
      ),
    ),
  ),
)
