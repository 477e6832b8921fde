"""The loop when it is stopped, when a disk is full, and what it says first."""

import errno
import logging
import os
import pathlib
import signal

import jax
import pytest

import main
import train
from configs.copying import get_config
from seqmodels.errors import InputError
from training import checkpoint, goodput, loop

SMALL = 'gru,width=4,depth=1,symbols=2,items=2,lag=2,batch_size=4,steps=4,warmup_steps=0,log_every=1,eval_every=2'


def config():
  made = get_config(f'{SMALL},evaluation_examples=20')
  made.eval.batch_size = 4
  return made


def run(workdir: pathlib.Path) -> dict[str, float]:
  return train.train(config(), workdir)


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory) -> tuple[dict[str, float], str]:
  workdir = tmp_path_factory.mktemp('whole') / 'W'
  return run(workdir), (workdir / 'metrics.jsonl').read_text()


@pytest.mark.parametrize(('number', 'last'), [(1, '{"step": 2, "split": "train"'), (3, '{"step": 4, "split": "valid')])
def test_a_signal_ends_an_evaluation_at_once_and_the_run_goes_on(uninterrupted, monkeypatch, tmp_path, number, last):
  """The first evaluation on the way; the second one of the end, `test`, when `validation` is written."""
  calls, batches, evaluate = [], [], loop.evaluate

  def interrupted(*arguments, after_batch):
    def after() -> None:
      batches.append(len(calls))
      if len(calls) == number:
        signal.raise_signal(signal.SIGTERM)
      after_batch()

    calls.append(arguments)
    return evaluate(*arguments, after_batch=after)

  with monkeypatch.context() as patched:
    patched.setattr(loop, 'evaluate', interrupted)
    with pytest.raises(SystemExit) as stopped:
      run(tmp_path / 'W')
  assert stopped.value.code == 128 + signal.SIGTERM
  assert batches.count(number) == 1  # of five
  assert (tmp_path / 'W' / 'metrics.jsonl').read_text().splitlines()[-1].startswith(last)
  assert run(tmp_path / 'W') == uninterrupted[0]
  assert (tmp_path / 'W' / 'metrics.jsonl').read_text() == uninterrupted[1]


def full_at(number):
  """An os.fsync that finds the disk full at one call."""
  calls, fsync = [], os.fsync

  def sync(descriptor):
    calls.append(descriptor)
    if len(calls) == number:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fsync(descriptor)

  return sync


@pytest.mark.parametrize('number', [1, 2, 3, 4, 5])
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(uninterrupted, monkeypatch, tmp_path, number):
  """At config.json, provenance.json and metrics.jsonl, at the rows and at TensorBoard before a checkpoint."""
  with monkeypatch.context() as patched:
    patched.setattr(os, 'fsync', full_at(number))
    with pytest.raises((SystemExit, InputError)) as stopped:
      train.main(config(), tmp_path / 'W')
  message = str(stopped.value)
  assert 'cannot be written: No space left on device' in message
  assert '\n' not in message
  assert ('there is no checkpoint yet' in message) == (number > 3)
  assert not (tmp_path / 'W' / 'lock').exists()
  assert run(tmp_path / 'W') == uninterrupted[0]
  assert (tmp_path / 'W' / 'metrics.jsonl').read_text() == uninterrupted[1]


def test_a_checkpoint_that_cannot_be_written_is_one_line(uninterrupted, monkeypatch, tmp_path):
  save, saved = checkpoint.ocp.CheckpointManager.save, []

  def full(manager, step, **arguments):
    saved.append(step)
    if step == 4:
      raise ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device [os_error_code='28']")
    return save(manager, step, **arguments)

  changed = config()
  changed.train.checkpoint_every = 2
  with monkeypatch.context() as patched:
    patched.setattr(checkpoint.ocp.CheckpointManager, 'save', full)
    with pytest.raises(SystemExit, match=r'^error: checkpoint 4 cannot be written to .*: No space left on device'):
      train.main(changed, tmp_path / 'W')
  assert saved == [2, 4]
  train.main(changed, tmp_path / 'W')
  assert (tmp_path / 'W' / 'metrics.jsonl').read_text() == uninterrupted[1]


def test_memory_that_runs_out_is_one_line_and_binds_no_config(monkeypatch, tmp_path):
  def exhausted(self):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.\nmore lines')

  with monkeypatch.context() as patched:
    patched.setattr(loop.Loop, 'advance', exhausted)
    with pytest.raises(SystemExit, match=r'^error: out of memory: .*; a smaller train.batch_size') as stopped:
      train.main(config(), tmp_path / 'W')
  assert '\n' not in str(stopped.value)
  changed = config()
  changed.train.batch_size = 2
  train.main(changed, tmp_path / 'W')


def test_more_steps_on_another_schedule_must_be_allowed(tmp_path):
  first, longer = config(), config()
  first.train.schedule = longer.train.schedule = 'cosine'
  longer.train.steps = 6
  train.main(first, tmp_path / 'W')
  with pytest.raises(
    InputError, match=r'moves the learning rate at step 4 from .*; allow it with --allow_schedule_change'
  ):
    train.main(longer, tmp_path / 'W')
  train.main(longer, tmp_path / 'W', allow_schedule_change=True)


def test_the_first_line_says_what_the_run_is(monkeypatch, tmp_path, caplog):
  monkeypatch.setattr(train.run_files, 'restore', lambda folder, run: train.log.warning('found on the way'))
  caplog.set_level(logging.INFO, logger=train.log.name)
  monkeypatch.setattr(train.log, 'propagate', False)  # as in the program; otherwise all is there twice
  train.log.addHandler(caplog.handler)
  try:
    run(tmp_path / 'W')
  finally:
    train.log.removeHandler(caplog.handler)
  assert 'training FLOPs per token' in caplog.messages[0]
  assert caplog.messages[1] == 'found on the way'


def test_saves_by_minutes_change_nothing_but_the_checkpoints(uninterrupted, tmp_path):
  changed = config()
  changed.train.checkpoint_minutes = 1e-9
  assert train.train(changed, tmp_path / 'W') == uninterrupted[0]
  assert (tmp_path / 'W' / 'metrics.jsonl').read_text() == uninterrupted[1]
  assert checkpoint.Checkpoints(tmp_path / 'W' / 'checkpoints', read_only=True).steps() == [2, 3, 4]  # the newest three
  changed.train.checkpoint_minutes = 0.0
  assert train.train(changed, tmp_path / 'V') == uninterrupted[0]
  assert checkpoint.Checkpoints(tmp_path / 'V' / 'checkpoints', read_only=True).steps() == [4]


@pytest.mark.parametrize('losses', [{2: 0.1, 4: 0.5, 6: 0.9}, {2: 0.9, 4: 0.1, 6: 0.5}])
def test_the_best_checkpoint_is_the_one_with_the_lowest_validation_loss(losses, monkeypatch, tmp_path):
  changed = config()
  changed.train.update({'steps': 7, 'checkpoint_every': 2, 'keep': 1})
  rows = iter([*losses.values(), 0.7, 0.7])  # of validation on the way, then of both evaluations at the end
  monkeypatch.setattr(loop, 'evaluate', lambda *arguments, after_batch: {'loss': next(rows)})
  train.train(changed, tmp_path / 'W')
  best = min(losses, key=lambda step: losses[step])
  assert checkpoint.Checkpoints(tmp_path / 'W' / 'checkpoints', read_only=True).steps() == [best, 7]


def test_what_is_kept_and_written_may_change_when_a_run_goes_on(tmp_path, monkeypatch):
  first, longer = config(), config()
  first.train.schedule = longer.train.schedule = 'constant'
  longer.train.update({'steps': 6, 'keep': 1, 'checkpoint_every': 1, 'skip_nonfinite': 2, 'norms_every': 3})
  longer.train.writers = ('jsonl',)
  train.train(first, tmp_path / 'W')
  results = train.train(longer, tmp_path / 'W')
  assert results['gradient_norms/output'] > 0
  assert results['train/skipped'] == 0


def test_a_profile_has_the_names_of_layers(tmp_path):
  train.train(config(), tmp_path / 'W', profile=(2, 3))
  (trace,) = (tmp_path / 'W' / 'profile').rglob('*.xplane.pb')
  assert b'block_00' in trace.read_bytes()


def test_a_profile_that_begins_after_the_last_step_is_refused(tmp_path):
  with pytest.raises(InputError) as caught:
    train.train(config(), tmp_path / 'V', profile=(5, 9))
  assert str(caught.value) == '--profile=5:9 must begin at a step of the run: train.steps=4'
  assert not (tmp_path / 'V').exists()


def test_a_report_shows_where_the_time_of_a_run_went(tmp_path, capsys):
  run(tmp_path / 'W')
  assert main.main(['main.py', '--mode=report', f'--workdir={tmp_path}/W']) == 0
  out = capsys.readouterr().out
  assert out.startswith('Processes: 1 started, step 4 reached, 0 steps done twice\n')
  found = goodput.read(tmp_path / 'W' / 'goodput.jsonl')
  assert all(found.seconds[kind] > 0 for kind in goodput.KINDS)
  assert found.seconds[goodput.LOST] == 0
  (tmp_path / 'W' / 'goodput.jsonl').unlink()
  assert main.main(['main.py', '--mode=report', f'--workdir={tmp_path}/W']) == 2
  assert 'is of a run without goodput.jsonl' in capsys.readouterr().err
  assert main.main(['main.py', '--mode=report', f'--workdir={tmp_path}']) == 2
  assert 'holds no records' in capsys.readouterr().err
