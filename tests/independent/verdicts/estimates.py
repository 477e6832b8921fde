"""Numbers with their 95 % intervals, from SciPy's distributions."""

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from tests.independent.verdicts.reading import Row

BLOCKS = 15  # of rounds, at most, that a slope is computed of
Samples = Mapping[float, Sequence[float]]  # x → rounds


class Estimate(NamedTuple):
  value: float
  low: float
  high: float


def exact(value: float) -> Estimate:
  return Estimate(value, value, value)


def median(rounds: Sequence[float]) -> Estimate:
  """Return the median between the order statistics that hold it with 95 %, by the binomial distribution.

  One number is exact. Fewer than five have no bounds. The extremes of five hold it with 93.75 %, and are moved out by
  5 % of their distance.
  """
  ordered = sorted(rounds)
  count = len(ordered)
  with np.errstate(invalid='ignore'):
    middle = float(np.median(ordered)) if np.isfinite(ordered).all() else float(ordered[count // 2])
  if count == 1:
    return exact(middle)
  if count < 5:
    return Estimate(middle, -math.inf, math.inf)
  # The k-th least is above the median when fewer than k of the numbers are below it.
  k = max((k for k in range(1, count // 2 + 1) if 2 * stats.binom.cdf(k - 1, count, 0.5) <= 0.05), default=0)
  if k:
    return Estimate(middle, ordered[k - 1], ordered[-k])
  low, high = ordered[0], ordered[-1]
  margin = 0.05 * (high - low) if math.isfinite(high - low) else 0.0
  return Estimate(middle, low - margin, high + margin)


def mean(numbers: Sequence[float], noise: float = 0.0) -> Estimate:
  """Return the mean with Student's interval; one number has no bounds. noise: a standard error that all share."""
  centre = math.fsum(numbers) / len(numbers)
  if len(numbers) < 2:
    return Estimate(centre, -math.inf, math.inf)
  half = math.sqrt((stats.t.ppf(0.975, len(numbers) - 1) * stats.sem(numbers)) ** 2 + (1.96 * noise) ** 2)
  return Estimate(centre, centre - half, centre + half)


def geometric_mean(ratios: Sequence[float], noise: float = 0.0) -> Estimate:
  """Return the geometric mean of ratios with Student's interval of their logarithms, which `noise` is of, too."""
  return Estimate(*np.exp(mean([math.log(ratio) for ratio in ratios], noise)).tolist())


def noise_of_test(scores: Sequence[tuple[Row, Row]], of_logarithms: bool) -> float:
  """Return the standard error of the mean difference of pairs of rows that the parts of the test examples give it.

  The difference without each part in turn; of the logarithms of the mean scores, or of the scores. 0 without parts.
  """
  parts = [(first.get('parts') or [], second.get('parts') or []) for first, second in scores]
  count = len(parts[0][0]) if parts else 0
  if count < 2 or any(len(side) != count for pair in parts for side in pair):
    return 0.0
  found = []
  for left_out in range(count):
    first, second = (np.mean([np.delete(pair[side], left_out).mean() for pair in parts]) for side in (0, 1))
    found.append(math.log(first) - math.log(second) if of_logarithms else first - second)
  return math.sqrt((count - 1) * float(np.var(found)))


def noise_of(rows: Sequence[Row], statistic: Callable[[Sequence[Row]], float]) -> float:
  """Return the standard error of a statistic of rows, from its values without each part of the test examples."""
  count = len(rows[0].get('parts') or []) if rows else 0
  if count < 2 or any(len(row.get('parts') or []) != count for row in rows):
    return 0.0
  without = lambda row, part: row | {'value': float(np.delete(row['parts'], part).mean())}
  found = [statistic([without(row, part) for row in rows]) for part in range(count)]
  return math.sqrt((count - 1) * float(np.var(found)))


def share(numbers: Sequence[float]) -> Estimate:
  """Return the mean of shares, whose interval ends at 0 and 1."""
  value, low, high = mean(numbers)
  return Estimate(value, max(low, 0.0), min(high, 1.0))


def over(numerator: Sequence[float], denominator: Sequence[float]) -> list[float]:
  """Return the ratios of the rounds that both have."""
  count = min(len(numerator), len(denominator))
  return (np.asarray(numerator[:count], float) / np.asarray(denominator[:count], float)).tolist()


def in_blocks(samples: Samples) -> tuple[np.ndarray, list[np.ndarray]]:
  """Return x and, for at most BLOCKS blocks of successive rounds, the medians at every x.

  A single number stands for every round.
  """
  x = np.array(sorted(samples), float)
  rounds = min((len(column) for column in samples.values() if len(column) > 1), default=1)
  columns = [list(samples[key]) * (rounds if len(samples[key]) == 1 else 1) for key in sorted(samples)]
  count = min(rounds, BLOCKS)
  longer, length = rounds % count, rounds // count  # the first blocks have one round more
  ends = [0]
  for block in range(count):
    ends.append(ends[-1] + length + (block < longer))
  return x, [
    np.array([np.median(column[first:last]) for column in columns]) for first, last in itertools.pairwise(ends)
  ]


def by_block(samples: Samples, of_one: Callable[[np.ndarray, np.ndarray], float]) -> Estimate:
  x, blocks = in_blocks(samples)
  return median([of_one(x, block) for block in blocks])


def exponent(samples: Samples) -> Estimate:
  """Return p of value ∝ x^p by a straight line through the logarithms."""
  return by_block(samples, lambda x, y: float(np.polyfit(np.log(x), np.log(y), 1)[0]))


def growth(samples: Samples) -> Estimate:
  """Return the growth of a straight line over the range of x, relative to the mean."""
  return by_block(samples, lambda x, y: float(np.polyfit(x, y, 1)[0] * (x[-1] - x[0]) / y.mean()))


def quadratic_share(samples: Samples) -> Estimate:
  """Return b·x² ÷ (a·x + b·x²) at the largest x, of the least squares of relative errors with a, b ≥ 0."""

  def of_one(x: np.ndarray, y: np.ndarray) -> float:
    design = np.stack([x / y, x**2 / y], axis=1)
    a, b = np.linalg.lstsq(design, np.ones(len(x)), rcond=None)[0]
    if a < 0 or b < 0:  # the best is at the bound: one part alone
      alone = [(column.sum() / (column @ column), column) for column in design.T]
      residuals = [((factor * column - 1) ** 2).sum() for factor, column in alone]
      a, b = (alone[0][0], 0.0) if residuals[0] <= residuals[1] else (0.0, alone[1][0])
    return float(b * x[-1] / (a + b * x[-1]))

  return by_block(samples, of_one)


def crossing(samples: Samples) -> Estimate:
  """Return where a ratio rises above 1 for good, on logarithmic axes; 0 or infinity where it is above or below."""

  def of_one(x: np.ndarray, y: np.ndarray) -> float:
    last = max((i for i in range(len(x)) if y[i] <= 1), default=-1)
    if last < 0:
      return 0.0
    if last == len(x) - 1:
      return math.inf
    return float(np.exp(np.interp(0.0, np.log(y[last : last + 2]), np.log(x[last : last + 2]))))

  return by_block(samples, of_one)


def p_value(ratios: Sequence[float], threshold: float, *, above: bool, noise: float = 0.0) -> float:
  """Return the one-sided p-value of "the ratio is not above (or below) the threshold", by Student's t of logarithms."""
  logs = np.log(np.asarray(ratios, float) / threshold) * (1 if above else -1)
  error = math.sqrt(float(np.var(logs, ddof=1)) / len(logs) + noise**2) if len(logs) > 1 else 0.0
  if error == 0:
    return 0.0 if logs.mean() > 0 else 1.0
  return float(stats.t.sf(logs.mean() / error, len(logs) - 1))


def holm(p_values: Sequence[float], level: float = 0.025) -> list[bool]:
  """Return which hypotheses are rejected: the k-th least p-value is tested at level ÷ (number − k + 1)."""
  ordered = sorted(p_values)
  passed = 0
  while passed < len(ordered) and ordered[passed] <= level / (len(ordered) - passed):
    passed += 1
  return [passed > 0 and p <= ordered[passed - 1] for p in p_values]


def best_of(losses: Sequence[float], k: int) -> float:
  """Return the expected least of k of the losses, drawn without replacement."""
  ordered = np.sort(losses)
  count = len(ordered)
  weights = [math.comb(count - 1 - place, k - 1) / math.comb(count, k) for place in range(count)]
  return float(ordered @ weights)


def accelerated(count: int, statistic: Callable[[np.ndarray], float]) -> Estimate:
  """Return a statistic of the places of some items with SciPy's BCa interval, of 2,000 resamples.

  Its level is that at which the normal distribution ends where Student's does, with the bias of few items undone.
  """
  every = np.arange(count)
  level = 2 * stats.norm.cdf(stats.t.ppf(0.975, count - 1) * math.sqrt(count / (count - 1))) - 1
  with warnings.catch_warnings(), np.errstate(all='ignore'):
    warnings.simplefilter('ignore')  # of resamples that are all equal, which have no interval
    found = stats.bootstrap(
      (every,),
      statistic,
      n_resamples=2000,
      method='BCa',
      vectorized=False,
      confidence_level=level,
      random_state=np.random.default_rng(0),
    ).confidence_interval
  value = statistic(every)
  return exact(value) if math.isnan(found.low) else Estimate(value, float(found.low), float(found.high))
