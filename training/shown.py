"""Have a trained model predict the first examples of an evaluation, to be looked at."""

import numpy as np
from jax.sharding import Mesh

from seqmodels.models import Model
from seqmodels.notation import Params
from tasks.base import Decoding, Evaluation, Task
from tasks.shown import Shown
from training import processes
from training.evaluate import examples, with_options
from training.free_running import on_one_device
from training.settings import EvalSettings
from training.waiting import each


def can_show(task: Task) -> bool:
  """Return whether the examples of a task can be looked at."""
  return type(task).shown is not Task.shown


def shown(
  model: Model,
  params: Params,
  task: Task,
  evaluation: Evaluation,
  settings: EvalSettings,
  mesh: Mesh | None = None,
  *,
  count: int,
) -> list[Shown]:
  """Return what there is to see of the first `count` examples of a split; in the first process only."""
  task, params = with_options(task, evaluation), on_one_device(params, mesh)
  if not processes.is_first():
    return []
  size = min(count, examples(task, evaluation.split) or count)
  batch = next(iter(each('reading a batch', task.dataset(evaluation.split, size))))
  found = task.shown(model, params, batch, Decoding(settings.beams, settings.length_penalty))
  return [one for one, weights in zip(found, np.asarray(batch.weights), strict=False) if weights.any()]
