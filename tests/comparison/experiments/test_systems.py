"""Batches, users and bytes of training: sizes against closed forms, and what every row must hold."""

import pytest

from comparison.articles.transformer_vs_rnn.gigabytes import (
  LONGEST,
  LSTM_FORMS,
  SHORTEST,
  TRANSFORMER_FORMS,
  TRUNCATED,
  VIDEO,
)
from comparison.experiments import serving
from comparison.experiments.batching import Batching
from comparison.experiments.serving import Serving
from comparison.experiments.training_bytes import FORMS, TrainingBytes


@pytest.mark.parametrize(('state', 'memory', 'users'), [(100, 99, 1), (100, 199, 1), (100, 200, 2), (3, 100, 32)])
def test_as_many_users_as_their_states_leave_room_for(state, memory, users):
  assert serving.largest_batch(state, memory) == users
  assert serving.largest_batch(1, 1e12) == serving.MOST


def test_a_smaller_state_serves_more_users():
  (cell,) = Serving().cells('smoke')
  rows = {(row['architecture'], row['backend']): row for row in Serving().run(cell)}
  assert {row['metric'] for row in rows.values()} == {'served_token_seconds'}
  users = {who: row['batch'] for who, row in rows.items()}
  assert users['lstm', 'auto'] > users['transformer', 'multi-query'] >= users['transformer', 'multi-head'] > 1
  for row in rows.values():
    assert row['batch'] * row['state_bytes'] <= cell['memory'] < 2 * row['batch'] * row['state_bytes']
    assert len(row['samples']) >= 5


def test_all_batches_of_all_rungs_are_interleaved_and_the_peak_stands_beside():
  (cell,) = Batching().cells('smoke')
  rows = list(Batching().run(cell))
  timed = [row for row in rows if row['metric'] == 'batch_seconds']
  assert {(row['architecture'], row['batch']) for row in timed} == {
    (name, batch) for name in ('lstm', 'transformer') for batch in cell['batches']
  }
  flops = {(row['architecture'], row['batch']): row['flops'] for row in timed}
  assert flops['lstm', 4] == 4 * flops['lstm', 1]
  assert len({len(row['samples']) for row in timed}) == 1
  (peak,) = [row for row in rows if row['metric'] == 'peak_flops']
  assert all(row['flops'] / row['value'] < 2 * peak['value'] for row in timed)


def test_fused_attention_and_rematerialisation_save_memory_and_truncation_bounds_it():
  cell = {'size': 2e5, 'depth': 4, 'length': 1024}
  needed = {}
  for form in FORMS:
    rows = {row['metric']: row['value'] for row in TrainingBytes().run({**cell, 'form': form})}
    assert rows['training_bytes'] == rows['parameter_bytes'] + rows['moment_bytes'] + rows['temporary_bytes']
    assert rows['moment_bytes'] == pytest.approx(2 * rows['parameter_bytes'], rel=1e-3)
    needed[form] = rows['temporary_bytes']
  assert needed['reference'] > 2 * needed['reference, remat']
  assert needed['reference'] > 2 * needed['xla'] > 2 * needed['xla, remat']
  assert needed['full'] > 1.5 * needed['full, remat']
  assert needed['full'] > 1.5 * needed['truncated']
  longer = {**cell, 'length': 4096, 'form': 'truncated'}
  (again,) = [row['value'] for row in TrainingBytes().run(longer) if row['metric'] == 'temporary_bytes']
  assert again == needed['truncated']


def test_the_lengths_and_forms_that_claims_ask_about_are_compiled_at_every_size():
  cells = TrainingBytes().cells('overnight')
  for size in (1e7, 1e8, 1e9):
    compiled = {(cell['form'], cell['length']) for cell in cells if cell['size'] == size}
    assert {form for form, _ in compiled} == set(FORMS)
    for form in LSTM_FORMS + TRANSFORMER_FORMS:
      assert (form, SHORTEST) in compiled
      assert (form, VIDEO) in compiled
    assert {(form, LONGEST) for form in (*LSTM_FORMS, TRUNCATED, 'xla', 'xla, remat')} <= compiled
