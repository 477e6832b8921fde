"""Claims about the latency of one sequence, by its length."""

import functools
from collections.abc import Sequence

from comparison import statistics
from comparison.articles.transformer_vs_rnn import earlier
from comparison.claims.backends import beside, best_rounds, ladder
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
from comparison.claims.slopes import exponent
from comparison.claims.speed import speed_of_reading
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


def short_latency(records: Sequence[Row]) -> Verdict:
  return speed_of_reading(records, 1, 99, rnn_first=True, kind='can')


def medium_latency(records: Sequence[Row]) -> Verdict:
  return speed_of_reading(records, 100, 1000, rnn_first=False, kind='often')


def long_latency(records: Sequence[Row]) -> Verdict:
  rows = [r for r in where(records, 'forward_latency', 'forward_seconds', architecture=COMPARED) if r['length'] >= 1000]
  if not rows:
    return not_measured('forward_latency')
  points = []
  for regime, grid in grids(rows).items():
    standard = exponent([r for r in grid if r.get('backend') == 'reference'], [TRANSFORMER])
    recurrent = exponent(grid, RECURRENT)
    if standard and recurrent:
      points.append(above(f'time of standard attention from 1,000 tokens on, {regime}: ∝ T^p, p', standard, 1.5, 1.1))
      points.append(below(f'time of the best RNN there, {regime}: ∝ T^p, p', recurrent, 1.1, 1.5))
  if not points:
    return undecided('fewer than two lengths from 1,000 tokens on were measured for both sides')
  text = '; '.join(map(str, points)) + '. The arithmetic stands on any device: 10,000 tokens make 100,000,000 pairs.'
  for regime, grid in grids(rows).items():
    best, by_length = exponent(grid, [TRANSFORMER]), ratios_by_length(records, regime)
    text += f' Best attention, {regime}: ∝ T^{show(best)}.' if best else ''
    if by_length:
      cross = show(statistics.crossing(by_length))
      text += f' The RNN is faster than that from {cross} tokens on (0: at all lengths; inf: at none).'
  longest = max(levels(rows, 'length'))
  rungs = ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3)
  return combine(points, text, ladder=rungs, beside=beside(records, 'forward_latency', 'forward_seconds', low=1000))


def ratios_by_length(records: Sequence[Row], regime: str) -> dict[float, Sequence[float]]:
  """Return length → the ratio of the Transformer's time to the RNN's in each round, with the best backends."""
  grid = grids(where(records, 'forward_latency', 'forward_seconds')).get(regime, [])
  found = {
    length: best_rounds([r for r in grid if r['length'] == length], [TRANSFORMER], RECURRENT)
    for length in levels(grid, 'length')
  }
  return {length: rounds for length, rounds in found.items() if rounds}


CLAIMS = (
  Claim(
    24,
    'Latency below 100 tokens',
    'Under 100 tokens the latency of an RNN can be as good as that of a Transformer, or better.',
    'One sequence (batch 1), forward, T = 8 … 99; ratio of the best attention backend to the best RNN backend.',
    "Transformer ÷ RNN ≥ 1 at one length and size at least, after Holm's correction for looking at all",
    'Transformer ÷ RNN < 1 at every length and size',
    ('forward_latency',),
    short_latency,
    (FORWARD, OTHERS_FORWARD),
    revised='version 2 heeds "can be", which one regime shows; version 1 asked for all of them',
    words='"can be competitive with or faster than transformers"',
    since='2026-11-29 02:40',
    earlier=(
      Rule(
        1,
        FIRST,
        'Transformer ÷ RNN ≥ 1 at every length and size',
        'Transformer ÷ RNN < 1 at every length and size',
        functools.partial(earlier.latency_everywhere, low=1, high=99, rnn_first=True),
      ),
    ),
  ),
  Claim(
    25,
    'Latency from 100 to 1,000 tokens',
    'From 100 to 1,000 tokens the Transformer typically has the lower latency.',
    'One sequence (batch 1), forward, T = 100 … 1,000; ratio of the best RNN backend to the best attention backend.',
    'RNN ÷ Transformer > 1 at more than half of the lengths and sizes',
    'RNN ÷ Transformer < 1 at more than half of them',
    ('forward_latency',),
    medium_latency,
    (FORWARD, OTHERS_FORWARD),
    revised='version 2 heeds "typically", which is a majority; version 1 asked for the whole band',
    words='"transformers typically achieve lower latency", "especially on GPUs where parallelism is fully utilized"',
    since='2026-11-29 02:40',
    earlier=(
      Rule(
        1,
        FIRST,
        'RNN ÷ Transformer > 1 over the whole band',
        'RNN ÷ Transformer < 1 anywhere in the band',
        functools.partial(earlier.latency_everywhere, low=100, high=1000, rnn_first=False),
      ),
    ),
  ),
  Claim(
    26,
    'Latency beyond 1,000 tokens',
    'Beyond 1,000 tokens the quadratic cost of attention bites, while an RNN goes on at the same cost a token.',
    'One sequence (batch 1), forward, from 1,000 tokens on: exponents of T of the time of standard (materialised) '
    'attention and of the best RNN backend; beside them, the length from which the RNN beats the best attention.',
    'the exponent is ≥ 1.5 for standard attention and ≤ 1.1 for the RNN',
    'it is < 1.1 for standard attention and > 1.5 for the RNN',
    ('forward_latency',),
    long_latency,
    (FORWARD, OTHERS_FORWARD),
    revised='version 2 judges the cost of a token, of which the article speaks; version 1 judged a crossing between '
    '1,000 and 2,000 tokens, of which it does not',
    words='"the quadratic complexity of standard transformers creates severe inference challenges"; "each '
    'additional token requires the same computational cost"',
    since='2026-11-29 02:40',
    earlier=(
      Rule(
        1,
        FIRST,
        'the curves of the best backends, and of materialised attention, cross between 1,000 and 2,000 tokens',
        'they cross later, or not up to the longest length measured',
        earlier.crossing_of_latency,
      ),
    ),
  ),
)
