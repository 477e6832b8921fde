"""The whole way once at the smallest scale: run, judge, write; again: nothing is left to do."""

import pytest

from commands import compare
from comparison import records
from comparison.experiments import runner
from seqmodels.errors import InputError


def test_a_comparison_runs_once_and_is_reported_from_its_records(tmp_path, capsys):
  claims, experiments = [12, 14, 47, 48], ['order', 'attention_scores', 'gradient_flow']
  compare.main('smoke', str(tmp_path), claims=claims, experiments=experiments)
  first = capsys.readouterr().out
  assert '0 failed' in first
  assert str(tmp_path / 'report.html') in first
  rows = records.read_all(tmp_path)
  assert {row['experiment'] for row in rows} == set(experiments)
  assert not [row for row in rows if row['metric'] in ('failed', 'gate')]
  # Attention without positions: the encoder is equivariant, the causal decoder of two layers is not.
  (encoder,) = [r['value'] for r in rows if r['metric'] == 'reordering' and r['kind'] == 'encoder']
  (decoder,) = [r['value'] for r in rows if r['metric'] == 'reordering' and r['kind'] == 'causal decoder']
  assert encoder < 1e-5 < 1e-3 < decoder
  page = (tmp_path / 'report.html').read_text()

  compare.main('smoke', str(tmp_path), claims=claims, experiments=experiments)
  again = capsys.readouterr().out
  assert again.startswith('4 of 4 cells are finished already')
  assert '0 cells run, 4 were finished already, 0 failed' in again
  assert records.read_all(tmp_path) == rows
  assert (tmp_path / 'report.html').read_text() == page

  compare.report(str(tmp_path))
  verdicts = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
  assert 'not judged' in verdicts['12']
  assert 'not measured here' in verdicts['47']

  (tmp_path / 'report.md').unlink()
  (tmp_path / 'report.md').mkdir()
  (tmp_path / 'tables').write_text('')
  for kind, name, why in ((None, 'report.md', 'Is a directory'), ('csv', 'tables', 'there is a file of that name')):
    with pytest.raises(SystemExit, match=rf'{name} cannot be written: {why}; the records are kept$'):
      compare.report(str(tmp_path), kind=kind)
  (tmp_path / 'records-0-of-2.jsonl').mkdir()
  with pytest.raises(InputError, match=r'records-0-of-2.jsonl cannot be read: Is a directory'):
    compare.report(str(tmp_path))


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    ({'scale': 'laptops'}, ('--scale', 'laptops', 'nearest: laptop')),
    ({'scale': 'smoke', 'claims': [61]}, ('--claims', '61', '52')),
    ({'scale': 'smoke', 'experiments': ['ordr']}, ('--experiments', 'ordr', 'nearest: order')),
    ({'scale': 'smoke', 'architectures': ['lstm', 'grifin']}, ("architecture='grifin'", 'nearest: griffin')),
    ({'scale': 'smoke', 'architectures': ['linformer']}, ('linformer', 'cannot be causal')),
    ({'scale': 'smoke', 'architectures': ['encoder_decoder']}, ('encoder_pattern', 'seq2seq')),
    ({'scale': 'smoke', 'claims': []}, ('--claims is empty',)),
    ({'scale': 'smoke', 'experiments': []}, ('--experiments is empty',)),
    (
      {'scale': 'smoke', 'experiments': ['state_bytes'], 'architectures': ['griffin']},
      ('--architectures has no effect on state_bytes; experiments that take them: batching, capacity_map, clipping',),
    ),
    (
      {'scale': 'smoke', 'experiments': ['forward_latency', 'order'], 'architectures': ['griffin']},
      ('--architectures has no effect on order;',),
    ),
    ({'scale': 'smoke', 'claims': [12], 'architectures': ['griffin']}, ('--architectures has no effect on order',)),
  ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, arguments, words):
  folder = tmp_path / 'w'
  with pytest.raises(InputError) as error:
    compare.main(workdir=str(folder), **arguments)
  assert all(word in str(error.value) for word in words)
  assert '\n' not in str(error.value)
  assert not folder.exists()


def test_a_comparison_without_a_finished_cell_ends_with_an_error():
  compare.leave_if_all_failed(runner.Tally(1, 0, 3), 'cells')
  compare.leave_if_all_failed(runner.Tally(0, 1, 3), 'cells')
  compare.leave_if_all_failed(runner.Tally(0, 0, 0), 'cells')  # nothing to measure at this scale
  with pytest.raises(SystemExit, match=r'^error: all 3 cells failed; their lines above say why$'):
    compare.leave_if_all_failed(runner.Tally(0, 0, 3), 'cells')


def test_folders_without_records_or_that_cannot_be_made(tmp_path):
  with pytest.raises(InputError, match='no records'):
    compare.report(str(tmp_path))
  (tmp_path / 'file').write_text('')
  with pytest.raises(InputError, match='cannot be written'):
    compare.main('smoke', str(tmp_path / 'file' / 'w'), claims=[12])
