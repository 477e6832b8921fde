"""Any task × architectures × learning rates × seeds: what `--tasks` names, with the sizes of its own config."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from comparison.experiments.base import Cell, Row, Scale
from comparison.experiments.grid import Trials
from comparison.experiments.trained import Trial
from comparison.experiments.variants import depth
from configs import named
from seqmodels.models import Model
from tasks import make
from tasks.base import Task
from training.evaluate import evaluate, possible_evaluations
from training.free_running import free_running
from training.settings import EvalSettings, TrainSettings, eval_settings, train_settings

DEFAULT = ('copying', 'adding', 'recall', 'formal_languages')
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
TOGETHER = EvalSettings(100)
# Of each kind of task, one model a side and more.
ARCHITECTURES = {
  'causal': ('transformer', 'lstm', 'gru'),
  'encode': ('encoder', 'bilstm'),
  'seq2seq': ('encoder_decoder', 'rnn_attention', 'seq2seq_lstm'),
}
BESIDE = tuple(names[0] for names in ARCHITECTURES.values())  # whose cells have the baselines
SCALE = {'smoke': 'smoke', 'laptop': 'laptop', 'overnight': 'laptop', 'accelerator': 'accelerator'}  # of the config


class TaskQuality(Trials):
  """Every evaluation of a task, its metrics and baselines, for each architecture with the same search.

  The options of the task and of training are those of its config at the scale, but for what its word in `--tasks` sets
  (`configs.named`); parameters are matched. A task that is
  read both ways, or has a source, is measured with the architectures that can.
  """

  name = 'task_quality'

  def __init__(self, tasks: Sequence[str] = DEFAULT) -> None:
    self.tasks = tuple(tasks)

  def common(self, scale: Scale) -> Cell:
    sizes: dict[str, tuple[float, list[float], list[int]]] = {
      'smoke': (6e3, [3e-3], [0]),
      'laptop': (3e4, [3e-3, 1e-2], [0]),
      'overnight': (1e5, list(RATES), [0, 1, 2]),
      'accelerator': (1e6, list(RATES), [0, 1, 2]),
    }
    size, rates, seeds = sizes[scale]
    return {'size': size, 'depth': depth(scale), 'rates': rates, 'seeds': seeds}

  def cells(self, scale: Scale) -> list[Cell]:
    return [cell for task in self.tasks for cell in self._cells(task, scale, ())]

  def cells_of(self, scale: Scale, architectures: Sequence[str]) -> list[Cell]:
    return [cell for task in self.tasks for cell in self._cells(task, scale, architectures)]

  def _cells(self, task: str, scale: Scale, architectures: Sequence[str]) -> list[Cell]:
    config = _config(task, 'lstm', SCALE[scale])
    kind = make(config['task']['name'], _options(config)).spec.kind
    steps = config['train']['steps'] if scale != 'laptop' else max(1, config['train']['steps'] // 5)
    shared = {
      'block': '', 'task': task, 'config': SCALE[scale], **self.common(scale), 'steps': steps,
      'batch': config['train']['batch_size'], 'options': _options(config),
    }  # fmt: skip
    own = ARCHITECTURES[kind]
    names = dict.fromkeys((*own[:2], *architectures)) if architectures else own
    return [{'architecture': name, **shared} for name in names]

  def task(self, cell: Cell) -> Task:
    return make(named.read(cell['task'])[0], cell['options'])

  def settings(self, cell: Cell) -> TrainSettings:
    own = _config(cell['task'], cell['architecture'], cell['config'])['train']
    fields = {'steps': cell['steps'], 'batch_size': cell['batch'], 'checkpoint_every': 0, 'eval_every': 0, 'segment': 0}
    return train_settings({**own, **fields, 'writers': ('jsonl',)})

  def evaluation(self, cell: Cell) -> EvalSettings:
    """Return how models are evaluated: as the config says, in whole sequences."""
    own = _config(cell['task'], cell['architecture'], cell['config'])['eval']
    return eval_settings({**own, 'segment': 0, 'memory': 0, 'streams': EvalSettings.streams})

  def selection(self, model: Model, trial: Trial, task: Task, cell: Cell) -> float:
    return -evaluate(model, trial.params, task, possible_evaluations(model, task)['validation'], TOGETHER)['loss']

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, tuple[float, str]]:
    """Return the metrics of every evaluation but validation's, teacher-forced and free-running."""
    settings = self.evaluation(cell)
    found: dict[str, tuple[float, str]] = {}
    for name, evaluation in possible_evaluations(model, task).items():
      if name != 'validation':
        what = model, trial.params, task, evaluation
        for metric, value in (evaluate(*what, TOGETHER) | free_running(*what, settings)).items():
          found[f'{name} {metric}'] = value, 'share' if metric == 'accuracy' else ''
    return found

  def run(self, cell: Cell) -> Iterable[Row]:
    yield from super().run(cell)
    if cell['architecture'] in BESIDE:
      for name, values in self.task(cell).baselines().items():
        for metric, value in values.items():
          beside = {'baseline': name, 'scored': f'test {metric}', 'task': cell['task']}
          yield {'metric': 'baseline', 'value': value, **beside}


def _config(task: str, architecture: str, scale: str) -> dict[str, Any]:
  return named.config(task, architecture, scale).to_dict()


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in config['task'].items() if name != 'name'}
