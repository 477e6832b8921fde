"""Claims about the latency of one sequence, by its length."""

import dataclasses
import functools
from collections.abc import Sequence

from comparison import statistics
from comparison.articles.transformer_vs_rnn import earlier
from comparison.claims.backends import PLAIN, beside, best_rounds, ladder
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
  of_others,
  show,
  where,
)
from comparison.claims.points import Kind, above, below, combine, not_measured, undecided
from comparison.claims.slopes import exponent
from comparison.claims.speed import AS_IN_THE_BOX, GATED_ALONE, speed_of_reading
from comparison.records import Row

FORWARD = Plot(
  'Latency of one sequence',
  'forward_latency',
  'forward_seconds',
  'length',
  where={'architecture': COMPARED},
  log_x=True,
  log_y=True,
  x_label='tokens in the sequence',
  y_label='seconds',
)
OTHERS_FORWARD = of_others(FORWARD)


def short_latency(records: Sequence[Row], recurrent: Sequence[str] = GATED) -> Verdict:
  return speed_of_reading(records, 1, 99, rnn_first=True, kind='can', recurrent=recurrent)


def medium_latency(records: Sequence[Row], recurrent: Sequence[str] = GATED, kind: Kind = 'often') -> Verdict:
  verdict = speed_of_reading(records, 100, 1000, rnn_first=False, kind=kind, recurrent=recurrent)
  if verdict.number is None or any(row.get('device') == 'gpu' for row in records):
    return verdict
  note = 'The sentence is about any device, "especially on GPUs": on a GPU it was not measured here'
  return dataclasses.replace(verdict, notes=(*verdict.notes, note))


def long_latency(records: Sequence[Row], recurrent: Sequence[str] = GATED) -> Verdict:
  compared = (*recurrent, TRANSFORMER)
  rows = [r for r in where(records, 'forward_latency', 'forward_seconds', architecture=compared) if r['length'] >= 1000]
  if not rows:
    return not_measured('forward_latency')
  points = []
  for regime, grid in grids(rows).items():
    standard = exponent([r for r in grid if r.get('backend') == 'reference'], [TRANSFORMER])
    rnn = exponent(grid, recurrent)
    if standard and rnn:
      points.append(above(f'time of standard attention from 1,000 tokens on, {regime}: ∝ T^p, p', standard, 1.5, 1.1))
      points.append(below(f'time of the best RNN there, {regime}: ∝ T^p, p', rnn, 1.1, 1.5))
  if not points:
    return undecided('fewer than two lengths from 1,000 tokens on were measured for both sides')
  text = '; '.join(map(str, points)) + '. The arithmetic stands on any device: 10,000 tokens make 100,000,000 pairs.'
  for regime, grid in grids(rows).items():
    best, by_length = exponent(grid, [TRANSFORMER]), ratios_by_length(records, regime, recurrent)
    text += f' Best attention, {regime}: ∝ T^{show(best)}.' if best else ''
    if by_length:
      cross = show(statistics.crossing(by_length))
      text += f' The RNN is faster than that from {cross} tokens on (0: at all lengths; inf: at none).'
  longest = max(levels(rows, 'length'))
  rungs = ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3, recurrent=recurrent)
  others = () if ELMAN in recurrent else _time_of_plain(records)
  others += beside(records, 'forward_latency', 'forward_seconds', low=1000)
  return combine(points, text, ladder=rungs, beside=others)


def _time_of_plain(records: Sequence[Row]) -> tuple[str, ...]:
  rows = where(records, 'forward_latency', 'forward_seconds', architecture=ELMAN)
  slopes = {regime: exponent(of, [ELMAN]) for regime, of in grids(r for r in rows if r['length'] >= 1000).items()}
  return tuple(f'time of the {PLAIN} there, {regime}: ∝ T^p, p {show(p)}' for regime, p in slopes.items() if p)


def ratios_by_length(records: Sequence[Row], regime: str, recurrent: Sequence[str]) -> dict[float, Sequence[float]]:
  """Return length → the ratio of the Transformer's time to the RNN's in each round, with the best backends."""
  grid = grids(where(records, 'forward_latency', 'forward_seconds')).get(regime, [])
  found = {
    length: best_rounds([r for r in grid if r['length'] == length], [TRANSFORMER], recurrent)
    for length in levels(grid, 'length')
  }
  return {length: rounds for length, rounds in found.items() if rounds}


CLAIMS = (
  Claim(
    24,
    'Latency below 100 tokens',
    'Under 100 tokens the latency of an RNN can be as good as that of a Transformer, or better.',
    'One sequence (batch 1), forward, T = 8 … 99; ratio of the best attention backend to the best backend of LSTM or '
    'GRU.',
    "Transformer ÷ RNN ≥ 1 at one length and size at least, after Holm's correction for looking at all; the RNN is an "
    'LSTM or a GRU',
    'Transformer ÷ RNN < 1 at every length and size',
    ('forward_latency',),
    short_latency,
    (FORWARD, OTHERS_FORWARD),
    revised='version 2 heeds "can be", which one regime shows; version 1 asked for all of them; in version 3 '
    f'{AS_IN_THE_BOX}',
    words='"can be competitive with or faster than transformers"',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        FIRST,
        'Transformer ÷ RNN ≥ 1 at every length and size',
        'Transformer ÷ RNN < 1 at every length and size',
        functools.partial(earlier.latency_everywhere, low=1, high=99, rnn_first=True),
      ),
      Rule(
        2,
        '2026-11-29 02:40',
        "Transformer ÷ RNN ≥ 1 at one length and size at least, after Holm's correction for looking at all",
        'Transformer ÷ RNN < 1 at every length and size',
        functools.partial(short_latency, recurrent=RECURRENT),
      ),
    ),
  ),
  Claim(
    25,
    'Latency from 100 to 1,000 tokens',
    'From 100 to 1,000 tokens the Transformer typically has the lower latency.',
    'One sequence (batch 1), forward, T = 100 … 1,000; ratio of the best backend of LSTM or GRU to the best attention '
    'backend.',
    'RNN ÷ Transformer > 1 at more than half of the lengths, every size weighing the same; the RNN is an LSTM or a GRU',
    'RNN ÷ Transformer < 1 at more than half of them',
    ('forward_latency',),
    medium_latency,
    (FORWARD, OTHERS_FORWARD),
    revised='version 2 heeds "typically", which is a majority; version 1 asked for the whole band; in version 3 '
    f'{AS_IN_THE_BOX}, and a size with more lengths than another weighs no more',
    words='"transformers typically achieve lower latency", "especially on GPUs where parallelism is fully utilized"',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        FIRST,
        'RNN ÷ Transformer > 1 over the whole band',
        'RNN ÷ Transformer < 1 anywhere in the band',
        functools.partial(earlier.latency_everywhere, low=100, high=1000, rnn_first=False),
      ),
      Rule(
        2,
        '2026-11-29 02:40',
        'RNN ÷ Transformer > 1 at more than half of the lengths and sizes',
        'RNN ÷ Transformer < 1 at more than half of them',
        functools.partial(medium_latency, recurrent=RECURRENT, kind='counted'),
      ),
    ),
  ),
  Claim(
    26,
    'Latency beyond 1,000 tokens',
    'Beyond 1,000 tokens the quadratic cost of attention bites, while an RNN goes on at the same cost a token.',
    'One sequence (batch 1), forward, from 1,000 tokens on: exponents of T of the time of standard (materialised) '
    'attention and of the best backend of LSTM or GRU; beside them, the length from which that beats the best '
    'attention.',
    'the exponent is ≥ 1.5 for standard attention and ≤ 1.1 for the RNN, an LSTM or a GRU',
    'it is < 1.1 for standard attention and > 1.5 for the RNN',
    ('forward_latency',),
    long_latency,
    (FORWARD, OTHERS_FORWARD),
    revised='version 2 judges the cost of a token, of which the article speaks; version 1 judged a crossing between '
    f'1,000 and 2,000 tokens, of which it does not; in version 3 {AS_IN_THE_BOX}',
    words='"the quadratic complexity of standard transformers creates severe inference challenges"; "each '
    'additional token requires the same computational cost"',
    since=GATED_ALONE,
    earlier=(
      Rule(
        1,
        FIRST,
        'the curves of the best backends, and of materialised attention, cross between 1,000 and 2,000 tokens',
        'they cross later, or not up to the longest length measured',
        earlier.crossing_of_latency,
      ),
      Rule(
        2,
        '2026-11-29 02:40',
        'the exponent is ≥ 1.5 for standard attention and ≤ 1.1 for the RNN',
        'it is < 1.1 for standard attention and > 1.5 for the RNN',
        functools.partial(long_latency, recurrent=RECURRENT),
      ),
    ),
  ),
)
