"""A stand-in task without files: tokens, and at each position the token two before. Weights are uneven on purpose."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.config import ModelConfig
from seqmodels.models import Model, build
from seqmodels.spec import Spec, Tokens
from tasks.base import Batch, Evaluation, Shard, Sums, Task

SIZE = 5
EXAMPLES = 20  # of every split but train


@dataclass(frozen=True)
class Toy(Task):
  length: int = 8

  @property
  def spec(self) -> Spec:
    return Spec('causal', Tokens(SIZE), Tokens(SIZE), self.length)

  def dataset(
    self, split: str, batch_size: int, *, seed: int = 0, shard: Shard = Shard(), segment: int | None = None
  ) -> Any:
    def rows(i: int) -> range:
      first = (i * shard.count + shard.index) * batch_size
      return range(first, first + batch_size)

    if split == 'train':
      return Stream(lambda i: batch(rows(i), segment or self.length, seed), None)
    count = -(-EXAMPLES // (batch_size * shard.count))

    def filled(i: int) -> Batch:
      whole = batch(rows(i), self.length, 1000)
      real = np.asarray(rows(i)) < EXAMPLES
      return whole._replace(weights=whole.weights * real[:, None])

    return Stream(filled, count)

  def loss(self, outputs: jax.Array, batch: Batch) -> Sums:
    log_p = jnp.take_along_axis(jax.nn.log_softmax(outputs), batch.targets[..., None], axis=-1)[..., 0]
    return jnp.sum(-log_p * batch.weights, axis=1), jnp.sum(batch.weights, axis=1)

  def metrics(self, outputs: jax.Array, batch: Batch) -> dict[str, Sums]:
    right = (jnp.argmax(outputs, axis=-1) == batch.targets) * batch.weights
    return {'loss': self.loss(outputs, batch), 'accuracy': (jnp.sum(right, axis=1), jnp.sum(batch.weights, axis=1))}

  def evaluations(self) -> dict[str, Evaluation]:
    return {'validation': Evaluation('validation'), 'longer': Evaluation('test', {'length': self.length + 4})}

  def baselines(self) -> dict[str, dict[str, float]]:
    return {'uniform': {'loss': float(np.log(SIZE))}}


class Stream:
  """A dataset whose i-th batch is `make(i)`."""

  def __init__(self, make: Any, count: int | None) -> None:
    self.make, self.count = make, count

  def __iter__(self) -> 'Iterator':
    return Iterator(self)


class Iterator:
  def __init__(self, stream: Stream) -> None:
    self.stream, self.next = stream, 0

  def __iter__(self) -> 'Iterator':
    return self

  def __next__(self) -> Batch:
    if self.next == self.stream.count:
      raise StopIteration
    self.next += 1
    return self.stream.make(self.next - 1)

  def get_state(self) -> dict[str, int]:
    return {'next': self.next}

  def set_state(self, state: dict[str, int]) -> None:
    self.next = state['next']


def batch(indices: Any, length: int, seed: int = 0) -> Batch:
  """Examples that depend on nothing but (seed, index)."""
  rows = [np.random.default_rng((seed, i)) for i in indices]
  inputs = np.stack([row.integers(0, SIZE, length, dtype=np.int32) for row in rows])
  weights = np.stack([row.choice(np.float32([0, 0.5, 1, 3]), length) for row in rows])
  return Batch(inputs, np.roll(inputs, 2, axis=1), weights)


def model(mixer: str = 'gru', **fields: Any) -> Model:
  """As little to compile as a recurrent model can be."""
  return build(
    ModelConfig(pattern=(mixer,), **{'depth': 1, 'width': 8, 'block': 'plain', 'feedforward': 0.0, **fields}),
    Toy().spec,
  )
