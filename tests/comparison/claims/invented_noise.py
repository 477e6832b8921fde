"""Invented scores on parts of the test examples: a verdict that holds for many examples is open for few."""

from tests.comparison.claims.invented import clipping, learning_rates, samples
from tests.comparison.claims.invented_real import noisy, split, videos
from tests.comparison.claims.invented_trials import ALIBI, NONE, ROTARY, approximations, encodings, lags, shares, skips

OF = {  # claim → version before, records that support it, the relative noise of few examples, and whose it is
  8: (1, lags(0.15, 0.002), 5.0, lambda row: row['architecture'] == 'transformer'),
  13: (1, encodings(rotary=ROTARY, alibi=ALIBI, none=NONE), 0.1, lambda row: row['position'] == 'rotary'),
  15: (2, clipping(0.5, 0.0), 0.5, lambda row: row['architecture'] == 'lstm' and not row['clip']),
  16: (
    2,
    learning_rates(1e-2, 1e-3),
    2.0,
    lambda row: row['architecture'] == 'transformer' and row['learning_rate'] > 1e-3,
  ),
  19: (1, skips(0.2, 0.2), 0.5, lambda row: not row['skips']),
  20: (2, samples(2.0, 1.0), 0.1, lambda row: row['architecture'] == 'transformer'),
  44: (1, split(0.9, 1.0), 0.3, lambda row: row['architecture'] == 'transformer_to_lstm'),
  46: (1, videos(1.0, 0.5), 0.3, lambda row: row['form'] != 'joint'),
  58: (1, approximations(0.0, 0.0), 0.3, lambda row: row['architecture'] == 'performer'),
  59: (1, shares(1.45, 0.99), 0.3, lambda row: row['attention_layers'] == 1),
}


def of_examples(number, noise):
  """Return the records of a claim with scores on parts, which differ by this much for one side alone."""
  _, records, _, alone = OF[number]
  metric = 'mse' if number in (44, 46) else 'loss'
  return noisy(records, noise, metric, shared=0.01, alone=alone)


CASES = [
  (number, status, of_examples(number, noise))
  for number, (_, _, few, _) in OF.items()
  for status, noise in (('supported', 1e-4), ('undecided', few))
]
# Of the rules that did not count it.
EARLIER = [(number, version, 'supported', of_examples(number, few)) for number, (version, _, few, _) in OF.items()]
