"""metrics.jsonl after stops, and the clock."""

import errno
import json
import logging
import os
import pathlib
import subprocess
import sys

import pytest
from tensorboardX.proto import event_pb2

from training.files import WriteError
from training.metrics import MetricsWriter, read_rows
from training.progress import clock

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def log_lines(caplog, monkeypatch):
  """The log lines of the package."""
  logger = logging.getLogger('seqmodels')
  monkeypatch.setattr(logger, 'propagate', False)  # as in the program; otherwise all is there twice
  logger.addHandler(caplog.handler)
  yield caplog
  logger.removeHandler(caplog.handler)


def test_rows_after_the_restored_step_and_a_partial_line_are_dropped(tmp_path):
  writer = MetricsWriter(tmp_path, 0)
  for step in (1, 2, 3, 4):
    writer.write(step, 'train', {'loss': 1 / step})
  writer.write(2, 'validation', {'loss': 0.5})
  writer.close()
  whole = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 5, "spl')

  again = MetricsWriter(tmp_path, 2)
  assert again.row(2, 'validation') == {'step': 2, 'split': 'validation', 'loss': 0.5}
  assert again.row(3, 'train') is None
  again.write(3, 'train', {'loss': 7.0})
  again.close()
  assert (tmp_path / 'metrics.jsonl').read_text().splitlines() == [
    *(line for line in whole if json.loads(line)['step'] <= 2),
    '{"step": 3, "split": "train", "loss": 7.0}',
  ]


BAD = {
  'not JSON': b'{"step": 2, "spl}',
  'not UTF-8': b'{"step": 2, "split": "tr\xffain", "loss": 1}',
  'not a row': b'[1, 2]',
  'a step that is a text': b'{"step": "2", "split": "train", "loss": 1}',
  'a step that is a truth value': b'{"step": true, "split": "train", "loss": 1}',
  'a step that is a fraction': b'{"step": 1.5, "split": "train", "loss": 1}',
  'no step': b'{"split": "train", "loss": 1}',
  'no split': b'{"step": 2, "loss": 1}',
  'a split that is a number': b'{"step": 2, "split": 3, "loss": 1}',
  'a value that is a text': b'{"step": 2, "split": "train", "loss": "low"}',
  'NUL': bytes(40),
  'nested too deep': b'[' * 100_000,
}


@pytest.mark.parametrize('bad', BAD.values(), ids=BAD)
def test_a_bad_line_loses_no_other_and_is_kept(tmp_path, log_lines, bad):
  writer = MetricsWriter(tmp_path, 0)
  for step in (1, 2, 3, 4):
    writer.write(step, 'train', {'loss': 1 / step})
  writer.close()
  path = tmp_path / 'metrics.jsonl'
  whole = path.read_bytes().splitlines()
  path.write_bytes(b'\n'.join([whole[0], bad, *whole[2:], b'']))
  again = MetricsWriter(tmp_path, 4, expected=4)
  again.close()
  assert path.read_bytes().splitlines() == [whole[0], *whole[2:]]
  assert (tmp_path / 'metrics.damaged.jsonl').read_bytes() == bad + b'\n'
  assert log_lines.messages == [
    f'{path}: line 2 cannot be read and is kept in metrics.damaged.jsonl',
    f'{path} has 3 rows up to step 4; 4 were written',
  ]


def test_rows_that_are_gone_are_said(tmp_path, log_lines):
  MetricsWriter(tmp_path, 4, expected=90).close()
  assert log_lines.messages == [f'{tmp_path}/metrics.jsonl has 0 rows up to step 4; 90 were written']


def board(folder):
  """Return {(tag, step): value} as TensorBoard shows them: a later file hides earlier ones from its first step on."""
  found = {}
  for path in sorted(folder.iterdir()):
    data = path.read_bytes()
    while len(data) >= 12 and len(data) >= 16 + (size := int.from_bytes(data[:8], 'little')):
      event, data = event_pb2.Event.FromString(data[12 : 12 + size]), data[16 + size :]
      if event.HasField('session_log'):
        found = {key: value for key, value in found.items() if key[1] < event.step}
      for value in event.summary.value:
        found[value.tag, event.step] = value.simple_value
  return found


KILLED = """
import os, pathlib, sys
from training.metrics import MetricsWriter
writer = MetricsWriter(pathlib.Path(sys.argv[1]), 0)
for step in range(1, 8):
  writer.write(step, 'train', {'loss': step / 8})
  writer.write_timings(step, 'train', {'tokens_per_second': step})
  if step == 5:
    writer.sync()
    writer.write(step, 'validation', {'loss': 2.0})
os.kill(os.getpid(), 9)
"""


def test_tensorboard_has_no_gaps_after_a_kill(tmp_path):
  subprocess.run([sys.executable, '-c', KILLED, str(tmp_path)], cwd=ROOT, check=False)
  writer = MetricsWriter(tmp_path, 5, expected=5)
  for step in range(6, 9):
    writer.write(step, 'train', {'loss': step / 8})
  writer.close()
  shown = board(tmp_path / 'tensorboard')
  rows = {(f'{row["split"]}/loss', row['step']): row['loss'] for row in read_rows(tmp_path / 'metrics.jsonl')}
  assert len(rows) == 9
  assert {key: value for key, value in shown.items() if key[0].endswith('loss')} == rows
  assert [shown['train/tokens_per_second', step] for step in range(1, 5)] == [1, 2, 3, 4]


@pytest.mark.parametrize('part', ['jsonl', 'tensorboard'])
def test_a_full_disk_is_one_line(tmp_path, part):
  writer = MetricsWriter(tmp_path, 0)

  class Full:
    def __getattr__(self, name):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  lines, board = writer.writers
  if part == 'jsonl':
    lines._files['metrics.jsonl'] = Full()
  else:
    board._events = Full()
  with pytest.raises(WriteError, match=r'(metrics.jsonl|tensorboard) cannot be written: No space left on device'):
    writer.write(1, 'train', {'loss': 1.0})
  with pytest.raises(WriteError, match='No space left on device'):
    writer.sync()


def test_values_that_are_not_finite_are_null(tmp_path):
  writer = MetricsWriter(tmp_path, 0)
  writer.write(1, 'train', {'loss': float('nan'), 'gradient_norm': float('inf')})
  writer.close()
  assert read_rows(tmp_path / 'metrics.jsonl') == [{'step': 1, 'split': 'train', 'loss': None, 'gradient_norm': None}]


@pytest.mark.parametrize(('seconds', 'words'), [(0.4, '0:00'), (-0.6, '0:00'), (61.6, '1:02'), (3723, '1:02:03')])
def test_clock(seconds, words):
  assert clock(seconds) == words
