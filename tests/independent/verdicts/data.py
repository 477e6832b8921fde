"""Verdicts about real data: claims 23, 36 to 44, 46."""

import math
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
  often,
)
from tests.independent.verdicts.reading import (
  GATED,
  LSTM,
  TRANSFORMER,
  Row,
  at,
  chosen_on_validation,
  grouped,
  of,
  repeats,
  take,
  validation,
  values,
)


def of_own_blocks(rows: Sequence[Row]) -> list[Row]:
  """Leave out recurrent networks in the block of a Transformer."""
  return [row for row in rows if row['architecture'] == TRANSFORMER or row.get('block') != 'residual']


def best_of(rows: Sequence[Row], names: Sequence[str]) -> str:
  """Return the architecture with the best mean score of validation; empty without any."""
  means = {name: float(np.mean([validation(row) for row in of(rows, name)])) for name in names if of(rows, name)}
  return max(means, key=lambda name: means[name], default='')


def pairs(rows: Sequence[Row], first: str, second: str, column: str = 'seed') -> dict[object, tuple[float, float]]:
  """Return value of a column → the mean values of two architectures that both have it."""
  sides = [grouped(of(rows, name), lambda row: row.get(column)) for name in (first, second)]
  means = [{key: float(np.mean([row['value'] for row in own])) for key, own in side.items()} for side in sides]
  return {key: (means[0][key], means[1][key]) for key in means[0] if key in means[1]}


def of_seeds(rows: Sequence[Row], first: str, second: str) -> list[tuple[Row, Row]]:
  """Return the rows of two architectures, seed by seed."""
  sides = [{row['seed']: row for row in of(rows, name)} for name in (first, second)]
  return [(sides[0][seed], sides[1][seed]) for seed in sides[0] if seed in sides[1]]


def ratio_of(rows: Sequence[Row], first: str, second: str, threshold: float) -> list[Regime]:
  """Return the geometric mean of the ratios, seed by seed, as a regime; none with fewer than two seeds."""
  ratios = [a / b for a, b in pairs(rows, first, second).values()]
  if len(ratios) < 2:
    return []
  noise = estimates.noise_of_test(of_seeds(rows, first, second), of_logarithms=True)
  ratio = estimates.geometric_mean(ratios, noise)
  return [at_least(f'{first} ÷ {second}', ratio, threshold, rounds=ratios, noise=noise)]


def of_regimes(rows: Sequence[Row], columns: tuple[str, str], threshold: float) -> list[Regime]:
  """Return the error of the Transformer ÷ that of the RNN that is best on validation, in each regime."""
  cells = grouped(rows, lambda row: tuple(row[column] for column in columns))
  return [
    regime
    for _, cell in sorted(cells.items())
    for regime in ratio_of(cell, TRANSFORMER, best_of(cell, GATED), threshold)
  ]


def claim_23(rows: Sequence[Row]) -> Outcome:
  few = of_own_blocks([row for row in take(rows, 'few_sequences', 'loss') if row['examples'] < 10_000])
  if not few:
    return ABSENT
  return can(of_regimes(chosen_on_validation(few, 'architecture', 'domain', 'examples'), ('domain', 'examples'), 0.99))


def claim_39(rows: Sequence[Row]) -> Outcome:
  return _of_series(take(rows, 'long_series', 'loss'), 300, ('lookback', 'examples'))


def claim_40(rows: Sequence[Row]) -> Outcome:
  return _of_series(take(rows, 'ten_thousand_steps', 'loss'), 10_000, ('lookback', 'horizon'))


def _of_series(every: Sequence[Row], shortest: int, columns: tuple[str, str]) -> Outcome:
  long = of_own_blocks([row for row in every if row['lookback'] >= shortest])
  return often(of_regimes(chosen_on_validation(long, 'architecture', *columns), columns, 1.01)) if every else ABSENT


def claim_41(rows: Sequence[Row]) -> Outcome:
  """Judge the families in which a side is at least 5 % better than every forecast without a model."""
  every = of_own_blocks(take(rows, 'growing_series', 'loss'))
  most = max((row['examples'] for row in every), default=0)
  many = chosen_on_validation(at(every, examples=most), 'architecture', 'family') if most >= 10_000 else []
  trivial = at(take(rows, 'growing_series', 'baseline'), scored='loss', examples=most)
  found = []
  for family, own in sorted(grouped(many, lambda row: row['family']).items()):
    rival = best_of(own, GATED)
    errors = [np.mean([row['value'] for row in of(own, name)]) for name in (rival, TRANSFORMER) if of(own, name)]
    if min(errors, default=0.0) <= 0.95 * min((row['value'] for row in at(trivial, family=family)), default=np.inf):
      found += ratio_of(own, rival, TRANSFORMER, 1.01)
  return can(found) if every else ABSENT


def claim_38(rows: Sequence[Row]) -> Outcome:
  """Judge the LSTMs that cost half of the best Transformer, also beside the largest Transformer that does."""
  losses = chosen_on_validation(
    of_own_blocks(take(rows, 'small_language_models', 'loss')), 'architecture', 'size'
  )  # fmt: skip
  model = lambda row: (row['architecture'], row['size'])
  flops = {model(row): row['value'] for row in take(rows, 'generation_cost', 'token_flops')}
  seconds = {model(row): repeats(row) for row in take(rows, 'generation_cost', 'token_seconds')}
  attention = of(losses, TRANSFORMER)
  if not losses or not seconds:
    return ABSENT
  if not attention:
    return UNDECIDED
  best = model(max(attention, key=validation))

  def is_cheap(which: tuple[str, float]) -> bool:
    if not all(each_ in costs for costs in (flops, seconds) for each_ in (which, best)):
      return False
    time = estimates.median(estimates.over(seconds[which], seconds[best]))
    return flops[which] <= 0.5 * flops[best] and time.high <= 0.5

  def perplexities(lstm: tuple[str, float], transformer: tuple[str, float]) -> tuple[list[float], float]:
    both = [row for row in losses if model(row) in (lstm, transformer)]
    noise = estimates.noise_of_test(of_seeds(both, TRANSFORMER, LSTM), of_logarithms=False)
    return [math.exp(a) / math.exp(b) for a, b in pairs(both, TRANSFORMER, LSTM).values()], noise

  equal = [size for size in values(attention, 'size') if is_cheap((TRANSFORMER, size))]
  found = []
  for size in values(of(losses, LSTM), 'size'):
    ratios, noise = perplexities((LSTM, size), best)
    if is_cheap((LSTM, size)) and len(ratios) > 1:
      ratio = estimates.geometric_mean(ratios, noise)
      regime = at_least(f'{size}', ratio, 1 / 1.05, rounds=ratios, noise=noise)
      beside, noise = perplexities((LSTM, size), (TRANSFORMER, max(equal))) if equal else ([], 0.0)
      if len(beside) > 1:
        ratio = estimates.geometric_mean(beside, noise)
        control = at_least('control', ratio, 1 / 1.01, rounds=beside, noise=noise)
        regime = regime._replace(
          supports=regime.supports and control.supports,
          p_for=max(regime.p_for or 0.0, control.p_for or 0.0),
        )
      found.append(regime)
  return can(found)


def claim_36(rows: Sequence[Row]) -> Outcome:
  """Judge the difference of BLEU; its variances by seeds and by resampled sentences add up."""
  scores = chosen_on_validation(take(rows, 'translations', 'bleu'), 'architecture')
  if not scores:
    return ABSENT
  rival = best_of(scores, ('rnn_attention', 'lstm_attention'))
  sides = [{row['seed']: row for row in of(scores, name)} for name in ('encoder_decoder', rival)]
  both = sorted(set(sides[0]) & set(sides[1]))
  if len(both) < 2:
    return UNDECIDED
  seeds = estimates.mean([sides[0][seed]['value'] - sides[1][seed]['value'] for seed in both])
  drawn = [np.array([side[seed].get('resampled', [0.0]) for seed in both]) for side in sides]
  sentences = 1.96 * float((drawn[0] - drawn[1]).mean(axis=0).std())
  half = math.sqrt((seeds.high - seeds.value) ** 2 + sentences**2)
  return each([at_least('BLEU', Estimate(seeds.value, seeds.value - half, seeds.value + half), 2.0)])


def claim_37(rows: Sequence[Row]) -> Outcome:
  """Judge the slope of the gap of the losses over the decades of parameters, for the seeds that have all sizes."""
  losses = chosen_on_validation(
    of_own_blocks(take(rows, 'small_language_models', 'loss')), 'architecture', 'size'
  )  # fmt: skip
  gaps = {size: pairs(at(losses, size=size), LSTM, TRANSFORMER) for size in values(losses, 'size')}
  table = {size: {seed: a - b for seed, (a, b) in both.items()} for size, both in gaps.items() if both}
  seeds = sorted(set.intersection(*(set(row) for row in table.values()))) if table else []
  if len(seeds) < 2 or len(table) < 2:
    return UNDECIDED if losses else ABSENT
  if max(table) < 1e6:
    return ABSENT
  decades = np.log10(np.array(list(table)))
  centred = decades - decades.mean()
  slopes = [float(centred @ [row[seed] for row in table.values()] / (centred @ centred)) for seed in seeds]
  slope, last = estimates.mean(slopes), estimates.mean(list(table[max(table)].values()))
  return each([Regime('slope', slope, slope.low >= 0.02 and last.low > 0, slope.high < 0.02)])


def claim_42(rows: Sequence[Row]) -> Outcome:
  errors = chosen_on_validation(
    take(rows, 'recognition', 'label_error_rate'), 'architecture', 'examples', 'speaker'
  )  # fmt: skip
  if not errors:
    return ABSENT
  ahead: dict[int, dict[object, float]] = {}  # recordings → speaker → how far the Transformer is ahead
  counts = values(errors, 'examples')
  rival = best_of(at(errors, examples=counts[-1]), GATED)
  for count in counts:
    here = at(errors, examples=count)
    if rival:
      ahead[count] = {speaker: b - a for speaker, (a, b) in pairs(here, TRANSFORMER, rival, 'speaker').items()}
  speakers = sorted(set.intersection(*(set(of_count) for of_count in ahead.values()))) if ahead else []
  if len(speakers) < 2 or len(ahead) < 2:
    return UNDECIDED
  slopes = [
    float(np.polyfit(np.log2(list(ahead)), [of_count[who] for of_count in ahead.values()], 1)[0]) for who in speakers
  ]
  last = estimates.mean(list(ahead[max(ahead)].values()))
  return each([at_least('ahead', last, 1e-9, 0.0), at_least('growth', estimates.mean(slopes), 1e-9, 0.0)])


def claim_43(rows: Sequence[Row]) -> Outcome:
  tokens = take(rows, 'decoding', 'token_seconds', batch=1)
  bits = chosen_on_validation(take(rows, 'sample_models', 'bits'), 'architecture')
  if not tokens or not bits:
    return ABSENT
  rival = best_of(bits, GATED)
  needed = [b - a for a, b in pairs(bits, TRANSFORMER, rival).values()]
  found: list[Regime] = []
  for size in values(tokens, 'size'):
    cached = at(of(tokens, TRANSFORMER), size=size, backend='cached')
    slowest = [
      max((real_time(row) for row in own), key=lambda time: time.value)
      for name in GATED
      if (own := at(of(tokens, name), size=size))
    ]
    if slowest and cached:
      last = max(cached, key=lambda row: row['position'])
      found += [
        at_most('RNN', min(slowest, key=lambda time: time.value), 1.0), at_least('cache', real_time(last), 1.0),
      ]  # fmt: skip
  if not found or len(needed) < 2:
    return UNDECIDED
  noise = estimates.noise_of_test(of_seeds(bits, TRANSFORMER, rival), of_logarithms=False)
  return each([*found, at_most('bits', estimates.mean(needed, noise), 0.05)])


def real_time(row: Row) -> Estimate:
  """Return the seconds of computing for a second of sound of 16,000 samples."""
  return estimates.median([16_000 * seconds for seconds in repeats(row)])


def claim_44(rows: Sequence[Row]) -> Outcome:
  errors = chosen_on_validation(take(rows, 'acoustic_split', 'mse'), 'architecture')
  rival = best_of(errors, ('encoder_decoder', 'lstm_attention'))
  ratios = [a / b for a, b in pairs(errors, 'transformer_to_lstm', rival).values()]
  if len(ratios) < 2:
    return UNDECIDED if errors else ABSENT
  noise = estimates.noise_of_test(of_seeds(errors, 'transformer_to_lstm', rival), of_logarithms=True)
  return each([at_most('error', estimates.geometric_mean(ratios, noise), 1 - 1e-9, 1.0)])


def claim_46(rows: Sequence[Row]) -> Outcome:
  errors = chosen_on_validation(take(rows, 'video_forms', 'mse'), 'form')
  needed = take(rows, 'video_forms', 'training_bytes')
  longest = max(values(needed, 'frames'), default=0)
  memory = {row['form']: row['value'] for row in at(needed, frames=longest)}
  by_seed = {form: {row['seed']: row for row in own} for form, own in grouped(errors, _form).items()}
  found, conditions = [], []
  for form in ('factorised', 'hierarchical', 'recurrent_patches'):
    joint, own = by_seed.get('joint', {}), by_seed.get(form, {})
    both = sorted(set(joint) & set(own))
    if len(both) > 1 and form in memory and 'joint' in memory:
      noise = estimates.noise_of_test([(own[seed], joint[seed]) for seed in both], of_logarithms=True)
      ratio = estimates.geometric_mean([own[seed]['value'] / joint[seed]['value'] for seed in both], noise)
      share = memory[form] / memory['joint']
      error, bytes_needed = at_most(form, ratio, 1.01), at_most(form, estimates.exact(share), 0.5, 0.8)
      fails = [one for one in (error, bytes_needed) if one.contradicts]
      open_ones = [one for one in (error, bytes_needed) if not one.supports]
      decides = (fails or open_ones or [error])[0]
      found.append(Regime(form, decides.estimate, not open_ones, bool(fails)))
      conditions += [error, bytes_needed]
  return often(found)._replace(regimes=tuple(conditions)) if errors else ABSENT


def _form(row: Row) -> str:
  return row['form']
