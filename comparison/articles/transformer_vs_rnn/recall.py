"""The claim that a state of fixed size is a bottleneck of recall."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn import earlier_capability
from comparison.claims.base import FIRST, TRANSFORMER, Claim, Plot, Quality, Rule, Verdict, levels, tuned, where
from comparison.claims.points import Point, combine, not_measured, undecided
from comparison.claims.quality import NOT_FED_BACK
from comparison.records import Row

MIXERS = ('lstm', 'gru', 'linear_transformer', 'gated_deltanet', 'mamba2')  # in the residual block, of fixed state


def recall_bottleneck(records: Sequence[Row]) -> Verdict:
  """Judge how the smallest state that recalls grows with the pairs: an exponent for each mixer, of its best seeds."""
  rows = [row for row in where(records, 'recall_capacity', 'accuracy') if row['pairs'] > 1]  # one needs no key
  if not rows:
    return not_measured('recall_capacity')
  pairs = levels(rows, 'pairs')
  attention = [reached for _, reached in _best_by_width(rows, TRANSFORMER)]
  if not attention:
    return undecided('the accuracy of the Transformer is missing')
  least = {n: max(reached.get(n, 0.0) for reached in attention) for n in pairs}
  text = 'The Transformer recalls ' + ', '.join(f'{share:.3g} of {n} pairs' for n, share in least.items()) + '.'
  if min(least.values()) < 0.99:
    return undecided('the Transformer itself recalls less than 99 % within the updates of this scale', text)
  slopes, censored = [], []
  for name in MIXERS:
    of_widths = _best_by_width(rows, name)
    if len(of_widths) < 2:
      continue
    smallest = {n: min((size for size, best in of_widths if best.get(n, 0.0) >= 0.95), default=0) for n in pairs}
    shown = ', '.join(f'{n} pairs {size / 1024:.3g} KiB' for n, size in smallest.items() if size)
    if min(smallest.values()) and len(pairs) > 1:
      slopes.append(float(np.polyfit(np.log(pairs), np.log(list(smallest.values())), 1)[0]))
      text += f' {name}: {shown}.'
    else:
      top = max(best.get(pairs[0], 0.0) for _, best in of_widths)
      why = f'capacity not reached by the widest state ({shown})' if shown else f'not learned ({top:.2g} at most)'
      censored.append(f'{name}: {why}')
  updates = max(row.get('updates', 0) for row in rows)
  left_out = f'at the cap of {updates:,} updates, {"; ".join(censored)}' if censored else ''
  if len(slopes) < 2:
    reason = 'fewer than two mixers, measured at two widths or more, recall every number of pairs'
    return undecided(f'{reason}; {left_out}' if left_out else reason, text)
  exponent = statistics.mean([round(slope, 12) for slope in slopes])
  label = f'p of the smallest state that recalls, bytes ∝ pairs^p, of {len(slopes)} mixers'
  suffices = not censored and max(slopes) < 1e-9  # the smallest state of all recalls the most pairs
  verdict = combine([Point(label, exponent, exponent.low > 0, suffices or exponent.high < 0)], text)
  if verdict.status == 'undecided' and left_out:
    return dataclasses.replace(verdict, reason=f'{verdict.reason}; {left_out}')
  return dataclasses.replace(verdict, notes=(f'Not in the exponent: {left_out}',)) if left_out else verdict


def _best_by_width(rows: Sequence[Row], architecture: str) -> list[tuple[float, dict[int, float]]]:
  """Return the bytes of state of each width with pairs → accuracy of the best seed at the best learning rate."""
  mine = [r for r in rows if r['architecture'] == architecture and r.get('block', 'residual') == 'residual']
  found: dict[float, dict[int, float]] = {}
  for row in tuned(mine, 'state_bytes'):
    best = found.setdefault(row['state_bytes'], {})
    best[row['pairs']] = max(best.get(row['pairs'], 0.0), row['value'])
  return sorted(found.items())


CLAIMS = (
  Claim(
    7,
    'Recall through a fixed-size state',
    'A state of fixed size is a bottleneck: an RNN recalls only so many things, attention all of them.',
    'Multi-query associative recall (Arora et al. 2023): for five mixers with a state of fixed size, in one block, the '
    'smallest state that recalls 95 % of each number of pairs, of widths from small to large; the same learning '
    'rates, updates and seeds for every model, each width at its best rate on validation. That a state suffices is a '
    'statement of existence: the best seed counts, on both sides.',
    'attention recalls ≥ 99 % of every number of pairs, and the exponent p of the smallest state, bytes ∝ pairs^p, is '
    'above 0 with its whole interval over the mixers that recall every number of pairs, two or more',
    'the smallest state that was measured recalls the largest number of pairs, for every mixer, or the exponent is '
    'below 0; undecided where attention or all mixers but one do not recall so much within the updates',
    ('recall_capacity',),
    recall_bottleneck,
    (
      Plot(
        'Recall of eight pairs over the state',
        'recall_capacity',
        'accuracy',
        'state_bytes',
        series=('architecture', 'block'),
        where={'pairs': (8,)},
        log_x=True,
        x_label='bytes of state of one sequence',
        y_label='accuracy',
      ),
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
    'counts for neither side; before, it supported the statement. In version 3 the width varies until the pairs are '
    'recalled, and the growth of the smallest state that recalls them is judged, in place of the accuracy of one width '
    'at one number of pairs, which the updates limited and not the state',
    words='"compress the entire sequence history into a fixed-size hidden state vector"; "This bottleneck means '
    'information from early in the sequence must be preserved"',
    since='2026-11-29 20:42',
    earlier=(
      Rule(
        1,
        FIRST,
        'at the largest number of pairs attention ≥ 99 % and every RNN < 90 %, though an RNN reaches 90 % at the '
        'fewest above one',
        'an RNN with no more bytes of state than attention reaches 99 % as well',
        earlier_capability.recall_bottleneck_first,
      ),
      Rule(
        2,
        '2026-11-25 17:36',
        'at the largest number of pairs attention ≥ 99 % and every RNN < 90 %, of the RNNs that reach '
        '90 % at the fewest above one (the others have not learned the task)',
        'an RNN with no more bytes of state than attention reaches 99 % as well',
        earlier_capability.recall_bottleneck_second,
      ),
    ),
  ),
)
