"""The claim about the cost of all pairs: how much of FLOPs, time and memory is quadratic."""

import functools
from collections.abc import Sequence

from comparison.articles.transformer_vs_rnn.earlier import quadratic
from comparison.claims.backends import PLAIN, ladder
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
  show,
  where,
)
from comparison.claims.points import above, below, combine, not_measured, undecided
from comparison.claims.slopes import flattest, quadratic_share
from comparison.claims.speed import AS_IN_THE_BOX, GATED_ALONE
from comparison.records import Row

PARTS = (('flops', 'FLOPs (by formula)'), ('forward_seconds', 'time'))
SHORTEST = 256  # tokens
OTHER_BLOCKS = 2048  # tokens, up to which blockwise attention has other blocks


def pairs_cost(records: Sequence[Row], recurrent: Sequence[str] = GATED) -> Verdict:
  """Judge claim 10: how much of FLOPs and time is quadratic at the longest length, and how memory grows."""
  compared = (*recurrent, TRANSFORMER)
  rows = [
    r for r in where(records, 'forward_latency', 'forward_seconds', architecture=compared) if r['length'] >= SHORTEST
  ]
  if not rows:
    return not_measured('forward_latency')
  points = []
  for metric, label in PARTS:
    found = [r for r in where(records, 'forward_latency', metric, architecture=compared) if r['length'] >= SHORTEST]
    for regime, grid in grids(found).items():
      for side, architectures in (('attention', [TRANSFORMER]), ('RNN', recurrent)):
        share, longest = quadratic_share(grid, architectures)
        if share is not None:
          label_of = f'quadratic share of the {label} of {side} at T = {longest:,}, {regime}'
          points.append(above(label_of, share, 0.5, 0.1) if side == 'attention' else below(label_of, share, 0.1, 0.5))
  for regime, grid in grids(where(records, 'forward_latency', 'temporary_bytes', architecture=compared)).items():
    grid = [r for r in grid if r['length'] > OTHER_BLOCKS]
    for side, architectures, backend in (
      ('materialised attention', [TRANSFORMER], 'reference'), ('the leanest attention', [TRANSFORMER], None),
      ('the leanest RNN', recurrent, None),
    ):  # fmt: skip
      slope = flattest([r for r in grid if backend in (None, r.get('backend'))], architectures)
      if slope is not None:
        make = below if architectures is recurrent else above
        points.append(make(f'temporary bytes of {side} at {regime} ∝ T^p, p', slope, 1.5))
  if len(points) < 3:
    return undecided('needs four lengths from 256 tokens on, which this scale does not have')
  last = max(levels(rows, 'length'))
  memory = [r for r in where(records, 'forward_latency', 'temporary_bytes') if r['length'] == last]
  rungs = ladder(memory, f'MB of temporaries at T = {last:,}', 1e-6, recurrent=recurrent)
  others = () if ELMAN in recurrent else _costs_of_plain(records)
  return combine(points, 'One sequence, forward: ' + '; '.join(map(str, points)) + '.', ladder=rungs, beside=others)


def _costs_of_plain(records: Sequence[Row]) -> tuple[str, ...]:
  """Return lines on the same numbers of the Elman network."""
  lines = []
  for metric, label in PARTS:
    found = [r for r in where(records, 'forward_latency', metric, architecture=ELMAN) if r['length'] >= SHORTEST]
    for regime, grid in grids(found).items():
      share, longest = quadratic_share(grid, [ELMAN])
      if share is not None:
        lines.append(f'quadratic share of the {label} of the {PLAIN} at T = {longest:,}, {regime}: {show(share)}')
  for regime, grid in grids(where(records, 'forward_latency', 'temporary_bytes', architecture=ELMAN)).items():
    slope = flattest([r for r in grid if r['length'] > OTHER_BLOCKS], [ELMAN])
    if slope is not None:
      lines.append(f'temporary bytes of the {PLAIN} at {regime} ∝ T^p, p: {show(slope)}')
  return tuple(lines)


CLAIMS = (
  Claim(
    10,
    'Scaling with the length',
    'Attention costs O(n²) in time and memory, an RNN O(n).',
    'One sequence, forward: a·T + b·T² through FLOPs and times at four lengths or more from 256 tokens on, of one '
    'backend a side, the fastest at the longest length; exponents above 2,048 tokens of the temporary bytes that the '
    'compiler reports, of materialised attention and of the leanest.',
    'at the longest length half of the cost of attention or more is quadratic and at most a tenth of that of the RNN; '
    'the exponents of the bytes are ≥ 1.5 for attention and ≤ 1.5 for the RNN, an LSTM or a GRU',
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
    'and leaves out lengths at which blockwise attention changes its blocks, which had looked like growth; in '
    f'version 3 {AS_IN_THE_BOX}',
    words='"O(n²) memory and computation complexity"; "RNNs scale linearly"',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        FIRST,
        'every exponent of attention (FLOPs, time and bytes above 2,000 tokens) ≥ 1.5 and every exponent of the RNN ≤ '
        '1.5',
        'every exponent is on the other side; some of them: mixed (blockwise attention has linear memory)',
        quadratic,
      ),
      Rule(
        2,
        '2026-11-29 02:40',
        'at the longest length half of the cost of attention or more is quadratic and at most a tenth of that of the '
        'RNN; the exponents of the bytes are ≥ 1.5 for attention and ≤ 1.5 for the RNN',
        'at most a tenth of the cost of attention is quadratic, half or more of that of the RNN, and the exponents are '
        'on the other side; some of these: mixed (blockwise attention has linear memory)',
        functools.partial(pairs_cost, recurrent=RECURRENT),
      ),
    ),
  ),
)
