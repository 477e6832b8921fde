"""Verdicts about recall, reach, order, gradients and context: claims 7, 9, 12, 14, 35."""

from collections.abc import Callable, Sequence

import numpy as np

from tests.independent.verdicts import estimates
from tests.independent.verdicts.decoding import over_seeds
from tests.independent.verdicts.estimates import Estimate
from tests.independent.verdicts.outcome import ABSENT, UNDECIDED, Outcome, Regime, always, at_least, at_most, each
from tests.independent.verdicts.reading import (
  COMPARED,
  ELMAN,
  RECURRENT,
  TRANSFORMER,
  Row,
  at,
  chosen_on_validation,
  grouped,
  of,
  take,
  validation,
  values,
)


def claim_7_every_rnn(rows: Sequence[Row]) -> Outcome:
  return _claim_7(rows, every=True)


def claim_7_of_those_that_learned(rows: Sequence[Row]) -> Outcome:
  return _claim_7(rows, every=False)


def _claim_7(rows: Sequence[Row], *, every: bool) -> Outcome:
  scores = of(take(rows, 'recall_capacity', 'accuracy'), *COMPARED)
  if not scores:
    return ABSENT
  scores = chosen_on_validation(scores, 'architecture', 'block', 'size', 'pairs')
  counts = values(scores, 'pairs')
  fewest, most = min((count for count in counts if count > 1), default=counts[-1]), counts[-1]
  attention = of(at(scores, pairs=most), TRANSFORMER)
  models = grouped(of(scores, *RECURRENT), lambda row: (row['architecture'], row['block'], row['size']))
  models = {key: model for key, model in sorted(models.items()) if at(model, pairs=most)}
  if not attention or not models or over_seeds(attention).low < 0.99:
    return UNDECIDED
  learned = {key for key, model in models.items() if over_seeds(at(model, pairs=fewest)).low >= 0.9}
  found = []
  for key in sorted(models if every and learned else learned):
    hard = at(models[key], pairs=most)
    accuracy = over_seeds(hard)
    is_smaller = hard[0]['state_bytes'] <= attention[0]['state_bytes']
    found.append(Regime(str(key), accuracy, accuracy.high < 0.9, is_smaller and accuracy.low >= 0.99))
  return always(sorted(found, key=lambda regime: regime.estimate.value, reverse=True))


FIXED_STATES = ('lstm', 'gru', 'linear_transformer', 'gated_deltanet', 'mamba2')


def claim_7_of_states(rows: Sequence[Row]) -> Outcome:
  """Judge the mean exponent, over pairs, of the smallest state with which some seed recalls 95 % of them."""
  scores = [row for row in take(rows, 'recall_capacity', 'accuracy') if row['pairs'] > 1]
  if not scores:
    return ABSENT
  counts = values(scores, 'pairs')
  attention = best_seeds(of(scores, TRANSFORMER))
  if not all(any(best.get(count, 0) >= 0.99 for best in attention.values()) for count in counts):
    return UNDECIDED
  exponents, is_censored = [], False
  for name in FIXED_STATES:
    states = best_seeds(of(scores, name))
    if len(states) > 1:
      needed = [[state for state, best in states.items() if best.get(count, 0) >= 0.95] for count in counts]
      if all(needed) and len(counts) > 1:
        log_bytes = [np.log(min(states_)) for states_ in needed]
        exponents.append(round(float(np.polyfit(np.log(counts), log_bytes, 1)[0]), 12))
      else:
        is_censored = True
  if len(exponents) < 2:
    return UNDECIDED
  exponent = estimates.mean(exponents)
  suffices = not is_censored and max(exponents) < 1e-9
  return each([Regime('exponent', exponent, exponent.low > 0, suffices or exponent.high < 0)])


def best_seeds(rows: Sequence[Row]) -> dict[float, dict[int, float]]:
  """Return bytes of state → pairs → the accuracy of the best seed, at the rate that validation chose for the state."""
  found: dict[float, dict[int, float]] = {}
  for row in chosen_on_validation([row for row in rows if row.get('block', 'residual') == 'residual'], 'state_bytes'):
    best = found.setdefault(row['state_bytes'], {})
    best[row['pairs']] = max(row['value'], best.get(row['pairs'], 0.0))
  return found


def claim_9_of_one_encoding(rows: Sequence[Row]) -> Outcome:
  gradients = of(take(rows, 'reach', 'gradient_decades'), *COMPARED)
  if not gradients:
    return ABSENT
  far = at(gradients, lag=max(values(gradients, 'lag')))
  decades = {name: over_seeds(model) for name, model in grouped(far, lambda row: row['architecture']).items()}
  recurrent = [decades[name] for name in sorted(decades) if name in RECURRENT]
  if TRANSFORMER not in decades or not recurrent:
    return UNDECIDED
  found = [
    at_least('gradient, Transformer', decades[TRANSFORMER], -1.0),
    at_most('gradient, RNN', max(recurrent, key=lambda decade: decade.value), -1.0),
  ]
  scores = chosen_on_validation(of(take(rows, 'reach', 'accuracy'), *COMPARED), 'architecture', 'size')
  rival = max(of(scores, *RECURRENT), key=validation, default={}).get('architecture', '')
  for length in dict.fromkeys(row['length'] for row in of(scores, TRANSFORMER)):
    here = at(scores, length=length)
    found.append(at_least(f'accuracy, Transformer, {length}', over_seeds(of(here, TRANSFORMER)), 0.99, 0.9))
    if of(here, rival):
      found.append(at_most(f'accuracy, {rival}, {length}', over_seeds(of(here, rival)), 0.9, 0.99))
  return each(found)


def claim_9(rows: Sequence[Row]) -> Outcome:
  """Judge the Transformer with its best encoding, and the best RNN beyond the training length if it has learned."""
  gradients = of(take(rows, 'reach', 'gradient_decades'), *COMPARED)
  if not gradients:
    return ABSENT
  scores = of(take(rows, 'reach', 'accuracy'), *COMPARED)
  attention = chosen_on_validation(of(scores, TRANSFORMER), 'size')
  encoding = next((row.get('position') for row in attention or of(gradients, TRANSFORMER)), None)
  far = at(gradients, lag=max(values(gradients, 'lag')))
  decades = [over_seeds(model) for model in grouped(of(far, *RECURRENT), lambda row: row['architecture']).values()]
  own = [row for row in of(far, TRANSFORMER) if row.get('position') == encoding]
  if not own or not decades:
    return UNDECIDED
  found = [
    at_least('gradient, Transformer', over_seeds(own), -1.0),
    at_most('gradient, RNN', max(decades, key=lambda decade: decade.value), -1.0),
  ]
  for length in values(attention, 'length'):
    found.append(at_least(f'accuracy, Transformer, {length}', over_seeds(at(attention, length=length)), 0.99, 0.9))
  recurrent = chosen_on_validation(of(scores, *RECURRENT), 'architecture', 'size')
  if recurrent:
    rival = of(recurrent, max(recurrent, key=validation)['architecture'])
    shortest, *_ = values(rival, 'length')
    if over_seeds(at(rival, length=shortest)).value >= 0.9:
      for length in values(rival, 'length'):
        if length > rival[0]['train_length']:
          found.append(at_most(f'accuracy, RNN, {length}', over_seeds(at(rival, length=length)), 0.9, 0.99))
  return each(found)


def claim_12(rows: Sequence[Row]) -> Outcome:
  changes = of(take(rows, 'order', 'reordering', position='none'), TRANSFORMER)
  found = []
  for _, here in sorted(grouped(changes, lambda row: (row['kind'], row['depth'])).items()):
    numbers = [row['value'] for row in here]
    found.append(at_most('change', Estimate(float(np.median(numbers)), min(numbers), max(numbers)), 1e-4, 1e-3))
  return each(found) if changes else ABSENT


def claim_14(rows: Sequence[Row]) -> Outcome:
  every = of(take(rows, 'gradient_flow', 'decades'), *RECURRENT)
  found = []
  for (name, _), here in sorted(grouped(at(every, lag=200), lambda row: (row['architecture'], row['update'])).items()):
    size = estimates.mean([abs(row['value']) for row in here])
    found.append(Regime(name, size, size.low > (4 if name == ELMAN else 1), size.high < 1))
  return each(found) if every else ABSENT


def claim_35_at_the_end(rows: Sequence[Row]) -> Outcome:
  """Judge the gap at the last tokens and what it grew since the first; the RNN is the one with the lowest last loss."""
  losses = _losses(rows)
  if not losses:
    return ABSENT
  bands = values(losses, 'index')
  plain = at(of(losses, *RECURRENT), block='plain')
  if not plain or not of(losses, TRANSFORMER):
    return UNDECIDED
  last = at(plain, index=bands[-1])
  rival = (min(last, key=lambda row: row['value']) if last else plain[0])['architecture']
  gaps = _gaps(losses, rival, (bands[0], bands[-1]))
  if len(gaps) < 2:
    return UNDECIDED
  end, grown = estimates.mean([gap[-1] for gap in gaps]), estimates.mean([gap[-1] - gap[0] for gap in gaps])
  return each([at_least('gap at the end', end, 1e-9, 0.01), at_least('growth', grown, 1e-9, 0.01)])


def claim_35_by_slope(rows: Sequence[Row]) -> Outcome:
  losses = _losses(rows)
  if not losses:
    return ABSENT
  bands = [index for index in values(losses, 'index') if index >= 4]
  plain = at(of(losses, *RECURRENT), block='plain')
  if len(bands) < 2 or not plain or not of(losses, TRANSFORMER):
    return UNDECIDED
  rival = max(plain, key=validation)['architecture']
  gaps = _gaps(losses, rival, bands)
  if len(gaps) < 2:
    return UNDECIDED
  sides = [*at(of(losses, rival), block='plain'), *at(of(losses, TRANSFORMER), block='residual')]
  seeds = _seeds(losses, rival, bands)
  judged = [row for row in sides if row['index'] in bands and row['seed'] in seeds]
  last = lambda some: [gap[-1] for gap in _gaps(some, rival, bands)]
  slopes = lambda some: [float(np.polyfit(np.log2(bands), gap, 1)[0]) for gap in _gaps(some, rival, bands)]
  noises = [estimates.noise_of(judged, lambda some, f=f: float(np.mean(f(some)))) for f in (last, slopes)]
  end = at_least('gap at the end', estimates.mean(last(judged), noises[0]), 1e-9, 0.01)
  growth = at_least('growth for each doubling', estimates.mean(slopes(judged), noises[1]), 1e-9, 0.0)
  return each([end] if end.contradicts else [end, growth])


def _losses(rows: Sequence[Row]) -> list[Row]:
  return chosen_on_validation(take(rows, 'token_index', 'loss'), 'architecture', 'block', 'size')


def _sides(losses: Sequence[Row], rival: str) -> list[dict[tuple[int, float], float]]:
  return [
    {(row['seed'], row['index']): row['value'] for row in of(at(losses, block=block), name)}
    for name, block in ((rival, 'plain'), (TRANSFORMER, 'residual'))
  ]


def _seeds(losses: Sequence[Row], rival: str, bands: Sequence[float]) -> list[int]:
  keys = set.intersection(*(set(side) for side in _sides(losses, rival)))
  return [seed for seed in values(losses, 'seed') if all((seed, band) in keys for band in bands)]


def _gaps(losses: Sequence[Row], rival: str, bands: Sequence[float]) -> list[list[float]]:
  """Return, for each seed that has all bands of both sides, loss of the plain RNN − that of the Transformer."""
  sides, seeds = _sides(losses, rival), _seeds(losses, rival, bands)
  return [[sides[0][seed, band] - sides[1][seed, band] for band in bands] for seed in seeds]


def claim_35_by_trend(rows: Sequence[Row]) -> Outcome:
  """Judge the growth of the gap, from 256 tokens of context on, with each decade of parameters and of tokens."""
  losses = take(rows, 'token_index', 'loss')
  if not losses:
    return ABSENT
  long = [row for row in losses if row.get('budget') and row['index'] >= 256]
  chosen = chosen_on_validation(long, 'architecture', 'block', 'size', 'budget')
  contexts, cells = values(chosen, 'index'), {}
  for place, here in grouped(chosen, lambda row: (row['size'], row['budget'])).items():
    pairs = _at_contexts(here, contexts)
    if pairs:
      cells[place] = pairs
  places = sorted(cells)
  if len(places) < 4 or len({size for size, _ in places}) < 2 or len({budget for _, budget in places}) < 2:
    return UNDECIDED
  seeds = sorted(set.intersection(*(set(pairs) for pairs in cells.values())))
  if len(seeds) < 2:
    return UNDECIDED
  design = np.array([[1.0, np.log10(size), np.log10(budget)] for size, budget in places])
  slopes_of = lambda gaps: np.linalg.lstsq(design, np.array(gaps), rcond=None)[0][1:]
  gap_of = lambda pairs: float(np.mean([rnn['value'] - attention['value'] for rnn, attention in pairs]))
  slopes = np.array([slopes_of([gap_of(cells[place][seed]) for place in places]) for seed in seeds])
  noise = _noise_of_slopes([[pair for pairs in cells[place].values() for pair in pairs] for place in places], slopes_of)
  return each(
    [
      at_least(label, estimates.mean(slopes[:, column].tolist(), noise[column]), 1e-9)
      for column, label in enumerate(('parameters', 'tokens'))
    ]
  )


def _at_contexts(here: Sequence[Row], contexts: Sequence[float]) -> dict[int, list[tuple[Row, Row]]]:
  """Return seed → the rows of the best plain RNN and of the Transformer at each context, if all are there."""
  plain = at(of(here, 'lstm', 'gru'), block='plain')
  rival = max(plain, key=validation)['architecture'] if plain else ''
  rnn, attention = ({(row['seed'], row['index']): row for row in of(side, name)} for side, name in (
    (plain, rival), (here, TRANSFORMER),
  ))  # fmt: skip
  whole = [s for s in values(here, 'seed') if all((s, x) in rnn and (s, x) in attention for x in contexts)]
  return {seed: [(rnn[seed, x], attention[seed, x]) for x in contexts] for seed in whole}


def _noise_of_slopes(
  cells: Sequence[Sequence[tuple[Row, Row]]], slopes_of: Callable[[list[float]], np.ndarray]
) -> np.ndarray:
  """Return the standard errors that the parts of the test give both slopes, by leaving out each part; 0 without any."""
  rows = [[(rnn.get('parts') or [], attention.get('parts') or []) for rnn, attention in pairs] for pairs in cells]
  count = len(rows[0][0][0])
  if count < 2 or any(len(side) != count for pairs in rows for pair in pairs for side in pair):
    return np.zeros(2)
  gaps = [np.mean([np.array(rnn) - np.array(attention) for rnn, attention in pairs], axis=0) for pairs in rows]
  left = np.array([slopes_of([np.delete(gap, part).mean() for gap in gaps]) for part in range(count)])
  return np.sqrt((count - 1) * left.var(axis=0))
