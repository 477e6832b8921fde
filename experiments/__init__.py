"""Experiments: each measures one thing over a grid and yields rows. Adding one: write the class and add a line here."""

from experiments.base import Experiment
from experiments.baselines import Baselines
from experiments.decoding import Decoding
from experiments.forward_latency import ForwardLatency
from experiments.gradient_flow import GradientFlow
from experiments.memory import AttentionScores, OptimizerBytes, StateBytes
from experiments.order import Order
from experiments.reach import Reach
from experiments.recall_capacity import RecallCapacity
from experiments.token_index import TokenIndex
from experiments.training_time import TrainingTime
from experiments.truncation import Truncation

_ALL: tuple[Experiment, ...] = (
  Baselines(),
  StateBytes(),
  AttentionScores(),
  OptimizerBytes(),
  Order(),
  TrainingTime(),
  ForwardLatency(),
  Decoding(),
  GradientFlow(),
  Reach(),
  Truncation(),
  TokenIndex(),
  RecallCapacity(),
)
EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in _ALL}
