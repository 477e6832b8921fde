"""Scores of trained models with their controls: both budgets, tuning, the best of the seeds, trivial baselines."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from comparison.claims.base import Claim, Quality, Verdict, figure, levels, seeds, tuned, where
from comparison.records import AT_EQUAL_FLOPS, Row
from comparison.statistics import Interval

BASELINES = 'baselines'
BUDGET = ('lstm', 'plain')  # whose training FLOPs are the second budget
EQUAL = 0.05  # training FLOPs this close to the budget are equal
# What a model reads when it is scored.
TEACHER_FORCED = (
  'The loss is teacher-forced, every character predicted from the true ones before it; free-running: not measured'
)
NOT_FED_BACK = (
  'No answer is fed back into the model, so that teacher-forced and free-running accuracy are the same number'
)
# Tasks whose trained models are counted and compared: experiment, metric, coordinate, whether more is better.
QUALITIES: Mapping[str, tuple[str, str, str, bool]] = {
  'recall': ('recall_capacity', 'accuracy', 'pairs', True),
  'reach': ('reach', 'accuracy', 'length', True),
  'loss by token index': ('token_index', 'loss', 'index', False),
}
Key = tuple[str, str, float]  # architecture, block, size


class Score(NamedTuple):
  """One coordinate of a model: mean over the seeds with its interval, and the best of them."""

  mean: Interval
  best: float
  seeds: int


@dataclasses.dataclass(frozen=True)
class Model:
  """A trained model at its best learning rate. rates: those that were tried, if known; flops: of the whole training."""

  name: str
  parameters: int | None
  rate: float | None
  rates: tuple[float, ...]
  updates: int | None
  flops: float | None
  share: float | None  # its training FLOPs ÷ the budget's
  scores: dict[Any, Score]
  trials: int  # trainings, over learning rates and seeds

  @property
  def edge(self) -> str:
    """`highest` or `lowest` where the best learning rate ends the grid, `only` where it is all of it."""
    if not self.rates or self.rate is None:
      return ''
    if len(self.rates) == 1:
      return 'only'
    return {max(self.rates): 'highest', min(self.rates): 'lowest'}.get(self.rate, '')


def models(quality: Quality, records: Sequence[Row]) -> list[Model]:
  """Return the models behind a claim, the best at the last coordinate first."""
  groups = _groups(quality, records)
  sizes = {size for _, _, size in groups}
  trials = _trials(quality, records)
  budget = _flops(next((rows for key, rows in groups.items() if key[:2] == BUDGET), []), trials)
  found = []
  for (architecture, block, size), rows in groups.items():
    rates = tuple(trials.get('rates', ()))
    parts = [architecture, block] + ([f'{size:,.0f} parameters'] if len(sizes) > 1 else [])
    flops = _flops(rows, trials)
    scores = {x: _score(quality, [r for r in rows if r[quality.coordinate] == x]) for x in points(quality, rows)}
    found.append(
      Model(
        ', '.join(part for part in parts if part),
        rows[0].get('parameters'),
        rows[0].get('learning_rate', rates[0] if len(rates) == 1 else None),
        rates,
        rows[0].get('updates', trials.get('updates')),
        flops if trials else None,
        flops / budget if flops and budget else None,
        scores,
        _trained(quality, records, (architecture, block, size), trials),
      )
    )
  last = max((x for model in found for x in model.scores), default=None)
  sign = -1 if quality.higher else 1
  return sorted(found, key=lambda m: sign * m.scores[last].mean.value if last in m.scores else float('inf'))


def tokens(quality: Quality, records: Sequence[Row]) -> int | None:
  """Return the tokens of an update, the same for all models of an experiment; None where they are not known."""
  return _trials(quality, records).get('tokens')


def points(quality: Quality, rows: Sequence[Row]) -> list[Any]:
  return levels(rows, quality.coordinate)


def baselines(records: Sequence[Row], experiment: str, metric: str, coordinate: str) -> dict[str, dict[Any, float]]:
  """Return baseline → coordinate → value; the key None holds a value for every coordinate."""
  found: dict[str, dict[Any, float]] = {}
  for row in where(records, BASELINES, metric, of=experiment):
    found.setdefault(row['baseline'], {})[row.get(coordinate)] = row['value']
  return found


def at(values: dict[Any, float], x: Any) -> float | None:
  """Return the value of a baseline at a coordinate; None if there is none."""
  return values.get(x, values.get(None))


def at_equal_flops(quality: Quality, records: Sequence[Row]) -> tuple[list[Row], list[str]]:
  """Return the records of models with equal training FLOPs, and the names of the models that are missing.

  A model whose FLOPs are off the budget is the one that was trained again with the budget, or it is left out.
  """
  again = {_key(row): row for row in where(records, quality.experiment, quality.metric + AT_EQUAL_FLOPS)}
  trials, groups = _trials(quality, records), _groups(quality, records)
  budget = _flops(next((rows for key, rows in groups.items() if key[:2] == BUDGET), []), trials)
  out, missing = set(again), []
  for key, rows in groups.items():
    flops = _flops(rows, trials)
    if key in again or (budget and flops and abs(flops / budget - 1) <= EQUAL):
      continue
    out.add(key)
    share = f' ({flops / budget:.2f} × the training FLOPs of the LSTM)' if budget and flops else ''
    missing.append(', '.join(part for part in key[:2] if part) + share)
  kept = []
  for row in records:
    if row.get('experiment') == quality.experiment and row.get('metric') == quality.metric and _key(row) in out:
      continue
    if row.get('experiment') == quality.experiment and row.get('metric') == quality.metric + AT_EQUAL_FLOPS:
      row = {**row, 'metric': quality.metric}
    kept.append(row)
  return kept, missing


def notes(claim: Claim, records: Sequence[Row]) -> tuple[str, ...]:
  """Return notes beside the verdict: the second budget, the tuning, teacher forcing."""
  quality = claim.quality
  if quality is None or not where(records, quality.experiment, quality.metric):
    return ()
  found = (_second_budget(claim, quality, records), _tuning(quality, records), quality.reading)
  return tuple(note for note in found if note)


def _second_budget(claim: Claim, quality: Quality, records: Sequence[Row]) -> str:
  if not any(key[:2] == BUDGET for key in _groups(quality, records)):
    return ''  # no second budget is defined
  others, missing = at_equal_flops(quality, records)
  if missing:
    return f'At equal training FLOPs: not measured for {"; ".join(missing)}'
  if not where(records, quality.experiment, quality.metric + AT_EQUAL_FLOPS):
    return f'Training FLOPs are equal as well, within {100 * EQUAL:g} % of those of the LSTM'
  return f'At equal training FLOPs: {_in_words(claim.judge(others))}'


def _in_words(verdict: Verdict) -> str:
  if verdict.number is None:
    return f'{verdict.status} ({verdict.reason})' if verdict.reason else verdict.status
  ends = [figure(x) for x in (verdict.number, verdict.low, verdict.high) if x is not None]
  shown = ends[0] if len(set(ends)) == 1 else f'{ends[0]} [{", ".join(ends[1:])}]'
  return f'{verdict.status}, {verdict.about}: {shown} {verdict.unit}'.rstrip()


def _tuning(quality: Quality, records: Sequence[Row]) -> str:
  """Return a note on models whose best learning rate is at an edge of the grid, where the next might be better."""
  found = models(quality, records)
  tried = sorted(found[0].rates) if found else []
  if not tried:
    return ''
  if len(tried) == 1:
    return f'One learning rate only, {tried[0]:g}, for every model: nothing was tuned'
  edges = {edge: [m.name for m in found if m.edge == edge] for edge in ('highest', 'lowest')}
  chosen = [f'{"; ".join(names)} chose the {edge}' for edge, names in edges.items() if names]
  grid = ', '.join(f'{rate:g}' for rate in tried)
  return f'Edge of the grid of learning rates ({grid}): {"; ".join(chosen)}' if chosen else ''


def _groups(quality: Quality, records: Sequence[Row]) -> dict[Key, list[Row]]:
  rows = where(records, quality.experiment, quality.metric)
  groups: dict[Key, list[Row]] = {}
  for row in tuned(rows, 'architecture', 'block', 'size', quality.coordinate):
    groups.setdefault(_key(row), []).append(row)
  return groups


def _key(row: Row) -> Key:
  return row.get('architecture', ''), row.get('block', ''), row.get('size') or 0.0


def _score(quality: Quality, rows: Sequence[Row]) -> Score:
  values = [row['value'] for row in rows]
  return Score(seeds(rows), max(values) if quality.higher else min(values), len(values))


def _trials(quality: Quality, records: Sequence[Row]) -> Row:
  return next(iter(where(records, BASELINES, 'trials', of=quality.experiment)), {})


def _trained(quality: Quality, records: Sequence[Row], key: Key, trials: Row) -> int:
  """Return the number of trainings behind a model, over rates, seeds and forms; of older records as `trials` says."""
  of_model = lambda metric: [row for row in where(records, quality.experiment, metric) if _key(row) == key]
  if every := of_model('diverged'):
    return len(every)
  if trials:
    return int(trials['value'])
  return len({(row.get('learning_rate'), row.get('seed')) for row in of_model(quality.metric)})


def _flops(rows: Sequence[Row], trials: Row) -> float:
  """Return training FLOPs, three forward passes for each token of each update; 0 where unknown.

  Without `trials` those of one token times the updates, or of one token: good for ratios, since all models of an
  experiment have the same tokens an update.
  """
  for row in rows:
    length = row.get('length')
    if row.get('flops_per_token') and row.get('train_length', length) == length:
      updates = row.get('updates', trials.get('updates', 1))
      return 3.0 * row['flops_per_token'] * updates * trials.get('tokens', 1)
  return 0.0
