"""Verdicts about decoding and about shares of cells that a side wins: claims 27 to 30, 34, 49, 60."""

from collections.abc import Callable, Iterable, Sequence

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
  each,
  number,
  ratio,
)
from tests.independent.verdicts.reading import (
  GATED,
  TRANSFORMER,
  Row,
  at,
  chosen_on_validation,
  grouped,
  of,
  regimes,
  repeats,
  series,
  take,
  validation,
  values,
)
from tests.independent.verdicts.sides import best, mapped, rounds_of

RNN, ATTENTION, OPEN = 'RNN', 'Transformer', ''
COSTS = {
  'latency': ('forward_latency', 'forward_seconds'),
  'training': ('training_time', 'step_seconds'),
  'generation': ('decoding', 'generation_seconds'),
}
# Experiment, metric, coordinate, whether more is better.
QUALITIES = (
  ('recall_capacity', 'accuracy', 'pairs', True),
  ('reach', 'accuracy', 'length', True),
  ('token_index', 'loss', 'index', False),
)
Wins = list[tuple[float, str]]  # of one measure, size and batch: length or another coordinate, and the winner
Group = tuple[float | None, Wins]  # a size, and one of its measures or batches


def claim_27(rows: Sequence[Row], recurrent: Sequence[str] = GATED) -> Outcome:
  tokens = of(take(rows, 'decoding', 'token_seconds'), *recurrent)
  lines = [line for grid in regimes(tokens, 'batch') for line in grouped(grid, series).values()]
  lines = [line for line in lines if len(values(line, 'position')) > 1]
  found = []
  for line in sorted(lines, key=lambda line: sum(row['value'] for row in line)):
    grown = estimates.growth({row['position']: repeats(row) for row in line})
    includes_zero = grown.low <= 0 <= grown.high <= 0.25
    found.append(
      Regime(series(line[0]), grown, includes_zero or (grown.low > -0.05 and grown.high < 0.05), grown.low > 0.05)
    )
  return each(found) if found else ABSENT


def claim_28(rows: Sequence[Row]) -> Outcome:
  tokens = of(take(rows, 'decoding', 'token_seconds'), TRANSFORMER)
  found = []
  for grid in regimes(tokens, 'batch'):
    for way in ('cached', 'uncached'):
      first, hundredth = (at(grid, backend=way, position=position) for position in (1, 100))
      if first and hundredth:
        slower = estimates.median(estimates.over(repeats(hundredth[-1]), repeats(first[-1])))
        found.append(at_least(way, slower, 1.05))
  return each(found) if tokens else ABSENT


def claim_29(rows: Sequence[Row]) -> Outcome:
  caches = of(take(rows, 'state_bytes', 'state_bytes'), TRANSFORMER)
  found = []
  for backend in values(caches, 'backend'):
    shares = [row['value'] / row['formula'] for row in at(caches, backend=backend) if row['length'] >= 10]
    if shares:
      is_exact = min(shares) >= 0.99 and max(shares) <= 1.01
      spread = Estimate(float(np.median(shares)), min(shares), max(shares))
      found.append(Regime(backend, spread, is_exact, not is_exact))
  if not found:
    return UNDECIDED if caches else ABSENT
  for grid in regimes(of(take(rows, 'decoding', 'token_seconds'), TRANSFORMER), 'batch'):
    by_position = {x: {row['backend']: row for row in at(grid, position=x)} for x in values(grid, 'position')}
    whole = [here for _, here in sorted(by_position.items()) if 'cached' in here and 'uncached' in here]
    if whole:
      saved = estimates.median(estimates.over(repeats(whole[-1]['uncached']), repeats(whole[-1]['cached'])))
      found.append(at_least('recomputation', saved, 1.0))
  return each(found)


def claim_30(rows: Sequence[Row]) -> Outcome:
  times = take(rows, 'decoding', 'generation_seconds')
  found = []
  for grid in regimes(times, 'batch'):
    by_length = mapped(grid, 'length', lambda here: rounds_of(here, (TRANSFORMER,), GATED))
    found += [ratio(f'{length} tokens', rounds) for length, rounds in by_length.items() if length >= 1000]
  return each(found) if times else ABSENT


def costs(rows: Sequence[Row], names: Iterable[str], keep: Callable[[float], bool]) -> list[Group]:
  """Return the winners of each measure, size and, in generation, batch, at the lengths to keep."""
  found = []
  for name in names:
    experiment, metric = COSTS[name]
    for grid in regimes(take(rows, experiment, metric), *(['batch'] if name == 'generation' else [])):
      rounds = mapped(grid, 'length', lambda here: rounds_of(here, GATED, (TRANSFORMER,)))
      wins = [(length, faster(estimates.median(of_one))) for length, of_one in rounds.items() if keep(length)]
      found.append((grid[0].get('size'), wins))
  return [group for group in found if group[1]]


def faster(recurrent_over_attention: Estimate) -> str:
  if recurrent_over_attention.high < 1:
    return RNN
  return ATTENTION if recurrent_over_attention.low > 1 else OPEN


def qualities(rows: Sequence[Row]) -> list[Group]:
  found = []
  for experiment, metric, coordinate, higher in QUALITIES:
    for grid in regimes(take(rows, experiment, metric)):
      wins = []
      for x in values(grid, coordinate):
        here = chosen_on_validation(at(grid, **{coordinate: x}), 'architecture', 'block')
        sides = best_model(of(here, *GATED)), best_model(of(here, TRANSFORMER))
        if sides[0] and sides[1]:
          wins.append((x, better(sides[0], sides[1], higher)))
      found += [(grid[0].get('size'), wins)] if wins else []
  return found


def best_model(rows: Sequence[Row]) -> Estimate | None:
  """Return the score of the architecture and block with the best mean score of validation."""
  models = grouped(rows, lambda row: (series(row), row.get('block', '')))
  chosen = max(models.values(), key=lambda model: float(np.mean([validation(row) for row in model])), default=[])
  return over_seeds(chosen) if chosen else None


def over_seeds(rows: Sequence[Row]) -> Estimate:
  """Return the mean over the seeds; shares are bounded."""
  is_share = all(row.get('unit') == 'share' for row in rows)
  return (estimates.share if is_share else estimates.mean)([row['value'] for row in rows])


def better(recurrent: Estimate, attention: Estimate, higher: bool) -> str:
  """Return the side whose whole interval is better."""
  sides = sorted(((recurrent, RNN), (attention, ATTENTION)), reverse=higher)  # the one with the better mean first
  (first, name), (second, _) = sides
  is_apart = first.low > second.high if higher else first.high < second.low
  return name if is_apart else OPEN


def share_of(groups: Sequence[Group], winner: str, is_by_size: bool) -> float:
  """Return the share of the cells that a side wins; each size weighs the same, or else each group."""
  shares = [(size, sum(won == winner for _, won in wins) / len(wins)) for size, wins in groups]
  sizes = {size for size, _ in shares}
  means = [float(np.mean([share for of, share in shares if of == size])) for size in sizes]
  return round(float(np.mean(means if is_by_size else [share for _, share in shares])), 12)


def band(rows: Sequence[Row], low: float, high: float, winner: str, is_by_size: bool) -> Regime | None:
  groups = costs(rows, ('latency', 'generation'), lambda length: low <= length <= high)
  if not groups:
    return None
  share = share_of(groups, winner, is_by_size)
  return number(f'{low} to {high} tokens', share, share >= 0.8, share < 0.5)


def claim_49(rows: Sequence[Row]) -> Outcome:
  """Judge the slowest token of an LSTM, and every token beyond 1,000 from a cache, against 50 milliseconds."""
  tokens = take(rows, 'decoding', 'token_seconds', batch=1)
  found = []
  for grid in regimes(tokens):
    recurrent = _by_position(of(grid, 'lstm'))
    cached = _by_position([row for row in at(of(grid, TRANSFORMER), backend='cached') if row['position'] > 1000])
    if recurrent and cached:
      found.append(at_most('LSTM', max(recurrent, key=lambda time: time.value), 50.0))
      found += [at_least('cache', time, 50.0) for time in cached]
  return (each(found) if found else UNDECIDED) if tokens else ABSENT


def _by_position(rows: Sequence[Row]) -> list[Estimate]:
  """Return the milliseconds of the best backend at every position."""
  chosen = [best(at(rows, position=position)) for position in values(rows, 'position')]
  return [estimates.median([1000 * seconds for seconds in found[1]]) for found in chosen if found]


def claim_34(rows: Sequence[Row], is_by_size: bool = True) -> Outcome:
  ends = (1, 99, RNN), (100, 1000, ATTENTION), (1001, float('inf'), RNN)
  bands = [band(rows, *of_one, is_by_size) for of_one in ends]
  if not any(bands):
    return ABSENT
  found = [regime for regime in bands if regime]
  return each(found) if len(found) == len(bands) else UNDECIDED


def claim_60(rows: Sequence[Row], is_by_size: bool = True) -> Outcome:
  sides = costs(rows, COSTS, lambda length: length < 4000), qualities(rows)
  if not any(sides):
    return ABSENT
  if not all(sides):
    return UNDECIDED
  shares = [share_of(side, ATTENTION, is_by_size) for side in sides]
  return each([number(name, s, s >= 0.8, s < 0.5) for name, s in zip(('cost', 'quality'), shares, strict=True)])
