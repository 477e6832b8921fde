"""All claims: the experiments that each needs, its rules with the time that they were written, and one verdict."""

import datetime
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.independent.verdicts import data, decoding, forms, learned, memory, timing, trials
from tests.independent.verdicts.outcome import ABSENT, Outcome, Rule
from tests.independent.verdicts.reading import RECURRENT, Row

# When rules were written, UTC.
FIRST, REVIEW, SECOND, EVENING = '2026-11-22 19:43', '2026-11-25 17:36', '2026-11-25 19:41', '2026-11-25 22:03'
WORDS, EXISTING, BYTES, OPTIMISED = '2026-11-29 02:40', '2026-11-29 02:50', '2026-11-29 03:10', '2026-11-29 03:20'
ROOM, FITTED, REAL = '2026-11-29 05:50', '2026-11-29 06:30', '2026-11-29 08:32'
SERIES, COURSE = '2026-11-29 08:43', '2026-11-29 08:50'
LAST, REVIEWED, SCIENCE = '2026-11-29 09:40', '2026-11-29 11:05', '2026-11-29 11:15'
NOISE, SYNTHESIS = '2026-11-29 17:15', '2026-11-29 17:17'
ENCODED, BOX, RANGE, STOPPED = '2026-11-29 20:28', '2026-11-29 20:29', '2026-11-29 20:33', '2026-11-29 20:39'
STATES, TREND, TARGET, TRAINED = '2026-11-29 20:42', '2026-11-29 21:02', '2026-11-29 21:06', '2026-11-29 21:25'
COUNTED, SEARCHED, MORE_SEARCHED = '2026-11-29 21:37', '2026-11-30 14:08', '2026-11-30 14:40'
# What a statement may be about alone, and the device of the records that measure it; None: none can.
DEVICES = {'GPUs': 'gpu', 'phones': None}


@dataclass(frozen=True)
class Statement:
  """Experiments of a claim, and its rules: version, time, judge. No records are bound by the versions left out."""

  experiments: tuple[str, ...]
  rules: tuple[tuple[int, str, Rule], ...]
  about: str = 'any device'
  definition: bool = False


def _one(
  rule: Rule, since: str, *experiments: str, version: int = 1, definition: bool = False, about: str = 'any device'
) -> Statement:
  return Statement(experiments, ((version, since, rule),), about, definition)


def _of_all_rnns(judge: Callable[..., Outcome]) -> Rule:
  """Return a rule that has the Elman network among the RNNs."""
  return functools.partial(judge, recurrent=RECURRENT)


def without_parts(rule: Rule) -> Rule:
  """Return a rule from before the noise of the test examples counted."""
  return lambda rows: rule([{name: row[name] for name in row if name != 'parts'} for row in rows])


def _then_noise(rule: Rule, since: str, *experiments: str, version: int = 1) -> Statement:
  """Return a rule that is followed by the same with the noise of the test examples."""
  return Statement(experiments, ((version, since, without_parts(rule)), (version + 1, COUNTED, rule)))


def _then_forms(rule: Rule, since: str, *experiments: str, searched: str = SEARCHED) -> Statement:
  """Return a rule that is followed by the same of the best of several forms of each side."""
  return Statement(experiments, ((1, since, rule), (2, searched, rule)))


STATEMENTS: dict[int, Statement] = {
  1: Statement(
    ('training_time',),
    (
      (2, EVENING, timing.claim_1_of_steps_and_times), (3, WORDS, _of_all_rnns(timing.claim_1_of_steps)),
      (4, BOX, timing.claim_1_of_steps),
    ),
  ),
  2: Statement(('training_time',), ((1, LAST, timing.claim_2_of_all_rnns), (2, BOX, timing.claim_2)), 'GPUs'),
  3: Statement(
    ('training_time',),
    (
      (1, FIRST, timing.claim_3_everywhere), (2, WORDS, timing.claim_3_of_all_rnns),
      (3, BOX, timing.claim_3_twice_as_fast),
    ),
    'GPUs',
  ),
  4: Statement(('training_time',), ((1, LAST, _of_all_rnns(timing.claim_4)), (2, BOX, timing.claim_4)), 'GPUs'),
  5: Statement(
    ('training_bytes',), ((1, BYTES, memory.claim_5_of_the_largest), (2, RANGE, memory.claim_5_of_every_size))
  ),
  6: Statement(('training_time',), ((1, BYTES, timing.claim_6_of_all_rnns), (2, BOX, timing.claim_6))),
  7: Statement(
    ('recall_capacity',),
    (
      (1, FIRST, learned.claim_7_every_rnn), (2, REVIEW, learned.claim_7_of_those_that_learned),
      (3, STATES, learned.claim_7_of_states),
    ),
  ),
  8: _then_noise(trials.claim_8, SCIENCE, 'long_lags'),
  9: Statement(('reach',), ((2, REVIEW, learned.claim_9_of_one_encoding), (3, ENCODED, learned.claim_9))),
  10: Statement(
    ('forward_latency',),
    (
      (1, FIRST, timing.claim_10_of_exponents), (2, WORDS, _of_all_rnns(timing.claim_10_of_parts)),
      (3, BOX, timing.claim_10_of_parts),
    ),
  ),
  11: _one(trials.claim_11, OPTIMISED, 'positions_of_recurrence'),
  12: _one(learned.claim_12, FIRST, 'order'),
  13: _then_noise(forms.claim_13, SCIENCE, 'position_encodings'),
  14: _one(learned.claim_14, REVIEW, 'gradient_flow', version=2),
  15: _then_noise(trials.claim_15, REVIEWED, 'clipping', version=2),
  16: _then_noise(trials.claim_16, REVIEWED, 'learning_rates', version=2),
  17: Statement(
    ('random_settings',), ((1, SCIENCE, trials.claim_17_to_own_best), (2, TARGET, trials.claim_17_to_one_target))
  ),
  18: _one(trials.claim_18, SCIENCE, 'plateaus'),
  19: _then_noise(trials.claim_19, COURSE, 'skips'),
  20: _then_noise(trials.claim_20, FITTED, 'sample_efficiency', version=2),
  21: _one(trials.claim_21, STOPPED, 'sample_efficiency', version=4),
  22: Statement(
    ('state_sizes',), ((1, SCIENCE, forms.claim_22_at_equal_fit), (2, STOPPED, forms.claim_22_stopped_early))
  ),
  23: _then_forms(data.claim_23, NOISE, 'few_sequences'),
  24: Statement(
    ('forward_latency',),
    (
      (1, FIRST, timing.claim_24_everywhere), (2, WORDS, timing.claim_24_of_all_rnns),
      (3, BOX, timing.claim_24_somewhere),
    ),
  ),
  25: Statement(
    ('forward_latency',),
    (
      (1, FIRST, timing.claim_25_everywhere), (2, WORDS, timing.claim_25_of_all_rnns),
      (3, BOX, timing.claim_25_mostly),
    ),
  ),
  26: Statement(
    ('forward_latency',),
    (
      (1, FIRST, timing.claim_26_of_crossing), (2, WORDS, _of_all_rnns(timing.claim_26_of_exponents)),
      (3, BOX, timing.claim_26_of_exponents),
    ),
  ),
  27: Statement(('decoding',), ((2, EVENING, _of_all_rnns(decoding.claim_27)), (3, BOX, decoding.claim_27))),
  28: _one(decoding.claim_28, FIRST, 'decoding'),
  29: _one(decoding.claim_29, FIRST, 'state_bytes', 'decoding', definition=True),
  30: _one(decoding.claim_30, EXISTING, 'decoding'),
  31: Statement(('batching',), ((1, BYTES, memory.claim_31_every_size), (2, ROOM, memory.claim_31_with_room))),
  32: _one(memory.claim_32, BYTES, 'batching'),
  33: _one(memory.claim_33, BYTES, 'serving'),
  34: Statement(
    ('forward_latency',),
    ((1, EXISTING, functools.partial(decoding.claim_34, is_by_size=False)), (2, BOX, decoding.claim_34)),
  ),
  35: Statement(
    ('token_index',),
    (
      (1, FIRST, learned.claim_35_at_the_end), (2, REVIEW, without_parts(learned.claim_35_by_slope)),
      (3, TREND, learned.claim_35_by_trend), (4, MORE_SEARCHED, learned.claim_35_by_trend),
    ),
  ),
  36: _then_forms(data.claim_36, SCIENCE, 'translations', searched=MORE_SEARCHED),
  37: _one(data.claim_37, SCIENCE, 'small_language_models'),
  38: _one(data.claim_38, NOISE, 'small_language_models', 'generation_cost'),
  39: _then_forms(data.claim_39, NOISE, 'long_series'),
  40: _then_forms(data.claim_40, NOISE, 'ten_thousand_steps'),
  41: _then_forms(data.claim_41, NOISE, 'growing_series'),
  42: _then_forms(data.claim_42, SCIENCE, 'recognition'),
  43: Statement(
    ('decoding', 'sample_models'),
    ((1, SCIENCE, without_parts(data.claim_43)), (2, SYNTHESIS, data.claim_43), (3, SEARCHED, data.claim_43)),
  ),
  44: _then_noise(data.claim_44, SCIENCE, 'acoustic_split'),
  45: Statement(('training_bytes',), ((1, LAST, memory.claim_45_stored), (2, RANGE, memory.claim_45_leanest))),
  46: _then_noise(data.claim_46, SCIENCE, 'video_forms'),
  47: Statement(('state_bytes',), ((1, FIRST, _of_all_rnns(memory.claim_47)), (2, BOX, memory.claim_47))),
  48: Statement(
    ('attention_scores',),
    (
      (1, FIRST, memory.claim_48_every_backend), (2, SECOND, memory.claim_48_leanest),
      (3, WORDS, memory.claim_48_growth),
    ),
  ),
  49: _one(decoding.claim_49, LAST, 'decoding', about='phones'),
  50: _one(memory.claim_50, FIRST, 'optimizer_bytes', definition=True),
  51: _one(memory.claim_51, BYTES, 'training_bytes'),
  52: _one(memory.claim_52, FIRST, 'truncation'),
  53: Statement(
    ('training_bytes',), ((1, BYTES, memory.claim_53_of_compiled), (2, RANGE, memory.claim_53_of_range))
  ),
  54: _one(memory.claim_54, BYTES, 'batching', about='GPUs'),
  55: _one(timing.claim_55, EXISTING, 'forward_latency'),
  56: Statement(
    ('segment_memory',),
    ((1, SCIENCE, without_parts(forms.claim_56)), (2, TRAINED, forms.claim_56_of_those_that_learned)),
  ),
  57: _one(timing.claim_57, EXISTING, 'forward_latency'),
  58: _then_noise(forms.claim_58, SCIENCE, 'approximations'),
  59: _then_noise(forms.claim_59, SCIENCE, 'attention_shares'),
  60: Statement(
    ('forward_latency', 'training_time', 'recall_capacity'),
    ((1, EXISTING, functools.partial(decoding.claim_60, is_by_size=False)), (2, BOX, decoding.claim_60)),
  ),
}  # fmt: skip


def seconds(since: str) -> float:
  """Return a time in UTC in seconds since 1970."""
  return (datetime.datetime.fromisoformat(since) - datetime.datetime(1970, 1, 1)).total_seconds()


def verdict(number: int, rows: Sequence[Row]) -> Outcome:
  """Return the outcome of a claim by the newest rule older than its first measurement, or by its oldest rule.

  Records that are older than that one, and records of scale smoke, have a number and are not judged. A statement about
  one kind of device has no verdict from another.
  """
  statement = STATEMENTS[number]
  needed = [row for row in rows if row['experiment'] in statement.experiments]
  if {row['experiment'] for row in needed if row.get('value') is not None} != set(statement.experiments):
    return ABSENT
  begun = min(row['time'] - row.get('seconds', 0) for row in needed)  # the time of a record is when its cell ended
  bound = [rule for rule in statement.rules if seconds(rule[1]) <= begun] or [statement.rules[0]]
  version, since, judge = bound[-1]
  if is_smoke := all(row['scale'] == 'smoke' for row in rows):
    version, since, judge = statement.rules[-1]
  outcome = judge(rows)._replace(rule=version)
  if outcome.status == ABSENT.status and not is_smoke:
    return outcome
  if is_smoke or seconds(since) > begun:
    return outcome._replace(status='not judged')
  if statement.definition and outcome.status == 'supported':
    outcome = outcome._replace(status='fact')
  device = DEVICES.get(statement.about)
  if statement.about in DEVICES and (device is None or device not in {row.get('device') for row in rows}):
    return outcome._replace(status=ABSENT.status, here=outcome.status)
  return outcome
