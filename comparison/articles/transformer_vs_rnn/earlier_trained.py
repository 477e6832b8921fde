"""Judges of replaced rules about trained models: they bind records that were measured before the present ones."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn.trained_grids import MARGIN
from comparison.claims.base import Claim, Judge, Rule, Verdict, levels, where
from comparison.claims.points import above, combine, not_measured
from comparison.records import Row

COUNTED, SEARCHED, MORE_SEARCHED = '2026-11-29 21:37', '2026-11-30 14:08', '2026-11-30 14:40'
NOISE = 'Intervals of seeds and, by the jackknife over 20 parts of them in their order, of the test examples'


def of_seeds_alone(judge: Judge) -> Judge:
  """Return a judge as it was before the noise of the test examples counted: it reads no scores on parts of them."""
  return lambda records: judge([{**row, 'parts': []} if row.get('parts') else row for row in records])


def counting_noise(claim: Claim) -> Claim:
  """Return a claim with a further rule, which is the same and counts the noise of the test examples."""
  revised = 'counts the noise of the test examples, where rows hold scores on parts of them'
  return _with_rule(claim, of_seeds_alone(claim.judge), COUNTED, f'{NOISE}.', revised)


TWO = 'LSTM and GRU; Transformers of few layers with rotary positions, and of twice as many with more heads and ALiBi'
FOUR = 'LSTM and GRU of two depths; Transformers of two depths, two numbers of heads, three encodings of positions'
OF_TRANSLATION = (
  'LSTM and GRU with attention; Transformers of few layers with sinusoidal positions, and of twice as many with more '
  'heads and rotary ones'
)
# Claim → its forms of a side, how many, and when they were written.
FORMS = {
  23: (FOUR, 4, SEARCHED),
  35: (TWO, 2, MORE_SEARCHED),
  36: (OF_TRANSLATION, 2, MORE_SEARCHED),
  39: (TWO, 2, SEARCHED),
  40: (TWO, 2, SEARCHED),
  41: (FOUR, 4, SEARCHED),
  42: (TWO, 2, SEARCHED),
  43: (TWO, 2, SEARCHED),
}


def searching_forms(claim: Claim) -> Claim:
  """Return a claim with a further rule, which is the same of the best of several forms of each side."""
  forms, count, since = FORMS[claim.number]
  more = f'Either side is the best on validation of {count} forms, in as many trials: {forms}.'
  return _with_rule(claim, claim.judge, since, more, 'searches as many forms of the Transformer as of the RNN')


def _with_rule(claim: Claim, before: Judge, since: str, protocol: str, revised: str) -> Claim:
  """Return a claim with a further rule of the same thresholds. before: the judge of the rule until then."""
  rule = Rule(len(claim.rules), claim.since, claim.supported_if, claim.contradicted_if, before, claim.protocol)
  revised = f'version {rule.version + 1} {revised}'
  return dataclasses.replace(
    claim,
    protocol=f'{claim.protocol} {protocol}',
    revised=f'{claim.revised}; {revised}' if claim.revised else revised,
    since=since,
    earlier=(*claim.earlier, rule),
  )


def bottleneck_at_equal_fit(records: Sequence[Row]) -> Verdict:
  """Apply the first rule of claim 22: the test loss at the lowest training loss that all sizes of the state reach."""
  train, test = (where(records, 'state_sizes', metric) for metric in ('train_loss', 'loss'))
  points = []
  for family in levels(test, 'family'):
    growths = _growths_at_fit([r for r in train if r['family'] == family], [r for r in test if r['family'] == family])
    if len(growths) > 1:
      label = f'{family}, growth of the test loss at equal training loss, from the smallest state to the largest'
      point = above(label, statistics.mean(growths), MARGIN, MARGIN, 'nats')
      p_for = statistics.p_above(np.exp(growths).tolist(), float(np.exp(MARGIN)))
      points.append(dataclasses.replace(point, p_for=p_for))
  if not points:
    return not_measured('state_sizes')
  return combine(points, '; '.join(map(str, points)) + '.', kind='can')


def _growths_at_fit(train: Sequence[Row], test: Sequence[Row]) -> list[float]:
  """Return, for each seed, the growth over the sizes of the test losses at a training loss that all of them reach."""
  of_trial = {(r['seed'], r['state_bytes'], r['learning_rate']): r['value'] for r in test}
  growths = []
  for seed in levels(train, 'seed'):
    curves: dict[int, list[tuple[float, float]]] = {}
    for row in train:
      key = seed, row['state_bytes'], row['learning_rate']
      if row['seed'] == seed and key in of_trial:
        curves.setdefault(row['state_bytes'], []).append((row['value'], of_trial[key]))
    if len(curves) > 1:
      equal = max(min(loss for loss, _ in curve) for curve in curves.values())
      at_equal = {size: float(np.interp(equal, *np.array(sorted(curve)).T)) for size, curve in curves.items()}
      growths.append(growth_over_sizes(at_equal))
  return growths


def growth_over_sizes(losses: Mapping[int, float]) -> float:
  """Return how much a straight line over the logarithm of the sizes, which losses are of, grows over their range."""
  sizes = np.log2(list(losses))
  return float(np.polyfit(sizes, list(losses.values()), 1)[0] * np.ptp(sizes))
