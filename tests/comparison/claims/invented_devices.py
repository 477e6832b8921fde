"""Invented records of what devices can do, from which the judges of the article can be shown each verdict."""

import math

from tests.comparison.claims.invented import linear, rows, timed, training, training_bytes
from tests.comparison.claims.invented_real import SEEDS


def slower(times, at_2048=None):
  """Step times of both sides at three lengths: the RNN takes so many times as long."""
  rnn = lambda t: 1e-4 * t * (times if at_2048 is None or t < 2048 else at_2048)
  return training(rnn, linear, lengths=(256, 512, 2048))


def of_sizes(growth, last, largest=1e7):
  """Losses whose gap grows so much with ten times the parameters, up to `last` nats at the largest size."""
  found, sizes = [], [largest / 10, largest / 3, largest]
  for name, sign in (('transformer', -1), ('lstm', 1)):
    gap = lambda size, sign=sign: (last + growth * math.log10(size / largest)) * (sign > 0)
    found += rows(
      'small_language_models', 'loss', architecture=name, size=sizes, seed=SEEDS, learning_rate=0.01,
      selection=0.0, value=lambda size, seed, gap=gap, sign=sign, **_: 2.0 + gap(size) + sign * 1e-3 * seed,
    )  # fmt: skip
  return found


def noisy(row):
  """The gap grows from size to size in one direction or the other, by the seed."""
  return {**row, 'value': row['value'] + 0.1 * math.log10(row['size']) * (row['seed'] - 2)} if is_lstm(row) else row


def is_lstm(row):
  return row['architecture'] == 'lstm'


def tokens(lstm, cached, size=1e5):
  """Milliseconds of a decoded token with both sides, by position."""
  found = []
  for side, backend, time in (('lstm', 'auto', lstm), ('transformer', 'cached', cached)):
    found += rows(
      'decoding', 'token_seconds', architecture=side, backend=backend, position=[1, 1000, 2000, 4000], batch=1,
      size=size, value=lambda position, t=time, **_: timed(1e-3 * t(position)),
    )  # fmt: skip
  return found


CASES = [
  (2, 'supported', slower(12)),
  (2, 'contradicted', slower(2)),
  (2, 'undecided', slower(7)),
  (2, 'contradicted', slower(4.8, at_2048=20)),  # at another length
  (4, 'supported', slower(12)),
  (4, 'contradicted', slower(2)),
  (4, 'undecided', slower(5)),
  (4, 'mixed', slower(12, at_2048=2)),
  (4, 'supported', slower(12) + [{**row, 'size': 1e4} for row in slower(2)]),  # of a smaller model
  (37, 'supported', of_sizes(0.1, 0.2)),
  (37, 'contradicted', of_sizes(0.0, 0.2)),
  (37, 'contradicted', of_sizes(-0.1, -0.2)),
  (37, 'undecided', of_sizes(0.1, -0.2)),  # the LSTM is ahead, by less and less
  (37, 'undecided', [noisy(row) for row in of_sizes(0.1, 0.2)]),
  (45, 'supported', training_bytes(10, 25, lengths=(4096, 16384))),  # 160 and 100 GB
  (45, 'mixed', training_bytes(10, 2, lengths=(4096, 16384))),  # 160 and 8 GB
  (45, 'contradicted', training_bytes(1, 0.5, lengths=(4096, 16384))),
  (45, 'undecided', training_bytes(3, 0.5, lengths=(4096, 16384))),
  (
    45,
    'mixed',
    training_bytes(10, 25, lengths=(16384,)) + training_bytes(1, 0.5, size=1e7, lengths=(16384,)),
  ),
  (49, 'supported', tokens(lambda p: 5.0, lambda p: 5.0 if p <= 1000 else 0.05 * p)),
  (49, 'mixed', tokens(lambda p: 5.0, lambda p: 0.005 * p)),  # both are fast
  (49, 'contradicted', tokens(lambda p: 60.0 if p == 1000 else 5.0, lambda p: 5.0)),
  (49, 'undecided', tokens(lambda p: 5.0, lambda p: 50.0)),
]  # fmt: skip
