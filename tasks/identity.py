"""Compare the data that a workdir recorded with those of a task, so that no model is read with other data."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from seqmodels.errors import InputError
from tasks.base import Task

SHOWN = 12  # digits of a checksum in a message


def check_identity(recorded: Mapping[str, Any], task: Task) -> None:
  """Raise InputError, one line with every field that differs, unless `task` reads the data that were recorded.

  recorded: what `task.identity()` gave when the run began, as read back from JSON. A field that it does not have is not
  compared, so that records of older versions stay readable.
  """
  if not isinstance(recorded, Mapping):
    raise InputError(f'the recorded identity of the data is damaged: {type(recorded).__name__} instead of an object')
  before, now = dict(_flat(recorded)), dict(_flat(json.loads(json.dumps(task.identity()))))
  differing = [name for name, value in before.items() if now.get(name) != value]
  if differing:
    fields = [f'{name} was {_shown(before[name])} and is {_shown(now.get(name, "absent"))}' for name in differing]
    raise InputError(f'the data are not those of the run: {"; ".join(fields)}')


def _flat(values: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
  for name, value in values.items():
    if isinstance(value, Mapping) and value:
      yield from _flat(value, f'{prefix}{name}.')
    else:
      yield f'{prefix}{name}', value


def _shown(value: Any) -> str:
  text = str(value)
  is_checksum = len(text) == 64 and set(text) <= set('0123456789abcdef')
  return f'sha256 {text[:SHOWN]}…' if is_checksum else repr(value) if value != 'absent' else text
