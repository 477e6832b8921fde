"""Whether a model can tell reorderings of its input apart, with and without positions."""

from collections.abc import Iterable

import jax
import numpy as np

from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.variants import Variant, random_params
from seqmodels.models import Model
from seqmodels.spec import Spec, Tokens

LENGTH, VOCABULARY, ORDERS, WIDTH = 16, 32, 8, 32
# "the cat ate the mouse." and "the mouse ate the cat.", each word one token
SENTENCES = np.array([[1, 2, 3, 1, 4, 5], [1, 4, 3, 1, 2, 5]], np.int32)


class Order(Experiment):
  """Untrained models. Encoder: all outputs, compared up to the order; causal decoder: the last output, whose own token
  stays last. The change is relative to the largest output."""

  name = 'order'

  def cells(self, scale: Scale) -> list[Cell]:
    none = [('transformer', kind, depth, 'none') for kind in ('encode', 'causal') for depth in (1, 2)]
    if scale == 'smoke':
      none = none[1::2]
    controls = [
      ('transformer', 'encode', 2, 'rotary'),
      ('transformer', 'causal', 2, 'rotary'),
      ('lstm', 'causal', 2, 'none'),
    ]
    more = [('transformer', kind, 4, 'none') for kind in ('encode', 'causal')]
    grid = {'smoke': none, 'laptop': none + controls}.get(scale, none + controls + more)
    return [
      {'architecture': architecture, 'kind': kind, 'depth': depth, 'position': position}
      for architecture, kind, depth, position in grid
    ]

  def run(self, cell: Cell) -> Iterable[Row]:
    tokens = Tokens(VOCABULARY)
    model = Variant(cell['architecture']).build(
      Spec(cell['kind'], tokens, tokens, LENGTH), width=WIDTH, depth=cell['depth'], position=cell['position']
    )
    kind = 'encoder' if cell['kind'] == 'encode' else 'causal decoder'
    # Twice the usual size, so that attention is far from uniform.
    params = jax.tree.map(lambda leaf: 2 * leaf, random_params(model))
    for metric, value in (('reordering', reordering(model, params)), ('sentence_pair', sentence_pair(model, params))):
      yield {'metric': metric, 'value': value, 'unit': 'relative change', **cell, 'kind': kind}


def reordering(model: Model, params: dict) -> float:
  """Return the largest relative change over ORDERS random orders of all tokens but the last."""
  draws = np.random.default_rng(0)
  tokens = draws.integers(0, VOCABULARY, LENGTH, dtype=np.int32)
  orders = np.stack([np.append(draws.permutation(LENGTH - 1), LENGTH - 1) for _ in range(ORDERS)])
  outputs = np.asarray(
    jax.jit(lambda p, x: model.apply(p, x)[0])(params, np.concatenate([tokens[None], tokens[orders]]))
  )
  base, changed = outputs[0], outputs[1:]
  causal = model.spec.kind == 'causal'
  difference = changed[:, -1] - base[None, -1] if causal else changed - base[orders]
  return float(np.max(np.abs(difference)) / np.max(np.abs(base)))


def sentence_pair(model: Model, params: dict) -> float:
  """Relative change from one sentence to the other of the mean output (encoder) or of the last output (decoder)."""
  outputs = np.asarray(jax.jit(lambda p, x: model.apply(p, x)[0])(params, SENTENCES))
  read = outputs[:, -1] if model.spec.kind == 'causal' else outputs.mean(axis=1)
  return float(np.max(np.abs(read[0] - read[1])) / np.max(np.abs(read)))
