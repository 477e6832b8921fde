"""metrics.jsonl after stops, and the clock."""

import json

import pytest

from training.metrics import MetricsWriter, clock, read_rows


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


def test_values_that_are_not_finite_are_null(tmp_path):
  writer = MetricsWriter(tmp_path, 0)
  writer.write(1, 'train', {'loss': float('nan'), 'gradient_norm': float('inf')})
  writer.close()
  assert read_rows(tmp_path / 'metrics.jsonl') == [{'step': 1, 'split': 'train', 'loss': None, 'gradient_norm': None}]


@pytest.mark.parametrize(('seconds', 'words'), [(0.4, '0:00'), (61.6, '1:02'), (3723, '1:02:03')])
def test_clock(seconds, words):
  assert clock(seconds) == words
