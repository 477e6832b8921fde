"""Verdicts about forms of models: claims 13, 22, 56, 58, 59."""

import itertools
from collections.abc import Sequence

import numpy as np

from tests.independent.verdicts import estimates
from tests.independent.verdicts.estimates import Estimate
from tests.independent.verdicts.outcome import (
  ABSENT,
  UNDECIDED,
  Outcome,
  Regime,
  at_least,
  at_most,
  can,
  each,
  number,
)
from tests.independent.verdicts.reading import TRANSFORMER, Row, at, chosen_on_validation, grouped, of, take, values
from tests.independent.verdicts.trials import BySeed, by_seed, more

MARGIN = 0.02  # nats, or of an accuracy
MEASURES = (('loss', 'language', -1), ('accuracy', 'recall', 1), ('accuracy_longer', 'recall', 1))


def claim_13(rows: Sequence[Row]) -> Outcome:
  scores: list[dict[str, BySeed]] = []  # of each measure: encoding → seed → score, more is better
  for metric, task, sign in MEASURES:
    chosen = chosen_on_validation(take(rows, 'position_encodings', metric, task=task), 'position')
    models = grouped(chosen, lambda row: row['position'])
    if models:
      scores.append({name: {row['seed']: sign * row['value'] for row in own} for name, own in sorted(models.items())})
  if len(scores) < 2:
    return ABSENT
  names = sorted(set().union(*scores))
  pairs = []
  for first, second in itertools.combinations(names, 2):
    found = [more(s[first], s[second]) for s in scores if first in s and second in s]
    ahead = [interval for interval in found if interval and interval.low > MARGIN]
    behind = [interval for interval in found if interval and interval.high < -MARGIN]
    if ahead and behind:
      firmest = max(ahead, key=lambda interval: interval.low)
      pairs.append((min(firmest.low, -min(interval.high for interval in behind)), firmest))
  if pairs:
    return each([Regime('two that beat each other', max(pairs)[1], True, False)])
  for name in names:
    others = [[more(s[name], s[other]) for other in s if other != name] if name in s else [None] for s in scores]
    if all(interval and interval.low >= -MARGIN for of_measure in others for interval in of_measure):
      least = min(others[0], key=lambda interval: interval.low)
      return each([Regime('one that is never worse', least, False, True)])
  return UNDECIDED


def claim_22(rows: Sequence[Row]) -> Outcome:
  train, test = take(rows, 'state_sizes', 'train_loss'), take(rows, 'state_sizes', 'loss')
  found = []
  for family in values(test, 'family'):
    slopes = slopes_over_state(at(train, family=family), at(test, family=family))
    if len(slopes) > 1:
      found.append(at_least(family, estimates.mean(slopes), 1e-9, MARGIN))
  return can(found) if found else ABSENT


def slopes_over_state(train: Sequence[Row], test: Sequence[Row]) -> list[float]:
  """Return, for each seed, the slope over log₂ of the state of the test loss at a training loss that all reach."""
  key = lambda row: (row['seed'], row['state_bytes'], row['learning_rate'])
  tests = {key(row): row['value'] for row in test}
  slopes = []
  for seed in values(train, 'seed'):
    curves = {
      size: np.array(sorted((row['value'], tests[key(row)]) for row in own if key(row) in tests))
      for size, own in grouped(at(train, seed=seed), lambda row: row['state_bytes']).items()
    }
    curves = {size: curve for size, curve in curves.items() if len(curve)}
    if len(curves) > 1:
      equal = max(curve[0, 0] for curve in curves.values())
      y = np.array([np.interp(equal, *curve.T) for curve in curves.values()])
      x = np.log2(list(curves))
      slopes.append(float(np.cov(x, y)[0, 1] / np.var(x, ddof=1)))
  return slopes


def claim_56(rows: Sequence[Row]) -> Outcome:
  losses = chosen_on_validation(take(rows, 'segment_memory', 'loss'), 'architecture', 'length', 'memory')
  own, steps = of(losses, 'transformer_xl'), take(rows, 'segment_memory', 'dependent_steps')
  memories = values(own, 'memory')
  if len(memories) < 2:
    return ABSENT
  lower = [more(by_seed(own, memory=0), by_seed(own, memory=memory)) for memory in memories[1:]]
  found = [at_least('loss without memory − with', interval, MARGIN) for interval in lower if interval]
  if not found or not steps:
    return UNDECIDED
  most = max(row['value'] for row in steps)
  return each([*found, number('dependent steps', most, most <= 1, most > 1)])


def claim_58(rows: Sequence[Row]) -> Outcome:
  found = []
  for task, metric, exact in (
    ('language', 'loss', TRANSFORMER), ('recall', 'accuracy', TRANSFORMER), ('masked', 'loss', 'encoder'),
  ):  # fmt: skip
    scores = chosen_on_validation(take(rows, 'approximations', metric, task=task), 'architecture', 'features')
    models = grouped(scores, lambda row: (row['architecture'], row.get('features') or 0))
    for (name, _), own in sorted(models.items()):
      lost = more(by_seed(own), by_seed(of(scores, exact)))
      if name not in (TRANSFORMER, 'encoder') and lost:
        found.append(at_least(name, lost, -0.02, -0.1) if task == 'recall' else at_most(name, lost, 0.02, 0.1))
  return each(found) if found else ABSENT


def claim_59(rows: Sequence[Row]) -> Outcome:
  key = lambda row: (row['recurrence'], row['attention_layers'])
  losses, scores = (
    {
      model: {row['seed']: row['value'] for row in own}
      for model, own in grouped(
        chosen_on_validation(take(rows, 'attention_shares', metric, task=task), 'recurrence', 'attention_layers'), key
      ).items()
    }
    for metric, task in (('loss', 'language'), ('accuracy', 'recall'))
  )
  state = {key(row): row['state_bytes'] for row in take(rows, 'attention_shares', 'loss', task='language')}
  whole = ('none', 4)
  if whole not in losses:
    return ABSENT
  found = []
  for kind, layers in sorted(model for model in losses if 0 < model[1] < 4):
    mixed, pure = (kind, layers), ((kind, 0), whole)
    costs: list[Estimate | None] = [more(losses[mixed], losses.get(p, {})) for p in pure]
    gains: list[Estimate | None] = [more(scores.get(mixed, {}), scores.get(p, {})) for p in pure]
    if all(costs) and all(gains):
      cost, gain = max(costs, key=lambda c: c.value), min(gains, key=lambda g: g.value)
      share = state[mixed] / state[whole]
      keeps = gain.low >= -MARGIN and cost.high <= MARGIN and share <= 0.5
      loses = gain.high < -MARGIN or cost.low > MARGIN or share > 0.5
      found.append(Regime(f'{kind}, {layers}', cost, keeps, loses))
  return can(found)
