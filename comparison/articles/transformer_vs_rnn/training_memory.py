"""Claims about the memory of training: what does not fit, and what makes it fit."""

import math
from collections.abc import Sequence

from comparison.articles.transformer_vs_rnn import earlier
from comparison.articles.transformer_vs_rnn.gigabytes import (
  CARD,
  CENTRE,
  GB,
  KNOWN,
  LONGEST,
  LSTM_FORMS,
  SHORTEST,
  SMALL_CARD,
  STORED,
  TRANSFORMER_FORMS,
  TRUNCATED,
  Reach,
  furthest,
  leanest,
  needed,
)
from comparison.claims.base import Claim, Plot, Point, Rule, Verdict, figure, where
from comparison.claims.points import above, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN, REWRITTEN = '2026-11-29 03:10', '2026-11-29 20:33'
LARGE = 7e9  # parameters of a Transformer that is called large
BEYOND = (2048, 4096)  # tokens
TIMES = 2.0  # the length that an LSTM must reach, of the Transformer's
BYTES = Plot(
  'Bytes of training on one sequence',
  'training_bytes',
  'training_bytes',
  'length',
  series=('architecture', 'form', 'size'),
  without={'size': (LARGE,)},
  log_x=True,
  log_y=True,
  x_label='tokens in the sequence',
  y_label='bytes',
)
LARGE_BYTES = Plot(
  'Bytes of training a large Transformer on one sequence',
  'training_bytes',
  'training_bytes',
  'form',
  series=('architecture',),
  where={'size': (LARGE,)},
  y_label='bytes',
)


def special_techniques(records: Sequence[Row]) -> Verdict:
  by_size = needed(records)
  if not by_size:
    return not_measured('training_bytes')
  points = []
  for size, forms in by_size.items():
    for length in BEYOND:
      if length in forms.get(STORED, {}):
        points.append(_plain(size, length, forms[STORED][length], leanest(forms, TRANSFORMER_FORMS[1:], length)))
  if not points:
    return undecided(f'materialised attention was not compiled at {" or ".join(f"{x:,}" for x in BEYOND)} tokens')
  return combine(points, '; '.join(map(str, points)) + f'. Against the {CARD} GB of a large consumer card.')


def _plain(size: float, length: int, plain: float, best: tuple[float, str] | None) -> Point:
  shown = 'techniques not measured' if best is None else f'with {best[1]} {figure(best[0])}'
  label = f'GB of plain training on one sequence of {length:,} tokens, {size:,.0f} parameters ({shown})'
  supports = plain > CARD and best is not None and best[0] <= CARD
  return Point(label, Interval.exact(plain), supports, plain < SMALL_CARD, 'GB', threshold=CARD, side=1)


def large_models(records: Sequence[Row]) -> Verdict:
  forms = needed(records, LARGE).get(LARGE)
  if not forms:
    return not_measured('training_bytes', f'a model of {LARGE:,.0f} parameters')
  points, text = [], []
  for name in (name for name in TRANSFORMER_FORMS if name in forms):
    length = max(forms[name])
    label = f'GB of training, {name}, one sequence of {length:,} tokens'
    points.append(above(label, Interval.exact(forms[name][length]), CENTRE, unit='GB'))
    text.append(str(points[-1]))
  kept = [where(records, 'training_bytes', m, size=LARGE) for m in ('parameter_bytes', 'moment_bytes')]
  if all(kept):
    text.append(f"parameters and Adam's moments alone {figure(sum(rows[0]['value'] for rows in kept) / GB)} GB")
  return combine(points, '; '.join(text) + f'. One device has {CENTRE} GB.')


def consumer_cards(records: Sequence[Row]) -> Verdict:
  by_size = needed(records)
  if not by_size:
    return not_measured('training_bytes')
  points = []
  for kind, names in (('with the same exact gradient', LSTM_FORMS), ('with the LSTM truncated', (TRUNCATED,))):
    for size, forms in by_size.items():
      for card in (SMALL_CARD, CARD):
        sides = furthest(forms, names, card), furthest(forms, TRANSFORMER_FORMS, card)
        if sides[0] is not None and sides[1] is not None:
          points.append(_longer(f'in {card} GB {kind}, {size:,.0f} parameters', sides[0], sides[1]))
  if not points:
    return undecided('one of the sides was not compiled')
  text = (
    f'{"; ".join(map(str, points))}. Truncation bounds the memory by construction: no more than a segment is ever '
    f'differentiated, whatever the length. Lengths of {SHORTEST:,} to {LONGEST:,} tokens are asked about.'
  )
  return combine(points, text)


def _longer(regime: str, lstm: Reach, transformer: Reach) -> Point:
  """Return how many times the Transformer's length the LSTM's is.

  Where both fit all lengths that are asked about, or neither fits any, no task needs another card for the Transformer.
  """
  low = lstm.low / transformer.high
  high = lstm.high / transformer.low if transformer.low else math.inf
  is_same = min(lstm.low, transformer.low) >= LONGEST or (
    lstm.low == transformer.low == 0 and max(lstm.high, transformer.high) <= SHORTEST
  )
  sides = f'LSTM ({lstm.form}) {lstm} ÷ Transformer ({transformer.form}) {transformer}'
  ratio, bound = (low, '') if low == high else (low, ', at least') if low else (high, ', at most')
  if is_same or math.isinf(ratio):
    ratio, bound = 1.0, ''
  label = f'longest sequence {regime}: {sides} tokens{bound}'
  supports = low >= TIMES and not is_same
  contradicts = is_same or high < TIMES
  return Point(label, Interval.exact(ratio), supports, contradicts, '×', threshold=TIMES, side=1)


CLAIMS = (
  Claim(
    5,
    'Techniques for long sequences',
    'Beyond 2,000 to 4,000 tokens a Transformer needs special techniques to be trained.',
    'Bytes of parameters, Adam, gradients and temporaries of one training step in float32 on a single sequence of '
    f'{BEYOND[0]:,} and of {BEYOND[1]:,} tokens, compiled and not run, at every size: plain training (materialised '
    'attention without rematerialisation) and the leanest of the techniques, fused attention, rematerialisation and '
    'both, which compute the same.',
    f'at every size and length plain training needs more than {CARD} GB, and the leanest technique no more',
    f'at every size and length plain training needs less than {SMALL_CARD} GB; some of each: mixed',
    ('training_bytes',),
    special_techniques,
    (BYTES,),
    revised='version 2 judges every size and length, and asks whether a technique makes training fit; version 1 judged '
    f'the one number that was largest; {KNOWN}',
    words='"sequences beyond 2,000-4,000 tokens require specialized techniques"',
    since=REWRITTEN,
    earlier=(
      Rule(
        1,
        WRITTEN,
        'the largest of them is above 24 GB',
        'it is below 8 GB',
        earlier.largest_plain_training,
      ),
    ),
  ),
  Claim(
    51,
    'Training large Transformers',
    'Large Transformers need accumulation, checkpointing and several devices.',
    f'Bytes of a training step of {LARGE:,.0f} parameters (32 layers, float32, Adam) on one sequence of 2,048 tokens, '
    'with fused attention, with rematerialisation and without.',
    f'more than {CENTRE} GB in every form',
    f'at most {CENTRE} GB in every form',
    ('training_bytes',),
    large_models,
    (LARGE_BYTES,),
    words='"necessitates gradient accumulation, activation checkpointing, and multi-GPU distribution"',
    since=WRITTEN,
  ),
  Claim(
    53,
    'Consumer cards',
    'RNNs train on consumer GPUs where Transformers of the same size do not.',
    f'Longest sequence of {SHORTEST:,} to {LONGEST:,} tokens whose training fits {SMALL_CARD} and {CARD} GB, both '
    'sides in float32 with Adam, one sequence, at every size: where the bytes, interpolated linearly between compiled '
    'lengths, reach the card. Judged twice. With the same exact gradient on both sides: the best form of the LSTM '
    'against the best form of the Transformer. With truncated back-propagation, which bounds the memory of an LSTM by '
    'construction: against the same best form.',
    f'the LSTM reaches at least {TIMES:g} times the length in both ways, at every size and on both cards',
    f'it reaches less than {TIMES:g} times the length everywhere, or both sides fit all lengths, or neither any; some '
    'of each: mixed',
    ('training_bytes',),
    consumer_cards,
    (BYTES,),
    revised='version 2 asks about lengths to 131,072 tokens at several sizes, interpolates between them, and judges '
    'exact gradients too; in version 1 both sides reached the longest length compiled, 16,384, so that the ratio was 1 '
    f'whatever they need; {KNOWN}',
    words='"trainable on consumer GPUs for many tasks that require professional-grade hardware for transformer '
    'training"',
    since=REWRITTEN,
    earlier=(
      Rule(
        1,
        WRITTEN,
        'the LSTM reaches at least twice the length on both cards',
        'it reaches less than twice the length on both',
        earlier.longest_compiled_sequence,
      ),
    ),
    from_scale='overnight',
  ),
)
