"""Define the base of tasks that give a sequence one of several classes, with baselines that know no order."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float

from seqmodels.errors import unknown
from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Spec, Tokens, Vectors
from tasks import bags, losses
from tasks.answers import log_probabilities
from tasks.base import Batch, Decoding, Sums
from tasks.pipeline import IndexedTask
from tasks.shown import Classes, Shown

KINDS = {'causal': 'last', 'encode': 'mean'}  # → the readout
BASELINE_EXAMPLES = 5000  # of training, at most, that baselines are fitted to
TOGETHER = 1000  # examples that are made at once for the baselines


@dataclass(frozen=True)
class LabelTask(IndexedTask):
  """Score classes. Subclasses give batches with targets [b] and, where lengths differ, a mask.

  kind: `causal` reads forwards, and the output is that at the last position; `encode` reads both ways, and the output
  is read from the mean over the positions.
  """

  kind: str = 'causal'

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.kind not in KINDS:
      raise unknown('task.kind', self.kind, KINDS)

  def spec_of(self, inputs: Tokens | Vectors, classes: int, length: int) -> Spec:
    return Spec(self.kind, inputs, Tokens(classes), length, readout=KINDS[self.kind])  # type: ignore[arg-type]

  def loss(self, outputs: Float[Array, 'b n'], batch: Batch) -> Sums:
    """Return the cross-entropy in nats."""
    return losses.summed(losses.cross_entropy(outputs, batch.targets), batch.weights)

  def metrics(self, outputs: Float[Array, 'b n'], batch: Batch) -> dict[str, Sums]:
    """Return the loss in nats and the accuracy."""
    accuracy = losses.summed(losses.correct(outputs, batch.targets), batch.weights)
    return {'loss': self.loss(outputs, batch), 'accuracy': accuracy}

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return each example with the probabilities that a model gives the classes."""
    del decoding
    probabilities = np.exp(np.asarray(log_probabilities(model, params, batch)))
    masks = np.ones(batch.inputs.shape[:2], bool) if batch.mask is None else batch.mask
    names = self.class_names()
    rows = zip(batch.inputs, masks, probabilities, batch.targets, strict=True)
    return [Classes(self.read_as(row[mask]), names, own, int(truth), self.is_image) for row, mask, own, truth in rows]

  @property
  def is_image(self) -> bool:
    """Whether `read_as` returns images."""
    return False

  def class_names(self) -> tuple[str, ...]:
    """Return the names of the classes; numbers by default."""
    return tuple(map(str, range(self.spec.output.size)))

  def read_as(self, inputs: np.ndarray) -> str | np.ndarray:
    """Return the inputs of an example, without padding, to be looked at: the text of tokens, vectors as a series."""
    return inputs if inputs.ndim == 2 else ' '.join(self.token_names(inputs))

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of the class frequencies, and of a naive Bayes classifier that knows no order (see bags)."""
    count = self.count('train') or BASELINE_EXAMPLES
    train = [*self._bags('train', min(count, BASELINE_EXAMPLES))]
    test = [*self._bags('test', self.count('test'))]
    features, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
    others, answers = (np.concatenate(parts) for parts in zip(*test, strict=True))
    classes = self.spec.output.size
    if isinstance(self.spec.input, Tokens):
      name, bag = 'bag of tokens', bags.multinomial(features, labels, classes, others)
    else:
      name, bag = 'bag of values', bags.gaussian(features, labels, classes, others)
    prior = np.tile(bags.log_prior(labels, classes), (len(answers), 1))
    return {'majority class': bags.scores(prior, answers), name: bags.scores(bag, answers)}

  def _bags(self, split: str, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield features without an order, and labels, of the first `count` examples."""
    for start in range(0, count, TOGETHER):
      batch = self.arrays(split, np.arange(start, min(start + TOGETHER, count)))
      mask = np.ones(batch.inputs.shape[:2], bool) if batch.mask is None else batch.mask
      if isinstance(self.spec.input, Tokens):
        yield bags.counts(batch.inputs, mask, self.spec.input.size), batch.targets
      else:
        yield bags.statistics(batch.inputs, mask), batch.targets
