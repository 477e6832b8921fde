"""Trials of one config with other values of some fields and other seeds, each trained like a run of its own."""

import math
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.records import digest
from seqmodels.errors import InputError
from training import goodput, mesh, workdir
from training.loop import Diverged
from training.mesh_settings import mesh_settings

FOLDER = 'trials'
SELECTION = 'validation loss'
LONGEST = 120  # characters of a folder's name
# Trains a config in a folder, or goes on there, and returns {"split/metric": value}.
Train = Callable[[dict[str, Any], pathlib.Path], Mapping[str, float]]


class Sweep(Experiment):
  """A cell is one trial: the values of the swept fields, the seed and the whole config.

  Rows: `diverged`, `seconds` (of all processes that worked at the trial, times the devices), and every evaluation's
  metrics at the end. A trial that diverged, or whose loss of validation is not finite, has no scores.
  """

  name = 'sweep'

  def __init__(self, cells: Sequence[Cell], folder: pathlib.Path, train: Train) -> None:
    self._cells, self.folder, self.train = list(cells), folder, train

  def cells(self, scale: Scale) -> list[Cell]:
    del scale
    return self._cells

  def place(self, cell: Cell) -> pathlib.Path:
    """Return the workdir of a trial."""
    return self.folder / FOLDER / folder_name(cell)

  def run(self, cell: Cell) -> Iterable[Row]:
    folder, config = self.place(cell), cell['config']
    try:
      results = self.train(config, folder)
    except Diverged:
      results = {}
    scores = {name.replace('/', ' '): value for name, value in results.items() if not name.startswith('train/')}
    has_diverged = not math.isfinite(scores.get(SELECTION, math.nan))
    starts = workdir.read_provenance(folder)
    row = {name: value for name, value in cell.items() if name != 'config'}
    row |= {'updates': config['train']['steps']}
    if starts:
      row['parameters'] = starts[-1]['model']['non_embedding']
    yield {'metric': 'diverged', 'value': int(has_diverged), 'unit': '', **row}
    yield {'metric': 'seconds', 'value': seconds(folder, config), 'unit': 's', **row}
    if not has_diverged:
      if 'train/loss' in results:
        yield {'metric': 'train_loss', 'value': results['train/loss'], 'unit': '', **row}
      for name, value in scores.items():
        unit = 'share' if name.endswith('accuracy') else ''
        yield {'metric': name, 'value': value, 'unit': unit, **row}


def seconds(folder: pathlib.Path, config: Mapping[str, Any]) -> float:
  """Return the device-seconds of a trial, of the processes that were killed among them."""
  try:
    total = goodput.read(folder / goodput.NAME).total
  except InputError:  # it has no ledger
    return math.nan
  return total * mesh.make_mesh(mesh_settings(config.get('mesh', {}))).size


def folder_name(cell: Cell) -> str:
  """Return a name such as `train.learning_rate=0.001,seed=0`, with a digest where a file system may not take it."""
  values = {name: value for name, value in cell.items() if name != 'config'}
  text = ','.join(f'{name}={value}' for name, value in values.items())
  plain = re.sub(r'[^\w.=,+-]', '_', text, flags=re.ASCII)
  return text if plain == text and len(text) <= LONGEST else f'{plain[:LONGEST]}-{digest(values)}'
