"""Check what is said beside the verdicts about devices: backends, days of training, other forms, and the sizes."""

import pytest

from comparison.articles.transformer_vs_rnn import CLAIMS
from tests.comparison.claims.invented import WHOLE_RANGE, training_bytes
from tests.comparison.claims.invented_devices import of_sizes, slower, tokens


def test_every_backend_of_the_rnn_is_shown_over_the_best_attention():
  records = slower(2)
  slow = [{**r, 'backend': 'reference', 'value': 6 * r['value']} for r in records if r['architecture'] == 'lstm']
  verdict = CLAIMS[2].judge(records + [{**r, 'samples': [6 * s for s in r.get('samples', [])]} for r in slow])
  assert verdict.status == 'contradicted'  # by the best backend
  assert 'lstm xla 2, lstm reference 12 ×' in verdict.text
  assert any('lstm xla 102, lstm reference 614 ms at T = 512' in line for line in verdict.ladder)


def test_days_follow_from_the_time_of_a_step_and_its_tokens():
  records = [{**row, 'batch': 4} for row in slower(12)]  # 1e-4 s for T tokens of one sequence; there are four
  text = CLAIMS[4].judge(records).text
  days = 1e-4 / 4 * 1e9 / 86_400
  assert f'at T = 512, 100,000 parameters: transformer xla {days:.3g}, lstm xla {12 * days:.3g}' in text


def test_a_gap_is_compared_at_the_sizes_and_seeds_that_both_sides_have():
  records = of_sizes(0.1, 0.2)
  verdict = CLAIMS[37].judge(records)
  alone = [{**r, 'size': 1e9, 'value': 0.0} for r in records if r['architecture'] == 'lstm']
  assert CLAIMS[37].judge(records + alone).number == verdict.number
  one = [r for r in records if r['seed'] == 0 or r['size'] < 2e6]
  assert CLAIMS[37].judge(one).status == 'undecided'


def test_models_that_are_too_small_have_a_slope_and_no_verdict():
  verdict = CLAIMS[37].judge(of_sizes(0.1, 0.2, largest=2e5))
  assert verdict.status == 'not measured here'
  assert 'no sizes from 1,000,000 parameters' in verdict.reason
  assert 'grows by 0.1 nats' in verdict.notes[0]


def test_what_computes_the_same_in_less_memory_is_judged_too():
  verdict = CLAIMS[45].judge(training_bytes(10, 2, lengths=(4096, 16384)))
  assert verdict.status == 'mixed'
  assert 'stored scores on 16,384 tokens, 100,000,000 parameters: 160 GB' in verdict.reason
  assert 'the leanest exact form (xla) on 16,384 tokens, 100,000,000 parameters: 8 GB' in verdict.reason
  shorter = CLAIMS[45].judge(training_bytes(10, 2, lengths=(4096,)))
  assert shorter.status == 'not measured here'
  assert '16,384 tokens' in shorter.reason


def test_every_size_and_length_counts_for_special_techniques():
  verdict = CLAIMS[5].judge(training_bytes(120, 8) + training_bytes(5, 4, size=1e7))
  assert [(point.supports, point.contradicts) for point in verdict.points] == [(True, False)] * 2 + [(False, True)] * 2
  assert '4,096 tokens, 100,000,000 parameters (with xla 8): 120 GB' in verdict.reason


def reached(fused, full=None, lengths=WHOLE_RANGE, stored=None):
  """Return the regimes of claim 53 over lengths to 131,072: exact gradients on 8 and 24 GB, then truncated ones."""
  return CLAIMS[53].judge(training_bytes(stored, fused, lengths=lengths, full=full)).points


def test_the_longest_sequence_lies_where_the_bytes_between_two_lengths_reach_the_card():
  exact, *_ = reached(fused=4, full=1)
  assert exact.interval.value == pytest.approx(4)
  assert 'LSTM (full) 32,768 ÷ Transformer (xla) 8,192 tokens' in exact.label
  curved, *_ = reached(stored=4, fused=None, full=4)  # 4 GB at 4,096 tokens, and 64 at 16,384
  longest = 4096 + (8 - 4) / (64 - 4) * (16384 - 4096)
  assert curved.interval.value == pytest.approx(8192 / longest)


def test_a_length_that_is_cut_is_a_bound():
  *_, small, large = reached(fused=1)
  assert str(small).endswith('at least 131,072 ÷ Transformer (xla) 32,768 tokens, at least: 4 ×')
  assert small.supports
  assert large.interval.value == pytest.approx(4 / 3)
  assert not large.supports
  assert not large.contradicts
  shorter, *_ = reached(fused=0.2, full=4)  # the Transformer is cut alone
  assert str(shorter).endswith('8,192 ÷ Transformer (xla) at least 131,072 tokens, at most: 0.0625 ×')
  assert shorter.contradicts
  *_, unfit, _ = reached(fused=40)  # 10 GB at 1,024 tokens
  assert 'Transformer (xla) under 1,024 tokens, at least: 128 ×' in str(unfit)


@pytest.mark.parametrize(('lengths', 'contradicts'), [(WHOLE_RANGE, True), (WHOLE_RANGE[:-1], False)])
def test_two_lengths_that_are_cut_contradict_only_at_the_end_of_the_range(lengths, contradicts):
  points = reached(fused=0.2, full=0.2, lengths=lengths)
  assert {(point.supports, point.contradicts) for point in points} == {(False, contradicts)}


def test_the_slowest_position_of_an_lstm_counts_and_sizes_are_judged_apart():
  fast = tokens(lambda p: 5.0, lambda p: 0.05 * p)
  assert CLAIMS[49].judge(fast).status == 'supported'
  large = tokens(lambda p: 60.0 if p == 1 else 5.0, lambda p: 0.05 * p, size=1e6)
  verdict = CLAIMS[49].judge(fast + large)
  assert verdict.status == 'mixed'
  assert 'LSTM, 1,000,000 parameters, slowest position (1): 60' in verdict.text
