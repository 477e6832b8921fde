"""Claims about optimisation: gradients through time."""

from collections.abc import Sequence

from comparison.claims.base import FIRST, GATED, RECURRENT, Claim, Plot, Rule, Verdict, levels, seeds, where
from comparison.claims.points import Point, combine, not_measured, undecided
from comparison.records import Row

LAG = 200


def gradients_vanish(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'gradient_flow', 'decades', architecture=RECURRENT)
  if not rows:
    return not_measured('gradient_flow')
  rows = [r for r in rows if r['lag'] == LAG]
  if not rows:
    return undecided(f'no lag of {LAG} steps at this scale')
  points = []
  for architecture in levels(rows, 'architecture'):
    for update in levels(rows, 'update'):
      here = [r for r in rows if (r['architecture'], r['update']) == (architecture, update)]
      if not here:
        continue
      size = seeds([{**r, 'value': abs(r['value'])} for r in here])  # vanished or exploded: seeds must not cancel out
      supports = size.low > (1.0 if architecture in GATED else 4.0)
      vanished = sum(r['value'] < 0 for r in here)
      what = {0: 'exploded', len(here): 'vanished'}.get(vanished, f'vanished ({vanished} of {len(here)}) or exploded')
      label = f'{architecture} after {update} updates: {what} by'
      points.append(Point(label, size, supports, size.high < 1.0, 'decades'))
  text = f'Norm of the product of the Jacobians over {LAG} steps: ' + '; '.join(str(p) for p in points) + '.'
  return combine(points, text)


CLAIMS = (
  Claim(
    14,
    'Gradients through time',
    'Gradients that flow back through an RNN vanish or explode.',
    'Norm of the product of the Jacobians of the state, one step to the next, over up to 200 steps of text; freshly '
    'initialised and after some training on that text.',
    'more than 4 decades lost or gained at 200 steps for the plain RNN, and more than 1 for LSTM and GRU, at every '
    'stage',
    'less than 1 decade for every architecture; for the gated ones only: mixed',
    ('gradient_flow',),
    gradients_vanish,
    (
      Plot(
        'Gradient through time',
        'gradient_flow',
        'decades',
        'lag',
        series=('architecture', 'update'),
        x_label='steps back',
        y_label='log₁₀ of the norm of ∂h_T/∂h_t',
      ),
    ),
    revised='in version 2 decades count whether lost or gained in each seed; before, a seed that vanished and one that '
    'exploded cancelled out',
    words='"RNNs suffer from vanishing and exploding gradient problems"; "LSTM/GRU gating mechanisms that mitigate '
    'this issue"',
    since='2026-11-25 17:36',
    earlier=(
      Rule(
        1,
        FIRST,
        'on average over the seeds more than 4 decades lost or gained at 200 steps for the plain RNN, and more than 1 '
        'for LSTM and GRU, at every stage',
        'less than 1 decade for every architecture; for the gated ones only: mixed',
      ),
    ),
  ),
)
