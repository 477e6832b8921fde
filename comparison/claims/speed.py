"""Ratios of times of the best backends, judged over lengths and sizes."""

from collections.abc import Sequence

from comparison.claims.backends import beside, gated, ladder, plain, ratios, spread
from comparison.claims.base import GATED, TRANSFORMER, Verdict, levels, where
from comparison.claims.points import Kind, combine, not_measured, undecided
from comparison.records import Row

GATED_ALONE = '2026-11-29 20:29'  # UTC: the rules since when the Elman network decides no speed
AS_IN_THE_BOX = "the RNN is an LSTM or a GRU, as in the article's box: the plain (Elman) network stands beside it"


def speed_of_training(
  records: Sequence[Row],
  longest: int,
  threshold: float,
  kind: Kind,
  *,
  shortest: int = 0,
  otherwise: float = 1.0,
  recurrent: Sequence[str] = GATED,
) -> Verdict:
  """Judge the ratio of the step times of the best backends, at every length from shortest to longest and size.

  recurrent: the architectures of which the best stands for the RNN.
  """
  rows = [r for r in where(records, 'training_time', 'step_seconds') if shortest <= r['length'] <= longest]
  if not rows:
    lengths = f'{shortest:,}' if shortest == longest else f'{shortest:,} … {longest:,}'
    return not_measured('training_time', f'no length of {lengths}' if shortest else '')
  label = 'RNN ÷ Transformer step time'
  points = ratios(rows, recurrent, [TRANSFORMER], label, threshold, otherwise)
  if not points:
    return undecided('no length was measured for both sides')
  last = max(levels(rows, 'length'))
  text = f'With the best backend of each side, {spread(points)}.'
  text += gated(rows, recurrent, [TRANSFORMER], label)
  rungs = ladder([r for r in rows if r['length'] == last], f'ms at T = {last:,}', 1e3, recurrent=recurrent)
  others = plain(rows, recurrent, [TRANSFORMER], label)
  others += beside(records, 'training_time', 'step_seconds', shortest, longest)
  return combine(points, text, kind=kind, ladder=rungs, beside=others)


def speed_of_reading(
  records: Sequence[Row], low: int, high: int, rnn_first: bool, kind: Kind, recurrent: Sequence[str] = GATED
) -> Verdict:
  """Judge the ratio of the forward times of the best backends, at every length from low to high and every size.

  rnn_first: whether the RNN is the denominator, so that a ratio above 1 favours it. recurrent: the architectures of
  which the best stands for the RNN.
  """
  rows = where(records, 'forward_latency', 'forward_seconds')
  if not rows:
    return not_measured('forward_latency')
  rows = [r for r in rows if low <= r['length'] <= high]
  sides: tuple[Sequence[str], Sequence[str]] = (recurrent, [TRANSFORMER])
  numerator, denominator = sides[::-1] if rnn_first else sides
  label = 'Transformer ÷ RNN latency' if rnn_first else 'RNN ÷ Transformer latency'
  points = ratios(rows, numerator, denominator, label)
  if not points:
    return undecided(f'no length of {low} … {high} was measured for both sides')
  text = f'With the best backend of each side, {spread(points)}.{gated(rows, numerator, denominator, label)}'
  longest = max(levels(rows, 'length'))
  rungs = ladder([r for r in rows if r['length'] == longest], f'ms at T = {longest:,}', 1e3, recurrent=recurrent)
  others = plain(rows, numerator, denominator, label)
  others += beside(records, 'forward_latency', 'forward_seconds', low, high)
  return combine(points, text, kind=kind, ladder=rungs, beside=others)
