"""--mode=describe: print what a config builds and what it costs, without running it."""

from typing import Any

from seqmodels.models import sizing
from training import workdir as workdirs
from training.settings import eval_settings, train_settings


def main(config: Any) -> None:
  """Print the layers, parameters, FLOPs a token and bytes of state of a config's model."""
  plain = workdirs.plain(config)
  task = workdirs.make_task(plain)
  settings = train_settings(plain['train']).for_task(task)
  eval_settings(plain['eval']).for_task(task)
  rows = sizing.table(workdirs.make_model(plain, task), settings.segment, settings.memory)
  width = max(len(name) for name, _ in rows)
  for name, value in rows:
    print(f'{name:<{width}}  {value}')
