"""The adding problem: the sum of two marked numbers among many (Hochreiter & Schmidhuber 1997).

Each step has a number in [0, 1] and a marker, 1 at one step of each half of the sequence; the target, read at the end,
is the sum of the two marked numbers. Answering 1 always has a mean squared error of 1/6.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from seqmodels.errors import InputError
from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Spec, Vectors
from tasks import draws, losses
from tasks.answers import outputs_of
from tasks.base import Batch, Decoding, Sums
from tasks.procedural import Procedural
from tasks.shown import Shown, Text

TOLERANCE = 0.04  # an answer this close is right (Hochreiter & Schmidhuber 1997, section 5.4)


@dataclass(frozen=True)
class Adding(Procedural):
  """Sequences of `length` steps."""

  length: int = 100

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.length < 2:
      raise InputError(f'task.length={self.length} must be at least 2: two numbers are added')

  @property
  def spec(self) -> Spec:
    return Spec('causal', Vectors(2), Vectors(1), length=self.length, readout='last')

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    rows, half = len(indices), self.length // 2
    words = draws.words(self.key(split, seed), indices, self.length + 2)
    values = draws.uniforms(words[:, 2:]).astype(np.float32)
    first = draws.integers(words[:, :1], half)
    second = half + draws.integers(words[:, 1:2], self.length - half)
    marked = np.concatenate([first, second], axis=1)
    markers = np.zeros((rows, self.length), np.float32)
    np.put_along_axis(markers, marked, 1.0, axis=1)
    targets = np.take_along_axis(values, marked, axis=1).sum(axis=1, keepdims=True)
    return Batch(np.stack([values, markers], axis=-1), targets, np.ones(rows, np.float32))

  def loss(self, outputs: Float[Array, 'b n'], batch: Batch) -> Sums:
    return losses.summed(jnp.square(outputs - batch.targets)[:, 0], batch.weights)

  def metrics(self, outputs: Float[Array, 'b n'], batch: Batch) -> dict[str, Sums]:
    """Return loss and mse (the same), and the accuracy: the share of sums that are off by less than 0.04."""
    right = (jnp.abs(outputs - batch.targets)[:, 0] < TOLERANCE).astype(jnp.float32)
    mse = self.loss(outputs, batch)
    return {'loss': mse, 'mse': mse, 'accuracy': losses.summed(right, batch.weights)}

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return the marked numbers of each example with their places, their sum, and that of a model."""
    del decoding
    outputs = np.asarray(outputs_of(model, params, batch))
    found: list[Shown] = []
    for inputs, target, output in zip(batch.inputs, batch.targets, outputs, strict=True):
      places = np.flatnonzero(inputs[:, 1])
      marked = ' + '.join(f'{inputs[place, 0]:.4f} (step {place + 1})' for place in places)
      found.append(Text(f'{marked}, of {len(inputs)} steps', f'{target[0]:.4f}', f'{output[0]:.4f}'))
    return found

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the errors of the constant answer 1, the mean; the density of a sum of two uniforms is 1 − |s − 1|."""
    return {'mean': {'loss': 1 / 6, 'mse': 1 / 6, 'accuracy': TOLERANCE * (2 - TOLERANCE)}}
