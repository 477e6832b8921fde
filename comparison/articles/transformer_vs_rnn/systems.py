"""Claims about systems: bytes of state, of scores, of optimiser and of back-propagation."""

import functools
from collections.abc import Mapping, Sequence

from comparison import statistics
from comparison.claims.base import (
  ELMAN,
  FIRST,
  GATED,
  RECURRENT,
  STATE_BYTES,
  TRANSFORMER,
  Claim,
  Plot,
  Quality,
  Rule,
  Verdict,
  levels,
  seeds,
  show,
  where,
)
from comparison.claims.points import Point, above, below, combine, not_measured, undecided
from comparison.claims.quality import TEACHER_FORCED
from comparison.claims.speed import AS_IN_THE_BOX, GATED_ALONE
from comparison.records import Row
from comparison.statistics import Interval

LENGTH = 2048  # tokens that the claim about the scores names


def negligible_state(records: Sequence[Row], recurrent: Sequence[str] = GATED) -> Verdict:
  rows = where(records, 'state_bytes', 'state_bytes')
  if not rows:
    return not_measured('state_bytes')
  points, beside = [], []
  for size in levels(rows, 'size'):
    here = [r for r in rows if r.get('size') == size and r['length'] == 1000 and r['batch'] == 1]
    cache = [r['value'] for r in here if r['architecture'] == TRANSFORMER and r['backend'] == 'multi-head']
    for row in here:
      if row['architecture'] in (*recurrent, ELMAN) and cache:
        share = Interval.exact(100 * row['value'] / cache[0])
        label = f'state of the {row["architecture"]} at {size:,.0f} parameters, of the cache'
        point = below(label, share, 1.0, unit='%')
        if row['architecture'] in recurrent:
          points.append(point)
        else:
          beside.append(str(point))
  if not points:
    return undecided('no state was measured at 1,000 tokens for both sides')
  points.sort(key=lambda point: -point.interval.value)
  return combine(points, '; '.join(map(str, points)) + ', for one sequence of 1,000 tokens.', beside=tuple(beside))


def score_bytes(records: Sequence[Row]) -> Verdict:
  found = _score_bytes(records)
  if found is None:
    return not_measured('attention_scores')
  shares, text = found
  points = []
  if 'reference' in shares:
    needs = Interval.exact(shares['reference'])
    points.append(above('materialised attention: temporary bytes ÷ scores', needs, 1.0, 0.5, '×'))
    rows = where(records, 'attention_scores', 'temporary_bytes', backend='reference')
    sizes = {r['length']: [r['value']] for r in rows if r['pass'] == 'forward'}
    if len(sizes) > 1:
      slope = statistics.log_slope(sizes)
      points.append(above('materialised attention: temporary bytes ∝ n^p, p', slope, 1.9, 1.5))
  leanest = min(shares, key=lambda backend: shares[backend])
  points.append(above(f'{leanest}: temporary bytes ÷ scores', Interval.exact(shares[leanest]), 0.5, unit='×'))
  return combine(points, text, ladder=_rungs(shares))


def score_bytes_of_leanest(records: Sequence[Row]) -> Verdict:
  """Apply the second rule: the leanest backend alone, at the length that the claim names."""
  found = _score_bytes(records)
  if found is None:
    return not_measured('attention_scores')
  shares, text = found
  leanest = min(shares, key=lambda backend: shares[backend])
  return combine([_within_a_fifth(leanest, shares[leanest])], text, ladder=_rungs(shares))


def score_bytes_first(records: Sequence[Row]) -> Verdict:
  """Apply the first rule: every backend, at the longest length."""
  found = _score_bytes(records, longest=True)
  if found is None:
    return not_measured('attention_scores')
  shares, text = found
  return combine([_within_a_fifth(*share) for share in sorted(shares.items())], text, ladder=_rungs(shares))


def _score_bytes(records: Sequence[Row], longest: bool = False) -> tuple[dict[str, float], str] | None:
  """Return backend → temporary bytes of the forward pass ÷ those of the scores, at one length, and a text."""
  rows = where(records, 'attention_scores', 'temporary_bytes')
  lengths = levels([r for r in rows if r['pass'] == 'forward'], 'length')
  if not lengths:
    return None
  length = LENGTH if LENGTH in lengths and not longest else lengths[-1]
  rows = [r for r in rows if r['length'] == length]
  forward = {r['backend']: r['value'] for r in rows if r['pass'] == 'forward'}
  training = {r['backend']: r['value'] for r in rows if r['pass'] == 'training'}
  expected = rows[0]['formula']
  text = (
    f'Scores of {rows[0]["heads"]} heads at {rows[0]["length"]:,} tokens: {expected / 2**20:,.0f} MiB. Temporaries: '
  )
  text += ', '.join(
    f'{k} {v / 2**20:,.0f} MiB forward, {training.get(k, 0) / 2**20:,.0f} MiB training' for k, v in forward.items()
  )
  return {backend: value / expected for backend, value in forward.items()}, text + '.'


def _within_a_fifth(backend: str, share: float) -> Point:
  return Point(
    f'{backend}: temporary bytes ÷ scores', Interval.exact(share), 0.8 <= share <= 1.2, share < 0.2, '×'
  )  # fmt: skip


def _rungs(shares: Mapping[str, float]) -> tuple[str, ...]:
  return tuple(f'{backend}: {shares[backend]:.3g} × the scores' for backend in sorted(shares, key=lambda b: shares[b]))


def adam_copies(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'optimizer_bytes', 'moment_copies')
  if not rows:
    return not_measured('optimizer_bytes')
  points = []
  for row in rows:
    copies = Interval.exact(row['value'])
    inside = 1.99 <= row['value'] <= 2.01
    points.append(Point(f'{row["architecture"]}: moments ÷ parameters', copies, inside, not inside, '×'))
  text = '; '.join(map(str, points)) + '. The same for both families: it is a fact about Adam, not about Transformers.'
  others = where(records, 'optimizer_bytes', 'activation_copies')
  if others:
    text += ' Activations and other temporaries of a training step ÷ parameters: '
    text += ', '.join(f'{r["architecture"]} {r["value"]:.3g}' for r in others) + '.'
  return combine(points, text)


def bounded_memory(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'truncation', 'temporary_bytes')
  if not rows:
    return not_measured('truncation')
  points, slopes = [], {}
  for method in levels(rows, 'method'):
    values = {r['length']: [r['value']] for r in rows if r['method'] == method}
    if len(values) > 1:
      slopes[method] = statistics.log_slope(values)
  if 'truncated' not in slopes:
    return undecided('fewer than two lengths were measured')
  points.append(below('temporary bytes ∝ T^p with truncation, p', slopes['truncated'], 0.05, 0.5))
  text = f'{points[0]}'
  if 'full' in slopes:
    text += f'; without, p = {show(slopes["full"])}'
  losses = where(records, 'truncation', 'loss')
  if losses:
    text += '. Validation loss by segment: '
    text += ', '.join(
      f'{s}: {show(seeds(r for r in losses if r["segment"] == s), 4)}' for s in levels(losses, 'segment')
    )
    text += ' nats'
  return combine(points, text + '.')


CLAIMS = (
  Claim(
    47,
    'The state of an RNN',
    'The memory that an RNN needs for its state is negligible.',
    'Bytes of the state of one sequence over the bytes of the key/value cache of a Transformer with as many '
    'parameters, at 1,000 tokens.',
    'the state of LSTM and GRU is below 1 % of the cache',
    'above 1 % of the cache',
    ('state_bytes',),
    negligible_state,
    (STATE_BYTES,),
    revised=f'in version 2 {AS_IN_THE_BOX}',
    words='"the hidden state (typically 512-2048 dimensions) is negligible"',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        FIRST,
        'below 1 % of the cache',
        'above 1 % of the cache',
        functools.partial(negligible_state, recurrent=RECURRENT),
      ),
    ),
  ),
  Claim(
    48,
    'Memory of the attention scores',
    'Attention scores take O(n²h) memory, which is substantial at 2,048 tokens and 32 heads.',
    'Temporary bytes that the compiler reports for one attention layer, forward, one sequence of 2,048 tokens and 32 '
    'heads, over the 512 MiB that 134 million float32 scores take; all backends compute the same outputs.',
    'materialised attention needs as many bytes as the scores or more and they grow with an exponent of n ≥ 1.9, and '
    'the leanest backend needs at least half of the scores',
    'materialised attention needs less than half of the scores, or they grow with an exponent below 1.5, and the '
    'leanest backend needs less than half; the leanest alone: mixed (the memory can be avoided)',
    ('attention_scores',),
    score_bytes,
    (
      Plot(
        'Temporaries of one attention layer',
        'attention_scores',
        'temporary_bytes',
        'length',
        series=('backend', 'pass'),
        log_x=True,
        log_y=True,
        x_label='tokens in a sequence',
        y_label='bytes',
      ),
    ),
    revised='in version 2 the leanest backend decides, in place of each of them, at 2,048 tokens, in place of the '
    'longest length; version 3 judges the growth with n² as well, and materialised attention beside the leanest',
    words='"the attention computation requires O(n²h) memory"; "For a 2,048-token sequence with 32 heads, this is '
    'substantial"',
    since='2026-11-29 02:40',
    earlier=(
      Rule(
        1,
        FIRST,
        'at the longest length within 20 % of the scores for every backend',
        'below a fifth of the scores for every backend; for blockwise attention only: mixed',
        score_bytes_first,
      ),
      Rule(
        2,
        '2026-11-25 19:41',
        'the leanest backend needs within 20 % of the scores',
        'the leanest backend needs less than a fifth of them',
        score_bytes_of_leanest,
      ),
    ),
  ),
  Claim(
    50,
    'Copies that Adam keeps',
    'Adam stores two extra copies of the parameters, on top of gradients and activations.',
    'Bytes of the optimiser state over bytes of the parameters, for a Transformer and an LSTM of the same size.',
    '2.00 copies (± 0.01) for both',
    'another number of copies for both',
    ('optimizer_bytes',),
    adam_copies,
    words='"Adam requires two additional copies of parameters"; "activations for backpropagation"',
    definition=True,
    plots=(
      Plot(
        'Bytes of a training step',
        'optimizer_bytes',
        'bytes',
        'part',
        series=('architecture',),
        x_label='',
        y_label='bytes',
      ),
    ),
  ),
  Claim(
    52,
    'Truncated back-propagation',
    'Truncated back-propagation bounds the memory of training an RNN at any length.',
    'Temporary bytes that the compiler reports for training on T tokens, in segments and at once; validation loss over '
    'the length of the segment, at equal tokens and updates.',
    'exponent of T ≤ 0.05 with truncation',
    'exponent of T > 0.5 with truncation',
    ('truncation',),
    bounded_memory,
    (
      Plot(
        'Temporary memory of training on T tokens',
        'truncation',
        'temporary_bytes',
        'length',
        series=('method',),
        log_x=True,
        log_y=True,
        x_label='tokens T',
        y_label='bytes',
      ),
      Plot(
        'Validation loss over the segment',
        'truncation',
        'loss',
        'segment',
        series=('architecture',),
        baselines=True,
        log_x=True,
        x_label='tokens in a segment',
        y_label='nats a character',
      ),
    ),
    ('baselines',),
    Quality('truncation', 'loss', 'segment', 'segment {}', False, TEACHER_FORCED),
    words='"can be truncated to fixed-length segments, bounding memory regardless of total sequence length"',
  ),
)
