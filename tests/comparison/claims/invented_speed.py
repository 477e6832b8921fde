"""Invented records of speed: a plain (Elman) network beside the LSTM, and sizes with more lengths than others."""

from tests.comparison.claims.invented import (
  by_band,
  decoding,
  everything,
  flat,
  generation,
  latency,
  linear,
  square,
  state,
  timed,
  training,
)
from tests.comparison.claims.invented_devices import slower


def beside(records, share, metric=None):
  """Add an Elman network with `share` times the numbers of the LSTM, or `share(length or position)` times."""
  added = []
  for row in records:
    if row.get('architecture') == 'lstm' and metric in (None, row['metric']):
      x = row.get('length', row.get('position'))
      value = row['value'] * (share(x) if callable(share) else share)
      added.append({**row, 'architecture': 'rnn', **(timed(value) if 'samples' in row else {'value': value})})
  return [*records, *added]


def of_sizes(make, *grids):
  """Records of a function of the factor of the Transformer and of lengths, for sizes 1e5, 1e6 … with their own."""
  return [
    {**row, 'size': 10 ** (5 + place)} for place, (factor, lengths) in enumerate(grids) for row in make(factor, lengths)
  ]


def trained(factor, lengths):
  return training(linear, lambda t: factor * 1e-4 * t, lengths=lengths)


def read(factor, lengths):
  return latency(linear, lambda t: factor * 1e-4 * t, lengths=lengths)


def bands(*sizes):
  """Latency of several sizes, by what the Transformer takes in the three bands; the first size has generations too."""
  found = []
  for place, factors in enumerate(sizes):
    attention = by_band(*factors)
    records = latency(linear, attention)
    if not place:
      records += generation(linear, attention, lengths=(64, 256, 1024, 4096), batch=[1, 32])
    found += [{**row, 'size': 10.0 ** (5 + place)} for row in records]
  return found


article = (2.0, 0.5, 2.0)  # the winners that the article names
opposite = (0.5, 2.0, 0.5)
several, few = (32, 64, 128, 256), (128,)
middle, one = (128, 256, 512, 1000), (512,)
costly = everything(0.5, 0.2)  # the Transformer is cheaper and better
cheap = [{**row, 'size': 1e6} for row in training(linear, lambda t: 2e-4 * t)]  # at another size it costs more

# Where the Elman network would decide otherwise: claim, the verdict with it, the verdict without, records.
ELMAN = [
  (1, 'mixed', 'supported', beside(training(linear, flat), lambda t: 1 / t, 'sequential_steps')),
  (2, 'contradicted', 'supported', beside(slower(12), 0.2)),
  (3, 'contradicted', 'supported', beside(training(linear, lambda t: 0.4e-4 * t), 0.2)),
  (4, 'contradicted', 'supported', beside(slower(12), 0.2)),
  (6, 'supported', 'contradicted', beside(training(square, linear, lengths=(1024, 16384)), 0.01)),
  (10, 'mixed', 'supported', beside(latency(linear, square), lambda t: t / 16384, 'forward_seconds')),
  (24, 'supported', 'contradicted', beside(latency(flat, linear), 0.001)),
  (25, 'contradicted', 'supported', beside(latency(linear, lambda t: 0.5e-4 * t), 0.2)),
  (26, 'mixed', 'supported', beside(latency(linear, square), lambda t: t / 16384)),
  (27, 'mixed', 'supported', beside(decoding(flat, linear, square), lambda x: 1 + x / 1000)),
  (47, 'mixed', 'supported', beside(state(1e-3), 100)),
]
# Where a size with more cells than another would outweigh it: the same.
SIZES = [
  (3, 'contradicted', 'mixed', of_sizes(trained, (2.0, several), (0.4, few))),
  (3, 'contradicted', 'supported', of_sizes(trained, (2.0, several), (0.4, few), (0.4, few))),
  (25, 'contradicted', 'mixed', of_sizes(read, (2.0, middle), (0.5, one))),
  (25, 'contradicted', 'supported', of_sizes(read, (2.0, middle), (0.5, one), (0.5, one))),
  (3, 'contradicted', 'undecided', of_sizes(trained, (2.0, several), (0.6, few))),
  (34, 'undecided', 'contradicted', bands(article, opposite, opposite)),
  (60, 'supported', 'undecided', costly + cheap),
]
CASES = [(number, after, records) for number, _, after, records in ELMAN + SIZES]
EARLIER = [
  (number, {1: 3, 3: 2, 10: 2, 24: 2, 25: 2, 26: 2, 27: 2}.get(number, 1), before, records)
  for number, before, _, records in ELMAN + SIZES
]
