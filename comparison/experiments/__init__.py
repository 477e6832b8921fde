"""Experiments: each measures one thing over a grid and yields rows. Adding one: write the class and add a line here."""

from comparison.experiments.base import Experiment
from comparison.experiments.baselines import Baselines
from comparison.experiments.batching import Batching
from comparison.experiments.capability_grids import Approximations, AttentionShares, LongLags, PositionEncodings
from comparison.experiments.capacity_map import CapacityMap
from comparison.experiments.decoding import Decoding
from comparison.experiments.few_sequences import FewSequences
from comparison.experiments.forecasting_grids import LongSeries, TenThousandSteps
from comparison.experiments.forward_latency import ForwardLatency
from comparison.experiments.generated_series import GrowingSeries
from comparison.experiments.gradient_flow import GradientFlow
from comparison.experiments.language_grids import GenerationCost, SmallLanguageModels
from comparison.experiments.memory import AttentionScores, OptimizerBytes, StateBytes
from comparison.experiments.optimisation_grids import Plateaus, RandomSettings, SegmentMemory, Skips, StateSizes
from comparison.experiments.order import Order
from comparison.experiments.reach import Reach
from comparison.experiments.recall_capacity import RecallCapacity
from comparison.experiments.serving import Serving
from comparison.experiments.speech_grids import AcousticSplit, Recognition, SampleModels
from comparison.experiments.task_quality import TaskQuality
from comparison.experiments.token_index import TokenIndex
from comparison.experiments.training_bytes import TrainingBytes
from comparison.experiments.training_grids import Clipping, LearningRates, PositionsOfRecurrence, SampleEfficiency
from comparison.experiments.training_time import TrainingTime
from comparison.experiments.translation_grids import Translations
from comparison.experiments.truncation import Truncation
from comparison.experiments.video_grids import VideoForms

_ALL: tuple[Experiment, ...] = (
  Baselines(),
  StateBytes(),
  AttentionScores(),
  OptimizerBytes(),
  TrainingBytes(),
  Order(),
  TrainingTime(),
  ForwardLatency(),
  Decoding(),
  Batching(),
  Serving(),
  GradientFlow(),
  Reach(),
  Truncation(),
  TokenIndex(),
  RecallCapacity(),
  PositionsOfRecurrence(),
  Clipping(),
  LearningRates(),
  SampleEfficiency(),
  LongLags(),
  PositionEncodings(),
  Approximations(),
  AttentionShares(),
  CapacityMap(),
  RandomSettings(),
  Plateaus(),
  Skips(),
  StateSizes(),
  SegmentMemory(),
  FewSequences(),
  LongSeries(),
  TenThousandSteps(),
  GrowingSeries(),
  SmallLanguageModels(),
  GenerationCost(),
  Recognition(),
  SampleModels(),
  AcousticSplit(),
  Translations(),
  VideoForms(),
  TaskQuality(),
)
EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in _ALL}
