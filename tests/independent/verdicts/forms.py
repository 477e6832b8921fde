"""Verdicts about forms of models: claims 13, 22, 56, 58, 59."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.independent.verdicts import estimates
from tests.independent.verdicts.estimates import Estimate, p_value
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
from tests.independent.verdicts.trials import BySeed, by_seed, more, noise_of_scores, scored

MARGIN = 0.02  # nats, or of an accuracy
LEARNED = 0.95  # accuracy of recall
MEASURES = (('loss', 'language', -1), ('accuracy', 'recall', 1), ('accuracy_longer', 'recall', 1))
Scores = dict[str, dict[str, BySeed]]  # of each measure: encoding → seed → score, more is better


def average(scores: BySeed) -> float:
  return sum(scores.values()) / len(scores)


def recalls(accuracy: BySeed | None) -> bool:
  return bool(accuracy) and average(accuracy) >= LEARNED


def claim_13(rows: Sequence[Row]) -> Outcome:
  """Seeds 0 and 1 say which two encodings are compared, and which one with all; the others decide."""
  every: Scores = {}
  for metric, task, sign in MEASURES:
    chosen = chosen_on_validation(take(rows, 'position_encodings', metric, task=task), 'position')
    models = grouped(chosen, lambda row: row['position'])
    if models:
      every[metric] = {
        name: {row['seed']: scored(row) if sign > 0 else -scored(row) for row in own}
        for name, own in sorted(models.items())
      }
  if 'loss' not in every or 'accuracy' not in every:
    return ABSENT
  if not any(recalls(accuracy) for accuracy in every['accuracy'].values()):
    return UNDECIDED
  early, late = (
    {
      metric: {name: kept for name, own in models.items() if (kept := {s: own[s] for s in own if (s < 2) == is_early})}
      for metric, models in every.items()
    }
    for is_early in (True, False)
  )
  crossing = crossing_of(early, late)
  if crossing and all(regime.supports for regime in crossing):
    return each(crossing)
  everywhere = sorted(set.intersection(*(set(models) for models in early.values() if models)))
  lag = lambda name: max(max(map(average, m.values())) - average(m[name]) for m in early.values() if m)
  if not everywhere:
    return UNDECIDED
  best = min(everywhere, key=lag)
  leads = [more(m.get(best, {}), own) for m in late.values() for name, own in m.items() if name != best]
  if leads and all(lead and lead.low >= -MARGIN for lead in leads):
    return each([Regime('one that is never worse', min(leads, key=lambda lead: lead.low), False, True)])
  return UNDECIDED


def crossing_of(early: Scores, late: Scores) -> list[Regime]:
  """Return by how much the best at language and the best at recall are ahead of each other there."""
  pairs = []
  for metric in ('accuracy', 'accuracy_longer'):
    language, recall = early['loss'], early.get(metric, {})
    names = sorted(set(language) & set(recall))
    if len(names) > 1:
      talker = max(names, key=lambda name: average(language[name]))
      caller = max(names, key=lambda name: average(recall[name]))
      leads = [average(m[a]) - average(m[b]) for m, a, b in ((language, talker, caller), (recall, caller, talker))]
      pairs += [(min(leads), metric, talker, caller)] if talker != caller else []
  if not pairs:
    return []
  _, metric, talker, caller = max(pairs, key=lambda pair: pair[0])
  score = lambda measure, name: late.get(measure, {}).get(name, {})
  ahead = more(score('loss', talker), score('loss', caller)), more(score(metric, caller), score(metric, talker))
  return [at_least('ahead', lead, MARGIN) for lead in ahead if lead] if all(ahead) else []


def p_more(first: BySeed, second: BySeed, threshold: float) -> float:
  """Return the p-value of "the first has no more than `threshold` more", by Student's t over the seeds of both."""
  both = sorted(set(first) & set(second))
  gaps = [first[seed] - second[seed] for seed in both]
  return p_value([math.exp(gap) for gap in gaps], math.exp(threshold), above=True, noise=noise_of_scores(gaps))


def claim_22_stopped_early(rows: Sequence[Row]) -> Outcome:
  """Judge the test losses of the updates that were best on validation, at the learning rates that were."""
  chosen = chosen_on_validation(take(rows, 'state_sizes', 'loss'), 'family', 'state_bytes')
  found = [growing(name, own, growths_over_state) for name, own in sorted(grouped(chosen, _family).items())]
  regimes = [regime for regime in found if regime]
  return can(regimes) if regimes else ABSENT


def _family(row: Row) -> str:
  return row['family']


def growing(label: str, rows: Sequence[Row], growths_of: Callable[[Sequence[Row]], list[float]]) -> Regime | None:
  """Return the mean growth as a regime; None with fewer than two seeds."""
  growths = growths_of(rows)
  if len(growths) < 2:
    return None
  noise = estimates.noise_of(rows, lambda some: sum(growths_of(some)) / len(growths))
  firm = p_value([math.exp(growth) for growth in growths], math.exp(MARGIN), above=True, noise=noise)
  return at_least(label, estimates.mean(growths, noise), MARGIN)._replace(p_for=firm)


def growths_over_state(rows: Sequence[Row]) -> list[float]:
  """Return, for each seed, how much a line through the values over log₂ of the state grows over its range."""
  return [
    growth_of_line({row['state_bytes']: row['value'] for row in own})
    for _, own in sorted(grouped(rows, lambda row: row['seed']).items())
    if len(own) > 1
  ]


def growth_of_line(values_of: Mapping[float, float]) -> float:
  x, y = np.log2(list(values_of)), list(values_of.values())
  return float(np.cov(x, y)[0, 1] / np.var(x, ddof=1) * (max(x) - min(x)))


def claim_22_at_equal_fit(rows: Sequence[Row]) -> Outcome:
  """Judge the test losses at a training loss that all sizes reach."""
  train, test = take(rows, 'state_sizes', 'train_loss'), take(rows, 'state_sizes', 'loss')
  found = []
  for family in values(test, 'family'):
    growths = growths_at_fit(at(train, family=family), at(test, family=family))
    if len(growths) > 1:
      firm = p_value([math.exp(growth) for growth in growths], math.exp(MARGIN), above=True)
      found.append(at_least(family, estimates.mean(growths), MARGIN)._replace(p_for=firm))
  return can(found) if found else ABSENT


def growths_at_fit(train: Sequence[Row], test: Sequence[Row]) -> list[float]:
  key = lambda row: (row['seed'], row['state_bytes'], row['learning_rate'])
  tests = {key(row): row['value'] for row in test}
  growths = []
  for seed in values(train, 'seed'):
    curves = {
      size: np.array(sorted((row['value'], tests[key(row)]) for row in own if key(row) in tests))
      for size, own in grouped(at(train, seed=seed), lambda row: row['state_bytes']).items()
    }
    curves = {size: curve for size, curve in curves.items() if len(curve)}
    if len(curves) > 1:
      equal = max(curve[0, 0] for curve in curves.values())
      growths.append(growth_of_line({size: float(np.interp(equal, *curve.T)) for size, curve in curves.items()}))
  return growths


def claim_56(rows: Sequence[Row]) -> Outcome:
  return _claim_56(rows, is_gated=False)


def claim_56_of_those_that_learned(rows: Sequence[Row]) -> Outcome:
  """Leave open what memory gains where a memory ends training above the loss without one, by more than the margin."""
  return _claim_56(rows, is_gated=True)


def _claim_56(rows: Sequence[Row], *, is_gated: bool) -> Outcome:
  losses, training = (
    of(chosen_on_validation(take(rows, 'segment_memory', metric), 'architecture', 'length', 'memory'), 'transformer_xl')
    for metric in ('loss', 'train_loss')
  )
  steps = take(rows, 'segment_memory', 'dependent_steps')
  memories = [memory for memory in values(losses, 'memory') if memory > 0]
  if len(memories) < 2:
    return ABSENT
  short, long_ = (
    {row['seed']: row for row in at(losses, memory=memory)} for memory in (memories[0], memories[-1])
  )  # fmt: skip
  both = [(short[seed], long_[seed]) for seed in sorted(set(short) & set(long_))]
  by_segment = {segment: max(row['value'] for row in same) for segment, same in grouped(
    [row for row in steps if row.get('segment')], lambda row: row['segment']).items()}  # fmt: skip
  if len(both) < 2 or len(by_segment) < 2:
    return UNDECIDED
  noise = estimates.noise_of_test(both, of_logarithms=False)
  gained = estimates.mean([one['value'] - more['value'] for one, more in both], noise)
  lower = at_least('one segment − longest', gained, MARGIN)
  ends = {memory: average(by_seed(own)) for memory, own in grouped(training, lambda row: row['memory']).items()}
  learned = {0, *memories} <= set(ends) and all(ends[memory] <= ends[0] + MARGIN for memory in memories)
  if is_gated and not learned:
    lower = lower._replace(supports=False, contradicts=False)
  growth = by_segment[max(by_segment)] / by_segment[min(by_segment)]
  return each([lower, number('growth', growth, growth <= 1, growth > 1)])


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
  attention = by_seed(of(chosen_on_validation(
    take(rows, 'approximations', 'accuracy', task='recall'), 'architecture', 'features'), TRANSFORMER))  # fmt: skip
  if not found:
    return ABSENT
  return each(found) if recalls(attention) else UNDECIDED


def claim_59(rows: Sequence[Row]) -> Outcome:
  key = lambda row: (row['recurrence'], row['attention_layers'])
  losses, scores = (
    {
      model: by_seed(own)
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
  if not recalls(scores.get(whole)):
    return UNDECIDED
  found = []
  for kind, layers in sorted(model for model in losses if 0 < model[1] < 4):
    mixed, pure = (kind, layers), ((kind, 0), whole)
    costs: list[Estimate | None] = [more(losses[mixed], losses.get(p, {})) for p in pure]
    gains: list[Estimate | None] = [more(scores.get(mixed, {}), scores.get(p, {})) for p in pure]
    if all(costs) and all(gains):
      dear, weak = max((0, 1), key=lambda i: costs[i].value), min((0, 1), key=lambda i: gains[i].value)
      cost, gain = costs[dear], gains[weak]
      share = state[mixed] / state[whole]
      keeps = gain.low >= -MARGIN and cost.high <= MARGIN and share <= 0.5
      loses = gain.high < -MARGIN or cost.low > MARGIN or share > 0.5
      firm = p_more(losses[pure[dear]], losses[mixed], -MARGIN), p_more(scores[mixed], scores[pure[weak]], -MARGIN)
      found.append(Regime(f'{kind}, {layers}', cost, keeps, loses, max(firm)))
  return can(found)
