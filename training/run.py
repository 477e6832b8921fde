"""A training run put together: task, model, optimizer, mesh, the compiled step and its state."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from seqmodels import config as model_config
from seqmodels.context import batch_axes
from seqmodels.errors import InputError
from seqmodels.models import Model
from tasks.base import Batch, Shard, Task
from training import evaluate as evaluating
from training import limits
from training import mesh as meshes
from training.optimizer import Optimizer, make_optimizer
from training.settings import EvalSettings, TrainSettings, eval_settings, train_settings
from training.step import Auxiliary, Metrics, TrainState, init_train_state, make_step, state_shardings
from training.workdir import Config, make_model, make_task

CompiledStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


@dataclass(frozen=True)
class Run:
  settings: TrainSettings
  evaluation: EvalSettings
  task: Task
  model: Model
  optimizer: Optimizer
  mesh: Mesh
  shardings: Any  # of the train state, as a tree prefix
  step: Any  # jitted; see `step.make_step`

  def _initial(self, seed: Any) -> TrainState:
    settings = self.settings
    carry = self.model.init_state(settings.batch_size, settings.memory) if settings.segment else None
    return init_train_state(self.model, self.optimizer, seed, carry)

  @functools.cached_property
  def _initialize(self) -> Any:
    # It runs once a run, and unoptimised it compiles in half the time.
    options = {'xla_backend_optimization_level': 0}
    return jax.jit(self._initial, out_shardings=self.shardings, compiler_options=options)

  def initial_state(self, seed: int | None = None, learning_rate: float | None = None) -> TrainState:
    """Return the state before the first step, on the mesh; seed and learning_rate: instead of the settings'.

    One compiled step serves every seed and learning rate.
    """
    state = self._initialize(jax.numpy.uint32(self.settings.seed if seed is None else seed))
    if learning_rate is None:
      return state
    opt_state = self.optimizer.with_learning_rate(state.opt_state, learning_rate)
    return self.place(state._replace(opt_state=opt_state))

  def trace_step(self) -> Any:
    """Trace the step for its batches; `.lower().compile()` is a CompiledStep. InputError if they do not fit."""
    batch = meshes.put_batch(next(self.batches()), self.mesh)
    return self.step.trace(self.abstract_state(), batch)

  def abstract_state(self) -> TrainState:
    return jax.eval_shape(self._initial, jax.ShapeDtypeStruct((), 'uint32'))

  def place(self, state: TrainState) -> TrainState:
    """Return a restored state (NumPy) on the mesh."""
    return jax.device_put(state, self.shardings)

  def batches(self, seed: int | None = None) -> Any:
    """Return the iterator over this process's part of the training batches (`get_state`, `set_state`)."""
    settings = self.settings
    shard = Shard(jax.process_index(), jax.process_count())
    rows = settings.batch_size // shard.count
    seed = settings.seed if seed is None else seed
    return iter(self.task.dataset('train', rows, seed=seed, shard=shard, segment=settings.segment or None))


def build_run(config: Config, devices: int = 0) -> Run:
  """Return the run that a config describes, checked; write nothing. devices: see `mesh.make_mesh`."""
  settings, evaluation = train_settings(config['train']), eval_settings(config['eval'])
  task = make_task(config)
  limits.check_config(model_config.from_dict(config['model']), settings.optimizer)
  run = make_run(make_model(config, task), task, settings, evaluation, devices)
  evaluating.check(run.model, task, evaluation, run.mesh)
  return run


def make_run(
  model: Model,
  task: Task,
  settings: TrainSettings,
  evaluation: EvalSettings = EvalSettings(),
  devices: int = 0,
  auxiliary: Auxiliary | None = None,
) -> Run:
  """Return the run of a model on a task, for `build_run` and for experiments. Raises InputError.

  auxiliary: see `step.make_step`.
  """
  if jax.process_count() > 1:
    raise InputError(f'this is one of {jax.process_count()} processes; a run must be a single process')
  settings = settings.for_task(task)
  mesh = meshes.make_mesh(devices)
  limits.check_training(model, task.spec, settings, evaluation.for_task(task), mesh, settings.optimizer)
  evaluating.check_segment('train', settings.segment, settings.memory, model, task)
  meshes.check_divisible('train.batch_size', settings.batch_size, mesh, settings.accumulate)
  if settings.segment and model.stochastic:
    raise InputError(f'train.segment={settings.segment} must be 0 with mixer.redraw=True: a state keeps its features')
  optimizer = make_optimizer(settings, model.axes)
  axes = batch_axes(model.state_spec(settings.batch_size, settings.memory)) if settings.segment else None
  step = make_step(
    model,
    task,
    optimizer,
    accumulate=settings.accumulate,
    carry_axes=axes,
    mesh=mesh,
    auxiliary=auxiliary,
    skip_nonfinite=settings.skip_nonfinite > 0,
    layer_norms=settings.norms_every > 0,
  )
  return Run(settings, evaluation, task, model, optimizer, mesh, state_shardings(mesh, axes), step)
