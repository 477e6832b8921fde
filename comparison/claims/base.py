"""Claims, rules, plots and verdicts, and the selection of records for a judge."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from comparison import statistics
from comparison.records import Row
from comparison.statistics import Interval

Status = Literal['supported', 'contradicted', 'mixed', 'undecided', 'fact', 'not measured here', 'not judged']
STATUSES: tuple[Status, ...] = (
  'supported', 'contradicted', 'mixed', 'undecided', 'fact', 'not measured here', 'not judged',
)  # fmt: skip

GATED = ('lstm', 'gru')  # what the article's box calls RNNs
ELMAN = 'rnn'
RECURRENT = (*GATED, ELMAN)
TRANSFORMER = 'transformer'
COMPARED = (*RECURRENT, TRANSFORMER)
FIRST = '2026-11-22 19:43'  # when the first rules were written


class Device(NamedTuple):
  """A kind of device that statements speak of.

  of_records: the `device` of the records that measure it; None: none can. where: `on a GPU`. needs: what measures it.
  """

  of_records: str | None
  where: str
  needs: str


SpeaksOf = Literal['any device', 'GPUs', 'phones']
DEVICES: Mapping[SpeaksOf, Device] = {  # those that a statement may be about alone
  'GPUs': Device('gpu', 'on a GPU', 'a GPU'),
  'phones': Device(None, 'on a phone', 'a phone, on which this program does not run'),
}


@dataclass(frozen=True)
class Plot:
  """Declaration of a figure: which rows, and which columns on which axes. `report` draws it.

  series: the columns whose values name a line. where: column → allowed values; without: column → values left out. Rows
  of one point (seeds, learning rates) are averaged with their interval; rows with `low` and `high` keep them.
  baselines: draws the trivial baselines of the experiment beside the models.
  """

  title: str
  experiment: str
  metric: str
  x: str
  series: tuple[str, ...] = ('architecture', 'backend')
  where: Mapping[str, Sequence[Any]] = field(default_factory=dict)
  without: Mapping[str, Sequence[Any]] = field(default_factory=dict)
  baselines: bool = False
  log_x: bool = False
  log_y: bool = False
  x_label: str = ''
  y_label: str = ''


def of_others(plot: Plot) -> Plot:
  """Return the same figure of the architectures that no verdict compares."""
  title = 'The same, of what is not in the verdict'
  return dataclasses.replace(plot, title=title, where={}, without={'architecture': COMPARED})


STATE_BYTES = Plot(
  'Bytes of state',
  'state_bytes',
  'state_bytes',
  'length',
  where={'batch': (1,)},
  log_x=True,
  log_y=True,
  x_label='tokens remembered',
  y_label='bytes',
)


@dataclass(frozen=True)
class Quality:
  """Declaration of the scores of trained models behind a claim. `report` prints them as tables with all controls.

  coordinate: the column that the score is shown over; point: what a value of it is called. reading: whether the model
  reads the truth or itself.
  """

  experiment: str
  metric: str
  coordinate: str
  point: str
  higher: bool  # whether more is better
  reading: str


@dataclass(frozen=True)
class Point:
  """One regime of a claim: its number, and on which side of the thresholds the whole interval lies.

  threshold: where support begins, if one number says it; limit: where contradiction begins; side: 1 if it supports
  above, -1 if below. group: the model size, where a statement of tendency is judged over several, which weigh the same.
  """

  label: str
  interval: Interval
  supports: bool
  contradicts: bool
  unit: str = ''
  p_against: float | None = None  # p-value of "it does not contradict"
  p_for: float | None = None  # p-value of "it does not support"
  threshold: float | None = None
  limit: float | None = None
  side: Literal[-1, 0, 1] = 0
  group: str = ''

  @property
  def test(self) -> tuple[float | None, float | None, int]:
    """Return what the number is compared with; regimes with another test measure something else."""
    return self.threshold, self.limit, self.side

  def __str__(self) -> str:
    return f'{self.label}: {show(self.interval)} {self.unit}'.rstrip()


@dataclass(frozen=True)
class Verdict:
  """A status and the number that decided it, in `unit`, with its 95 % interval.

  here: the status on this device, of a statement about another kind of device. elsewhere: on which one it was not
  measured then, `on a GPU`. rule: the version of the rule that was applied. points: all regimes that it was made of,
  where it was made of several.
  """

  status: Status
  number: float | None = None
  unit: str = ''
  low: float | None = None
  high: float | None = None
  text: str = ''  # what was found, in one or two sentences
  reason: str = ''  # why it is mixed, undecided or not measured here
  ladder: tuple[str, ...] = ()  # the number on every backend of each side, best first
  notes: tuple[str, ...] = ()  # what one must know beside the verdict
  about: str = ''  # what the number is, and at which regime
  here: Status | None = None
  elsewhere: str = ''
  rule: int = 1
  points: tuple[Point, ...] = ()
  beside: tuple[str, ...] = ()  # what was measured with it and is not in the verdict
  needs: tuple[str, ...] = ()  # experiments that were not measured, or not far enough


Judge = Callable[[Sequence[Row]], Verdict]


@dataclass(frozen=True)
class Rule:
  """The thresholds of a claim and the judge that applies them, since a time in UTC (`2026-11-25 17:36`).

  A rule binds records that were measured after it was written. judge None: no published record is bound by it.
  protocol: how the statement was tested under it; empty for rules whose checksum is that of the thresholds alone.
  """

  version: int
  since: str
  supported_if: str
  contradicted_if: str
  judge: Judge | None = None
  protocol: str = ''

  @property
  def text(self) -> str:
    return f'Supported if {self.supported_if}. Contradicted if {self.contradicted_if}.'


@dataclass(frozen=True)
class Claim:
  """A statement, how it is tested, and the thresholds, which are written before anything is measured.

  words: those of the article that a judge must heed. speaks_of: the devices that the statement is about. definition:
  whether it follows from a definition, so that support means a fact. beside: experiments that are run and shown with
  it, without which it can be judged all the same. version, since: of the rule; earlier: those that it replaced, the
  first first. revised: why. from_scale: the first one that measures it, but for smoke.
  """

  number: int
  title: str
  statement: str
  protocol: str
  supported_if: str
  contradicted_if: str
  experiments: tuple[str, ...]
  judge: Judge
  plots: tuple[Plot, ...] = ()
  beside: tuple[str, ...] = ()
  quality: Quality | None = None
  revised: str = ''
  words: str = ''
  speaks_of: SpeaksOf = 'any device'
  definition: bool = False
  since: str = FIRST
  earlier: tuple[Rule, ...] = ()
  from_scale: Literal['laptop', 'overnight'] = 'laptop'

  @property
  def rules(self) -> tuple[Rule, ...]:
    """Return all rules, the one of today last."""
    version, limits = len(self.earlier) + 1, (self.supported_if, self.contradicted_if)
    return (*self.earlier, Rule(version, self.since, *limits, self.judge, self.protocol))


def where(records: Iterable[Row], experiment: str, metric: str, **columns: Any) -> list[Row]:
  """Return the rows of an experiment and metric whose columns equal the values, or are among them for a tuple."""
  found = []
  for row in records:
    if row.get('experiment') != experiment or row.get('metric') != metric or row.get('value') is None:
      continue
    if all(row.get(k) in v if isinstance(v, tuple) else row.get(k) == v for k, v in columns.items()):
      found.append(row)
  return found


def levels(rows: Iterable[Row], column: str) -> list[Any]:
  """Return the different values of a column, sorted; rows without it are skipped."""
  return sorted({row[column] for row in rows if row.get(column) is not None})


def grids(rows: Iterable[Row], *columns: str) -> dict[str, list[Row]]:
  """Group rows of one size, data type and value of `columns`, which may be compared. Keys are labels for texts.

  The data type is that of the Transformer in the cell of a row, if it has one: a kernel that has one type only is a
  rung among those of another.
  """
  rows = list(rows)
  types_of_cells = {r['cell']: r.get('dtype') for r in rows if r.get('cell') and r.get('architecture') == TRANSFORMER}
  groups: dict[tuple[Any, ...], list[Row]] = {}
  for row in rows:
    dtype = types_of_cells.get(row.get('cell'), row.get('dtype'))
    groups.setdefault((row.get('size'), dtype, *(row.get(c) for c in columns)), []).append(row)
  types = {dtype for _, dtype, *_ in groups}
  named = {}
  for key in sorted(groups, key=lambda key: [(value is None, value) for value in key]):
    size, dtype, *others = key
    words = [] if size is None else [f'{size:,.0f} parameters']
    words += [f'{column} {value}' for column, value in zip(columns, others, strict=True) if value is not None]
    words += [str(dtype)] if len(types) > 1 else []
    named[', '.join(words)] = groups[key]
  return named


def samples(row: Row) -> Sequence[float]:
  """Return the repeats behind a row, or its value alone."""
  return row.get('samples') or [row['value']]


def name(row: Row) -> str:
  """Return the label of a series in texts and legends: `lstm xla`."""
  return ' '.join(str(row[k]) for k in ('architecture', 'backend') if row.get(k))


def tuned(rows: Sequence[Row], *coordinates: str) -> list[Row]:
  """Keep, for each combination of `coordinates`, the rows at the learning rate with the best validation score.

  Where a trial of every rate diverged, none are kept.
  """
  groups: dict[tuple[Any, ...], list[Row]] = {}
  for row in rows:
    groups.setdefault(tuple(row.get(k) for k in coordinates), []).append(row)
  kept = []
  for group in groups.values():
    top = max(map(selection, group))
    if top == -float('inf'):
      continue
    kept += [row for row in group if selection(row) == top]
  return kept


def selection(row: Row) -> float:
  """Return the score of validation; minus infinity for a learning rate at which a trial diverged."""
  score = row.get('selection', 0.0)
  return -float('inf') if score is None else score


def validation(rows: Sequence[Row]) -> float:
  """Return the mean score of validation of some trials, by which a model is chosen among others."""
  scores = [selection(row) for row in rows]
  return sum(scores) / len(scores)


def seeds(rows: Iterable[Row]) -> Interval:
  """Return the mean over the seeds; the interval of a share is cut at 0 and 1, unless it is unbounded."""
  rows = list(rows)
  interval = statistics.mean([row['value'] for row in rows])
  if not is_bounded(interval) or any(row.get('unit') != 'share' for row in rows):
    return interval
  return Interval(interval.value, max(0.0, interval.low), min(1.0, interval.high))


def is_bounded(interval: Interval) -> bool:
  """Return whether at least one end is finite: the interval of a single seed says nothing."""
  return math.isfinite(interval.low) or math.isfinite(interval.high)


def show(interval: Interval, digits: int = 3) -> str:
  """Format an interval: `1.23 [1.10, 1.31]`; the value alone where it is exact or unbounded."""
  value, low, high = (figure(x, digits) for x in interval)
  return f'{value} [{low}, {high}]' if low != high and is_bounded(interval) else value


def figure(value: float, digits: int = 3) -> str:
  """Format a number: `1.23`, `12,300`, `8,192`, `1.23e-07`. Whole numbers keep all digits."""
  if 10**digits <= abs(value) < 1e9 and float(value).is_integer():
    return f'{value:,.0f}'
  if 10**digits <= abs(value) < 1e9:
    return f'{float(f"{value:.{digits}g}"):,.0f}'
  return f'{value:.{digits}g}' if abs(value) > 1e-12 else '0'
