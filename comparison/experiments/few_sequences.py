"""Few training sequences of three domains: text, sound and series, with dropout and without."""

from collections.abc import Sequence

from comparison.experiments.base import Cell, Scale
from comparison.experiments.forecasting_grids import Sampled
from comparison.experiments.sides import RESIDUAL_LSTM, OfSides
from comparison.experiments.training_grids import common
from tasks.base import Task
from tasks.language import Language
from tasks.speech_recognition import SpeechRecognition

# Domain → the data set of a smoke run, which is made up, and the real one.
DATASETS = {
  'text': ('embedded', 'tinyshakespeare'),
  'digits': ('dial_tones', 'spoken_digits'),
  'series': ('seasonal', 'ETTh1'),
}


class FewSequences(OfSides):
  """The test loss of every domain after training on hundreds or thousands of its sequences.

  Text: characters of Shakespeare. Digits: one of ten that is spoken, of log-mel frames; the official split.
  Series: an electricity transformer, each variable by itself. Losses are in nats, those of series squared errors.
  """

  name = 'few_sequences'
  version = 2
  forms = 4
  beside = (RESIDUAL_LSTM,)
  at_laptop = False
  baselines_beside = 'transformer'
  baseline_metrics = ('loss', 'accuracy')

  def points(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return [{'domain': name, 'dataset': made, 'examples': 40, 'dropout': 0.1} for name, (made, _) in DATASETS.items()]
    return [
      {'domain': name, 'dataset': real, 'examples': count, 'dropout': dropout}
      for name, (_, real) in DATASETS.items()
      for count in (500, 2000)
      for dropout in (0.0, 0.2)
    ]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {'size': 1.5e4, 'length': 16, 'batch': 4, 'steps': 4, 'rates': [3e-3], 'seeds': [0], 'hop': 240, 'stride': 200},
      {},
      {
        'size': 4e4, 'length': 96, 'batch': 16, 'steps': 600, 'rates': [1e-3, 3e-3, 1e-2, 3e-2],
        'seeds': [5, 6, 7, 8, 9], 'tuning_seeds': [5], 'hop': 160, 'stride': 64,
      },
      {'size': 1e6, 'length': 256, 'batch': 32, 'steps': 3000, 'tuning_seeds': [5, 6]},
    )  # fmt: skip

  def task(self, cell: Cell) -> Task:
    count, length = cell['examples'], cell['length']
    if cell['domain'] == 'text':
      return Language(corpus=cell['dataset'], unit='character', length=length, train_examples=count)
    if cell['domain'] == 'digits':
      return SpeechRecognition(
        collection=cell['dataset'], objective='label', kind='causal', hop=cell['hop'], train_examples=count
      )
    return Sampled(
      series=cell['dataset'], lookback=length, horizon=length // 2, channels='independent', normalise='instance',
      train_examples=count, stride=cell['stride'],
    )  # fmt: skip
