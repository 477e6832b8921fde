"""Draw how the models behind a claim learned: training loss by update, each at its best learning rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import EngFormatter

from comparison.claims import base
from comparison.claims.base import COMPARED, Claim
from comparison.records import COLUMNS, Row
from comparison.report import canvas, figures
from comparison.statistics import Interval

METRIC = 'train_loss'
MOST = 8  # lines of a picture
CAPTION = (
  'Training loss by update, each model at its learning rate that is best on validation: means over equal parts of the '
  'updates and over the seeds, whose range is the band.'
)
NO_COORDINATES = ('learning_rate', 'draw')  # of an experiment's plots: of no model, or drawn at random
DERIVED = {'width', 'selection', 'learning_rate'}  # columns that follow from others


def draw(claim: Claim, records: Sequence[Row]) -> list[tuple[str, canvas.Picture]]:
  """Return the title and the picture of each experiment of a claim whose rows hold courses of training."""
  found = []
  for experiment in claim.experiments:
    if series := courses(experiment, coordinate(claim, experiment), records):
      title = f'Learning curves of {experiment.replace("_", " ")}'
      found.append((title, picture(title, series)))
  return found


def coordinate(claim: Claim, experiment: str) -> str:
  """Return the column that the claim shows its experiment over; empty where it is none of the models' own."""
  names = [plot.x for plot in claim.plots if plot.experiment == experiment]
  return names[0] if names and names[0] not in NO_COORDINATES else ''


def courses(experiment: str, over: str, records: Sequence[Row]) -> figures.Series:
  """Return label → (update, mean loss of the seeds) of at most MOST models, or nothing.

  over: the column whose smallest and largest values are kept where there are more; then the article's architectures.
  """
  rows = [row for row in base.where(records, experiment, METRIC) if len(row.get('curve') or ()) > 1]
  for keep in (ends_of(over, rows), lambda row: row.get('architecture') in COMPARED):
    if len({row['cell'] for row in rows}) > MOST:
      rows = [row for row in rows if keep(row)]
  cells: dict[str, list[Row]] = {}
  for row in base.tuned(rows, 'cell'):
    cells.setdefault(row['cell'], []).append(row)
  if not 0 < len(cells) <= MOST:
    return {}
  columns = telling([of_cell[0] for of_cell in cells.values()])
  return {label(of_cell[0], columns): course(of_cell) for of_cell in cells.values()}


def ends_of(column: str, rows: Sequence[Row]) -> Any:
  """Return whether a row has the smallest or the largest value of a column of numbers; of others, always."""
  values = [value for row in rows if isinstance(value := row.get(column), int | float)]
  if not values or len(values) < len(rows):
    return lambda row: True
  ends = {min(values), max(values)}
  return lambda row: row[column] in ends


def telling(rows: Sequence[Row]) -> list[str]:
  """Return the architecture and the columns that tell its cells apart: the block first, then by the alphabet."""
  names = {name for row in rows for name, value in row.items() if isinstance(value, str | int | float)}
  free = [*sorted(names - DERIVED - set(COLUMNS)), 'length', 'batch', 'updates']
  chosen = ['architecture']
  for name in ('block', *free):
    if len({_key(row, [*chosen, name]) for row in rows}) > len({_key(row, chosen) for row in rows}):
      chosen.append(name)
  return chosen


def _key(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
  return tuple(str(row.get(name)) for name in columns)


def label(row: Row, columns: Sequence[str]) -> str:
  """Return `lstm, residual, clip 1.0`: words as they are, numbers after the name of their column."""
  words = []
  for name in columns:
    value = row.get(name)
    if isinstance(value, str):
      words.append(value)
    elif name == 'size':
      words.append(figures.text(value, name))
    elif value is not None:
      words.append(f'{name} {value:g}')
  return ', '.join(word for word in words if word) or str(row.get('architecture', ''))


def course(rows: Sequence[Row]) -> list[tuple[float, Interval]]:
  """Return the middle of each part of the updates with the loss of the seeds: mean, lowest and highest."""
  parts = min(len(row['curve']) for row in rows)
  updates = float(rows[0].get('updates') or parts)
  losses = np.array([row['curve'][:parts] for row in rows])
  of_parts = [Interval(float(part.mean()), float(part.min()), float(part.max())) for part in losses.T]
  return [((i + 0.5) * updates / parts, of_part) for i, of_part in enumerate(of_parts)]


def picture(title: str, series: figures.Series) -> canvas.Picture:
  figure = canvas.Picture(title, (6.4, 3.5))
  with figure.styled():
    axes = figure.subplots()
    figures.lines(axes, series, figures.looks(list(series)))
    axes.set(xlabel='updates', ylabel='training loss')
    axes.xaxis.set_major_formatter(EngFormatter(sep=''))
    axes.grid(alpha=0.25, linewidth=0.6)
    canvas.bare(axes)
    handles, labels = axes.get_legend_handles_labels()
    words = [figures.in_words(name) for name in labels]
    if len(labels) > figures.FEW:
      figure.legend(handles, words, loc='outside lower center', ncols=2, frameon=False, fontsize=8)
    else:
      figure.legend(handles, words, loc='outside right upper', frameon=False, fontsize=8)
  return figure
