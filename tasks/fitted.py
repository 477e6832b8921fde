"""Give a task the vocabulary, the classes or the scale that a model was trained with, in place of its own data's."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Fitted:
  """Derive a task from this class where it takes anything from its training data; see `Task.fitted`.

  restored: the JSON that `fitted` gave when the model was trained; empty: it is made of the task's own training data.
  """

  restored: str = field(default='', kw_only=True, repr=False, metadata={'option': None})

  @functools.cached_property
  def kept(self) -> dict[str, Any]:
    """Return the restored values; empty where there are none."""
    return parse(self.restored)

  def with_fitted(self, values: Mapping[str, Any]) -> Self:
    return dataclasses.replace(self, restored=json.dumps(values))


def parse(restored: str) -> dict[str, Any]:
  """Return the values of `Fitted.restored`."""
  return json.loads(restored) if restored else {}
