"""The benchmark of Newton's method: what is measured, what is left out, and what the table says of it."""

import numpy as np
import pytest

from benchmarks import newton
from comparison import records
from seqmodels.errors import InputError


def test_rows_and_table_say_how_fast_and_how_near(tmp_path, capsys):
  flags = ['--cells=gru', '--widths=3', '--lengths=5', '--batch=2', '--seconds=0', '--busy=1e9', f'--out={tmp_path}']
  assert newton.main(['newton', *flags]) == 0
  table = (tmp_path / 'newton.md').read_text()
  assert table in capsys.readouterr().out
  (line,) = [line for line in table.splitlines() if line.startswith('| gru b2 t5 e3 scale 1 |')]
  assert '*' not in line
  assert '–' not in line
  rows = records.read(tmp_path / 'records.jsonl')
  found = {(row['metric'], row['side'], row.get('passes')): row['value'] for row in rows}
  samples = {(row['side'], row['passes']): row['samples'] for row in rows if row['metric'] == 'seconds'}
  assert len(found) == len(rows) == 6 + 4 + 4
  for passes in newton.PASSES:
    for side in newton.METHODS:
      pairs = np.divide(samples[side, passes], samples['xla', passes])
      assert found['ratio', side, passes] == pytest.approx(np.median(pairs), rel=1e-3)
  for side in newton.METHODS:
    assert (
      1 <= found['iterations', side, None] <= 5
    )  # of five positions each settles one; the guess and the last settle one
    assert found['residual', side, None] < 1e-6


def test_the_table_says_what_was_left_out_and_what_did_not_converge():
  row = lambda metric, side, value, **columns: {'work': 'w', 'metric': metric, 'side': side, 'value': value, **columns}
  of = lambda passes: [
    row('seconds', 'xla', 0.01, passes=passes),
    row('unavailable', 'newton', None, passes=passes),
    row('too_slow', 'quasi_newton', 7.0, passes=passes),
  ]
  rows = [*of(newton.PASSES[0]), *of(newton.PASSES[1])]
  rows += [row('iterations', 'quasi_newton', 32, has_converged=False), row('residual', 'quasi_newton', 0.5)]
  expected = ['w', '10', '–', 'about 700', '10', '–', 'about 700', '–', '32 (5.0e-01)*']
  assert newton.line(rows) == expected
  disturbed = [row('iterations', side, 4, has_converged=True) for side in newton.METHODS]
  disturbed += [row('residual', side, 0.0) for side in newton.METHODS]
  assert newton.line(disturbed) == ['w', *['disturbed'] * 6, '4 (0.0e+00)', '4 (0.0e+00)']


def test_wins_and_losses_are_counted_by_their_intervals():
  ratio = lambda low, high: {
    'work': f'{low}',
    'metric': 'ratio',
    'side': 'newton',
    'passes': 'forward',
    'low': low,
    'high': high,
  }
  said = newton.faster([ratio(0.5, 0.9), ratio(0.9, 1.1), ratio(2.0, 3.0), ratio(4.0, 5.0)])
  assert '- newton, forward: faster than the scan in 1 of 4 layers, slower in 2 (0.5).' in said
  assert '- quasi_newton, forward: faster than the scan in 0 of 0 layers, slower in 0.' in said


def test_a_layer_too_wide_for_whole_jacobians_has_no_such_side():
  layer = newton.Layer('gru', 65, 4, 1, 1.0)
  with pytest.raises(InputError, match='width=65'):
    newton.compile_call(layer, 'newton', 'forward')


@pytest.mark.parametrize(
  ('flag', 'expected'),
  [
    ('--cells=lstm,rnn', r'--cells=lstm,rnn must be of lstm, gru'),
    ('--widths=8,x', '--widths=8,x must be whole numbers above 1'),
    ('--lengths=', '--lengths= must be whole numbers above 1'),
    ('--batch=0', '--batch=0'),
    ('rest', "'rest' is not expected"),
  ],
)
def test_bad_flags_are_one_line(flag, expected):
  with pytest.raises(InputError, match=expected) as caught:
    newton.parse(['newton', flag])
  assert '\n' not in str(caught.value)
