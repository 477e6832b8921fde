"""Classify sequences by what stands in them, whatever its order: baselines of classification. NumPy only."""

import numpy as np
from jaxtyping import Bool, Float, Int

SMALLEST_VARIANCE = 1e-3  # of a feature, in units of its variance over all classes


def counts(tokens: Int[np.ndarray, 'b t'], mask: Bool[np.ndarray, 'b t'], size: int) -> Float[np.ndarray, 'b n']:
  """Return how often each token stands in each row."""
  rows = np.broadcast_to(np.arange(len(tokens))[:, None], tokens.shape)
  places = (rows * size + tokens)[mask]
  return np.bincount(places, minlength=len(tokens) * size).reshape(len(tokens), size).astype(np.float64)


def statistics(values: Float[np.ndarray, 'b t d'], mask: Bool[np.ndarray, 'b t']) -> Float[np.ndarray, 'b f']:
  """Return mean, deviation, least and greatest value of each component of each row."""
  seen, values = mask[:, :, None], values.astype(np.float64)
  number = seen.sum(axis=1)
  mean = np.where(seen, values, 0).sum(axis=1) / number
  deviation = np.sqrt(np.where(seen, np.square(values - mean[:, None]), 0).sum(axis=1) / number)
  least, greatest = np.where(seen, values, np.inf).min(axis=1), np.where(seen, values, -np.inf).max(axis=1)
  return np.concatenate([mean, deviation, least, greatest], axis=1)


def log_prior(labels: Int[np.ndarray, ' b'], classes: int) -> Float[np.ndarray, ' c']:
  """Return the logarithms of the class frequencies, with one more example of each class."""
  number = np.bincount(labels, minlength=classes) + 1.0
  return np.log(number / number.sum())


def multinomial(
  bags: Float[np.ndarray, 'b n'], labels: Int[np.ndarray, ' b'], classes: int, others: Float[np.ndarray, 'm n']
) -> Float[np.ndarray, 'm c']:
  """Return the log-probabilities of naive Bayes over counts of tokens, each one counted once more (McCallum 1998)."""
  totals = np.stack([bags[labels == c].sum(axis=0) + 1 for c in range(classes)])
  likelihood = others @ np.log(totals / totals.sum(axis=1, keepdims=True)).T
  return _normalised(likelihood + log_prior(labels, classes))


def gaussian(
  features: Float[np.ndarray, 'b f'], labels: Int[np.ndarray, ' b'], classes: int, others: Float[np.ndarray, 'm f']
) -> Float[np.ndarray, 'm c']:
  """Return the log-probabilities of naive Bayes with a normal distribution a feature and class."""
  spread = features.var(axis=0)
  spread = np.where(spread > 0, spread, 1.0)
  likelihood = np.empty((len(others), classes))
  for c in range(classes):
    own = features[labels == c]
    mean, variance = (own.mean(axis=0), own.var(axis=0)) if len(own) else (features.mean(axis=0), spread)
    variance = np.maximum(variance, SMALLEST_VARIANCE * spread)
    likelihood[:, c] = -0.5 * (np.square(others - mean) / variance + np.log(variance)).sum(axis=1)
  return _normalised(likelihood + log_prior(labels, classes))


def scores(log_probabilities: Float[np.ndarray, 'm c'], answers: Int[np.ndarray, ' m']) -> dict[str, float]:
  """Return the mean loss in nats and the accuracy."""
  picked = log_probabilities[np.arange(len(answers)), answers]
  right = log_probabilities.argmax(axis=1) == answers
  return {'loss': float(-picked.mean()), 'accuracy': float(right.mean())}


def _normalised(scores: Float[np.ndarray, 'm c']) -> Float[np.ndarray, 'm c']:
  shifted = scores - scores.max(axis=1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
