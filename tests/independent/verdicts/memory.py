"""Verdicts about bytes and batches: claims 5, 31 to 33, 45, 47, 48, 50 to 54."""

import math
from collections.abc import Sequence

import numpy as np

from tests.independent.verdicts import estimates
from tests.independent.verdicts.outcome import (
  ABSENT,
  UNDECIDED,
  Outcome,
  Regime,
  at_least,
  at_most,
  each,
  number,
  ratio,
)
from tests.independent.verdicts.reading import GATED, TRANSFORMER, Row, at, of, regimes, take, values
from tests.independent.verdicts.sides import best, both, rounds_of

ATTENTION = (TRANSFORMER,)
REFERENCE = 'reference'
FORMS = (REFERENCE, f'{REFERENCE}, remat', 'xla', 'xla, remat')  # of the Transformer
EXACT_LSTM, TRUNCATED_LSTM = ('full', 'full, remat'), ('truncated',)
FIRST_LENGTH, LAST_LENGTH = 2**10, 2**17  # that claim 53 asks about


def claim_5_of_the_largest(rows: Sequence[Row]) -> Outcome:
  """Judge the most gigabytes of training with stored scores at 2,000 to 4,096 tokens against cards of 24 and 8."""
  plain = take(rows, 'training_bytes', 'training_bytes')
  needed = [row['value'] / 1e9 for row in at(plain, form=REFERENCE) if 2000 <= row['length'] <= 4096]
  if not plain:
    return ABSENT
  return each([number('GB', max(needed), max(needed) >= 24, max(needed) < 8)]) if needed else UNDECIDED


def techniques(rows: Sequence[Row], size: float, length: int) -> float:
  """Return the fewest gigabytes of the forms that save memory; infinity without any."""
  forms = [at(rows, size=size, length=length, form=form) for form in FORMS if form != REFERENCE]
  return min((row['value'] / 1e9 for found in forms for row in found), default=math.inf)


def claim_5_of_every_size(rows: Sequence[Row]) -> Outcome:
  """Judge stored scores at 2,048 and 4,096 tokens: above 24 GB where a technique fits them, or below 8."""
  every = take(rows, 'training_bytes', 'training_bytes')
  found = []
  for row in at(every, form=REFERENCE):
    if row['length'] in (2048, 4096):
      plain, lean = row['value'] / 1e9, techniques(every, row['size'], row['length'])
      found.append((row['length'], number('GB', plain, plain > 24 >= lean, plain < 8), row['size']))
  if not every:
    return ABSENT
  sizes = [row['size'] for row in every]
  return each([regime for _, regime, _ in sorted(found, key=lambda one: (sizes.index(one[2]), one[0]))])


def claim_45_leanest(rows: Sequence[Row]) -> Outcome:
  """Judge 256 frames of 64 patches at every size, by stored scores and by the leanest exact form."""
  every = take(rows, 'training_bytes', 'training_bytes', length=2**14)
  found = []
  for row in sorted(at(every, form=REFERENCE), key=lambda row: row['size']):
    both_forms = row['value'] / 1e9, techniques(every, row['size'], 2**14)
    found += [number('GB', gb, gb >= 80, gb < 24) for gb in both_forms if gb < math.inf]
  return each(found) if found else ABSENT


def claim_45_stored(rows: Sequence[Row]) -> Outcome:
  """Judge the gigabytes of training with stored scores on 256 frames of 64 patches, at every size."""
  stored = at(take(rows, 'training_bytes', 'training_bytes'), form=REFERENCE, length=256 * 64)
  needed = {row['size']: row['value'] / 1e9 for row in stored}
  return (
    each([number(f'{size}', needed[size], needed[size] >= 80, needed[size] < 24) for size in sorted(needed)])
    if needed
    else ABSENT
  )


def claim_47(rows: Sequence[Row], recurrent: Sequence[str] = GATED) -> Outcome:
  states = at(take(rows, 'state_bytes', 'state_bytes'), length=1000, batch=1)
  found = []
  for size in values(states, 'size'):
    cache = of(at(states, size=size, backend='multi-head'), TRANSFORMER)
    if cache:
      own = of(at(states, size=size), *recurrent)
      found += [100 * row['value'] / cache[0]['value'] for row in own]
  percentages = sorted(found, reverse=True)
  if not take(rows, 'state_bytes', 'state_bytes'):
    return ABSENT
  return each([number('%', share, share <= 1, share > 1) for share in percentages])


def shares_of_scores(rows: Sequence[Row], *, longest: bool) -> dict[str, float]:
  """Return backend → temporary bytes of the forward pass ÷ bytes of the scores, at 2,048 tokens or the longest."""
  forward = at(take(rows, 'attention_scores', 'temporary_bytes'), **{'pass': 'forward'})
  lengths = values(forward, 'length')
  length = 2048 if 2048 in lengths and not longest else max(lengths, default=0)
  return {row['backend']: row['value'] / row['formula'] for row in at(forward, length=length)}


def claim_48_every_backend(rows: Sequence[Row]) -> Outcome:
  shares = shares_of_scores(rows, longest=True)
  found = [number(name, s, 0.8 <= s <= 1.2, s < 0.2) for name, s in sorted(shares.items())]
  return each(found) if found else ABSENT


def claim_48_leanest(rows: Sequence[Row]) -> Outcome:
  shares = shares_of_scores(rows, longest=False)
  if not shares:
    return ABSENT
  least = min(shares.values())
  return each([number('leanest', least, 0.8 <= least <= 1.2, least < 0.2)])


def claim_48_growth(rows: Sequence[Row]) -> Outcome:
  shares = shares_of_scores(rows, longest=False)
  if not shares:
    return ABSENT
  found: list[Regime] = []
  if REFERENCE in shares:
    found.append(at_least('stored scores', estimates.exact(shares[REFERENCE]), 1.0, 0.5))
    stored = take(rows, 'attention_scores', 'temporary_bytes', backend=REFERENCE, **{'pass': 'forward'})
    if len(values(stored, 'length')) > 1:
      slope = estimates.exponent({row['length']: [row['value']] for row in stored})
      found.append(at_least('exponent of n', slope, 1.9, 1.5))
  return each([*found, at_least('leanest', estimates.exact(min(shares.values())), 0.5)])


def claim_50(rows: Sequence[Row]) -> Outcome:
  copies = [row['value'] for row in take(rows, 'optimizer_bytes', 'moment_copies')]
  return each([number('copies', c, 1.99 <= c <= 2.01, not 1.99 <= c <= 2.01) for c in copies]) if copies else ABSENT


def claim_52(rows: Sequence[Row]) -> Outcome:
  every = take(rows, 'truncation', 'temporary_bytes')
  truncated = at(every, method='truncated')
  if len(values(truncated, 'length')) < 2:
    return UNDECIDED if every else ABSENT
  slope = estimates.exponent({row['length']: [row['value']] for row in truncated})
  slope = estimates.exact(round(slope.value, 12))  # equal bytes have no slope
  return each([at_most('exponent of T', slope, 0.05, 0.5)])


def gigabytes(rows: Sequence[Row], size: float) -> dict[str, dict[float, float]]:
  """Return form → length → gigabytes of training."""
  found: dict[str, dict[float, float]] = {}
  for row in take(rows, 'training_bytes', 'training_bytes', size=size):
    found.setdefault(row['form'], {})[row['length']] = row['value'] / 1e9
  return found


def claim_51(rows: Sequence[Row]) -> Outcome:
  by_form = gigabytes(rows, 7e9)
  if not by_form:
    return ABSENT
  needed = {form: lengths[max(lengths)] for form in FORMS if (lengths := by_form.get(form))}
  return each([number(form, gb, gb >= 80, gb < 80) for form, gb in needed.items()])


def claim_53_of_compiled(rows: Sequence[Row]) -> Outcome:
  every = take(rows, 'training_bytes', 'training_bytes')
  found = []
  for size in dict.fromkeys(row['size'] for row in every):
    by_form = gigabytes(rows, size)
    if 'truncated' not in by_form or not any(form in by_form for form in FORMS):
      continue
    for card in (8, 24):
      reach = {
        form: max([length for length, gb in lengths.items() if gb <= card], default=0)
        for form, lengths in by_form.items()
      }
      attention = max(reach.get(form, 0) for form in FORMS)
      recurrent = reach['truncated']
      share = 1.0 if attention == recurrent == 0 else recurrent / attention if attention else float('inf')
      found.append(number(f'{card} GB', share, share >= 2, share < 2))
  if not every:
    return ABSENT
  return each(found)


def span(by_length: dict[float, float], card: float) -> tuple[float, float]:
  """Return the fewest and the most tokens that the longest sequence in the card's gigabytes may have."""
  points = sorted(by_length.items())
  fitting = max((place for place, (_, gb) in enumerate(points) if gb <= card), default=-1)
  if fitting < 0:
    return 0.0, points[0][0]
  if fitting + 1 == len(points):
    return points[-1][0], math.inf
  (first, least), (second, most) = points[fitting : fitting + 2]
  tokens = first + (second - first) * (card - least) / (most - least)
  return tokens, tokens


def best_span(by_form: dict[str, dict[float, float]], forms: Sequence[str], card: float) -> tuple[float, float] | None:
  spans = [span(by_form[form], card) for form in forms if form in by_form]
  return (max(low for low, _ in spans), max(high for _, high in spans)) if spans else None


def claim_53_of_range(rows: Sequence[Row]) -> Outcome:
  """Judge how far the LSTM reaches over how far the Transformer does: exact gradients first, then truncated ones."""
  every = take(rows, 'training_bytes', 'training_bytes')
  found = []
  for forms in (EXACT_LSTM, TRUNCATED_LSTM):
    for size in dict.fromkeys(row['size'] for row in every):
      for card in (8, 24):
        by_form = gigabytes(rows, size)
        lstm, attention = best_span(by_form, forms, card), best_span(by_form, FORMS, card)
        if lstm and attention:
          found.append(times_as_long(lstm, attention))
  return each(found) if every else ABSENT


def times_as_long(lstm: tuple[float, float], attention: tuple[float, float]) -> Regime:
  ends = lstm + attention
  if all(low >= LAST_LENGTH for low in ends[::2]) or (ends[::2] == (0, 0) and max(ends[1::2]) <= FIRST_LENGTH):
    return number('no length tells them apart', 1.0, False, True)
  least = 0.0 if attention[1] == math.inf else lstm[0] / attention[1]
  most = math.inf if attention[0] == 0 else lstm[1] / attention[0]
  known = least if least > 0 else most if most < math.inf else 1.0
  return number('×', known, least >= 2, most < 2)


def batches(rows: Sequence[Row]) -> list[list[Row]]:
  return regimes(take(rows, 'batching', 'batch_seconds'))


def share_of_peak(rows: Sequence[Row], row: Row) -> float | None:
  peaks = [peak['value'] for peak in take(rows, 'batching', 'peak_flops', dtype=row.get('dtype'))]
  return row['flops'] / row['value'] / float(np.median(peaks)) if peaks else None


def claim_31_every_size(rows: Sequence[Row]) -> Outcome:
  return _claim_31(rows, 2.0)


def claim_31_with_room(rows: Sequence[Row]) -> Outcome:
  """Count the sizes at which one sequence uses less than half of the device."""
  return _claim_31(rows, 0.5)


def _claim_31(rows: Sequence[Row], below: float) -> Outcome:
  found = []
  for grid in batches(rows):
    many, one = (best(of(at(grid, batch=batch), *ATTENTION)) for batch in (32, 1))
    if many and one:
      used = share_of_peak(rows, one[0])
      if below > 1 or used is None or used < below:
        found.append(at_most('32 ÷ 1', estimates.median(estimates.over(many[1], one[1])), 1.5, 3.0))
  return each(found) if batches(rows) else ABSENT


def claim_32(rows: Sequence[Row]) -> Outcome:
  found = []
  for grid in batches(rows):
    most = max(values(grid, 'batch'))
    one, many = (rounds_of(at(grid, batch=batch), GATED, ATTENTION) for batch in (1, most))
    if most > 1 and one and many:
      # Gain of the Transformer ÷ gain of the RNN = (time of the RNN ÷ that of the Transformer) in a batch of many over
      # the same in a batch of one.
      found.append(ratio(f'batch {most}', estimates.over(many, one)))
  return each(found) if batches(rows) else ABSENT


def claim_33(rows: Sequence[Row]) -> Outcome:
  times = take(rows, 'serving', 'served_token_seconds')
  rounds = [rounds_of(grid, GATED, ATTENTION) for grid in regimes(times)]
  return each([ratio('RNN ÷ Transformer', of_one) for of_one in rounds if of_one]) if times else ABSENT


def claim_54(rows: Sequence[Row]) -> Outcome:
  if not batches(rows) or not take(rows, 'batching', 'peak_flops'):
    return ABSENT
  found = []
  for grid in batches(rows):
    pair = both(at(grid, batch=max(values(grid, 'batch'))), GATED, ATTENTION)
    if pair:
      (recurrent, recurrent_times), (attention, attention_times) = pair
      work = attention['flops'] / recurrent['flops']
      rounds = [work * time for time in estimates.over(recurrent_times, attention_times)]
      found.append(ratio('FLOP/s, Transformer ÷ RNN', rounds, 3.0, 1.0))
  return each(found)
