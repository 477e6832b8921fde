"""--mode=eval: evaluates checkpoints of a workdir with the evaluator that training uses; writes eval.jsonl."""

if __name__ == '__main__':  # `python eval.py …` is `python main.py --mode=eval …`
  import sys

  import main as program

  sys.exit(program.start('eval'))

import fcntl
import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax

from commands import config_file
from seqmodels.errors import InputError
from tasks.base import Task
from tasks.shown import Attention, Shown
from training import cache, files, processes, rebuilding
from training import mesh as meshes
from training import workdir as workdirs
from training.evaluate import evaluate, possible_evaluations, say_left_out
from training.free_running import free_running
from training.mesh_settings import MeshSettings
from training.metrics import log, parse_rows
from training.settings import eval_settings
from training.sharding import param_shardings
from training.shown import attention, can_show, shown
from training.waiting import each, within
from training.workdir import Rebuilt

Results = dict[str, dict[str, float]]  # split → metric → value


class Other(NamedTuple):
  """Hold what is evaluated in place of the run's own: the values that differ, and what is rebuilt with them.

  about: what the rows of the results say of it: `overrides`, and the checksums of the `data`.
  """

  values: dict[str, Any]
  rebuilt: Rebuilt
  about: dict[str, Any]


def main(
  workdir: str,
  *,
  step: int | None = None,
  all_steps: bool = False,
  mesh: MeshSettings = MeshSettings(),
  pictures: int = 0,
  overrides: Mapping[str, str | None] = {},
) -> None:
  """Print a table of every evaluation of the newest checkpoint, of `step`, or of all; baselines stand beside.

  overrides: fields of the sections task and eval with other values than in training, as text; the results are then
    written to eval_overrides.jsonl, and pictures below eval_overrides.
  pictures: of how many examples of each split to write pictures, or the texts, into the workdir.
  """
  cache.counts.start()
  folder = files.resolve('workdir', workdir)
  baselines: Results | None = None
  other = read_overrides(folder, overrides)
  title = ''.join(f', {field}={value}' for field, value in other.values.items()) if other else ''
  for number, results, task in evaluations(
    folder, step=step, all_steps=all_steps, mesh=mesh, pictures=pictures, other=other
  ):
    if not processes.is_first():
      continue
    if baselines is None:
      baselines = task.baselines()
    print(f'step {number}{title}')
    print(table(results, 'split'))
    for name, signature in task.signatures().items():
      print(f'  {name}: {signature}')
  if baselines:
    print('baselines on the test split')
    print(table(baselines, 'baseline'))


def read_overrides(folder: pathlib.Path, overrides: Mapping[str, str | None]) -> Other | None:
  """Return what is evaluated with other values of a workdir's config; None where none differs. Raises InputError."""
  if not overrides:
    return None
  config, values = config_file.overridden(workdirs.read_config(folder), overrides)
  if not values:
    return None
  rebuilt = rebuilding.with_overrides(folder, config, values)
  return Other(values, rebuilt, {'overrides': values, 'data': rebuilding.identity_of(rebuilt.task)})


def evaluations(
  folder: pathlib.Path,
  *,
  step: int | None,
  all_steps: bool,
  mesh: MeshSettings = MeshSettings(),
  pictures: int = 0,
  other: Other | None = None,
) -> Iterator[tuple[int, Results, Task]]:
  """Evaluate checkpoint after checkpoint, write its rows to eval.jsonl, and yield (step, results, task).

  other: what is evaluated in place of the run's own data; its rows are written to eval_overrides.jsonl.

  Raises InputError for pictures where neither the task nor the model has something to see.
  """
  devices = meshes.make_mesh(mesh)
  path, about, root = folder / 'eval.jsonl', {}, folder
  if other:
    path, about, root = folder / 'eval_overrides.jsonl', other.about, folder / 'eval_overrides'
  steps, rebuilt = None if all_steps else [step], other.rebuilt if other else None
  for number, loaded in enumerate(each('reading a checkpoint', workdirs.load_steps(folder, steps, rebuilt))):
    if pictures and not can_show(loaded.task) and not loaded.model.attends:
      nothing = f'there is nothing to see of {type(loaded.task).__name__}, and the model has no attention'
      raise InputError(f'--pictures={pictures} has no effect: {nothing}')
    processes.check_same('the checkpoint', {'step': loaded.step})
    settings = eval_settings(loaded.config['eval'])
    if not number:
      say_left_out(loaded.model, loaded.task)
    params = jax.device_put(loaded.params, param_shardings(loaded.model, devices, mesh))
    results: Results = {}
    for name, evaluation in possible_evaluations(loaded.model, loaded.task).items():
      what = loaded.model, params, loaded.task, evaluation, settings, devices
      results[name] = evaluate(*what) | free_running(*what)
      if pictures:
        weights = attention(loaded.model, params, loaded.task, evaluation, devices, count=pictures)
        draw(root, loaded.step, name, shown(*what, count=pictures), weights)
    cache.counts.say()
    if processes.is_first():
      with within(f'writing {path.name}'):
        keep(path, loaded.step, results, about)
    yield loaded.step, results, loaded.task


def draw(folder: pathlib.Path, step: int, name: str, seen: list[Shown], weights: list[list[Attention]]) -> None:
  """Write the pictures of an evaluation and print where they are."""
  from commands import pictures  # imports matplotlib

  if seen or weights:
    for path in pictures.write(folder, step, name, seen, weights):
      print(path)


def keep(path: pathlib.Path, step: int, results: Results, about: Mapping[str, Any] = {}) -> None:
  """Write a row a split; it takes the place of an older row of the same step, split and overrides.

  about: further fields of every row.

  Where it cannot be written (in another's workdir) that is logged; the numbers are printed anyway.
  """
  new = [
    {'step': step, 'split': name, **about}
    | {metric: value if math.isfinite(value) else None for metric, value in values.items()}
    for name, values in results.items()
  ]
  try:
    with path.open('a+', encoding='utf-8') as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      rows, damaged = parse_rows(path)
      kind = lambda row: [row['step'], row['split'], row.get('overrides')]
      old = [row for row in rows if kind(row) in [kind(row) for row in new]]
      if not old and not damaged:
        file.write(''.join(json.dumps(row) + '\n' for row in new))
        return
      if damaged:
        log.warning('%s: line %s cannot be read and is dropped', path, ', '.join(map(str, damaged)))
      file.truncate(0)  # in place: a file that took its place would not be the one that is locked
      file.write(''.join(json.dumps(row) + '\n' for row in [*(row for row in rows if row not in old), *new]))
  except OSError as error:
    log.warning('%s cannot be written (%s): results are printed only', path, files.reason(error))


def table(rows: Mapping[str, Mapping[str, float]], label: str) -> str:
  """Return a table with names down, metrics across, aligned."""
  metrics = list(dict.fromkeys(metric for values in rows.values() for metric in values))
  cells = [[label, *metrics]]
  for name, values in rows.items():
    cells.append([name, *(f'{values[metric]:.6g}' if metric in values else '' for metric in metrics)])
  widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
  lines = [
    [f'{row[0]:<{widths[0]}}', *(f'{cell:>{w}}' for cell, w in zip(row[1:], widths[1:], strict=True))] for row in cells
  ]
  return '\n'.join('  ' + '  '.join(line) for line in lines)
