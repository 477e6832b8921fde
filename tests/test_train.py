"""The loop when it is told to stop during an evaluation, and what it says first."""

import logging
import pathlib
import signal

import pytest

import train
from configs.copying import get_config
from training import loop

SMALL = 'gru,width=4,depth=1,symbols=2,items=2,lag=2,batch_size=4,steps=4,warmup_steps=0,log_every=1,eval_every=2'


def run(workdir: pathlib.Path) -> dict[str, float]:
  config = get_config(f'{SMALL},evaluation_examples=20')
  config.eval.batch_size = 4
  return train.train(config, workdir)


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


def test_the_first_line_says_what_the_run_is(monkeypatch, tmp_path, caplog):
  monkeypatch.setattr(train.loop, 'restore', lambda folder, run: train.log.warning('found on the way'))
  caplog.set_level(logging.INFO, logger=train.log.name)
  monkeypatch.setattr(train.log, 'propagate', False)  # as in the program; otherwise all is there twice
  train.log.addHandler(caplog.handler)
  try:
    run(tmp_path / 'W')
  finally:
    train.log.removeHandler(caplog.handler)
  assert 'training FLOPs per token' in caplog.messages[0]
  assert caplog.messages[1] == 'found on the way'
