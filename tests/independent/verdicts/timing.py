"""Verdicts about the time and memory of training and of reading a sequence: claims 1 to 4, 6, 10, 24 to 26, 55, 57."""

from collections.abc import Callable, Sequence

from tests.independent.verdicts import estimates
from tests.independent.verdicts.estimates import Estimate
from tests.independent.verdicts.outcome import (
  ABSENT,
  UNDECIDED,
  Outcome,
  Regime,
  always,
  at_least,
  at_most,
  can,
  each,
  often,
  often_counted,
  ratio,
)
from tests.independent.verdicts.reading import (
  GATED,
  RECURRENT,
  TRANSFORMER,
  Row,
  at,
  grouped,
  of,
  regimes,
  repeats,
  series,
  take,
  values,
)
from tests.independent.verdicts.sides import (
  Side,
  best,
  exponent_of_best,
  least_exponent,
  mapped,
  one_cell,
  over_lengths,
  rounds_of,
)

ATTENTION = (TRANSFORMER,)
REFERENCE = 'reference'  # the attention that stores its scores


def within(rows: Sequence[Row], low: float, high: float = float('inf')) -> list[Row]:
  return [row for row in rows if low <= row['length'] <= high]


def counted_steps(rows: Sequence[Row]) -> list[Row]:
  """Return the dependent steps of compiled programs, which hold no loops of C++."""
  return [row for row in take(rows, 'training_time', 'sequential_steps') if row.get('backend') != 'cpu']


def claim_1_of_steps(rows: Sequence[Row], recurrent: Side = GATED) -> Outcome:
  steps = counted_steps(rows)
  found: list[Regime] = []
  for grid in regimes(steps):
    slopes = least_exponent(grid, recurrent), least_exponent(grid, ATTENTION)
    if slopes[0] and slopes[1]:
      found += [at_least('steps, RNN', slopes[0], 0.9, 0.1), at_most('steps, Transformer', slopes[1], 0.1, 0.9)]
  return each(found) if steps else ABSENT


def claim_1_of_steps_and_times(rows: Sequence[Row]) -> Outcome:
  steps, times = counted_steps(rows), within(take(rows, 'training_time', 'step_seconds'), 64, 1024)
  if not steps or not times:
    return ABSENT
  found: list[Regime] = []
  for grid in regimes(times):
    program = [row for row in steps if all(row.get(name) == grid[0].get(name) for name in ('size', 'dtype'))]
    time = exponent_of_best(grid, RECURRENT), exponent_of_best(grid, ATTENTION)
    count = least_exponent(program, RECURRENT), least_exponent(program, ATTENTION)
    if time[0] and time[1] and count[0] and count[1]:
      found += [
        at_least('time, RNN', time[0], 0.5, 0.25), at_most('time, Transformer', time[1], 0.25, 0.5),
        at_least('steps, RNN', count[0], 0.9, 0.1), at_most('steps, Transformer', count[1], 0.1, 0.9),
      ]  # fmt: skip
  return each(found)


def training(
  low: float, high: float, numerator: Sequence[str], denominator: Sequence[str], threshold: float,
  made: Callable[[Sequence[Regime]], Outcome], limit: float = 1.0,
) -> Callable[[Sequence[Row]], Outcome]:  # fmt: skip
  def judge(rows: Sequence[Row]) -> Outcome:
    times = within(take(rows, 'training_time', 'step_seconds'), low, high)
    return made(over_lengths(times, numerator, denominator, threshold, limit)) if times else ABSENT

  return judge


claim_2 = training(512, 512, GATED, ATTENTION, 10.0, often, 5.0)
claim_2_of_all_rnns = training(512, 512, RECURRENT, ATTENTION, 10.0, often_counted, 5.0)
claim_3_everywhere = training(0, 1024, RECURRENT, ATTENTION, 1.0, always)
claim_3_twice_as_fast = training(0, 999, GATED, ATTENTION, 2.0, often)
claim_3_of_all_rnns = training(0, 999, RECURRENT, ATTENTION, 2.0, often_counted)
claim_6 = training(10_000, float('inf'), ATTENTION, GATED, 1.0, can)
claim_6_of_all_rnns = training(10_000, float('inf'), ATTENTION, RECURRENT, 1.0, can)


def claim_4(rows: Sequence[Row], recurrent: Side = GATED) -> Outcome:
  times = within(take(rows, 'training_time', 'step_seconds'), 256, 2048)
  sizes = values(of(times, *recurrent, TRANSFORMER), 'size')
  largest = at(times, size=sizes[-1]) if sizes else []
  return each(over_lengths(largest, recurrent, ATTENTION, 10.0, 3.0)) if largest else ABSENT


def latency(
  low: float, high: float, numerator: Sequence[str], denominator: Sequence[str],
  made: Callable[[Sequence[Regime]], Outcome],
) -> Callable[[Sequence[Row]], Outcome]:  # fmt: skip
  def judge(rows: Sequence[Row]) -> Outcome:
    times = take(rows, 'forward_latency', 'forward_seconds')
    return made(over_lengths(within(times, low, high), numerator, denominator)) if times else ABSENT

  return judge


claim_24_everywhere = latency(1, 99, ATTENTION, RECURRENT, each)
claim_24_somewhere = latency(1, 99, ATTENTION, GATED, can)
claim_24_of_all_rnns = latency(1, 99, ATTENTION, RECURRENT, can)
claim_25_everywhere = latency(100, 1000, RECURRENT, ATTENTION, always)
claim_25_mostly = latency(100, 1000, GATED, ATTENTION, often)
claim_25_of_all_rnns = latency(100, 1000, RECURRENT, ATTENTION, often_counted)


def claim_10_of_exponents(rows: Sequence[Row]) -> Outcome:
  every = (*RECURRENT, TRANSFORMER)
  times = of(take(rows, 'forward_latency', 'forward_seconds'), *every)
  if not times:
    return ABSENT
  found: list[Regime] = []
  memory = False
  for metric in ('flops', 'forward_seconds', 'temporary_bytes'):
    longer = [row for row in of(take(rows, 'forward_latency', metric), *every) if row['length'] > 2000]
    memory = bool(longer)
    slope = exponent_of_best if metric == 'forward_seconds' else least_exponent
    for grid in regimes(longer):
      attention, recurrent = slope(grid, ATTENTION), slope(grid, RECURRENT)
      found += [at_least(f'{metric}, attention', attention, 1.5)] if attention else []
      found += [at_most(f'{metric}, RNN', recurrent, 1.5)] if recurrent else []
  return each(found) if memory else UNDECIDED


def claim_10_of_parts(rows: Sequence[Row], recurrent: Side = GATED) -> Outcome:
  found: list[Regime] = []
  if not within(of(take(rows, 'forward_latency', 'forward_seconds'), *recurrent, TRANSFORMER), 256):
    return ABSENT
  for metric in ('flops', 'forward_seconds'):
    for grid in regimes(within(of(take(rows, 'forward_latency', metric), *recurrent, TRANSFORMER), 256)):
      attention, rnn = quadratic_part(of(grid, *ATTENTION)), quadratic_part(of(grid, *recurrent))
      found += [at_least(f'quadratic part, {metric}, attention', attention, 0.5, 0.1)] if attention else []
      found += [at_most(f'quadratic part, {metric}, RNN', rnn, 0.1, 0.5)] if rnn else []
  for grid in regimes(of(take(rows, 'forward_latency', 'temporary_bytes'), *recurrent, TRANSFORMER)):
    longer = [row for row in grid if row['length'] > 2048]
    stored = least_exponent(at(longer, backend=REFERENCE), ATTENTION)
    leanest, rnn = least_exponent(longer, ATTENTION), least_exponent(longer, recurrent)
    found += [at_least('bytes, stored scores', stored, 1.5)] if stored else []
    found += [at_least('bytes, leanest attention', leanest, 1.5)] if leanest else []
    found += [at_most('bytes, leanest RNN', rnn, 1.5)] if rnn else []
  return each(found) if len(found) >= 3 else UNDECIDED


def quadratic_part(rows: Sequence[Row]) -> Estimate | None:
  """Return the quadratic share of one backend with four lengths or more, the fastest at the longest length."""
  lines = [line for line in grouped(rows, series).values() if len(values(line, 'length')) >= 4]
  if not lines:
    return None
  longest = max(row['length'] for line in lines for row in line)
  ends = [(row['value'], place) for place, line in enumerate(lines) for row in line if row['length'] == longest]
  return estimates.quadratic_share({row['length']: repeats(row) for row in lines[min(ends)[1]]})


def claim_26_of_crossing(rows: Sequence[Row]) -> Outcome:
  """Judge where the curves cross. Below 1,000 tokens neither threshold is met; the first judge calls that `mixed`."""
  times = take(rows, 'forward_latency', 'forward_seconds')
  if not times:
    return ABSENT
  if max(values(times, 'length')) < 2000:
    return UNDECIDED
  found = []
  for grid in regimes(times):
    for stored in (False, True):
      known = [row for row in grid if not stored or row['architecture'] != TRANSFORMER or row['backend'] == REFERENCE]
      slower = mapped(known, 'length', lambda here: rounds_of(here, ATTENTION, RECURRENT))
      if len(slower) > 1:
        cross = estimates.crossing(slower)
        inside = cross.low >= 1000 and cross.high <= 2000
        found.append(Regime('stored scores' if stored else 'best attention', cross, inside, cross.low > 2000))
  early = [regime for regime in found if regime.estimate.high < 1000]
  return Outcome('mixed', early[0].estimate) if early else each(found)


def claim_26_of_exponents(rows: Sequence[Row], recurrent: Side = GATED) -> Outcome:
  times = within(of(take(rows, 'forward_latency', 'forward_seconds'), *recurrent, TRANSFORMER), 1000)
  found: list[Regime] = []
  for grid in regimes(times):
    stored, rnn = exponent_of_best(at(grid, backend=REFERENCE), ATTENTION), exponent_of_best(grid, recurrent)
    if stored and rnn:
      found += [at_least('standard attention', stored, 1.5, 1.1), at_most('best RNN', rnn, 1.1, 1.5)]
  return each(found) if times else ABSENT


def claim_55(rows: Sequence[Row]) -> Outcome:
  times = of(take(rows, 'forward_latency', 'forward_seconds'), *ATTENTION)
  found = []
  for grid in regimes(times):
    for length in (length for length in values(grid, 'length') if length >= 1000):
      cell = one_cell(at(grid, length=length))
      stored, fused = at(cell, backend=REFERENCE), best(row for row in cell if row.get('backend') != REFERENCE)
      if stored and fused:
        found.append(ratio(f'T = {length}', estimates.over(repeats(stored[0]), fused[1]), 1.3, 1.0))
  return each(found) if times else ABSENT


def claim_57(rows: Sequence[Row]) -> Outcome:
  times = of(take(rows, 'forward_latency', 'forward_seconds'), 'linear_transformer')
  slopes = [exponent_of_best(grid, ('linear_transformer',)) for grid in regimes(within(times, 512))]
  return each([at_most('linear attention', slope, 1.1, 1.5) for slope in slopes if slope]) if times else ABSENT
