"""Scores of two trained models, compared seed by seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from comparison import statistics
from comparison.claims.base import RECURRENT, figure, levels, seeds, tuned, validation
from comparison.records import Row
from comparison.statistics import Interval

FEWEST = 2  # pairs without which nothing is concluded
TIE = 0.01  # of a loss: a smaller relative difference is none


Parts = Sequence[float] | np.ndarray


class BySeed(dict[int, float]):
  """Seed → score, and `parts`: seed → that score on parts of the test examples, where rows hold them."""

  def __init__(self, scores: Mapping[int, float] = {}, parts: Mapping[int, Parts] = {}) -> None:
    super().__init__(scores)
    self.parts = {seed: np.asarray(parts[seed], np.float64) for seed in self if len(parts.get(seed, ()))}

  def __neg__(self) -> 'BySeed':
    return BySeed({s: -value for s, value in self.items()}, {s: -own for s, own in self.parts.items()})

  def __sub__(self, other: 'BySeed') -> 'BySeed':
    """Return the differences of the seeds of both."""
    both = sorted(self.keys() & other.keys())
    parts = {s: self.parts[s] - other.parts[s] for s in both if s in self.parts and s in other.parts}
    return BySeed({s: self[s] - other[s] for s in both}, parts)

  def only(self, seeds: Iterable[int]) -> 'BySeed':
    return BySeed({s: self[s] for s in seeds}, self.parts)

  @property
  def noise(self) -> float:
    """Return the standard error that the test examples give the mean over the seeds; 0 where a seed has no parts."""
    if not self or self.keys() != self.parts.keys() or len({len(own) for own in self.parts.values()}) > 1:
      return 0.0
    return statistics.jackknife(np.mean(list(self.parts.values()), axis=0)[:, None], lambda means: float(means[0]))

  @property
  def mean(self) -> Interval:
    return statistics.mean(list(self.values()), self.noise)


def by_seed(rows: Sequence[Row], **columns: object) -> BySeed:
  """Return seed → value of the rows whose columns have these values."""
  found = [r for r in rows if all(r.get(name) == value for name, value in columns.items())]
  return BySeed({r['seed']: r['value'] for r in found}, {r['seed']: r.get('parts') or () for r in found})


def gain(better: BySeed, worse: BySeed) -> Interval | None:
  """Return the mean of `better` − `worse` over the seeds of both; None with fewer than FEWEST."""
  difference = better - worse
  return difference.mean if len(difference) >= FEWEST else None


def of(rows: Iterable[Row], architecture: str) -> list[Row]:
  return [row for row in rows if row['architecture'] == architecture]


def own_blocks(rows: Iterable[Row]) -> list[Row]:
  """Return the rows without RNNs in the block of Transformers, which are shown beside a verdict."""
  return [row for row in rows if row['architecture'] not in RECURRENT or row.get('block') != 'residual']


def in_residual_block(rows: Iterable[Row], *coordinates: str) -> str:
  """Return the mean score of the LSTM in the block of Transformers at each point, for a text; empty without any."""
  points: dict[tuple[Any, ...], list[Row]] = {}
  for row in tuned([r for r in of(rows, 'lstm') if r.get('block') == 'residual'], *coordinates):
    points.setdefault(tuple(row.get(column) for column in coordinates), []).append(row)
  shown = '; '.join(f'{", ".join(map(_name, key))}: {figure(seeds(points[key]).value)}' for key in sorted(points))
  return f' The LSTM in the residual block, not in the verdict: {shown}.' if shown else ''


def chosen_forms(rows: Sequence[Row], architectures: Sequence[str], *coordinates: str) -> str:
  """Return the form of each architecture that was chosen at each point, for a text; empty where all have one form."""
  if not any('heads' in row for row in rows):
    return ''
  points: dict[tuple[Any, ...], dict[str, str]] = {}
  for row in rows:
    points.setdefault(tuple(row.get(c) for c in coordinates), {})[row['architecture']] = form_of(row)
  of_point = lambda forms: '; '.join(f'{name}: {forms[name]}' for name in architectures if name in forms)
  shown = '. '.join(f'{", ".join(map(_name, key))}: {of_point(points[key])}' for key in sorted(points))
  return f' Chosen on validation: {shown}.'


def form_of(row: Row) -> str:
  """Return the form of a model in words: `4 layers, heads by the width, rotary positions, dropout 0.2`."""
  words = {
    'depth': lambda depth: '1 layer' if depth == 1 else f'{depth} layers',
    'heads': lambda heads: f'{heads} heads' if heads else 'heads by the width',
    'position': lambda position: f'{position} positions',
    'dropout': lambda dropout: f'dropout {dropout:g}',
  }
  return ', '.join(word(row[column]) for column, word in words.items() if column in row)


def _name(value: Any) -> str:
  return f'{value:,.0f}' if isinstance(value, float) else str(value)


def best_on_validation(rows: Sequence[Row], architectures: Sequence[str]) -> str | None:
  """Return the one of some architectures with the best mean selection; None without rows of any."""
  measured = {name: validation(own) for name in architectures if (own := of(rows, name))}
  return max(measured, key=lambda name: measured[name], default=None)


def paired(rows: Sequence[Row], first: str, second: str, column: str = 'seed') -> dict[Any, tuple[float, float]]:
  """Return value of a column → the values of two architectures that both have it; means where there are several."""
  values: dict[str, dict[Any, list[float]]] = {first: {}, second: {}}
  for name in (first, second):
    for row in of(rows, name):
      values[name].setdefault(row.get(column), []).append(row['value'])
  both = [key for key in values[first] if key in values[second]]
  return {key: (float(np.mean(values[first][key])), float(np.mean(values[second][key]))) for key in both}


def ratios(found: Mapping[Any, tuple[float, float]]) -> list[float]:
  return [a / b for a, b in found.values()]


def differences(found: Mapping[Any, tuple[float, float]]) -> list[float]:
  """Return what the second of each pair has more than the first."""
  return [b - a for a, b in found.values()]


def geometric(samples: Sequence[float], noise: float = 0.0) -> Interval:
  """Return the geometric mean of ratios, with Student's t interval of their logarithms; noise: see `noise_of_ratio`."""
  return Interval(*(float(np.exp(x)) for x in statistics.mean(np.log(samples).tolist(), noise)))


def noise_of_ratio(rows: Sequence[Row], first: str, second: str) -> float:
  """Return the standard error that the test examples give the logarithm of a ratio of two architectures' scores.

  That of the scores' means over the seeds that both have, by the jackknife over the parts of the test examples; 0 where
  records have no parts.
  """
  return statistics.jackknife(_parts(rows, first, second), lambda means: float(np.log(means[0] / means[1])))


def noise_of_difference(rows: Sequence[Row], first: str, second: str) -> float:
  """Return the standard error of a difference; see `noise_of_ratio`."""
  return statistics.jackknife(_parts(rows, first, second), lambda means: float(means[1] - means[0]))


def noise_of(rows: Sequence[Row], statistic: Callable[[Sequence[Row]], float]) -> float:
  """Return the standard error that the test examples give a statistic of rows: the jackknife over their parts.

  The values of the rows are their means without each part in turn; 0 where a row has no parts, or another number.
  """
  counts = {len(row.get('parts') or ()) for row in rows}
  if len(counts) != 1 or (count := counts.pop()) < 2:
    return 0.0
  table = np.array([row['parts'] for row in rows], np.float64)
  without = (table.sum(axis=1, keepdims=True) - table) / (count - 1)
  return statistics.of_left_out(
    [statistic([{**row, 'value': float(v)} for row, v in zip(rows, values, strict=True)]) for values in without.T]
  )


def _parts(rows: Sequence[Row], first: str, second: str) -> np.ndarray:
  """Return the scores on the parts of the test examples, [parts, 2], means over the seeds; no rows without parts."""
  sides = [{row['seed']: row.get('parts') or () for row in of(rows, name)} for name in (first, second)]
  both = sorted(sides[0].keys() & sides[1].keys())
  found = [[side[seed] for seed in both] for side in sides]
  counts = {len(parts) for side in found for parts in side}
  if len(counts) != 1:
    return np.zeros((0, 2))
  return np.array(found, np.float64).mean(axis=1).T


def baselines(rows: Iterable[Row], scored: str) -> str:
  """Return the trivial baselines of some rows, their means over the points, for a text; empty without any."""
  found: dict[str, list[float]] = {}
  for row in rows:
    if row.get('scored') == scored:
      found.setdefault(row['baseline'], []).append(row['value'])
  shown = ', '.join(f'{name} {figure(float(np.mean(values)))}' for name, values in found.items())
  return f' Without a model: {shown}.' if shown else ''


def means(rows: Sequence[Row], unit: str = '') -> str:
  """Return the mean of each architecture for a text."""
  return ', '.join(f'{name} {figure(seeds(of(rows, name)).value)}{unit}' for name in levels(rows, 'architecture'))
