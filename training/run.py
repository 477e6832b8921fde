"""A training run put together: task, model, optimizer, mesh, the compiled step and its state."""

import functools
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from seqmodels import config as model_config
from seqmodels.context import batch_axes
from seqmodels.errors import InputError
from seqmodels.models import Model
from tasks.base import Batch, Shard, Task
from training import evaluate as evaluating
from training import limits, mesh_report
from training import mesh as meshes
from training.activations import check_split
from training.mesh_settings import MeshSettings, mesh_settings
from training.optimizer import Optimizer, make_optimizer
from training.programs import Programs
from training.settings import EvalSettings, TrainSettings, eval_settings, train_settings
from training.sharding import Layout, make_layout
from training.step import Auxiliary, TrainState, init_train_state, make_step, state_shardings
from training.workdir import Config, make_model, make_task


@dataclass(frozen=True)
class Run:
  settings: TrainSettings
  evaluation: EvalSettings
  task: Task
  model: Model
  optimizer: Optimizer
  layout: Layout
  step: Any  # jitted; see `step.make_step`
  mesh_settings: MeshSettings

  @property
  def mesh(self) -> Mesh:
    return self.layout.mesh

  @property
  def shardings(self) -> Any:
    return state_shardings(self.layout)

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
    state = self._initialize(np.uint32(self.settings.seed if seed is None else seed))
    if learning_rate is None:
      return state
    opt_state = self.optimizer.with_learning_rate(state.opt_state, learning_rate)
    return self.place(state._replace(opt_state=opt_state))

  def trace_step(self) -> Any:
    """Trace the step for its first batch; `.lower().compile()` is a program of it. InputError if they do not fit."""
    batch = meshes.put_batch(next(self.batches()), self.mesh)
    return self.step.trace(self.abstract_state(), batch)

  def programs(self, traced: Any) -> Programs:
    """Compile the traced step, to which programs for batches of other shapes are added as they come."""
    return Programs(self.step, traced.lower().compile())

  def abstract_state(self) -> TrainState:
    """Return the shapes of the state, and where it lies."""
    shapes = jax.eval_shape(self._initial, jax.ShapeDtypeStruct((), 'uint32'))
    placed = lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    return jax.tree.map(placed, shapes, jax.tree.broadcast(self.shardings, shapes))

  def abstract_batch(self) -> Batch:
    """Return the shapes of a batch, the largest that the task has, and where it lies; one row of the data is read."""
    settings = self.settings
    row = self.task.largest_row(settings.seed, settings.segment or None)
    rows, sharding = settings.batch_size, meshes.split(self.mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=sharding), row)

  def place(self, state: TrainState) -> TrainState:
    """Return a restored state (NumPy) on the mesh."""
    return jax.device_put(state, self.shardings)

  def about_mesh(self) -> str:
    """Return in a line how parameters and optimizer state lie. Raises InputError where too much is replicated."""
    state, layout = self.abstract_state(), self.layout
    trees = {'params': (state.params, layout.params), 'opt_state': (state.opt_state, layout.opt_state)}
    return mesh_report.summary(trees, layout.mesh, self.mesh_settings)

  def batches(self, seed: int | None = None) -> Any:
    """Return the iterator over this process's part of the training batches (`get_state`, `set_state`)."""
    settings = self.settings
    shard = Shard(*meshes.share_of_batch(self.mesh))
    rows = settings.batch_size // shard.count
    seed = settings.seed if seed is None else seed
    return iter(self.task.dataset('train', rows, seed=seed, shard=shard, segment=settings.segment or None))


def build_run(config: Config, devices: Sequence[Any] | None = None, *, workdir: pathlib.Path | None = None) -> Run:
  """Return the run that a config describes, checked; write nothing. Raises InputError.

  devices: of a topology that is not there. Its step can be traced, lowered and compiled, not run; the memory of this
  machine sets it no limits. workdir: see `make_task`.
  """
  settings, evaluation = train_settings(config['train']), eval_settings(config['eval'])
  mesh = mesh_settings(config.get('mesh', {}))
  task = make_task(config, workdir)
  if devices is None:
    limits.check_config(model_config.from_dict(config['model']), settings.optimizer, mesh)
  run = make_run(make_model(config, task), task, settings, evaluation, mesh, devices=devices)
  if devices is None:
    evaluating.check(run.model, task, evaluation, run.mesh)
  return run


def make_run(
  model: Model,
  task: Task,
  settings: TrainSettings,
  evaluation: EvalSettings = EvalSettings(),
  mesh_settings: MeshSettings = MeshSettings(),
  auxiliary: Auxiliary | None = None,
  devices: Sequence[Any] | None = None,
) -> Run:
  """Return the run of a model on a task, for `build_run` and for experiments. Raises InputError.

  auxiliary: see `step.make_step`. devices: see `build_run`.
  """
  settings = settings.for_task(task)
  mesh = meshes.make_mesh(mesh_settings, devices)
  check_split(model, mesh)
  if devices is None:
    limits.check_training(model, task.spec, settings, evaluation.for_task(task), mesh, mesh_settings.zero)
  evaluating.check_segment('train', settings.segment, settings.memory, model, task)
  meshes.check_divisible('train.batch_size', settings.batch_size, mesh, settings.accumulate)
  meshes.check_parts('train.segment', settings.segment, mesh)
  if settings.segment and model.stochastic:
    raise InputError(f'train.segment={settings.segment} must be 0 with mixer.redraw=True: a state keeps its features')
  optimizer = make_optimizer(settings, model.axes)
  states = model.state_spec(settings.batch_size, settings.memory) if settings.segment else None
  opt_state = jax.eval_shape(optimizer.transform.init, model.abstract_params)
  layout = make_layout(model, opt_state, mesh, mesh_settings, states)
  axes = None if states is None else batch_axes(states)
  step = make_step(
    model,
    task,
    optimizer,
    accumulate=settings.accumulate,
    carry_axes=axes,
    layout=layout,
    auxiliary=auxiliary,
    skip_nonfinite=settings.skip_nonfinite > 0,
    layer_norms=settings.norms_every > 0,
  )
  run = Run(settings, evaluation, task, model, optimizer, layout, step, mesh_settings)
  run.about_mesh()
  return run
