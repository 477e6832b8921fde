"""Grids of speech: recognising unknown speakers, predicting samples, and what encodes letters and decodes frames."""

from collections.abc import Mapping, Sequence

from comparison.experiments.base import Cell, Scale
from comparison.experiments.grid import Grid, Score
from comparison.experiments.sides import OfSides
from comparison.experiments.trained import Trial, in_parts
from comparison.experiments.training_grids import common
from seqmodels.models import Model
from tasks.base import Task
from tasks.datasets.speech import speakers
from tasks.speech_frames import SpeechFrames
from tasks.speech_recognition import SpeechRecognition
from tasks.speech_synthesis import SpeechSynthesis
from training.evaluate import evaluate_examples, quotient
from training.free_running import free_running
from training.settings import EvalSettings


class OfSpeech(Grid):
  """Recordings of spoken digits; telephone dial tones in a smoke run."""

  takes_architectures = False  # both ways, or with a source
  at_laptop = False
  baselines_beside = 'transformer'


class Recognition(OfSpeech, OfSides):
  """The word error rate of a speaker who is in no training split, over the recordings of the others.

  Connectionist temporal classification of log-mel frames, read both ways. Each speaker is left out in turn.
  """

  name = 'recognition'
  version = 2
  baseline_metrics = ('wer',)

  def points(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return [{'dataset': 'dial_tones', 'speaker': speakers('dial_tones')[0], 'examples': 40}]
    counts = (150, 600, 2250)
    return [
      {'dataset': 'spoken_digits', 'speaker': speaker, 'examples': count}
      for speaker in speakers('spoken_digits')
      for count in counts
    ]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {'size': 6e3, 'batch': 4, 'steps': 4, 'rates': [3e-3], 'seeds': [0], 'hop': 80, 'mels': 16, 'dropout': 0.2},
      {},
      {
        'size': 1e5, 'length': 50, 'batch': 32, 'steps': 800, 'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'hop': 160,
        'mels': 40,
      },
      {'size': 1e6, 'length': 100, 'steps': 3000, 'hop': 80, 'seeds': [0, 1, 2], 'tuning_seeds': [0]},
    )  # fmt: skip

  def task(self, cell: Cell) -> Task:
    return SpeechRecognition(
      collection=cell['dataset'], split='speaker', speaker=cell['speaker'], hop=cell['hop'], mels=cell['mels'],
      train_examples=cell['examples'],
    )  # fmt: skip


class SampleModels(OfSpeech, OfSides):
  """The bits a sample that a model of µ-law samples needs, given the digit and the speaker."""

  name = 'sample_models'
  beside = ({'architecture': 'sliding_window'},)
  version = 2
  takes_architectures = True
  baseline_metrics = ('bits',)

  def points(self, scale: Scale) -> Sequence[Cell]:
    del scale
    return [{}]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {
        'dataset': 'dial_tones', 'seconds': 0.02, 'size': 6e3, 'batch': 4, 'steps': 4, 'rates': [3e-3], 'seeds': [0],
        'dropout': 0.0,
      },
      {},
      {
        'dataset': 'spoken_digits', 'seconds': 0.2, 'size': 1e5, 'length': 1600, 'batch': 8, 'steps': 800,
        'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'seeds': [0, 1, 2], 'tuning_seeds': [0],
      },
      {'seconds': 0.6, 'size': 4e6, 'length': 4800, 'batch': 16, 'steps': 10_000},
    )  # fmt: skip

  def task(self, cell: Cell) -> Task:
    return SpeechSynthesis(collection=cell['dataset'], seconds=cell['seconds'])


PLACES = {'position': 'sinusoidal', 'block': 'residual', 'feedforward': 4.0}
SPLITS = ('transformer_to_lstm', 'lstm_to_transformer', 'encoder_decoder', 'lstm_attention')


class AcousticSplit(OfSpeech):
  """Attention or an LSTM to read letters × attention or an LSTM to write log-mel frames, all in residual blocks."""

  name = 'acoustic_split'
  baselines_beside = 'encoder_decoder'
  baseline_metrics = ('mse',)
  loss_unit = ''

  def variants(self, scale: Scale) -> Sequence[Cell]:
    found = [{'architecture': name, 'fields': PLACES} for name in SPLITS]
    return found[:1] if scale == 'smoke' else found

  def points(self, scale: Scale) -> Sequence[Cell]:
    del scale
    return [{}]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {
        'dataset': 'dial_tones', 'mels': 16, 'size': 3e4, 'batch': 4, 'steps': 4, 'rates': [3e-3], 'seeds': [0],
        'dropout': 0.1,
      },
      {},
      {
        'dataset': 'spoken_digits', 'mels': 40, 'size': 2e5, 'length': 50, 'batch': 32, 'steps': 800,
        'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'seeds': [0, 1, 2, 3, 4], 'tuning_seeds': [0],
      },
      {'size': 5e6, 'batch': 64, 'steps': 20_000},
    )  # fmt: skip

  def task(self, cell: Cell) -> Task:
    return SpeechFrames(collection=cell['dataset'], mels=cell['mels'])

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    """Return the squared error of frames given the true ones before, and of those that the model writes by itself."""
    del cell
    test, settings = task.evaluations()['test'], EvalSettings(100, free_running=100)
    given = evaluate_examples(model, trial.params, task, test, settings)
    written = free_running(model, trial.params, task, test, settings)
    found: dict[str, Score] = {'dtw_mse': (written['dtw_mse'], self.unit('dtw_mse'))}
    for name in ('mse', 'loss'):
      found[name] = quotient(*given[name].sum(axis=1)), self.unit(name), {'parts': in_parts(given[name])}
    return found
