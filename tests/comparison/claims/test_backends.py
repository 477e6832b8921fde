"""Which backend stands for a side: never chosen by the round that it is judged on, never from another cell."""

import numpy as np
import pytest

from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.claims import backends
from comparison.claims.base import grids
from comparison.report import html, markdown
from comparison.report.page import Section
from tests.comparison.claims.invented import rows, timed, training
from tests.independent.verdicts import reading, timing


def row(architecture, backend, samples, **columns):
  value = float(np.median(samples))
  return {'architecture': architecture, 'backend': backend, 'value': value, 'samples': list(samples), **columns}


def test_every_round_is_judged_with_the_backend_that_was_best_in_the_others():
  a, b = row('lstm', 'reference', [1, 1, 5, 5, 5]), row('lstm', 'xla', [4, 4, 4, 4, 0])
  chosen = backends.pick([a, b])
  # Without round 1, `reference` has the median 5 and `xla` 4; without round 5, 3 and 4.
  assert chosen.row is b
  assert chosen.samples == [4, 4, 5, 5, 5]
  assert backends.pick([a]).samples == a['samples']
  assert backends.pick([]) is None


def test_the_best_of_equal_backends_is_not_flattered():
  draws = np.random.default_rng(0).lognormal(0.0, 0.3, (400, 6, 7))
  lucky = [min(np.median(rung) for rung in rungs) for rungs in draws]
  fair = [np.median(backends.pick([row('lstm', str(i), r) for i, r in enumerate(rungs)]).samples) for rungs in draws]
  assert np.median(lucky) < 0.88
  assert np.median(fair) == pytest.approx(1.0, abs=0.04)


def test_what_was_measured_in_rounds_of_its_own_is_no_rival():
  fast, slow = row('transformer', 'cached', [1] * 30), row('transformer', 'uncached', [100] * 5)
  assert len(backends.pick([fast, slow]).samples) == 30


def test_ratios_are_formed_within_one_cell():
  first = [row('lstm', 'xla', [2.0] * 5, cell='a'), row('transformer', 'xla', [1.0] * 5, cell='a')]
  more = [row('rnn', 'reference', [1.0] * 5, cell='b')]
  assert backends.best_ratio(first + more, ['lstm', 'rnn'], ['transformer']).value == 2
  assert backends.best_ratio(more + first[1:], ['lstm', 'rnn'], ['transformer']) is None


def test_a_rung_of_one_type_belongs_to_the_others_of_its_cell():
  """cuDNN's LSTM has no bfloat16."""
  common = {'experiment': 'training_time', 'metric': 'step_seconds', 'length': 512, 'size': 1e7, 'cell': 'a'}
  attention = row('transformer', 'cudnn', [1.0] * 5, dtype='bfloat16', **common)
  scan = row('lstm', 'xla', [40.0] * 5, dtype='bfloat16', **common)
  kernel = row('lstm', 'cudnn', [12.0] * 5, dtype='float32', **common)
  elsewhere = {**kernel, 'cell': 'b'}  # where there is no attention
  assert list(grids([attention, scan, kernel])) == ['10,000,000 parameters']
  assert len(grids([attention, scan, kernel, elsewhere])) == 2
  assert len(reading.regimes([attention, scan, kernel, elsewhere])) == 2
  verdict = CLAIMS[2].judge([attention, scan, kernel])
  assert verdict.number == pytest.approx(12)
  assert timing.claim_2([attention, scan, kernel]).number[0] == pytest.approx(12)


def others(factor, cell='b'):
  """Parallel-scan RNNs at a factor of the LSTM, measured with it in a cell of its own."""
  common = {'length': 256, 'size': 1e5, 'cell': cell}
  return rows(
    'training_time', 'step_seconds', architecture='min_gru', backend='reference', value=timed(factor * 0.0256), **common
  ) + rows('training_time', 'reference_seconds', architecture='lstm', backend='xla', value=timed(0.0256), **common)


def test_parallel_rnns_are_shown_and_decide_nothing():
  ladder = [{**r, 'cell': 'a'} for r in training(lambda t: 1e-4 * t, lambda t: 0.5e-4 * t)]
  alone, both = CLAIMS[3].judge(ladder), CLAIMS[3].judge(ladder + others(0.01))
  assert (both.status, both.number) == (alone.status, alone.number) == ('supported', 2)
  (line,) = both.beside
  assert line.startswith('time of parallel-scan RNN ÷ lstm xla, 100,000 parameters: 0.01')
  assert 'at T = 256 (min_gru reference)' in line
  assert alone.beside == ()
  section = Section(CLAIMS[3], both, 'python main.py')
  assert f'- Not in the verdict: {line}.' in '\n'.join(markdown.claim(section, ()))
  page = html.claim(section, (), None)
  assert f'not in the verdict</summary><ul><li>T{line[1:]}.</li></ul></details>' in page
  # A reference of another cell has no rounds in common.
  assert CLAIMS[3].judge(ladder + others(0.01)[:1]).beside == ()


def test_the_ladder_names_every_side_and_what_is_missing():
  lines = backends.ladder(
    [row('lstm', 'reference', [2.0], size=1e5), row('lstm', 'xla', [1.0], size=1e5), row('mine', '', [3.0], size=1e5)],
    'ms',
  )
  assert lines[0] == 'RNN, 100,000 parameters: lstm xla 1, lstm reference 2 ms'
  assert 'attention: not measured' in lines
  assert 'parallel-scan RNN, not in the verdict: not measured' in lines
  assert lines[-1] == 'others, not in the verdict, 100,000 parameters: mine 3 ms'


def test_attention_of_jax_nn_has_a_line_only_where_it_is_not_in_the_verdict():
  ladder = [{**r, 'cell': 'a'} for r in training(lambda t: 1e-4 * t, lambda t: 0.5e-4 * t)]
  fused = [{**r, 'backend': 'dot_product_attention'} for r in ladder if r['architecture'] == 'transformer']
  assert CLAIMS[3].judge(ladder + fused).beside == ()  # one cell: a rung like the others
  apart = [{**r, 'cell': 'b'} for r in fused]
  again = [{**r, 'cell': 'b', 'metric': 'reference_seconds'} for r in ladder if r['metric'] == 'step_seconds']
  (line,) = CLAIMS[3].judge(ladder + apart + again).beside
  assert 'jax.nn.dot_product_attention, measured apart ÷ transformer xla' in line
