"""The capacity map: what each architecture can do, over the bytes of its state, as a picture and a table."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from comparison import statistics
from comparison.claims import base
from comparison.claims.tables import Table, quantity
from comparison.records import Row
from comparison.report import canvas
from comparison.statistics import Interval

EXPERIMENT = 'capacity_map'
TITLE = 'Capacity map'
MEASURES = (('accuracy', ''), ('accuracy_longer', ', longer'))
STATE = (
  'Bytes of state of one sequence: those at the length of training, which differs by task, the largest of the tasks; '
  'on longer sequences the cache of attention is larger.'
)
CAPTION = (
  'Share of the way from the trivial answer (0) to all right (1), the mean over recall, parity and copying, within the '
  'lengths of training (filled) and beyond them (open). Blue discs: recurrent; orange squares: attention; green '
  f'diamonds: both. {STATE} Equal parameters, each at its best learning rate on validation.'
)
NOTE = (
  'Share of the way from the trivial answer (0) to all right (1), the mean over the seeds with its 95 % interval '
  f'(Student), cut at 0 and 1; longer: beyond the lengths of training. {STATE}'
)
# Colour and shape of a kind of architecture, with a contrast of 3 to white and to the dark page.
LOOKS = {'recurrent': ('#0072B2', 'o'), 'attention': ('#D55E00', 's'), 'both': ('#008060', 'D')}
REFLECTING = ', reflecting'  # behind the name of an architecture whose state may change its sign
KINDS = {'transformer': 'attention', 'sliding_window': 'attention', 'griffin': 'both', 'hybrid': 'both'}


class Entry(NamedTuple):
  """Scores of an architecture: (task, metric) → share of the way from the trivial answer, and numbers of seeds."""

  state_bytes: float
  scores: Mapping[tuple[str, str], Interval]
  seeds: Sequence[int]

  def mean(self, metric: str) -> float | None:
    found = [score.value for (_, of), score in self.scores.items() if of == metric]
    return float(np.mean(found)) if found else None


def entries(records: Sequence[Row]) -> dict[str, Entry]:
  """Return the label of an architecture → what it reached; those that miss a task are left out."""
  trivial: dict[str, float] = {}
  for row in base.where(records, EXPERIMENT, 'baseline', scored='accuracy'):
    trivial[row['task']] = max(trivial.get(row['task'], 0.0), row['value'])
  found: dict[str, dict[tuple[str, str], list[float]]] = {}
  bytes_: dict[str, float] = {}
  for metric, _ in MEASURES:
    rows = [r for r in base.where(records, EXPERIMENT, metric) if r.get('task') in trivial]
    for row in base.tuned(rows, 'architecture', 'reflecting', 'task'):
      name = label(row)
      reached = (row['value'] - trivial[row['task']]) / (1 - trivial[row['task']])
      found.setdefault(name, {}).setdefault((row['task'], metric), []).append(reached)
      bytes_[name] = max(bytes_.get(name, 0.0), row['state_bytes'])
  whole = {name: scores for name, scores in found.items() if {task for task, _ in scores} == set(trivial)}
  return {
    name: Entry(
      bytes_[name], {key: share(values) for key, values in scores.items()}, sorted(set(map(len, scores.values())))
    )
    for name, scores in whole.items()
  }


def share(values: Sequence[float]) -> Interval:
  """Return the mean over the seeds with its interval, cut at 0 and 1 after the mean; of one seed without a bound."""
  mean = statistics.mean(values)
  low, high = (mean.low, mean.high) if not base.is_bounded(mean) else (max(0.0, mean.low), min(1.0, mean.high))
  return Interval(max(0.0, mean.value), low, max(0.0, high))


def label(row: Row) -> str:
  return f'{row["architecture"]}{REFLECTING}' if row.get('reflecting') else str(row['architecture'])


def table(records: Sequence[Row]) -> Table:
  """Return a row for each architecture, the largest mean first; empty without records."""
  found = entries(records)
  tasks = sorted({task for entry in found.values() for task, _ in entry.scores})
  columns = [(task, metric, f'{task}{suffix}') for task in tasks for metric, suffix in MEASURES]
  order = sorted(found, key=lambda name: -(found[name].mean('accuracy') or 0.0))
  rows = []
  for name in order:
    scores = [found[name].scores.get((task, metric)) for task, metric, _ in columns]
    shown = ('–' if score is None else base.show(score, 2) for score in scores)
    rows.append((name, quantity(found[name].state_bytes, 'B'), *shown, in_words(found[name].seeds)))
  return Table(TITLE, NOTE, ('architecture', 'state', *(title for *_, title in columns), 'seeds'), tuple(rows))


def caption(records: Sequence[Row]) -> str:
  """Return the caption of the picture, with the number of seeds."""
  seeds = sorted({count for entry in entries(records).values() for count in entry.seeds})
  return f'{TITLE}. {CAPTION} Seeds: {in_words(seeds)}.'


def in_words(seeds: Sequence[int]) -> str:
  return ' … '.join(map(str, dict.fromkeys((*seeds[:1], *seeds[-1:]))))


def draw(records: Sequence[Row]) -> canvas.Picture | None:
  """Return the picture; None for fewer than two architectures."""
  found = entries(records)
  if len(found) < 2:
    return None
  figure = canvas.Picture(TITLE, (8.4, 4.6))
  with figure.styled():
    axes = figure.subplots()
    for name, entry in found.items():
      colour, marker = LOOKS[KINDS.get(name.removesuffix(REFLECTING), 'recurrent')]
      inside, beyond = entry.mean('accuracy'), entry.mean('accuracy_longer')
      assert inside is not None
      if beyond is not None:
        axes.plot([entry.state_bytes] * 2, [inside, beyond], color=colour, linewidth=1)
        axes.plot(entry.state_bytes, beyond, marker, color=colour, markerfacecolor='none')
      axes.plot(entry.state_bytes, inside, marker, color=colour)
    axes.set(xscale='log', xlabel='bytes of state', ylabel='share of the way to all right', ylim=(-0.03, 1.08))
    canvas.bare(axes)
    axes.margins(x=0.12)
    points = [(entry.state_bytes, entry.mean('accuracy') or 0.0, name) for name, entry in found.items()]
    canvas.name_points(axes, points)
  return figure
