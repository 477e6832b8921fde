"""Verdicts about training on synthetic tasks and text: claims 8, 11, 15 to 21."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from tests.independent.verdicts import estimates
from tests.independent.verdicts.decoding import over_seeds
from tests.independent.verdicts.estimates import Estimate
from tests.independent.verdicts.outcome import ABSENT, UNDECIDED, Outcome, Regime, at_least, at_most, each
from tests.independent.verdicts.reading import (
  GATED,
  LSTM,
  RECURRENT,
  TRANSFORMER,
  Row,
  at,
  chosen_on_validation,
  grouped,
  of,
  take,
  values,
)

MARGIN = 0.02  # nats
BySeed = Mapping[int, float]


class Score(float):
  """A number with its values on the parts of the test examples, which differences of two of them keep."""

  parts: np.ndarray

  def __new__(cls, value: float, parts: Sequence[float] | np.ndarray = ()) -> 'Score':
    self = super().__new__(cls, value)
    self.parts = np.asarray(parts, float)
    return self

  def __neg__(self) -> 'Score':
    return Score(-float(self), -self.parts)

  def __sub__(self, other: float) -> 'Score':
    parts = getattr(other, 'parts', np.zeros(0))
    return Score(float(self) - float(other), self.parts - parts if len(parts) == len(self.parts) else ())


def scored(row: Row) -> Score:
  return Score(row['value'], row.get('parts') or ())


def by_seed(rows: Sequence[Row], **columns: object) -> BySeed:
  return {row['seed']: scored(row) for row in at(rows, **columns)}


def noise_of_scores(scores: Sequence[float]) -> float:
  """Return the standard error of the mean of the parts, each averaged over the scores; 0 where one has no parts."""
  parts = [getattr(score, 'parts', np.zeros(0)) for score in scores]
  if not parts or len(parts[0]) < 2 or len({len(own) for own in parts}) > 1:
    return 0.0
  return float(stats.sem(np.mean(parts, axis=0)))


def mean_of_scores(scores: BySeed) -> Estimate:
  return estimates.mean(list(scores.values()), noise_of_scores(list(scores.values())))


def more(first: BySeed, second: BySeed) -> Estimate | None:
  """Return how much more the first has than the second, seed by seed; None with fewer than two seeds."""
  both = sorted(set(first) & set(second))
  return mean_of_scores({seed: first[seed] - second[seed] for seed in both}) if len(both) > 1 else None


def claim_8(rows: Sequence[Row]) -> Outcome:
  errors = chosen_on_validation(take(rows, 'long_lags', 'loss'), 'architecture', 'length')
  lengths = values(errors, 'length')
  if not lengths or lengths[-1] < 500:
    return ABSENT
  far, near = at(errors, length=lengths[-1]), at(errors, length=lengths[0])
  if not of(far, TRANSFORMER):
    return UNDECIDED
  judged = [name for name in GATED if of(far, name)]
  if not all(of(near, name) and mean_of_scores(by_seed(of(near, name))).high < 0.01 for name in judged):
    return UNDECIDED
  attention = mean_of_scores(by_seed(of(far, TRANSFORMER)))
  found, learning = [], False
  for name in judged:
    error = mean_of_scores(by_seed(of(far, name)))
    is_lost = error.low > 0.1 and attention.high < 0.01
    open_ = is_lost and still_learns(rows, name, lengths[-1])
    learning = learning or open_
    found.append(Regime(name, error, is_lost and not open_, error.high < 0.01))
  outcome = each(found)
  return UNDECIDED if outcome.status == 'undecided' and (attention.low > 0.01 or learning) else outcome


def still_learns(rows: Sequence[Row], name: str, length: int) -> bool:
  """Return whether the last bin of the mean curve of training is below the one before by more than 5 %, or unknown."""
  every = of(take(rows, 'long_lags', 'train_loss', length=length), name)
  curves = [row['curve'] for row in chosen_on_validation(every, 'architecture') if len(row.get('curve') or []) >= 2]
  return not curves or sum(curve[-1] for curve in curves) < 0.95 * sum(curve[-2] for curve in curves)


def claim_11(rows: Sequence[Row]) -> Outcome:
  scores = chosen_on_validation(take(rows, 'positions_of_recurrence', 'accuracy'), 'architecture', 'position')
  found: list[Regime] = []
  for name in sorted(GATED):
    plain, encoded = (at(of(scores, name), position=position) for position in ('none', 'sinusoidal'))
    if plain and encoded:
      without, with_them = over_seeds(plain), over_seeds(encoded)
      added = Estimate(
        with_them.value - without.value, with_them.low - without.high, with_them.high - without.low
      )  # fmt: skip
      found += [at_least(f'{name}, accuracy', without, 0.99, 0.9), at_most(f'{name}, added', added, 0.01, 0.05)]
  return each(found) if found else ABSENT


def claim_15(rows: Sequence[Row]) -> Outcome:
  """Judge the difference of what clipping gains; a model that diverged at every rate has the loss of the unigram."""
  trials = take(rows, 'clipping', 'diverged')
  losses = chosen_on_validation(take(rows, 'clipping', 'loss'), 'architecture', 'optimizer', 'clip')
  unigram = take(rows, 'clipping', 'baseline', baseline='unigram')
  found = []
  for optimizer in values(trials, 'optimizer'):
    gained: dict[str, dict[int, float]] = {}
    for name in values(trials, 'architecture'):
      sides = []
      for clip in (0.0, 1.0):
        side = by_seed(losses, architecture=name, optimizer=optimizer, clip=clip)
        is_lost = not side and at(trials, architecture=name, optimizer=optimizer, clip=clip) and unigram
        sides.append(dict.fromkeys(range(100), Score(unigram[0]['value'])) if is_lost else side)
      both = sorted(set(sides[0]) & set(sides[1])) if len(sides[0]) < 100 or len(sides[1]) < 100 else []
      gained[name] = {seed: sides[0][seed] - sides[1][seed] for seed in both}
    for name in RECURRENT:
      beyond = more(gained.get(name, {}), gained.get(TRANSFORMER, {}))
      found += [at_least(f'{name}, {optimizer}', beyond, MARGIN)] if beyond else []
  return each(found) if trials else ABSENT


def claim_16(rows: Sequence[Row]) -> Outcome:
  unigram = take(rows, 'learning_rates', 'baseline', baseline='unigram')
  ranges = [
    good_rates(rows, unigram[0]['value'], architecture=name, block=block) if unigram else {}
    for name, block in ((TRANSFORMER, 'residual'), (LSTM, 'plain'))
  ]
  if not all(ranges):
    return ABSENT
  both = sorted(set(ranges[0]) & set(ranges[1]))
  if len(both) < 2:
    return UNDECIDED
  own = [
    at(take(rows, 'learning_rates', metric), warmup=0.1, architecture=name, block=block)
    for metric in ('loss', 'diverged')
    for name, block in ((TRANSFORMER, 'residual'), (LSTM, 'plain'))
  ]

  def decades(losses: Sequence[Row], of_width: bool) -> list[float]:
    some = [*losses, *own[2], *own[3]]
    found = [
      good_rates(some, unigram[0]['value'], architecture=name, block=block)
      for name, block in ((TRANSFORMER, 'residual'), (LSTM, 'plain'))
    ]
    spans = [
      {seed: math.log10(high / (low if of_width else 1)) for seed, (low, high) in side.items()} for side in found
    ]
    return [spans[0][seed] - spans[1][seed] for seed in sorted(set(spans[0]) & set(spans[1]))]

  regimes = []
  for label, of_width in (('largest', False), ('width', True)):
    noise = estimates.noise_of(
      [*own[0], *own[1]], lambda losses, of_width=of_width: float(np.mean(decades(losses, of_width)))
    )
    gaps = decades([*own[0], *own[1]], of_width)
    regimes.append(at_least(label, estimates.mean(gaps, noise), 1e-9, 0.0))
  return each(regimes)


def good_rates(rows: Sequence[Row], unigram: float, **model: object) -> dict[int, tuple[float, float]]:
  """Return seed → least and largest rate with a loss within 5 % of the way from the best loss to the unigram.

  Beyond the last such rate, the loss rises in a straight line over the logarithm of the rate, unless a trial diverged.
  """
  mine = at(take(rows, 'learning_rates', 'loss'), warmup=0.1, **model)
  tried = values([*mine, *at(take(rows, 'learning_rates', 'diverged'), warmup=0.1, **model)], 'learning_rate')
  found = {}
  for seed in values(mine, 'seed'):
    own = {row['learning_rate']: row['value'] for row in at(mine, seed=seed)}
    best = min(own.values())
    limit = best + 0.05 * max(0.0, unigram - best)
    good = [rate for rate, loss in own.items() if loss <= limit]
    ends = []
    for end, beyond in (
      (min(good), [rate for rate in tried if rate < min(good)][-1:]),
      (max(good), [rate for rate in tried if rate > max(good)][:1]),
    ):
      if beyond and beyond[0] in own:
        crossing = np.interp(limit, [own[end], own[beyond[0]]], np.log([end, beyond[0]]))
        ends.append(float(np.exp(crossing)))
      else:
        ends.append(end)
    found[seed] = ends[0], ends[1]
  return found


def claim_17_to_own_best(rows: Sequence[Row]) -> Outcome:
  """Judge what is missing to the best after four trials; 2,000 resamples of the settings, from the generator of seed 0.

  The best is that of all settings of the same model.
  """
  table = losses_of_settings(rows, 12)
  if isinstance(table, Outcome):
    return table
  found = []
  for name in (name for name in GATED if name in table):
    best = table[name].min() - table[TRANSFORMER].min()
    further = lambda chosen, name=name, least=best: ahead(table, name, chosen, 4) - least
    generator, count = np.random.default_rng(0), len(table[name])
    resampled = [further(generator.integers(count, size=count)) for _ in range(2000)]
    low, high = np.quantile(resampled, (0.025, 0.975))
    interval = Estimate(further(np.arange(count)), float(low), float(high))
    found.append(Regime(name, interval, bool(low > MARGIN), bool(high < MARGIN)))
  return each(found)


def claim_17_to_one_target(rows: Sequence[Row]) -> Outcome:
  """Judge the expected losses after four trials, and for support that they come nearer after half of all trials."""
  table = losses_of_settings(rows, 24)
  if isinstance(table, Outcome):
    return table
  found = []
  for name in (name for name in GATED if name in table):
    count = len(table[name])
    more = estimates.accelerated(count, lambda chosen, name=name: ahead(table, name, chosen, 4))
    nearer = estimates.accelerated(
      count, lambda chosen, name=name, half=count // 2: ahead(table, name, chosen, 4) - ahead(table, name, chosen, half)
    )
    found.append(Regime(name, more, more.low > MARGIN and nearer.low > 1e-9, more.high < MARGIN))
  return each(found)


def ahead(table: Mapping[str, np.ndarray], name: str, chosen: np.ndarray, trials: int) -> float:
  """Return how far the Transformer is expected to be ahead of a model after some trials, of the settings chosen."""
  return estimates.best_of(table[name][chosen], trials) - estimates.best_of(table[TRANSFORMER][chosen], trials)


def losses_of_settings(rows: Sequence[Row], fewest: int) -> dict[str, np.ndarray] | Outcome:
  """Return model → validation loss of the settings that all models have, or why there is nothing to judge.

  No loss is above that of the unigram, which a trial that diverged has.
  """
  unigram = take(rows, 'random_settings', 'baseline', scored='loss', baseline='unigram')
  worst = unigram[0]['value'] if unigram else math.inf
  losses: dict[str, dict[int, float]] = {}
  for row in take(rows, 'random_settings', 'loss'):
    if row.get('selection') is not None:
      losses.setdefault(row['architecture'], {})[row['draw']] = min(worst, -row['selection'])
  for row in take(rows, 'random_settings', 'diverged'):
    if row['value']:
      losses.setdefault(row['architecture'], {})[row['draw']] = worst
  if TRANSFORMER not in losses or not set(losses) & set(GATED):
    return ABSENT
  shared = sorted(set.intersection(*(set(model) for model in losses.values())))
  if not unigram or len(shared) < fewest:
    return UNDECIDED
  return {name: np.array([model[draw] for draw in shared]) for name, model in losses.items()}


def claim_18(rows: Sequence[Row]) -> Outcome:
  """Judge the training losses at the rate that was chosen by them; none may still fall."""
  losses, falls = (
    chosen_on_validation(take(rows, 'plateaus', metric), 'architecture') for metric in ('train_loss', 'fall')
  )
  best = grouped(losses, lambda row: row['architecture'])
  if TRANSFORMER not in best or len(best) < 2:
    return ABSENT
  if any(row['value'] > MARGIN for row in falls):
    return UNDECIDED
  found = [(name, more(by_seed(best[name]), by_seed(best[TRANSFORMER]))) for name in GATED if name in best]
  return each([at_least(name, difference, MARGIN) for name, difference in found if difference])


def claim_19(rows: Sequence[Row]) -> Outcome:
  losses = chosen_on_validation(take(rows, 'skips', 'loss'), 'architecture', 'block', 'skips', 'depth')
  if not losses:
    return ABSENT
  deepest = max(values(losses, 'depth'))
  blocks = [row for row in losses if row['block'] != 'plain' and row['depth'] == deepest]
  found = []
  for name in (TRANSFORMER, LSTM):
    worse = more(by_seed(of(blocks, name), skips=0), by_seed(of(blocks, name), skips=1))
    found += [at_least(name, worse, MARGIN)] if worse else []
  return each(found) if len(found) == 2 else UNDECIDED


def fewest(rows: Sequence[Row]) -> list[Row]:
  """Return the rows of the fewest examples, of those without dropout."""
  plain = at(rows, dropout=0.0)
  return at(plain, examples=min(values(plain, 'examples'), default=0))


def has_learned(rows: Sequence[Row]) -> bool:
  """Return whether every model and seed reaches a training loss of 1 nat on the fewest examples, at some rate."""
  trials = grouped(
    fewest(take(rows, 'sample_efficiency', 'train_loss')), lambda row: (row['architecture'], row['seed'])
  )  # fmt: skip
  return all(min(row['value'] for row in own) <= 1.0 for own in trials.values())


def claim_20(rows: Sequence[Row]) -> Outcome:
  every = take(rows, 'sample_efficiency', 'loss')
  if not has_learned(rows):
    return UNDECIDED
  chosen = {
    name: chosen_on_validation(model, 'examples')
    for name, model in grouped(every, lambda row: row['architecture']).items()
  }
  found = []
  for name in GATED:
    both = [*chosen.get(TRANSFORMER, []), *chosen.get(name, [])]
    ratios = ratios_of_examples(both, name)
    noise = estimates.noise_of(both, lambda some, name=name: float(np.mean(np.log(ratios_of_examples(some, name)))))
    found += [at_least(name, estimates.geometric_mean(ratios, noise), 1.0)] if len(ratios) > 1 else []
  return each(found) if found or chosen.get(TRANSFORMER) else ABSENT


def ratios_of_examples(rows: Sequence[Row], name: str) -> list[float]:
  """Return the ratio of each seed that reaches some loss with the Transformer and with another model."""
  curves = [
    {seed: {row['examples']: row['value'] for row in own} for seed, own in grouped(of(rows, model), _seed).items()}
    for model in (TRANSFORMER, name)
  ]
  needed = [examples_ratio(curves[0][seed], curves[1][seed]) for seed in curves[0] if seed in curves[1]]
  return [ratio for ratio in needed if ratio is not None]


def _seed(row: Row) -> int:
  return row['seed']


def examples_ratio(first: Mapping[float, float], second: Mapping[float, float]) -> float | None:
  """Return the geometric mean, over nine losses that both reach, of the examples that they need, first ÷ second."""
  lines = [(np.log(sorted(c)), np.minimum.accumulate([c[n] for n in sorted(c)])) for c in (first, second)]
  low, high = max(loss[-1] for _, loss in lines), min(loss[0] for _, loss in lines)
  if low >= high:
    return None
  losses = [low + (high - low) * step / 8 for step in range(9)]
  logs = [[np.interp(loss, falling[::-1], count[::-1]) for loss in losses] for count, falling in lines]
  return math.exp(np.mean(logs[0]) - np.mean(logs[1]))


def claim_21(rows: Sequence[Row]) -> Outcome:
  """Judge the test losses of the updates that were best on validation, on the fewest examples without dropout."""
  losses = chosen_on_validation(fewest(take(rows, 'sample_efficiency', 'loss')), 'architecture')
  models = grouped(losses, lambda row: row['architecture'])
  if TRANSFORMER not in models or len(models) < 2:
    return ABSENT
  if not has_learned(rows):
    return UNDECIDED
  found = []
  for name in GATED:
    attention, own = by_seed(models[TRANSFORMER]), by_seed(models.get(name, []))
    both = [
      (row, other) for row in models[TRANSFORMER] for other in models.get(name, []) if row['seed'] == other['seed']
    ]
    if len(both) > 1:
      noise = estimates.noise_of_test(both, of_logarithms=False)
      gaps = [attention[seed] - own[seed] for seed in sorted(set(attention) & set(own))]
      found.append(at_least(name, estimates.mean(gaps, noise), MARGIN))
  return each(found)
