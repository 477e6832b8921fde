"""Connectionist temporal classification (Graves et al. 2006): a label or nothing, token 0, at each step."""

import math
from collections import defaultdict

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

BLANK = 0


def nats(
  logits: Float[Array, 'b t n'],
  mask: Bool[Array, 'b t'] | None,
  labels: Int[Array, 'b l'],
  has_label: Bool[Array, 'b l'],
) -> Float[Array, ' b']:
  """Return −log p(labels) of each row, summed over all alignments with the steps that `mask` counts."""
  padding = jnp.zeros(logits.shape[:2]) if mask is None else 1.0 - mask
  return optax.ctc_loss(logits.astype(jnp.float32), padding, labels, 1.0 - has_label, blank_id=BLANK)


def greedy(
  logits: Float[Array, 'b t n'], mask: Bool[Array, 'b t'] | None
) -> tuple[Int[Array, 'b t'], Bool[Array, 'b t']]:
  """Return the likeliest label of each step, and the steps where a label is written: repetitions and blanks are not."""
  best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
  before = jnp.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=BLANK)
  is_written = (best != BLANK) & (best != before)
  return best, is_written if mask is None else is_written & mask


def needed_steps(labels: Int[np.ndarray, ' l']) -> int:
  """Return the fewest steps that hold the labels: one each, and a blank between equal ones."""
  return len(labels) + int((labels[1:] == labels[:-1]).sum())


def prefix_search(log_probabilities: Float[np.ndarray, 't n'], beams: int) -> Int[np.ndarray, ' l']:
  """Return the likeliest labels that a beam search over prefixes finds (Graves & Jaitly 2014).

  Unlike greedy decoding it adds up the alignments of the same labels. Each prefix has two probabilities: of the
  alignments that end in a blank, and of those that end in its last label.
  """
  found: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
  for row in log_probabilities.astype(np.float64):
    after: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
    for prefix, (blank, label) in found.items():
      whole = np.logaddexp(blank, label)
      entry = after[prefix]
      entry[0] = np.logaddexp(entry[0], whole + row[BLANK])
      if prefix:
        entry[1] = np.logaddexp(entry[1], label + row[prefix[-1]])
      for token in np.argsort(-row)[: beams + 2].tolist():
        if token == BLANK:
          continue
        grown = after[(*prefix, token)]
        reached = blank if prefix and token == prefix[-1] else whole  # a repetition needs a blank before it
        grown[1] = np.logaddexp(grown[1], reached + row[token])
    kept = sorted(after.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))[:beams]
    found = {prefix: (blank, label) for prefix, (blank, label) in kept}
  return np.array(next(iter(found)), np.int64)
