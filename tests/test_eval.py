"""eval.jsonl: one row a step and split, however often it is evaluated."""

import json
import logging

import pytest

import eval as evaluation


@pytest.fixture
def log_lines(caplog, monkeypatch):
  monkeypatch.setattr(evaluation.log, 'propagate', False)
  evaluation.log.addHandler(caplog.handler)
  yield caplog
  evaluation.log.removeHandler(caplog.handler)


def rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_not_repeated(tmp_path):
  path = tmp_path / 'eval.jsonl'
  for step, loss in ((2, 1.0), (4, 0.5), (2, 1.25)):
    evaluation.keep(path, step, {'validation': {'loss': loss}, 'test': {'loss': float('nan')}})
  assert rows(path) == [
    {'step': 4, 'split': 'validation', 'loss': 0.5},
    {'step': 4, 'split': 'test', 'loss': None},
    {'step': 2, 'split': 'validation', 'loss': 1.25},
    {'step': 2, 'split': 'test', 'loss': None},
  ]


def test_a_damaged_line_is_said(tmp_path, log_lines):
  path = tmp_path / 'eval.jsonl'
  path.write_bytes(b'{"step": 2, "split": "test", "loss": 1.0}\n\xff\n')
  evaluation.keep(path, 4, {'test': {'loss': 2.0}})
  assert [row['step'] for row in rows(path)] == [2, 4]
  assert log_lines.messages == [f'{path}: line 2 cannot be read and is dropped']


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path, log_lines):
  (tmp_path / 'eval.jsonl').mkdir()
  evaluation.keep(tmp_path / 'eval.jsonl', 4, {'test': {'loss': 2.0}})
  assert 'cannot be written (Is a directory): results are printed only' in log_lines.text
  assert log_lines.records[0].levelno == logging.WARNING
