"""Claims about what a device can do: train in months, hold a video, keep up with a large corpus, decode on a phone."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn import earlier
from comparison.articles.transformer_vs_rnn.decoding import DECODING
from comparison.articles.transformer_vs_rnn.gigabytes import (
  CARD,
  CENTRE,
  FRAMES,
  KNOWN,
  PATCHES,
  STORED,
  TRANSFORMER_FORMS,
  VIDEO,
  leanest,
  needed,
)
from comparison.articles.transformer_vs_rnn.little_data import LOSS_BY_SIZE
from comparison.articles.transformer_vs_rnn.scaling import TRAINING
from comparison.articles.transformer_vs_rnn.training_memory import BYTES
from comparison.claims import pairs
from comparison.claims.backends import best, of_one_cell, pick, rivals
from comparison.claims.base import (
  GATED,
  RECURRENT,
  TRANSFORMER,
  Claim,
  Rule,
  Verdict,
  figure,
  grids,
  levels,
  name,
  show,
  tuned,
  where,
)
from comparison.claims.points import Kind, Point, above, below, combine, not_measured, undecided
from comparison.claims.speed import AS_IN_THE_BOX, GATED_ALONE, speed_of_training
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN, REWRITTEN, REVIEWED = '2026-11-29 09:40', '2026-11-29 11:15', '2026-11-29 20:33'
SHORT = 512  # tokens
SLOWER, NOT_SLOWER = 10.0, 5.0  # times, of one sequence length
MONTHS, NO_MONTHS = 10.0, 3.0  # times: from days or weeks to months
FROM, TO = 256, 2048  # tokens of a language model's sequence
BILLION, DAY = 1e9, 86_400  # tokens, seconds
FEWEST_PARAMETERS = 1e6  # of a model that says anything of billions of tokens
PARALLEL_CURVES = 0.02  # nats for ten times the parameters
FLUENT = 50.0  # ms of a token: twenty a second, faster than anyone reads or listens
BEYOND_SHORT = 1000  # tokens


def ten_times_slower(records: Sequence[Row], recurrent: Sequence[str] = GATED, kind: Kind = 'often') -> Verdict:
  verdict = speed_of_training(records, SHORT, SLOWER, kind, shortest=SHORT, otherwise=NOT_SLOWER, recurrent=recurrent)
  rows = where(records, 'training_time', 'step_seconds', length=SHORT)
  shown = [text for regime, grid in grids(rows).items() if (text := _by_backend(grid, regime, recurrent))]
  if len(verdict.points) == 1:
    shown.append('That is the only size that was measured at this length: there is no majority of several.')
  return dataclasses.replace(verdict, text=' '.join(filter(None, (verdict.text, *shown))))


def _by_backend(rows: Sequence[Row], regime: str, recurrent: Sequence[str]) -> str:
  """Return the step time of each RNN over that of the best attention in its cell; empty where a side is missing."""
  cell = of_one_cell(rows, recurrent, (TRANSFORMER,))
  attention = best(row for row in cell if row['architecture'] == TRANSFORMER)
  if attention is None:
    return ''
  rungs = sorted((row for row in cell if row['architecture'] in recurrent), key=lambda row: row['value'])
  shown = ', '.join(f'{name(row)} {figure(row["value"] / attention["value"])}' for row in rungs)
  return f'Each RNN ÷ the best attention ({name(attention)}), {regime}: {shown} ×.'


def days_against_months(records: Sequence[Row], recurrent: Sequence[str] = GATED) -> Verdict:
  rows = [r for r in where(records, 'training_time', 'step_seconds') if FROM <= r['length'] <= TO]
  compared = [r for r in rows if r['architecture'] in (*recurrent, TRANSFORMER)]
  largest = max(levels(compared, 'size'), default=None)
  mine = [r for r in records if r['experiment'] != 'training_time' or r.get('size') == largest]
  verdict = speed_of_training(mine, TO, MONTHS, 'each', shortest=FROM, otherwise=NO_MONTHS, recurrent=recurrent)
  shown = []
  for regime, grid in grids(r for r in compared if r['size'] == largest).items():
    for length in levels(grid, 'length'):
      sides = rivals([r for r in grid if r['length'] == length], recurrent)
      if sides is not None:
        rnn, attention = (f'{name(side.row)} {figure(_days(side.row))}' for side in sides)
        shown.append(f'at T = {length:,}, {regime}: {attention}, {rnn}')
  text = f'Days for a billion tokens at these speeds, {"; ".join(shown)}.' if shown else ''
  note = 'Both sides read as many tokens: how many more or fewer one of them needs for an equal loss is not counted'
  notes = (*verdict.notes, note) if shown else verdict.notes
  return dataclasses.replace(verdict, text=f'{verdict.text} {text}'.strip(), notes=notes)


def _days(row: Row) -> float:
  return row['value'] / (row.get('batch', 1) * row['length']) * BILLION / DAY


def losses_by_size(records: Sequence[Row]) -> Verdict:
  """Judge by how much the gap of the losses grows with every ten times as many parameters, seed by seed."""
  rows = tuned(pairs.own_blocks(where(records, 'small_language_models', 'loss')), 'architecture', 'size')
  if not rows:
    return not_measured('small_language_models')
  gaps: dict[float, dict[object, float]] = {}  # size → seed → what the LSTM loses more
  for size in levels(rows, 'size'):
    found = pairs.paired([r for r in rows if r['size'] == size], TRANSFORMER, 'lstm')
    if found:
      gaps[size] = {seed: lstm - attention for seed, (attention, lstm) in found.items()}
  sizes = sorted(gaps)
  both = [seed for seed in gaps[sizes[0]] if all(seed in gaps[size] for size in sizes)] if sizes else []
  if len(sizes) < 2 or len(both) < pairs.FEWEST:
    return undecided('fewer than two sizes or two seeds were measured for both sides')
  decades = np.log10(sizes)
  slopes = [float(np.polyfit(decades, [gaps[size][seed] for size in sizes], 1)[0]) for seed in both]
  slope, last = statistics.mean(slopes), statistics.mean(list(gaps[sizes[-1]].values()))
  if sizes[-1] < FEWEST_PARAMETERS:
    note = (
      f'With {sizes[0]:,.0f} … {sizes[-1]:,.0f} parameters, the gap grows by {show(slope)} nats with ten times as many'
    )
    missing = not_measured('small_language_models', f'no sizes from {FEWEST_PARAMETERS:,.0f} parameters')
    return dataclasses.replace(missing, notes=(note,))
  point = Point(
    f'growth of the gap LSTM − Transformer with ten times the parameters, {sizes[0]:,.0f} … {sizes[-1]:,.0f}',
    slope,
    supports=slope.low >= PARALLEL_CURVES and last.low > 0,
    contradicts=slope.high < PARALLEL_CURVES,
    unit='nats',
    threshold=PARALLEL_CURVES,
    side=1,
  )
  shown = '; '.join(
    f'{size:,.0f} parameters {figure(statistics.mean(list(gaps[size].values())).value)}' for size in sizes
  )
  notes = (
    'A pilot: "billions of tokens" are not in it. A loss at one budget of updates for all sizes shows what size does, '
    'not what more data do, and the statement is about training time as well',
  )
  ends = f'at the largest size {figure(last.value)} [{figure(last.low)}, {figure(last.high)}]'
  return combine([point], f'{point}. The gap in nats: {shown}; {ends}.', notes=notes)


def hundreds_of_frames(records: Sequence[Row]) -> Verdict:
  points = []
  for size, forms in sorted(needed(records).items()):
    if VIDEO not in forms.get(STORED, {}):
      continue
    judged = [('stored scores', forms[STORED][VIDEO])]
    if best := leanest(forms, TRANSFORMER_FORMS[1:], VIDEO):
      judged.append((f'the leanest exact form ({best[1]})', best[0]))
    for form, gigabytes in judged:
      label = f'GB of training with {form} on {VIDEO:,} tokens, {size:,.0f} parameters'
      points.append(above(label, Interval.exact(gigabytes), CENTRE, CARD, 'GB'))
  if not points:
    return not_measured('training_bytes', f'no Transformer with stored scores and {VIDEO:,} tokens')
  text = 'Fused attention and rematerialisation (remat) compute the same as attention that stores its scores.'
  return combine(points, f'{"; ".join(map(str, points))}. {text}')


def phones(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'decoding', 'token_seconds', batch=1)
  if not rows:
    return not_measured('decoding')
  points = []
  for regime, grid in grids(rows).items():
    lstm = _milliseconds([r for r in grid if r['architecture'] == 'lstm'])
    cached = _milliseconds([r for r in grid if name(r) == f'{TRANSFORMER} cached' and r['position'] > BEYOND_SHORT])
    if lstm and cached:
      slowest = max(lstm, key=lambda position: lstm[position].value)
      label = f'ms of a token, LSTM, {regime}, slowest position ({slowest:,})'
      points.append(below(label, lstm[slowest], FLUENT, unit='ms'))
      for position, time in cached.items():
        points.append(
          above(f'ms of a token, cached Transformer, {regime}, position {position:,}', time, FLUENT, unit='ms')
        )
  if not points:
    return undecided(f'an LSTM and a Transformer behind more than {BEYOND_SHORT:,} tokens were not measured together')
  return combine(points, '; '.join(map(str, points)) + f'. {FLUENT:g} ms a token are {1e3 / FLUENT:g} tokens a second.')


def _milliseconds(rows: Sequence[Row]) -> dict[float, Interval]:
  """Return position → time of a token of the best backend."""
  found = {}
  for position in levels(rows, 'position'):
    chosen = pick(r for r in rows if r['position'] == position)
    if chosen is not None:
      found[position] = statistics.median([1e3 * seconds for seconds in chosen.samples])
  return found


CLAIMS = (
  Claim(
    2,
    'Training speed at 512 tokens',
    'A batch of 512-token sequences often takes an RNN 10 to 20 times as long as a Transformer.',
    f'Interleaved training steps at T = {SHORT}, constant tokens a step; ratio of the best backend of LSTM or GRU to '
    'the best attention backend at every size. All backends are shown beside it, since the statement hangs on which '
    'are meant.',
    f'RNN ÷ Transformer ≥ {SLOWER:g} at more than half of the sizes; the RNN is an LSTM or a GRU',
    f'RNN ÷ Transformer < {NOT_SLOWER:g} at more than half of them',
    ('training_time',),
    ten_times_slower,
    (TRAINING,),
    revised=f'in version 2 {AS_IN_THE_BOX}',
    words='"an entire batch of 512-token sequences", "often taking 10-20x longer"',
    speaks_of='GPUs',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        WRITTEN,
        f'RNN ÷ Transformer ≥ {SLOWER:g} at more than half of the sizes',
        f'RNN ÷ Transformer < {NOT_SLOWER:g} at more than half of them',
        functools.partial(ten_times_slower, recurrent=RECURRENT, kind='counted'),
      ),
    ),
    from_scale='overnight',
  ),
  Claim(
    4,
    'Training on billions of tokens',
    'On billions of tokens a Transformer may train for days or weeks, where an equivalent RNN could take months.',
    'Derived from the time of a training step: ratio of the best backend of LSTM or GRU to the best attention backend '
    f'at the largest size and all lengths from {FROM} to {TO:,}, and the days that a billion tokens take at these '
    'speeds. Both sides read as many tokens, whatever loss they reach. From days to months are ten times and more; '
    'from weeks to months, the least that the words allow, four.',
    f'RNN ÷ Transformer ≥ {MONTHS:g} at every length; the RNN is an LSTM or a GRU',
    f'RNN ÷ Transformer < {NO_MONTHS:g} at every length; some of each: mixed',
    ('training_time',),
    days_against_months,
    (TRAINING,),
    revised=f'in version 2 {AS_IN_THE_BOX}',
    words='"billions of tokens", "might take days or weeks, while an equivalent RNN could require months"',
    speaks_of='GPUs',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        WRITTEN,
        f'RNN ÷ Transformer ≥ {MONTHS:g} at every length',
        f'RNN ÷ Transformer < {NO_MONTHS:g} at every length; some of each: mixed',
        functools.partial(days_against_months, recurrent=RECURRENT),
      ),
    ),
  ),
  Claim(
    37,
    'Large corpora',
    'RNNs cannot scale to massive data sets in reasonable training time.',
    f'Characters of the Penn Treebank, LSTMs and Transformers of several sizes, {FEWEST_PARAMETERS:,.0f} parameters '
    'and more, which take an accelerator; as many updates and learning rates for all, chosen on validation; gap of '
    'the test losses, LSTM − Transformer, over the logarithm of the size, a straight line for every seed. Parallel '
    'curves say that an RNN gains from scale what a Transformer does. A pilot: the data are small.',
    f'the gap grows by {PARALLEL_CURVES} nats or more with ten times the parameters, and is above 0 at the '
    'largest size',
    f'it grows by less than {PARALLEL_CURVES} nats, or shrinks',
    ('small_language_models',),
    losses_by_size,
    (LOSS_BY_SIZE,),
    words='"massive datasets (billions of tokens)"; "simply cannot scale to these dataset sizes in reasonable '
    'training time"',
    since=REWRITTEN,
    from_scale='overnight',
  ),
  Claim(
    45,
    'Hundreds of video frames',
    'Standard Transformers are impractical for video: attention over hundreds of frames exceeds the memory.',
    f'Bytes of parameters, Adam, gradients and temporaries of one training step in float32 on one video of {FRAMES} '
    f'frames of {PATCHES} patches ({VIDEO:,} tokens), compiled and not run, at every size: attention that stores its '
    'scores, without rematerialisation; and the leanest form that computes the same, by fused attention, '
    'rematerialisation or both.',
    f'both are above {CENTRE} GB, the memory of a device of a data centre, at every size',
    f'both are below {CARD} GB, that of a large consumer card, at every size; some above and some below: mixed',
    ('training_bytes',),
    hundreds_of_frames,
    (BYTES,),
    revised='version 2 judges the leanest exact form too, as claim 48 does; version 1 judged stored scores alone; '
    f'{KNOWN}',
    words='"Standard transformers are impractical—attention over hundreds of high-dimensional frames exceeds memory '
    'limits"',
    since=REVIEWED,
    earlier=(
      Rule(
        1,
        WRITTEN,
        'above 80 GB, the memory of a device of a data centre, at every size',
        'below 24 GB, that of a large consumer card, at every size',
        earlier.stored_scores_of_a_video,
      ),
    ),
    from_scale='overnight',
  ),
  Claim(
    49,
    'Inference on a phone',
    'A phone comfortably runs an LSTM, and struggles with a Transformer beyond short sequences.',
    'Greedy decoding, batch 1: time of a token with an LSTM at its slowest position, and with a Transformer and its '
    f'key/value cache at every position beyond {BEYOND_SHORT:,}, at every size, against {FLUENT:g} ms (20 tokens a '
    'second, faster than anyone reads or listens).',
    f'the LSTM takes at most {FLUENT:g} ms everywhere, the Transformer more beyond {BEYOND_SHORT:,} tokens',
    'the LSTM takes more, the Transformer less; both less, or both more: mixed',
    ('decoding',),
    phones,
    (DECODING,),
    words='"A smartphone can comfortably run an LSTM", "struggles with transformer inference for anything beyond short '
    'sequences"',
    speaks_of='phones',
    since=WRITTEN,
  ),
)
