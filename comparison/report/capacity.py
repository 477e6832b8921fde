"""The capacity map: what each architecture can do, over the bytes of its state, as a picture and a table."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from comparison.claims import base
from comparison.claims.tables import Table, quantity
from comparison.records import Row
from comparison.report.figures import INK, INKED

EXPERIMENT = 'capacity_map'
TITLE = 'Capacity map'
MEASURES = (('accuracy', ''), ('accuracy_longer', ', longer'))
CAPTION = (
  'Mean over recall, parity and copying, within the training length (filled) and beyond it (open), of the share of the '
  'way from the trivial answer to all right; over the bytes of state of one sequence. Equal parameters, each at its '
  'best learning rate on validation.'
)
RECURRENT, ATTENTION, BOTH = '#0072B2', '#D55E00', '#008060'
WITH_ATTENTION = {'transformer': ATTENTION, 'sliding_window': ATTENTION, 'griffin': BOTH, 'hybrid': BOTH}


class Entry(NamedTuple):
  """Scores of an architecture: (task, metric) → share of the way from the trivial answer, mean over the seeds."""

  state_bytes: float
  scores: dict[tuple[str, str], float]

  def mean(self, metric: str) -> float | None:
    found = [score for (_, of), score in self.scores.items() if of == metric]
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
      share = max(0.0, (row['value'] - trivial[row['task']]) / (1 - trivial[row['task']]))
      found.setdefault(name, {}).setdefault((row['task'], metric), []).append(share)
      bytes_[name] = max(bytes_.get(name, 0.0), row['state_bytes'])
  return {
    name: Entry(bytes_[name], {key: float(np.mean(values)) for key, values in scores.items()})
    for name, scores in found.items()
    if {task for task, _ in scores} == set(trivial)
  }


def label(row: Row) -> str:
  return f'{row["architecture"]}, reflecting' if row.get('reflecting') else str(row['architecture'])


def table(records: Sequence[Row]) -> Table:
  """Return a row for each architecture, the largest mean first; empty without records."""
  found = entries(records)
  tasks = sorted({task for entry in found.values() for task, _ in entry.scores})
  columns = [(task, metric, f'{task}{suffix}') for task in tasks for metric, suffix in MEASURES]
  order = sorted(found, key=lambda name: -(found[name].mean('accuracy') or 0.0))
  rows = []
  for name in order:
    scores = [found[name].scores.get((task, metric)) for task, metric, _ in columns]
    shown = ('–' if score is None else f'{score:.2f}' for score in scores)
    rows.append((name, quantity(found[name].state_bytes, 'B'), *shown))
  note = (
    CAPTION[: CAPTION.index(', within')].replace('Mean over', 'Scores of')
    + ': '
    + (
      'the share of the way from the trivial answer (0) to all right (1), mean over the seeds; `longer`: beyond the '
      'lengths of training.'
    )
  )
  return Table(TITLE, note, ('architecture', 'state', *(title for *_, title in columns)), tuple(rows))


def draw(records: Sequence[Row]) -> str | None:
  """Return the picture as an SVG element; None for fewer than two architectures."""
  found = entries(records)
  if len(found) < 2:
    return None
  style: dict[Any, Any] = {'svg.fonttype': 'none', 'svg.hashsalt': TITLE, 'font.family': 'sans-serif', 'font.size': 9}
  with mpl.rc_context(style | dict.fromkeys(INKED, INK)):
    figure = Figure(figsize=(8.4, 4.6), layout='constrained')
    axes = figure.subplots()
    for name, entry in found.items():
      colour = WITH_ATTENTION.get(name, RECURRENT)
      inside, beyond = entry.mean('accuracy'), entry.mean('accuracy_longer')
      assert inside is not None
      if beyond is not None:
        axes.plot([entry.state_bytes] * 2, [inside, beyond], color=colour, linewidth=1)
        axes.plot(entry.state_bytes, beyond, 'o', color=colour, markerfacecolor='none')
      axes.plot(entry.state_bytes, inside, 'o', color=colour)
      axes.annotate(name, (entry.state_bytes, inside), (4, 3), textcoords='offset points', fontsize=7)
    axes.set(xscale='log', xlabel='bytes of state', ylabel='share of the way to all right', ylim=(-0.03, 1.08))
    for side in ('top', 'right'):
      axes.spines[side].set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None, 'Creator': None})
  text = buffer.getvalue()
  return text[text.index('<svg') :]
