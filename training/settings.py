"""The `train` and `eval` sections of a config, checked field by field."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from seqmodels.config import checked_fields
from seqmodels.errors import InputError, unknown

if TYPE_CHECKING:
  from tasks.base import Task

# The fields that each optimizer of `optimizer.OPTIMIZERS` reads, of those that not every optimizer does.
OPTIMIZER_FIELDS: dict[str, tuple[str, ...]] = {
  'adamw': ('beta2', 'weight_decay'),
  'adam': ('beta2',),
  'sgd': ('momentum', 'weight_decay'),
  'adafactor': ('weight_decay',),
  'lion': ('beta2', 'weight_decay'),
  'muon': ('beta2', 'weight_decay'),
}
# Likewise of each schedule of `optimizer.make_schedule`.
SCHEDULE_FIELDS: dict[str, tuple[str, ...]] = {
  'constant': (),
  'cosine': ('final_fraction',),
  'staircase': ('decay_begin', 'decay_every', 'decay_factor'),
}
WRITERS = ('jsonl', 'tensorboard', 'wandb')  # see `writers.open_writers`
AS_TASK = -1  # of `segment`
ALL = -1  # of `free_running`


@dataclass(frozen=True)
class TrainSettings:
  """The fields of `config.train`.

  steps            optimizer steps
  batch_size       sequences a step, over all devices and microbatches
  seed             of the parameters, the order of the data and dropout
  optimizer        adamw | adam | sgd | adafactor | lion | muon; see `optimizer.OPTIMIZERS`
  learning_rate    the peak; schedule: what follows the linear warm-up of warmup_steps; -1: a twentieth of the steps
                   constant; cosine: ends at final_fraction of the peak (Loshchilov & Hutter 2017); staircase: the peak
                   for decay_begin + decay_every steps, multiplied by decay_factor then and every decay_every steps
                   after (Zaremba et al. 2014: each epoch, after the first ones)
  weight_decay     decoupled (Loshchilov & Hutter 2019), on weight matrices only; of every optimizer but adam
  momentum         of sgd
  beta2            decay of the second moment of adamw and adam, of lion's momentum, and of the Adam part of muon
  clip             largest global gradient norm (Pascanu et al. 2013); 0: off
  accumulate       microbatches a step
  segment          positions a segment of truncated back-propagation; 0: whole sequences; -1: the task's length where
                   its sequences go on beyond it, as a text does, else 0
  memory           positions that attention caches from segment to segment, at least a segment; 0: the task's length
  log_every, eval_every, checkpoint_every   steps; 0: only at the end
  checkpoint_minutes   a checkpoint also after so many minutes without one; 0: never
  keep             newest checkpoints kept; besides, keep_best: the one with the lowest loss of validation, of those
                   saved at a step that was evaluated, and keep_every: each whose step is a multiple of it (0: none)
  skip_nonfinite   leave out updates whose loss or gradient is not finite, until so many in a row end the run; 0: the
                   first one ends it
  norms_every      steps between two rows of gradient and parameter norms by layer group; 0: none, and the step
                   computes none
  writers          of metrics: jsonl (always), tensorboard, wandb (Weights & Biases, where it is installed)
  init_from        a file of --mode=export whose parameters the run starts from; empty: drawn from the seed

  Raises InputError for a value out of range, and for one that differs from its default where the optimizer does not
  read it.
  """

  steps: int = 1000
  batch_size: int = 32
  seed: int = 0
  optimizer: str = 'adamw'
  learning_rate: float = 1e-3
  schedule: str = 'cosine'
  warmup_steps: int = 0
  final_fraction: float = 0.1
  decay_begin: int = 0
  decay_every: int = 0
  decay_factor: float = 0.5
  weight_decay: float = 0.0
  momentum: float = 0.9
  beta2: float = 0.99
  clip: float = 1.0
  accumulate: int = 1
  segment: int = 0
  memory: int = 0
  log_every: int = 10
  eval_every: int = 0
  checkpoint_every: int = 0
  checkpoint_minutes: float = 15.0
  keep: int = 3
  keep_every: int = 0
  keep_best: bool = True
  skip_nonfinite: int = 0
  norms_every: int = 0
  writers: tuple[str, ...] = ('jsonl', 'tensorboard')
  init_from: str = ''

  def __post_init__(self) -> None:
    if self.optimizer not in OPTIMIZER_FIELDS:
      raise unknown('train.optimizer', self.optimizer, OPTIMIZER_FIELDS)
    if self.schedule not in SCHEDULE_FIELDS:
      raise unknown('train.schedule', self.schedule, SCHEDULE_FIELDS)
    for name in ('steps', 'batch_size', 'learning_rate', 'accumulate', 'keep'):
      if not getattr(self, name) > 0:
        raise InputError(f'train.{name}={getattr(self, name)} must be greater than 0')
    if self.warmup_steps < -1:
      raise InputError(f'train.warmup_steps={self.warmup_steps} must be -1 (a twentieth of the steps) or not negative')
    not_negative = ('seed', 'weight_decay', 'clip', 'memory', 'skip_nonfinite', 'norms_every', 'keep_every')
    every = ('log_every', 'eval_every', 'checkpoint_every', 'checkpoint_minutes', 'decay_begin', 'decay_every')
    for name in (*not_negative, *every):
      if not getattr(self, name) >= 0:
        raise InputError(f'train.{name}={getattr(self, name)} must not be negative')
    if self.seed >= 2**32:
      raise InputError(f'train.seed={self.seed} must be below 2**32')
    if not 0 <= self.final_fraction <= 1:
      raise InputError(f'train.final_fraction={self.final_fraction} must be in [0, 1]')
    if not 0 < self.decay_factor <= 1:
      raise InputError(f'train.decay_factor={self.decay_factor} must be above 0 and at most 1')
    if self.schedule == 'staircase' and not self.decay_every:
      raise InputError('train.decay_every=0 must be greater than 0 with train.schedule=staircase')
    for name in ('momentum', 'beta2'):
      if not 0 <= getattr(self, name) < 1:
        raise InputError(f'train.{name}={getattr(self, name)} must be in [0, 1)')
    if self.schedule == 'cosine' and self.warmup_steps >= self.steps:
      raise InputError(f'train.warmup_steps={self.warmup_steps} must be less than train.steps={self.steps}')
    if self.batch_size % self.accumulate:
      raise InputError(f'train.batch_size={self.batch_size} must be a multiple of train.accumulate={self.accumulate}')
    check_writers(self.writers)
    self._check_effects()
    check_memory('train', self.segment, self.memory)

  def _check_effects(self) -> None:
    """Raise InputError for a field that was changed and that the optimizer or the schedule does not read."""
    defaults = {field.name: field.default for field in dataclasses.fields(self)}
    for choice, table in (('optimizer', OPTIMIZER_FIELDS), ('schedule', SCHEDULE_FIELDS)):
      for name in _unread(table, chosen := getattr(self, choice)):
        if (value := getattr(self, name)) != defaults[name]:
          readers = ', '.join(other for other, read in table.items() if name in read)
          raise InputError(
            f'train.{name}={value} has no effect with train.{choice}={chosen}; allowed: {defaults[name]}, or another '
            f'{choice}: {readers}'
          )

  def for_task(self, task: Task) -> Self:
    """Return the same settings with the segment and the memory that `task` leads to."""
    segment, memory = _lengths(self.segment, self.memory, task)
    return dataclasses.replace(self, segment=segment, memory=memory)

  @property
  def warmup(self) -> int:
    """Steps of the warm-up."""
    return self.steps // 20 if self.warmup_steps == -1 else self.warmup_steps


def check_writers(names: Sequence[str]) -> None:
  """Raise InputError for a writer that does not exist, one named twice, and where jsonl is missing."""
  for name in names:
    if name not in WRITERS:
      raise unknown('train.writers', name, WRITERS)
  shown = ','.join(names)
  if len(set(names)) < len(names):
    raise InputError(f'train.writers={shown} must name each writer once')
  if 'jsonl' not in names:
    raise InputError(f'train.writers={shown} must name jsonl: a run that goes on reads its rows back from there')


def unread_fields(optimizer: str) -> tuple[str, ...]:
  """Return the fields of TrainSettings that `optimizer` does not read and others do."""
  return _unread(OPTIMIZER_FIELDS, optimizer)


def _unread(table: Mapping[str, tuple[str, ...]], chosen: str) -> tuple[str, ...]:
  """Return the fields that others of the table read, and `chosen` does not."""
  every = dict.fromkeys(name for read in table.values() for name in read)
  return tuple(name for name in every if name not in table.get(chosen, every))


@dataclass(frozen=True)
class EvalSettings:
  """The fields of `config.eval`.

  batch_size   sequences at a time, at most the split; the numbers do not depend on it
  segment      positions a segment that is read with the state of those before it; 0: whole sequences, from the start;
               -1: the task's length where its sequences go on beyond it, else 0
  memory       positions that attention caches there, longer than in training if wanted; 0: the task's length
  streams      with `segment`, sequences read side by side in place of `batch_size`. A text is cut into so many parts,
               and what starts a part has no past, so that the numbers belong to this number of streams
  free_running   examples of a split, the first ones, for which a task with free-running metrics lets the model write by
               itself, at the end of training and in --mode=eval; 0: none, -1: all
  beams        the width of the beam in that writing (1: greedy); length_penalty: see `decoding.beam.beam_search`
  """

  batch_size: int = 64
  segment: int = 0
  memory: int = 0
  streams: int = 8
  free_running: int = 1000
  beams: int = 1
  length_penalty: float = 0.0

  def __post_init__(self) -> None:
    for name in ('batch_size', 'streams', 'beams'):
      if getattr(self, name) <= 0:
        raise InputError(f'eval.{name}={getattr(self, name)} must be greater than 0')
    for name in ('memory', 'length_penalty'):
      if not 0 <= getattr(self, name) < math.inf:
        raise InputError(f'eval.{name}={getattr(self, name)} must be a finite number, 0 or greater')
    if self.free_running < ALL:
      raise InputError(f'eval.free_running={self.free_running} must be a number of examples, 0 (none) or -1 (all)')
    if self.beams != type(self).beams and not self.free_running:
      raise InputError(f'eval.beams={self.beams} has no effect with eval.free_running=0, which lets no model write')
    if self.length_penalty and self.beams == 1:
      raise InputError(f'eval.length_penalty={self.length_penalty} has no effect with eval.beams=1')
    if self.streams != type(self).streams and not self.segment:
      raise InputError(f'eval.streams={self.streams} has no effect with eval.segment=0, which reads whole sequences')
    check_memory('eval', self.segment, self.memory)

  def for_task(self, task: Task) -> Self:
    """Return the same settings with the segment and the memory that `task` leads to."""
    segment, memory = _lengths(self.segment, self.memory, task)
    return dataclasses.replace(self, segment=segment, memory=memory)


def _lengths(segment: int, memory: int, task: Task) -> tuple[int, int]:
  """Return the segment and the memory in positions."""
  length = task.spec.length
  if segment == AS_TASK:
    segment = length if task.unbroken and task.spec.kind == 'causal' else 0
  return segment, memory or (max(segment, length) if segment else 0)


def check_memory(section: str, segment: int, memory: int) -> None:
  """Raise InputError for a bad segment, and for a memory without segments or shorter than one."""
  if segment < AS_TASK:
    raise InputError(f"{section}.segment={segment} must be positive, 0 (whole sequences) or -1 (the task's length)")
  if memory and not segment:
    raise InputError(f'{section}.memory={memory} needs {section}.segment, which is 0')
  if memory and memory < segment:
    raise InputError(f'{section}.memory={memory} must be at least {section}.segment={segment}')


def train_settings(values: Mapping[str, Any]) -> TrainSettings:
  """Return the `train` section of a config; InputError names a field that is unknown, mistyped or out of range."""
  return TrainSettings(**checked_fields(TrainSettings, values, 'train'))


def eval_settings(values: Mapping[str, Any]) -> EvalSettings:
  """Return the `eval` section of a config."""
  return EvalSettings(**checked_fields(EvalSettings, values, 'eval'))
