"""A training run put together from its config: task, model, optimizer, mesh, the compiled step and its state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from seqmodels import config as model_config
from seqmodels.errors import InputError
from seqmodels.models import Model, batch_axes
from tasks.base import Batch, Shard, Task
from training import evaluate as evaluating
from training import limits
from training import mesh as meshes
from training.optimizer import Optimizer, make_optimizer
from training.settings import EvalSettings, TrainSettings, eval_settings, train_settings
from training.step import Metrics, TrainState, init_train_state, make_step, state_shardings
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

  def _initial(self) -> TrainState:
    settings = self.settings
    carry = self.model.init_state(settings.batch_size, settings.memory) if settings.segment else None
    return init_train_state(self.model, self.optimizer, settings.seed, carry)

  def initial_state(self) -> TrainState:
    """The state before the first step, on the mesh."""
    # It runs once, and unoptimised it compiles in half the time.
    options = {'xla_backend_optimization_level': 0}
    return jax.jit(self._initial, out_shardings=self.shardings, compiler_options=options)()

  def trace_step(self) -> Any:
    """The step for its batches; `.lower().compile()` is a CompiledStep. InputError if the model does not fit them."""
    batch = meshes.put_batch(next(self.batches()), self.mesh)
    return self.step.trace(self.abstract_state(), batch)

  def abstract_state(self) -> TrainState:
    return jax.eval_shape(self._initial)

  def place(self, state: TrainState) -> TrainState:
    """A restored state (NumPy) on the mesh."""
    return jax.device_put(state, self.shardings)

  def batches(self) -> Any:
    """The iterator over this process's part of the training batches (`get_state`, `set_state`)."""
    settings = self.settings
    shard = Shard(jax.process_index(), jax.process_count())
    rows = settings.batch_size // shard.count
    return iter(self.task.dataset('train', rows, seed=settings.seed, shard=shard, segment=settings.segment or None))


def build_run(config: Config, devices: int = 0) -> Run:
  """Everything that a config says, checked; writes nothing. devices: see `mesh.make_mesh`."""
  if jax.process_count() > 1:
    raise InputError(f'this is one of {jax.process_count()} processes; a run must be a single process')
  settings, evaluation = train_settings(config['train']), eval_settings(config['eval'])
  task = make_task(config)
  settings = settings.for_task(task)
  limits.check_config(model_config.from_dict(config['model']), settings.optimizer)
  model = make_model(config, task)
  mesh = meshes.make_mesh(devices)
  limits.check_training(model, task.spec, settings, evaluation.for_task(task), mesh, settings.optimizer)
  evaluating.check_segment('train', settings.segment, settings.memory, model, task)
  evaluating.check(model, task, evaluation, mesh)
  meshes.check_divisible('train.batch_size', settings.batch_size, mesh, settings.accumulate)
  optimizer = make_optimizer(settings)
  axes = batch_axes(model.init_state, settings.memory) if settings.segment else None
  if settings.segment and model.stochastic:
    raise InputError(f'train.segment={settings.segment} must be 0 with mixer.redraw=True: a state keeps its features')
  seed = settings.seed if model.config.dropout or model.stochastic else None
  step = make_step(model, task, optimizer, seed=seed, accumulate=settings.accumulate, carry_axes=axes, mesh=mesh)
  return Run(settings, evaluation, task, model, optimizer, mesh, state_shardings(mesh, axes), step)
