"""The claims about speed: what decides them, and what stands beside them."""

import pytest

from comparison.articles.transformer_vs_rnn import CLAIMS
from tests.comparison.claims.invented import decoding, flat, latency, linear, training
from tests.comparison.claims.invented_speed import ELMAN


@pytest.mark.parametrize(('number', 'before', 'after', 'records'), ELMAN, ids=[str(n) for n, *_ in ELMAN])
def test_the_elman_network_decides_no_speed_and_is_shown(number, before, after, records):
  gated = [row for row in records if row.get('architecture') != 'rnn']
  alone, both = CLAIMS[number].judge(gated), CLAIMS[number].judge(records)
  assert (alone.status, alone.number, alone.points) == (both.status, both.number, both.points)
  assert both.status == after != before
  (line,) = both.beside
  assert 'rnn' in line or 'plain (Elman) RNN' in line
  assert alone.beside == ()
  assert not any(line.startswith('RNN') and 'rnn' in line for line in both.ladder)


def test_claim_1_says_with_which_backend_the_steps_of_the_transformer_grow():
  reference = [
    {**row, 'backend': 'reference'} for row in training(linear, flat) if row['architecture'] == 'transformer'
  ]
  blocks = training(linear, flat, steps=(1.0, 0.5))
  verdict = CLAIMS[1].judge(blocks + reference)
  assert verdict.status == 'supported'  # by the backend whose steps do not grow
  (note,) = verdict.notes
  assert 'with transformer xla' in note
  assert 'from 6 at T = 32 to 32 at T = 1,024' in note


def test_claim_2_says_that_one_size_is_no_majority():
  (*_, one) = (records for number, _, _, records in ELMAN if number == 2)
  assert 'the only size that was measured' in CLAIMS[2].judge(one).text
  assert 'the only size' not in CLAIMS[2].judge(one + [{**row, 'size': 1e6} for row in one]).text


def test_claim_25_says_that_no_gpu_was_measured():
  records = latency(linear, lambda t: 0.5e-4 * t)
  assert any('on a GPU it was not measured here' in note for note in CLAIMS[25].judge(records).notes)
  assert CLAIMS[25].judge([{**row, 'device': 'gpu'} for row in records]).notes == ()


def test_claim_28_says_that_position_1_is_no_first_call():
  (note,) = CLAIMS[28].judge(decoding(flat, flat, linear)).notes
  assert 'follows an untimed call from the same state' in note
