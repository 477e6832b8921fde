"""Claims about batches and throughput."""

from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.claims.backends import pick, rivals
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Rule, Verdict, figure, grids, levels, name, where
from comparison.claims.points import above, below, combine, not_measured, undecided
from comparison.records import Row

WRITTEN = '2026-11-29 03:10'
MANY = 32  # sequences
BATCHES = Plot(
  'Time of a batch',
  'batching',
  'batch_seconds',
  'batch',
  series=('architecture', 'backend', 'size'),
  log_x=True,
  log_y=True,
  x_label='sequences',
  y_label='seconds',
)


def nearly_as_fast(records: Sequence[Row]) -> Verdict:
  return _batch_for_one(records, leaves_room=True)


def nearly_as_fast_first(records: Sequence[Row]) -> Verdict:
  """Apply the first rule: every size counts, whatever one sequence uses of the device."""
  return _batch_for_one(records, leaves_room=False)


def _batch_for_one(records: Sequence[Row], *, leaves_room: bool) -> Verdict:
  rows = where(records, 'batching', 'batch_seconds')
  if not rows:
    return not_measured('batching')
  points, text = [], []
  for regime, grid in grids(rows).items():
    many, one = (pick((r for r in grid if r['batch'] == n), [TRANSFORMER]) for n in (MANY, 1))
    if many and one:
      rounds = statistics.pairwise(many.samples, one.samples)
      at = f'{MANY} sequences ÷ one, of {one.row["length"]:,} tokens, {regime}'
      point = below(f'time of {at}', statistics.median(rounds), 1.5, 3.0, '×')
      used = _share_used(records, one.row)
      text.append(f'{point} (one sequence uses {_used(records, one.row)} of the peak)')
      if not leaves_room or used is None or used < 0.5:
        points.append(point)
  if not text:
    return undecided(f'batches of 1 and {MANY} were not both measured')
  said = '; '.join(text) + '.'
  if not points:
    return undecided('one sequence alone uses half of the peak or more at every size', said)
  return combine(points, said)


def _share_used(records: Sequence[Row], row: Row) -> float | None:
  """Return the share of the device's peak that a row reaches; None where the peak is not known."""
  peaks = [r['value'] for r in where(records, 'batching', 'peak_flops') if r.get('dtype') == row.get('dtype')]
  return row['flops'] / row['value'] / float(np.median(peaks)) if peaks else None


def _used(records: Sequence[Row], row: Row) -> str:
  share = _share_used(records, row)
  return 'an unknown share' if share is None else f'{100 * share:.0f} %'


def gain_of_batching(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'batching', 'batch_seconds')
  if not rows:
    return not_measured('batching')
  points, text = [], []
  for regime, grid in grids(rows).items():
    most = max(levels(grid, 'batch'))
    ends = [rivals([r for r in grid if r['batch'] == n], GATED, (TRANSFORMER,)) for n in (1, most)]
    if most == 1 or None in ends:
      continue
    (rnn_one, attention_one), (rnn_many, attention_many) = ends  # type: ignore[misc]
    gains = [
      most * np.asarray(one.samples[:rounds]) / np.asarray(many.samples[:rounds])
      for one, many in ((attention_one, attention_many), (rnn_one, rnn_many))
      for rounds in [min(len(one.samples), len(many.samples))]
    ]
    count = min(map(len, gains))
    relative = list(gains[0][:count] / gains[1][:count])
    label = f'gain in throughput from a batch of 1 to {most}, Transformer ÷ RNN, {regime}'
    points.append(above(label, statistics.median(relative), 1.0, unit='×', samples=relative))
    gained = ', '.join(
      f'{who} × {figure(float(np.median(gain)))} ({name(many.row)})'
      for who, gain, many in (('Transformer', gains[0], attention_many), ('RNN', gains[1], rnn_many))
    )
    text.append(f'{points[-1]} ({gained})')
  if not points:
    return undecided('a batch of one and a larger one were not measured for both sides')
  return combine(points, '; '.join(text) + '.')


def many_users(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'serving', 'served_token_seconds')
  if not rows:
    return not_measured('serving')
  points, text = [], []
  for regime, grid in grids(rows).items():
    pair = rivals(grid, GATED, (TRANSFORMER,))
    if pair:
      rnn, attention = pair
      rounds = statistics.pairwise(rnn.samples, attention.samples)
      label = f'tokens a second in {rnn.row["memory"] / 1e6:,.0f} MB of state, Transformer ÷ RNN, {regime}'
      points.append(above(label, statistics.median(rounds), 1.0, unit='×', samples=rounds))
    rates = sorted(grid, key=lambda r: r['value'])
    text.append(', '.join(f'{name(r)} {figure(1 / r["value"])} tokens/s with {r["batch"]:,} users' for r in rates))
  if not points:
    return undecided('one of the sides was not measured')
  return combine(points, f'{"; ".join(map(str, points))}. {"; ".join(text)}.')


def hardware(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'batching', 'batch_seconds')
  peaks = where(records, 'batching', 'peak_flops')
  if not rows or not peaks:
    return not_measured('batching')
  points, text = [], []
  for regime, grid in grids(rows).items():
    most = max(levels(grid, 'batch'))
    pair = rivals([r for r in grid if r['batch'] == most], GATED, (TRANSFORMER,))
    if pair:
      rnn, attention = pair
      used = [np.asarray(side.samples) / side.row['flops'] for side in pair]
      count = min(map(len, used))
      relative = list(used[0][:count] / used[1][:count])  # FLOP/s of the Transformer over that of the RNN
      label = f'FLOP/s of the Transformer ÷ RNN, batch {most}, {regime}'
      points.append(above(label, statistics.median(relative), 3.0, 1.0, '×', relative))
      text.append(f'{points[-1]}: {_used(records, attention.row)} against {_used(records, rnn.row)} of the peak')
  if not points:
    return undecided('one of the sides was not measured')
  return combine(points, '; '.join(text) + '.')


CLAIMS = (
  Claim(
    31,
    'A batch for the price of one',
    f'For a Transformer, {MANY} sequences of 256 tokens cost about what one does.',
    f'Forward pass of 256 tokens, batches interleaved: time of {MANY} sequences over the time of one, with the best '
    'backend of each. Sizes count at which one sequence uses less than half of the peak: where it fills the device, '
    'more cannot be free.',
    'at most 1.5 times the time at every size that counts',
    'more than 3 times the time at every size that counts',
    ('batching',),
    nearly_as_fast,
    (BATCHES,),
    revised='version 2 leaves out sizes at which one sequence fills the device',
    words='"nearly as fast as processing one sequence"',
    since='2026-11-29 05:50',
    earlier=(
      Rule(
        1,
        WRITTEN,
        'at most 1.5 times the time at every size',
        'more than 3 times the time at every size',
        nearly_as_fast_first,
      ),
    ),
  ),
  Claim(
    32,
    'What batching gains',
    'RNNs gain less from batching than Transformers.',
    'Forward pass of 256 tokens: sequences a second in the largest batch over those in a batch of one, Transformer '
    'over RNN, best backends.',
    'the Transformer gains more at every size',
    'the RNN gains more at every size',
    ('batching',),
    gain_of_batching,
    (BATCHES,),
    words='"RNNs benefit less from batching"',
    since=WRITTEN,
  ),
  Claim(
    33,
    'Many users',
    'With many concurrent users the throughput of the Transformer often wins.',
    'Decoded tokens a second of all users together, as many users as their states leave room for in a fixed memory, '
    'each after the same context; best of LSTM and GRU against the better of multi-head and multi-query attention.',
    'the Transformer decodes more tokens a second at every size',
    'the RNN decodes more at every size',
    ('serving',),
    many_users,
    (
      Plot(
        'Seconds a token of any user',
        'serving',
        'served_token_seconds',
        'size',
        log_x=True,
        log_y=True,
        x_label='parameters',
        y_label='seconds',
      ),
    ),
    words='"serving many concurrent users"; "often makes them the better choice"',
    since=WRITTEN,
  ),
  Claim(
    54,
    'Utilisation of the hardware',
    'Modern accelerators favour Transformers.',
    'Forward pass of 256 tokens in the largest batch: floating-point operations a second, Transformer over the best of '
    'LSTM and GRU, best backends; as shares of the peak beside it.',
    'the Transformer reaches 3 times as many or more at every size',
    'it reaches fewer at every size',
    ('batching',),
    hardware,
    (BATCHES,),
    words='"optimized for the large matrix multiplications central to transformers"; "don’t fully utilize these '
    'accelerators"',
    speaks_of='GPUs',
    since=WRITTEN,
  ),
)
