"""The contract of a task: data, loss, metrics and evaluations. One task a file; `tasks/__init__.py` lists them."""

import abc
import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from seqmodels.spec import Spec

Sums = tuple[jax.Array, jax.Array]  # (sum, weight), one of each per example: [b], [b]


class Batch(NamedTuple):
  """One batch, as NumPy arrays when it leaves a dataset. `None` fields are absent from the pytree.

  inputs   [b t] int32 for tokens, [b t d] float32 for vectors
  targets  [b t] int32 or [b t n] float32 (readout "every"); [b] or [b n] (readout "last")
  weights  [b t] float32 (readout "every") or [b] (readout "last"); 0 where a target does not count, so that the filler
           rows of a last partial batch count nothing
  reset    [b t] bool or None: forget everything before this position (packed documents, first segment of a stream)
  mask     [b t] bool or None: false is padding
  source, source_mask
           [b s] int32 or [b s d] float32, and [b s] bool or None: what a seq2seq model reads first
  """

  inputs: Any
  targets: Any
  weights: Any
  reset: Any = None
  mask: Any = None
  source: Any = None
  source_mask: Any = None


class Shard(NamedTuple):
  """This process reads examples index, index + count, …"""

  index: int = 0  # type: ignore[assignment]
  count: int = 1  # type: ignore[assignment]


@dataclass(frozen=True)
class Evaluation:
  """One number set of a task: a split, with some task options replaced (a longer length, more pairs …)."""

  split: str
  options: dict[str, Any] = field(default_factory=dict)


class Task(abc.ABC):
  """See docs/architecture.md. Options are dataclass fields of the subclass (`@dataclass(frozen=True)`).

  unbroken: read in segments, sequences go on beyond `spec.length` (a text does).
  """

  unbroken: ClassVar[bool] = False

  @property
  @abc.abstractmethod
  def spec(self) -> Spec: ...

  @abc.abstractmethod
  def dataset(
    self, split: str, batch_size: int, *, seed: int = 0, shard: Shard = Shard(), segment: int | None = None
  ) -> Any:
    """A grain dataset of Batch whose iterator has get_state/set_state.

    split "train" is shuffled by `seed` and never ends; every other split is read once, in order, in full: the last
    batch is filled up to `batch_size` with rows of weight 0.
    segment: consecutive segments of this length for truncated back-propagation; row i of the next batch continues row
    i of this one, and `reset` is true at the first position of a new sequence. None: whole sequences.
    """

  @abc.abstractmethod
  def loss(self, outputs: jax.Array, batch: Batch) -> Sums:
    """The training loss as (sum, weight) per example; nats for tokens, squared error for vectors."""

  @abc.abstractmethod
  def metrics(self, outputs: jax.Array, batch: Batch) -> dict[str, Sums]:
    """Each metric as (sum, weight) per example, so that a test set's number does not depend on the batch size."""

  def derived(self, values: dict[str, float]) -> dict[str, float]:
    """Return further metrics of an evaluation that are functions of its means, e.g. a perplexity."""
    return {}

  @abc.abstractmethod
  def evaluations(self) -> dict[str, Evaluation]:
    """Name → evaluation. "validation" is what training reports."""

  def baselines(self) -> dict[str, dict[str, float]]:
    """Trivial baselines printed beside the models: name → metric → value on the test split."""
    return {}

  def identity(self) -> dict[str, Any]:
    """Return what the data are, in JSON values that are equal for equal data; cheap once the data are loaded.

    A workdir records it, and `tasks.identity.check_identity` compares. Here: the class and its options. Tasks that read
    files give checksums of what they read instead.
    """
    options: dict[str, Any] = dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}
    return {'dataset': type(self).__name__.lower(), 'options': options}

  def encode(self, text: str) -> np.ndarray:
    """Prompt → ids, for tasks that generate text; raises InputError for characters outside the vocabulary."""
    raise TypeError(f'{type(self).__name__} does not read text prompts')

  def decode(self, ids: np.ndarray) -> str:
    raise TypeError(f'{type(self).__name__} does not write text')
