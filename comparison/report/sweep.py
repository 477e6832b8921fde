"""The tables of a sweep: settings ranked by validation, the best of k trials, the budget, and which setting is best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comparison import statistics
from comparison.claims import base
from comparison.claims.tables import Table
from comparison.records import Row
from comparison.report import markdown
from comparison.statistics import Interval

NAME = 'sweep'
SELECTION = 'validation loss'
Values = dict[str, Any]  # of the swept fields, by their dotted names


@dataclass(frozen=True)
class Setting:
  """The trials of one setting: its seeds, how many of them diverged, and metric → the rows of the others."""

  values: Values
  seeds: tuple[int, ...]
  diverged: int
  scores: Mapping[str, tuple[Row, ...]]

  def mean(self, metric: str) -> Interval | None:
    """Return the mean over the seeds with its interval; None where a trial diverged or has no such score."""
    found = self.scores.get(metric, ())
    return base.seeds(found) if found and not self.diverged else None

  @property
  def key(self) -> float:
    """Return the mean loss of validation; infinity where a trial diverged."""
    mean = self.mean(SELECTION)
    return math.inf if mean is None else mean.value


@dataclass(frozen=True)
class Summary:
  """A sweep: its settings, best first; the name of the best or why there is none; its budget; what failed."""

  settings: tuple[Setting, ...]
  table: Table
  curve: Table
  best: Values | None
  verdict: str
  budget: str
  failures: tuple[str, ...]


def summary(records: Sequence[Row], space: Mapping[str, Any]) -> Summary:
  """Return what the records of a sweep say. space: see `commands.sweep`."""
  rows = [row for row in records if row.get('experiment') == NAME and 'value' in row]
  fields = [axis['field'] for axis in space['axes']]
  found = tuple(sorted(settings(rows, fields), key=lambda setting: setting.key))
  best, verdict = choose(found, space, unfinished(rows, space))
  failed = tuple(failures(rows, fields))
  return Summary(found, table(found, fields, best), curve(rows), best, verdict, budget(rows, space), failed)


def settings(rows: Sequence[Row], fields: Sequence[str]) -> list[Setting]:
  """Group the rows of trials by the values of the fields, in the order of the trials."""
  groups: dict[tuple[Any, ...], list[Row]] = {}
  for row in rows:
    if row.get('metric') != 'failed' and row.get('seed') is not None:
      groups.setdefault(tuple(row.get(field) for field in fields), []).append(row)
  made = []
  for key, group in groups.items():
    tried = {row['seed']: row['value'] for row in group if row['metric'] == 'diverged'}
    scores: dict[str, dict[int, Row]] = {}
    for row in group:
      if row['metric'] not in ('diverged', 'seconds') and row.get('value') is not None:
        scores.setdefault(row['metric'], {})[row['seed']] = row
    values = {metric: tuple(of_seed.values()) for metric, of_seed in scores.items()}
    made.append(
      Setting(dict(zip(fields, key, strict=True)), tuple(sorted(tried)), sum(map(bool, tried.values())), values)
    )
  return made


def table(found: Sequence[Setting], fields: Sequence[str], best: Values | None) -> Table:
  """Return a row for each setting, the lowest loss of validation first."""
  metrics = shown_metrics(found)
  rows = []
  for setting in found:
    means = [setting.mean(metric) for metric in metrics]
    cells = ['' if mean is None else base.show(mean, 4) for mean in means]
    lead = [as_text(setting.values[field]) for field in fields]
    rows.append((*lead, *cells, str(len(setting.seeds)), str(setting.diverged)))
  columns = (*map(short, fields), *metrics, 'n', 'diverged')
  place = next((i for i, setting in enumerate(found) if best is not None and setting.values == best), None)
  marks = frozenset() if place is None else frozenset({(place, len(fields))})
  note = (
    'Mean over the seeds with its 95 % interval (Student), the lowest loss of validation first; n: trials. A setting '
    'with a trial that diverged has no mean.'
  )
  return Table('Settings of a sweep', note, columns, tuple(rows), marks)


def shown_metrics(found: Sequence[Setting]) -> list[str]:
  """Return the metrics of a table: the loss of validation, and all of `test`."""
  names = dict.fromkeys(name for setting in found for name in setting.scores)
  return [SELECTION, *(name for name in names if name.startswith('test '))]


def curve(rows: Sequence[Row]) -> Table:
  """Return the expected scores of the best of k trials, chosen by the loss of validation."""
  trials: dict[str, dict[str, float]] = {}
  for row in rows:
    if row['metric'] != 'failed' and row.get('value') is not None:
      trials.setdefault(row['cell'], {})[row['metric']] = row['value']
  found = [scores for scores in trials.values() if 'diverged' in scores]
  metrics = [SELECTION, *dict.fromkeys(name for scores in found for name in scores if name.startswith('test '))]
  keys = [scores.get(SELECTION, math.inf) for scores in found]
  lines = []
  for k in steps(len(found)):
    cells = []
    for metric in metrics:
      value = statistics.expected_best(keys, k, reported=[scores.get(metric, math.inf) for scores in found])
      cells.append(base.figure(value) if math.isfinite(value) else 'diverged')
    lines.append((str(k), *cells))
  note = (
    'Mean over all subsets of k of the trials, settings and seeds alike, of the trial with the lowest loss of '
    'validation (Dodge et al., 2019; without bias: Tang et al., 2020); "diverged" where every trial of a subset may.'
  )
  return Table('Best of k trials', note, ('k', *metrics), tuple(lines))


def steps(count: int) -> list[int]:
  """Return 1, 2, 4 … and the number of trials."""
  return sorted({2**i for i in range(count.bit_length()) if 2**i <= count} | ({count} if count else set()))


def unfinished(rows: Sequence[Row], space: Mapping[str, Any]) -> int:
  """Return how many trials of the space have no result."""
  done = {row['content'] for row in rows if row['metric'] != 'failed'}
  return len(set(space['cells']) - done)


def choose(found: Sequence[Setting], space: Mapping[str, Any], missing: int) -> tuple[Values | None, str]:
  """Return the best setting, or None, and a sentence: no setting is best while trials are missing or at an edge."""
  if missing:
    return None, f'No setting is named best: {missing} of {len(space["cells"])} trials are not finished.'
  if not found or not math.isfinite(found[0].key):
    return None, 'No setting is named best: every one has a trial that diverged.'
  first = found[0]
  edges = [text for axis in space['axes'] if (text := edge(axis, first.values[axis['field']], found))]
  if edges:
    return None, f'No setting is named best: {"; ".join(edges)}.'
  text = ', '.join(f'{short(field)}={as_text(value)}' for field, value in first.values.items()) or 'the config'
  mean = first.mean(SELECTION)
  assert mean is not None
  near = sum(_overlaps(mean, other.mean(SELECTION)) for other in found[1:])
  open_ = f'; settings whose intervals overlap it: {near}' if near and math.isfinite(mean.low) else ''
  return first.values, f'Best by validation: {text}, {SELECTION} {base.show(mean, 4)}, n = {len(first.seeds)}{open_}.'


def edge(axis: Mapping[str, Any], value: Any, found: Sequence[Setting]) -> str:
  """Return what is wrong with a best value at the end of a numeric axis; '' inside, and where it cannot go further."""
  tried = {v for setting in found if isinstance(v := setting.values[axis['field']], int | float)}
  if not axis['numeric'] or len(tried) < 2 or value not in (min(tried), max(tried)):
    return ''
  end = axis['below'] if value == min(tried) else axis['above']
  if end is None:
    return ''
  beyond = end < value if value == min(tried) else end > value
  where = f'extend it to {as_text(end)}' if beyond else 'extend it'
  return f'the best {short(axis["field"])}, {as_text(value)}, ends the grid: {where}'


def budget(rows: Sequence[Row], space: Mapping[str, Any]) -> str:
  """Return one line: trials, device-seconds and ranges."""
  done = {row['cell']: row['value'] for row in rows if row['metric'] == 'diverged'}
  failed = {row['cell'] for row in rows if row['metric'] == 'failed'} - done.keys()
  spent = sum(row['value'] or 0.0 for row in rows if row['metric'] == 'seconds')
  kind = next((row['device_kind'] for row in rows), '')
  ranges = ', '.join(f'{short(axis["field"])} {axis["text"]}' for axis in (*space['axes'], space['seeds']))
  parts = [f'{len(done)} trials ({sum(map(bool, done.values()))} diverged, {len(failed)} failed)']
  parts += [f'{spent:,.0f} device-seconds on {kind}', ranges]
  if space.get('part'):
    parts.append(space['part'])
  return f'Budget: {"; ".join(parts)}.'


def failures(rows: Sequence[Row], fields: Sequence[str]) -> list[str]:
  """Return one line for each trial that failed: its values and the error."""
  found = []
  for row in rows:
    if row['metric'] == 'failed':
      values = [f'{short(field)}={as_text(row.get(field))}' for field in (*fields, 'seed')]
      found.append(f'{", ".join(values)} failed: {row.get("error", "")}')
  return found


def lines(found: Summary) -> list[str]:
  """Return the parts of what a terminal shows."""
  failed = '\n'.join(found.failures)
  return [part for part in (aligned(found.table), failed, aligned(found.curve), found.verdict, found.budget) if part]


def as_markdown(found: Summary, header: Sequence[tuple[str, str]]) -> str:
  """Return the page of a sweep."""
  about = '\n'.join(f'- **{name}**: {value}' for name, value in header if name != 'gates')
  tables = [markdown.table(table, '##') for table in (found.table, found.curve)]
  return '\n\n'.join(['# A sweep', about, found.verdict, found.budget, *tables]) + '\n'


def as_json(found: Summary, header: Sequence[tuple[str, str]], space: Mapping[str, Any]) -> dict[str, Any]:
  """Return all digits of a sweep; numbers that are not finite are null."""
  shown = []
  for setting in found.settings:
    means = {metric: mean for metric in setting.scores if (mean := setting.mean(metric)) is not None}
    scores = {metric: dict(zip(Interval._fields, map(_finite, mean), strict=True)) for metric, mean in means.items()}
    shown.append({'values': setting.values, 'seeds': setting.seeds, 'diverged': setting.diverged, 'scores': scores})
  return {
    'header': dict(header),
    'config': space['config'],
    'axes': [*space['axes'], space['seeds']],
    'settings': shown,
    'best': found.best,
    'verdict': found.verdict,
    'best_of_k': {'columns': found.curve.columns, 'rows': found.curve.rows},
    'budget': found.budget,
  }


def aligned(shown: Table) -> str:
  """Return a table as aligned text, for a terminal."""
  lines = [shown.columns, *shown.rows]
  widths = [max(len(line[i]) for line in lines) for i in range(len(shown.columns))]
  return '\n'.join('  '.join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def short(field: str) -> str:
  """Return a field without the section train: `learning_rate`, `model.width`."""
  return field.removeprefix('train.')


def as_text(value: Any) -> str:
  if isinstance(value, float):
    return f'{value:.4g}'
  return 'absent' if value is None else str(value)


def _overlaps(mean: Interval, other: Interval | None) -> bool:
  return other is not None and other.low <= mean.high


def _finite(value: float) -> float | None:
  return value if math.isfinite(value) else None
