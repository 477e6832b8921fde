"""Translating captions: attention alone, and RNNs with attention to the source and without, scored by sacreBLEU."""

from collections.abc import Mapping, Sequence

import numpy as np

from comparison.experiments.base import Cell, Scale
from comparison.experiments.grid import Grid, Score
from comparison.experiments.sides import attention
from comparison.experiments.trained import Trial
from comparison.experiments.training_grids import common
from seqmodels.models import Model
from seqmodels.notation import Params
from tasks import bleu
from tasks.base import Task
from tasks.translation import Translation
from training.evaluate import with_options
from training.free_running import without_rows

RESAMPLES = 200
TOGETHER = 100  # sentences that are written at once


class Translations(Grid):
  """BLEU of the test sentences, greedily written, with its values on the same resamples of them for every model."""

  name = 'translations'
  version = 2
  at_laptop = False
  takes_architectures = False
  baselines_beside = 'encoder_decoder'
  baseline_metrics = ('loss', 'bleu')

  def variants(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return [{'architecture': 'encoder_decoder'}]
    deeper = {**attention(scale)[1], 'architecture': 'encoder_decoder', 'position': 'rotary'}
    names = ('encoder_decoder', 'rnn_attention', 'lstm_attention', 'seq2seq_lstm')
    found = [{'architecture': name} for name in names[: 3 if scale == 'overnight' else len(names)]]
    return [deeper, *found]

  def points(self, scale: Scale) -> Sequence[Cell]:
    del scale
    return [{}]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {
        'dataset': 'phrases', 'vocabulary': 320, 'tokens': 16, 'size': 2e4, 'batch': 4, 'steps': 4, 'rates': [3e-3],
        'seeds': [0], 'dropout': 0.1, 'scored': 20, 'buckets': 1,
      },
      {},
      {
        'dataset': 'multi30k', 'vocabulary': 2000, 'tokens': 32, 'length': 60, 'size': 5e5, 'batch': 64, 'steps': 1500,
        'rates': [3e-4, 1e-3, 3e-3, 1e-2], 'seeds': [0, 1, 2], 'tuning_seeds': [0], 'scored': 1000, 'buckets': 4,
      },
      {'vocabulary': 8000, 'tokens': 64, 'size': 9e6, 'batch': 128, 'steps': 8000, 'seeds': [0, 1, 2, 3, 4]},
    )  # fmt: skip

  def task(self, cell: Cell) -> Task:
    return Translation(
      corpus_name=cell['dataset'], vocabulary=cell['vocabulary'], length=cell['tokens'], lowercase=True,
      buckets=cell['buckets'],
    )  # fmt: skip

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    """Return the teacher-forced scores and BLEU, whose `resampled` holds its values on resamples of the sentences."""
    found: dict[str, Score] = dict(super().scores(model, trial, task, cell))
    sums = of_sentences(model, trial.params, task, cell['scored'])
    whole = bleu.corpus_score(_totals(sums, np.arange(cell['scored'])))['bleu']
    return found | {'bleu': (whole, self.unit('bleu'), {'resampled': resampled(sums, cell['scored'])})}


def of_sentences(model: Model, params: Params, task: Task, count: int) -> dict[str, np.ndarray]:
  """Return statistic → its sum and weight for each of the first `count` test sentences, [2 s]."""
  evaluation = task.evaluations()['test']
  task = with_options(task, evaluation)
  parts: dict[str, list[np.ndarray]] = {}
  for number, batch in enumerate(task.dataset('test', min(TOGETHER, count))):
    left = count - number * len(batch.weights)
    if left <= 0:
      break
    for name, pair in task.free_running(model, params, without_rows(batch, left)).items():
      parts.setdefault(name, []).append(np.asarray(pair, np.float64)[:, :left])
  return {name: np.concatenate(found, axis=1) for name, found in parts.items()}


def resampled(sums: Mapping[str, np.ndarray], count: int) -> list[float]:
  """Return BLEU of RESAMPLES draws of as many sentences with replacement, the same draws for every model."""
  random = np.random.default_rng(0)
  draws = random.integers(count, size=(RESAMPLES, count))
  return [round(bleu.corpus_score(_totals(sums, draw))['bleu'], 3) for draw in draws]


def _totals(sums: Mapping[str, np.ndarray], chosen: np.ndarray) -> dict[str, tuple[float, float]]:
  return {name: (float(pair[0, chosen].sum()), float(pair[1, chosen].sum())) for name, pair in sums.items()}
