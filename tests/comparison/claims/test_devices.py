"""Check what is said beside the verdicts about devices: backends, days of training, other forms, and the sizes."""

from comparison.articles.transformer_vs_rnn import CLAIMS
from tests.comparison.claims.invented import training_bytes
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


def test_what_computes_the_same_in_less_memory_is_named():
  verdict = CLAIMS[45].judge(training_bytes(10, 2, lengths=(4096, 16384)))
  assert 'in other forms: xla 8, truncated 2' in verdict.text
  shorter = CLAIMS[45].judge(training_bytes(10, 2, lengths=(4096,)))
  assert shorter.status == 'not measured here'
  assert '16,384 tokens' in shorter.reason


def test_the_slowest_position_of_an_lstm_counts_and_sizes_are_judged_apart():
  fast = tokens(lambda p: 5.0, lambda p: 0.05 * p)
  assert CLAIMS[49].judge(fast).status == 'supported'
  large = tokens(lambda p: 60.0 if p == 1 else 5.0, lambda p: 0.05 * p, size=1e6)
  verdict = CLAIMS[49].judge(fast + large)
  assert verdict.status == 'mixed'
  assert 'LSTM, 1,000,000 parameters, slowest position (1): 60' in verdict.text
