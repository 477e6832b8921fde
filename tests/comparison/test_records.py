"""Records survive a stop at any byte, and rows of different devices, scales or versions are never mixed."""

import json
import logging
import pathlib

import pytest

from comparison import records

RESULTS = pathlib.Path(__file__).parents[2] / 'results'


@pytest.fixture
def log_lines(caplog, monkeypatch):
  """The log lines of the package."""
  logger = logging.getLogger('seqmodels')
  monkeypatch.setattr(logger, 'propagate', False)
  logger.addHandler(caplog.handler)
  yield caplog
  logger.removeHandler(caplog.handler)


def row(**columns):
  base = {'experiment': 'e', 'version': 1, 'cell': 'k', 'content': 'c', 'time': 1.0, 'metric': 'm', 'value': 1.0}
  return {**base, 'scale': 'smoke', 'device_kind': 'd', **columns}


def test_a_cut_at_any_byte_never_leaves_half_a_cell(tmp_path):
  whole = tmp_path / 'records.jsonl'
  records.append(whole, [row(cell='a', value=i) for i in range(3)])
  first = whole.stat().st_size
  records.append(whole, [row(cell='b', value=i, time=2.0) for i in range(3)])
  text = whole.read_bytes()
  for size in range(first, len(text), 7):
    cut = tmp_path / f'{size}.jsonl'
    cut.write_bytes(text[:size])
    assert records.finished(records.read(cut)) == {'a'}
    records.append(cut, [row(cell='c', time=3.0)])
    assert records.finished(records.read(cut)) == {'a', 'c'}
  assert len(records.read(whole)) == 6


def test_a_file_without_any_line_end_is_started_anew(tmp_path):
  path = tmp_path / 'records.jsonl'
  path.write_text('x' * 10_000)
  records.append(path, [row()])
  assert [r['value'] for r in records.read(path)] == [1.0]


def test_numbers_that_json_does_not_have_are_left_out(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.append(path, [row(value=float('nan')), row(value=float('inf'), samples=[1.0, float('inf')])])
  assert [r['value'] for r in records.read(path)] == [None, None]
  assert 'NaN' not in path.read_text()
  assert 'Infinity' not in path.read_text()


def test_a_failed_cell_is_not_finished_until_it_succeeds():
  failed = [row(cell='a', metric='failed', value=None)]
  assert records.finished(failed) == set()
  assert records.finished([*failed, row(cell='a', time=2.0)]) == {'a'}


@pytest.mark.parametrize(
  ('older', 'newer'),
  [
    ({'version': 1}, {'version': 2, 'content': 'other'}),
    ({'scale': 'laptop'}, {'scale': 'smoke'}),
    ({'device_kind': 'gpu'}, {'device_kind': 'cpu'}),
    ({'metric': 'failed', 'value': None}, {}),
    ({'cell': 'old packages'}, {'cell': 'new packages'}),
  ],
)
def test_selection_keeps_the_newest_comparison_only(older, newer):
  chosen = records.select([row(**older, time=1.0), row(**newer, time=2.0)])
  assert [r['time'] for r in chosen] == [2.0]


def test_selection_of_a_scale_and_device():
  rows = [row(scale='laptop', device_kind=kind, time=time) for time, kind in enumerate(('x', 'y'))]
  assert records.select(rows, 'laptop', 'x') == [rows[0]]
  assert records.select(rows, 'smoke') == []


BAD = {
  'not JSON': ('{"metric": "m"', 'not JSON'),
  'NUL': ('\0' * 30, 'not JSON'),
  'nested too deep': ('[' * 50_000, 'not JSON'),
  'a list': ('[1]', 'not an object'),
  'a number': ('3', 'not an object'),
  'another program': ('{"metric": "m", "loss": 3}', 'without experiment'),
}
CHANGES = {
  'no metric': ({'metric': None}, 'without metric'),
  'no cell': ({'cell': None}, 'without cell'),
  'no time': ({'time': None}, 'without time'),
  'a metric that is a list': ({'metric': []}, 'metric is not a text'),
  'an experiment that is a number': ({'experiment': 3}, 'experiment is not a text'),
  'a time that is none': ({'time': 1e300}, 'time is not one'),
  'a version that is a text': ({'version': '1'}, 'version is not a number'),
  'a value that is a text': ({'value': 'low'}, 'value is not a number'),
  'a value that is a truth value': ({'value': True}, 'value is not a number'),
  'a value that is not finite': ({'value': float('nan')}, 'value is not a number'),
  'a value that no float holds': ({'value': 10**400}, 'value is not a number'),
  'samples that are a number': ({'samples': 3.0}, 'samples is not of its type'),
  'samples that are texts': ({'samples': ['a']}, 'samples is not of its type'),
  'versions that are a list': ({'versions': [1]}, 'versions is not of its type'),
  'an object in another column': ({'zzz': {}}, 'zzz is not of its type'),
  'a column of the others is missing': ({'position': ...}, 'position is not as in other rows of m'),
  'a column has another type': ({'position': 'a'}, 'position is not as in other rows of m'),
}


def written(path, rows, lines=()):
  path.write_text('\n'.join([*(json.dumps(r) for r in rows), *lines, '']))


def test_a_learning_rate_at_which_a_trial_diverged_keeps_its_cell(tmp_path, log_lines):
  rows = [row(cell=str(i // 4), rows=4, seed=i, selection=None if i == 5 else -1.0) for i in range(40)]
  written(tmp_path / 'records.jsonl', rows)
  assert records.read_all(tmp_path) == rows
  written(
    tmp_path / 'records.jsonl', [*rows[:8], *(rows[8:9]), *({**r, 'selection': 'a'} for r in rows[9:10]), *rows[10:]]
  )
  assert {r['cell'] for r in records.read_all(tmp_path)} == {r['cell'] for r in rows} - {'2'}
  assert 'selection is not as in other rows of m (1)' in log_lines.messages[-1]


@pytest.mark.parametrize(('line', 'reason'), BAD.values(), ids=BAD)
def test_a_foreign_line_is_left_out_and_said(tmp_path, log_lines, line, reason):
  path = tmp_path / 'records.jsonl'
  written(path, [row(cell='a', rows=1), row(cell='b', rows=1)], [line])
  assert [r['cell'] for r in records.read_all(tmp_path)] == ['a', 'b']
  assert log_lines.messages == [f'{path}: 1 rows are left out: {reason} (1)']


@pytest.mark.parametrize(('change', 'reason'), CHANGES.values(), ids=CHANGES)
def test_a_damaged_row_takes_its_cell_with_it_and_is_said(tmp_path, log_lines, change, reason):
  path = tmp_path / 'records.jsonl'
  cells = [[row(cell=str(i), time=float(i), rows=2, position=j) for j in range(2)] for i in range(12)]
  damaged = {name: value for name, value in {**cells[3][1], **change}.items() if value is not ...}
  cells[3][1] = damaged
  written(path, [r for cell in cells for r in cell])
  assert {r['cell'] for r in records.read_all(tmp_path)} == {str(i) for i in range(12)} - {'3'}
  assert log_lines.messages == [f'{path}: 2 rows are left out: {reason} (1), of a cell that is not whole (1)']
  assert len(records.read_all(tmp_path, quiet=True)) == 22
  assert len(log_lines.messages) == 1


def test_the_key_follows_content_not_order():
  key = records.cell_key('e', 1, {'a': 1, 'b': [2]}, 'd', {'jax': '1'})
  assert key == records.cell_key('e', 1, {'b': [2], 'a': 1}, 'd', {'jax': '1'})
  changed = [('f', 1, {'a': 1, 'b': [2]}, 'd', {'jax': '1'}), ('e', 2, {'a': 1, 'b': [2]}, 'd', {'jax': '1'})]
  changed += [('e', 1, {'a': 1, 'b': [3]}, 'd', {'jax': '1'}), ('e', 1, {'a': 1, 'b': [2]}, 'c', {'jax': '1'})]
  changed += [('e', 1, {'a': 1, 'b': [2]}, 'd', {'jax': '2'})]
  assert len({key, *(records.cell_key(*arguments) for arguments in changed)}) == 6


@pytest.mark.parametrize(
  ('architecture', 'before', 'now'),
  [
    ('lstm', 'scan', 'reference'),
    ('gru', 'fused', 'xla'),
    ('rnn', 'native', 'cpu'),
    ('lstm', 'vendor', 'cudnn'),
    ('transformer', 'materialised', 'reference'),
    ('transformer', 'blockwise', 'xla'),
    ('transformer', 'native', 'cpu'),
    ('transformer', 'fused', 'dot_product_attention'),
    ('min_gru', 'scan', 'reference'),
    ('min_gru', 'associative', 'associative'),
    ('linear_transformer', 'chunked', 'xla'),
    *[('transformer', name, name) for name in ('reference', 'xla', 'cpu', 'auto', 'cached', 'multi-head', '')],
  ],
)
def test_earlier_names_of_backends_are_read_as_the_present_ones(tmp_path, architecture, before, now):
  path = tmp_path / 'records.jsonl'
  records.append(path, [row(architecture=architecture, backend=before)])
  assert [r['backend'] for r in records.read(path)] == [now]
  assert f'"backend":"{before}"' in path.read_text()


def test_fused_attention_of_a_gpu_in_half_precision_was_cudnns(tmp_path):
  path = tmp_path / 'records.jsonl'
  half, full = ({'architecture': 'transformer', 'backend': 'fused', 'device': 'gpu', 'dtype': dtype} for dtype in
                ('bfloat16', 'float32'))  # fmt: skip
  records.append(path, [row(**half), row(**full)])
  assert [r['backend'] for r in records.read(path)] == ['cudnn', 'dot_product_attention']


def test_no_committed_record_is_read_with_an_earlier_name():
  rows = [r for path in RESULTS.glob('*/*/records.jsonl') for r in records.read(path)]
  assert len(rows) > 4000
  assert not [r for r in rows if r.get('backend') in records.BACKENDS_BEFORE_0_2]
