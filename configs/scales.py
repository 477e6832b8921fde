"""Scales of a config, `scale=…`: `smoke` takes seconds, `laptop` minutes, `accelerator` is the published setting.

`laptop` is what the config files say. The others set keys as if they had been written in the argument, where what is
written wins.
"""

from collections.abc import Container, Mapping
from typing import Any

from seqmodels.errors import unknown

Scales = Mapping[str, Any]  # scale → key → value

LAPTOP = 'laptop'
# What `smoke` sets for every task; a task's own values come on top.
SMOKE: dict[str, Any] = {
  'steps': 20,
  'log_every': 5,
  'eval_every': 10,
  'checkpoint_every': 10,
  'batch_size': 8,
  'width': 32,
  'depth': 2,
}
SMOKE_OF_TASKS = {'evaluation_examples': 64}  # where a task has the option


def scale_values(scale: str, scales: Scales, options: Container[str]) -> dict[str, Any]:
  """Return what a scale sets, key → value.

  Args:
    scale: as written after `scale=`.
    scales: the task's own.
    options: names of the task's options.

  Raises:
    InputError: a scale that the task does not have.
  """
  of_all: dict[str, dict[str, Any]] = {name: {} for name in scales} | {LAPTOP: {}, 'smoke': SMOKE}
  if scale not in of_all:
    raise unknown('--config scale', scale, of_all)
  of_task = SMOKE_OF_TASKS if scale == 'smoke' else {}
  of_task = {option: value for option, value in of_task.items() if option in options}
  return {**of_all[scale], **of_task, **scales.get(scale, {})}
