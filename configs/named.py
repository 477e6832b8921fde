"""A task with settings of its own in one word, as `--tasks` takes it: `forecasting:dataset=ETTh1:lookback=336`."""

import importlib
import re

from ml_collections import ConfigDict

from configs import catalogue
from seqmodels.errors import InputError

SETTING = re.compile(r':(?=\w+=)')  # not the colon of `dataset=tfds:NAME`
OF_TRAINING = ('steps', 'batch_size')


def read(word: str) -> tuple[str, list[str]]:
  """Return the name of a task and its settings, `key=value`.

  Raises InputError for an unknown task, and for a setting that is neither the task's, nor steps or batch_size.
  """
  name, *settings = SETTING.split(word)
  allowed = (*catalogue.task_options(name), *OF_TRAINING)
  for setting in settings:
    key = setting.partition('=')[0]
    if key not in allowed:
      raise InputError(
        f'--tasks={word}: {key} is no setting of {name} that a comparison takes; allowed: {", ".join(allowed)}'
      )
  return name, settings


def config(word: str, architecture: str, scale: str) -> ConfigDict:
  """Return the config of a task with its settings, for an architecture, at a scale of the config. Raises InputError."""
  name, settings = read(word)
  return importlib.import_module(f'configs.{name}').get_config(','.join([architecture, f'scale={scale}', *settings]))
