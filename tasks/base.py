"""Define the contract of a task: data, loss, metrics and evaluations. `tasks/__init__.py` lists the tasks."""

import abc
import dataclasses
import math
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Spec
from tasks.shown import Shown

Sums = tuple[jax.Array, jax.Array]  # (sum, weight), one of each per example: [b], [b]
HostSums = tuple[np.ndarray, np.ndarray]  # likewise, computed on the host


class Batch(NamedTuple):
  """Hold one batch: NumPy arrays when it leaves a dataset. Fields that are None are absent from the pytree.

  inputs   [b t] int32 for tokens, [b t d] float32 for vectors
  targets  [b t] int32 or [b t n] float32 (readout "every"); [b] or [b n] (readout "last")
  weights  [b t] float32 (readout "every") or [b] (readout "last"); 0 where a target does not count, as in the filler
           rows of a last partial batch
  reset    [b t] bool or None: clear the state before this position (packed documents, first segment of a stream)
  mask     [b t] bool or None: false is padding
  source, source_mask
           [b s] int32 or [b s d] float32, and [b s] bool or None: the source of a seq2seq model
  extras   dict of arrays [b ...] or None: data of each example that metrics need and models do not read
  """

  inputs: Any
  targets: Any
  weights: Any
  reset: Any = None
  mask: Any = None
  source: Any = None
  source_mask: Any = None
  extras: Any = None


class Shard(NamedTuple):
  """Select part `index` of the `count` equal parts of every batch, for one process."""

  index: int = 0  # type: ignore[assignment]
  count: int = 1  # type: ignore[assignment]


@dataclass(frozen=True)
class Evaluation:
  """Name a split to evaluate and the task options that it replaces (a longer length, more pairs …)."""

  split: str
  options: dict[str, Any] = field(default_factory=dict)


class Decoding(NamedTuple):
  """Say how a model writes in `Task.free_running`: the width of the beam (1: greedy) and its length penalty."""

  beams: int = 1
  length_penalty: float = 0.0


class Task(abc.ABC):
  """Give data, loss and metrics; see docs/architecture.md. Options are fields of the subclass, a frozen dataclass.

  unbroken: whether sequences that are read in segments continue beyond `spec.length`, as a text does.
  fixed_options: options, beside those that change the spec, with which a trained model reads or writes something else;
    it is evaluated with no other values of them.
  """

  unbroken: ClassVar[bool] = False
  fixed_options: ClassVar[tuple[str, ...]] = ()

  @property
  @abc.abstractmethod
  def spec(self) -> Spec: ...

  @abc.abstractmethod
  def dataset(
    self, split: str, batch_size: int, *, seed: int = 0, shard: Shard = Shard(), segment: int | None = None
  ) -> Any:
    """Return a Grain dataset of Batch, whose iterator has get_state and set_state.

    split "train" is shuffled by `seed` and never ends; every other split is read once, in order, in full: the last
    batch is filled up to `batch_size` with rows of weight 0.
    segment: consecutive segments of this length for truncated back-propagation; row i of the next batch continues row
    i of this one, and `reset` is true at the first position of a new sequence. None: whole sequences.
    """

  @abc.abstractmethod
  def loss(self, outputs: jax.Array, batch: Batch) -> Sums:
    """Return the training loss as (sum, weight) per example: nats for tokens, squared error for vectors."""

  @abc.abstractmethod
  def metrics(self, outputs: jax.Array, batch: Batch) -> dict[str, Sums]:
    """Return each metric as (sum, weight) per example, so that no score depends on the batch size."""

  def derived(self, values: dict[str, float]) -> dict[str, float]:
    """Return further metrics of an evaluation that are functions of its means, e.g. a perplexity."""
    return {}

  def free_running(
    self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()
  ) -> dict[str, HostSums]:
    """Return metrics of what the model writes by itself, as (sum, weight) per example: NumPy arrays [b], [b].

    It is called on the host, with whole sequences and parameters on one device, for every evaluation at the end of
    training and in --mode=eval. Its names differ from those of `metrics`. Rows that do not count (fillers, and those
    beyond `eval.free_running`) are left out by the caller. Empty by default: nothing is written.
    """
    return {}

  def free_running_scores(self, totals: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Return the scores of `free_running` from sum and weight of each metric over all examples.

    By default their quotients, nan without any weight. Scores of a corpus (BLEU) are functions of the totals.
    """
    return {name: total / weight if weight else math.nan for name, (total, weight) in totals.items()}

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return what there is to see of each example of a batch, as a model predicts it; nothing by default.

    It is called on the host, with whole sequences and parameters on one device, for --mode=eval --pictures. A model
    predicts from its own predictions where the task has such metrics.
    """
    return []

  def signatures(self) -> dict[str, str]:
    """Return what scores depend on beside model and data, by their names, to print beside them; none by default."""
    return {}

  @abc.abstractmethod
  def evaluations(self) -> dict[str, Evaluation]:
    """Return the evaluations by name. Training reports "validation"."""

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return trivial baselines to print beside the models: name → metric → value on the test split."""
    return {}

  def lengths(self) -> tuple[int, ...]:
    """Return the lengths to which training batches are padded, the longest last; empty where all have one shape."""
    return ()

  def largest_row(self, seed: int = 0, segment: int | None = None) -> Batch:
    """Return a batch of one training row, of the largest shape that training batches have."""
    return next(iter(self.dataset('train', 1, seed=seed, segment=segment)))

  def identity(self) -> dict[str, Any]:
    """Return JSON values that are equal for equal data; cheap once the data are loaded.

    A workdir records them, and `tasks.identity.check_identity` compares. By default: the class and its options. Tasks
    that read files return checksums instead.
    """
    options: dict[str, Any] = dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}
    return {'dataset': type(self).__name__.lower(), 'options': options}

  def units(self) -> dict[str, Any]:
    """Return, as JSON, the meaning of inputs and outputs: a vocabulary, the scale of a series. Empty by default."""
    return {}

  def fitted(self) -> dict[str, Any]:
    """Return, as JSON, what a trained model needs of its training data: a vocabulary, classes, a scale.

    A workdir keeps it in vocabulary.json, tokenizers apart (`kept_files`). Empty by default.
    """
    return {}

  def with_fitted(self, values: Mapping[str, Any]) -> 'Task':
    """Return the task with what `fitted` returned, so that it reads other data as those of the training."""
    return self

  def kept_files(self) -> dict[str, bytes]:
    """Return what was made of the training data and a model cannot be used without, name → content.

    A workdir keeps these files, and an export writes them beside the model. None by default.
    """
    return {}

  def with_files(self, folder: pathlib.Path) -> 'Task':
    """Return the task that reads the files of `kept_files` from a folder, where it has them.

    Raises InputError where an option names another file than the one that was kept.
    """
    return self

  def token_names(self, ids: np.ndarray) -> list[str]:
    """Return what to call each token that a model reads or writes; numbers by default."""
    return [str(token) for token in ids]

  def source_names(self, ids: np.ndarray) -> list[str]:
    """Return what to call each token of a source; as `token_names` where both sides have one vocabulary."""
    return self.token_names(ids)

  def encode(self, text: str) -> np.ndarray:
    """Return the ids of a text. Raises InputError outside the vocabulary, TypeError for a task without text."""
    raise TypeError(f'{type(self).__name__} does not read text prompts')

  def prompt(self, text: str) -> np.ndarray:
    """Return what a model without a source reads before it goes on with a text; as `encode`, with its errors."""
    return self.encode(text)

  @property
  def end_of_text(self) -> int:
    """Return the token that ends a text written by a model without a source; -1: none does."""
    return -1

  def decode_source(self, ids: np.ndarray) -> str:
    """Return the text of a source of a seq2seq model; as `decode` where both sides have one vocabulary."""
    return self.decode(ids)

  def decode(self, ids: np.ndarray) -> str:
    raise TypeError(f'{type(self).__name__} does not write text')
