"""Statistics over tasks and seeds (Agarwal et al., 2021): interquartile mean, probability of improvement, intervals.

The interval is a percentile bootstrap that draws the seeds of each task again, with replacement: tasks are the strata,
and the interval says nothing about other tasks. A bootstrap of n seeds has (n − 1) ÷ n of their variance, which is
itself uncertain: of 4 tasks × 3 seeds its interval holds an interquartile mean 82 % of the time. Its distances from the
estimate are therefore multiplied by √(n ÷ (n − 1)), and by the quantile of Student's t with the degrees of freedom of
all tasks over that of the normal distribution; of two models, the least count.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from comparison.statistics import CONFIDENCE, Interval

REPEATS = 2000
TRIMMED = 0.25  # share of the scores that is left out at either end
Scores = Mapping[str, Sequence[float]]  # task → the scores of its seeds


def interquartile_mean(scores: Scores) -> Interval:
  """Return the mean of the middle half of the scores of all tasks and seeds; one seed has an unbounded interval."""
  tasks = [np.asarray(values, np.float64) for values in scores.values()]
  return _interval(lambda drawn: trimmed_mean(np.concatenate(drawn, axis=1)), [tasks])


def trimmed_mean(rows: np.ndarray) -> np.ndarray:
  """Return the mean of each row of `[repeats, scores]` without the lowest and the highest quarter, rounded down."""
  count = rows.shape[1]
  cut = int(TRIMMED * count)
  return np.sort(rows, axis=1)[:, cut : count - cut].mean(axis=1)


def probability_of_improvement(first: Scores, second: Scores) -> Interval:
  """Return how probable it is that a run of the first model beats one of the second, as the mean over their tasks.

  More is better; equal scores count half. The tasks must be the same.
  """
  models = [[np.asarray(scores[task], np.float64) for task in first] for scores in (first, second)]

  def mean(*drawn: np.ndarray) -> np.ndarray:
    half = len(drawn) // 2
    return np.mean([_wins(x, y) for x, y in zip(drawn[:half], drawn[half:], strict=True)], axis=0)

  value, low, high = _interval(lambda drawn: mean(*drawn), models)
  return Interval(value, max(0.0, low), min(1.0, high)) if math.isfinite(low) else Interval(value, low, high)


def _wins(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Return for each repeat the share of pairs that the first wins: Mann–Whitney's U ÷ the number of pairs."""
  difference = first[:, :, None] - second[:, None, :]
  return ((difference > 0) + 0.5 * (difference == 0)).mean(axis=(1, 2))


def _interval(statistic: Callable[[list[np.ndarray]], np.ndarray], models: Sequence[Sequence[np.ndarray]]) -> Interval:
  """Return a statistic of the scores of models' tasks, with its interval. statistic: of `[repeats, seeds]` arrays."""
  tasks = [values for model in models for values in model]
  value = float(statistic([values[None] for values in tasks])[0])
  fewest = min(len(values) for values in tasks)
  if fewest < 2:
    return Interval(value, -math.inf, math.inf)
  from scipy import special  # not where a list of claims is all that is asked for

  rng = np.random.default_rng(0)
  drawn = [values[rng.integers(len(values), size=(REPEATS, len(values)))] for values in tasks]
  tail = (1 - CONFIDENCE) / 2
  ends = np.quantile(statistic(drawn), (tail, 1 - tail))
  freedom = min(sum(len(values) - 1 for values in model) for model in models)
  widened = math.sqrt(fewest / (fewest - 1)) * float(special.stdtrit(freedom, 1 - tail) / special.ndtri(1 - tail))
  low, high = (value + (end - value) * widened for end in ends)
  return Interval(value, float(low), float(high))
