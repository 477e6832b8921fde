"""Classify series: MNIST pixel by pixel, the archives of UCR and UEA, or made-up ones."""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqmodels.errors import check_positive
from seqmodels.spec import Spec, Vectors
from tasks.base import Batch
from tasks.datasets import CASES, cases, mnist, naming
from tasks.fitted import Fitted
from tasks.label_task import LabelTask


@dataclass(frozen=True)
class Classification(Fitted, LabelTask):
  """Give each series one of the classes.

  `dataset` is a name (cylinder_bell_funnel | sequential_mnist | permuted_mnist), `tfds:NAME[/CONFIG]` (see tfds_cases),
  or the user's own .ts files: a folder or a pattern with one file for train, one for test. `validation` percent of the
  training cases of each class validate where no file or split is named valid; `missing` is what happens to missing
  values (see ts_files.load).

  Each variable is scaled by its mean and deviation over the training series. Series of different lengths are padded,
  and the padding is masked. `patch`: steps that one token holds; sequential MNIST with `patch=28` is read row by row.
  """

  fixed_options = ('kind', 'patch')
  collection: str = field(default='cylinder_bell_funnel', metadata={'option': 'dataset'})
  patch: int = 1
  validation: int = 20
  missing: str = 'refuse'

  def __post_init__(self) -> None:
    super().__post_init__()
    cases.check_options(self.collection, self.validation, self.missing)
    check_positive(**{'task.patch': self.patch})

  @functools.cached_property
  def _stamp(self) -> tuple:
    return naming.stamp(self.collection, CASES)

  @property
  def data(self) -> cases.Cases:
    own = cases.load(self.collection, self.validation, self.missing, self._stamp)
    return cases.refitted(own, self.collection, self.restored) if self.restored else own

  @property
  def spec(self) -> Spec:
    _, steps, variables = self.data.splits['train'].values.shape
    return self.spec_of(Vectors(self.patch * variables), len(self.data.classes), -(-steps // self.patch))

  def count(self, split: str) -> int:
    return self.limited(split, len(self.data.splits[split].labels))

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    found = self.data.splits[split].part(indices)
    rows, steps, variables = found.values.shape
    inside = np.arange(steps)[None, :] < found.lengths[:, None]
    values = np.where(inside[:, :, None], (found.values - self.data.mean) / self.data.deviation, 0).astype(np.float32)
    tokens = -(-steps // self.patch)
    values = np.pad(values, [(0, 0), (0, tokens * self.patch - steps), (0, 0)])
    lengths = -(-found.lengths // self.patch)
    # A batch's structure is the same in all splits: either every series is as long as the longest, or there is a mask.
    equal = all((part.lengths == steps).all() for part in self.data.splits.values())
    mask = None if equal else np.arange(tokens)[None, :] < lengths[:, None]
    inputs = values.reshape(rows, tokens, self.patch * variables)
    return Batch(inputs, found.labels, np.ones(rows, np.float32), mask=mask)

  @property
  def is_image(self) -> bool:
    return self.collection == 'sequential_mnist'

  def class_names(self) -> tuple[str, ...]:
    return self.data.classes

  def read_as(self, inputs: np.ndarray) -> np.ndarray:
    """Return a series in the units of the data, or an image."""
    values = inputs.reshape(-1, len(self.data.mean)) * self.data.deviation + self.data.mean
    return values.reshape(mnist.SIDE, mnist.SIDE) / 255 if self.is_image else values

  def identity(self) -> dict[str, Any]:
    own = {} if self.collection in CASES else {'validation': self.validation, 'missing': self.missing}
    return {
      'dataset': naming.recorded(self.collection, CASES),
      'classes': list(self.data.classes),
      **own,
      'content': self.data.content,
    }

  def fitted(self) -> dict[str, Any]:
    return self.units()

  def units(self) -> dict[str, Any]:
    """Return the classes, and mean and deviation of each variable: values · deviation + mean are the data."""
    return {
      'classes': list(self.data.classes),
      'mean': self.data.mean.tolist(),
      'deviation': self.data.deviation.tolist(),
    }
