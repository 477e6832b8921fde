"""SIGTERM and SIGINT at every moment of a real training process: its exit code, what is left, and that the run goes on.

A program in front of the real one says on stdout when the moment has come, and makes it last.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import main
from training.checkpoint import Checkpoints

ROOT = pathlib.Path(main.__file__).parent
CONFIG = (
  f'{ROOT}/configs/copying.py:gru,width=4,depth=1,symbols=2,items=2,lag=2,batch_size=4,steps=20,warmup_steps=0,'
  'evaluation_examples=20,log_every=1,eval_every=10,checkpoint_every=10'
)
# Before the call of `name` in `module`, say so and wait; LONG: in C, where Python runs no signal handler.
PAUSE = """
import ctypes, importlib, sys, time
sys.argv = ['main.py', *sys.argv[1:]]
sys.path.insert(0, {root!r})
import main
main.interrupts.install()
module, name, number, is_long = {module!r}, {name!r}, {number}, {is_long}
owner = importlib.import_module(module)
*path, last = name.split('.')
for part in path:
  owner = getattr(owner, part)
call, count = getattr(owner, last), 0
def paused(*arguments, **named):
  global count
  count += 1
  if count == number:
    print('now', flush=True)
    (ctypes.CDLL(None).sleep if is_long else time.sleep)({seconds})
  return call(*arguments, **named)
setattr(owner, last, paused)
sys.exit(main.main(sys.argv))
"""
# moment: (module, function, which call, in C, seconds, whether the state can be saved)
MOMENTS = {
  'start-up': ('training.run', 'make_run', 1, False, 5, False),
  'initialisation': ('training.run', 'Run.initial_state', 1, True, 5, False),
  'the first compile': ('jax.stages', 'Lowered.compile', 1, True, 5, False),
  'waiting for a batch': ('training.loop', 'Loop._next_batch', 5, False, 1, True),
  'a step': ('training.loop', 'Loop.advance', 5, True, 1, True),
  'the compile of an evaluation': ('training.evaluate', 'example_sums', 1, True, 5, True),
  'an evaluation': ('training.evaluate', 'example_sums', 3, True, 1, True),
  'saving': ('training.checkpoint', 'Checkpoints._write', 1, True, 1, True),
}


def start(moment, workdir, *flags):
  module, name, number, is_long, seconds, _ = MOMENTS[moment]
  code = PAUSE.format(root=str(ROOT), module=module, name=name, number=number, is_long=is_long, seconds=seconds)
  arguments = ['--mode=train', f'--config={CONFIG}', f'--workdir={workdir}', '--platform=cpu', *flags]
  return subprocess.Popen(
    [sys.executable, '-c', code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
  )


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory) -> str:
  workdir = tmp_path_factory.mktemp('whole') / 'W'
  assert main.main(['main.py', '--mode=train', f'--config={CONFIG}', f'--workdir={workdir}', '--platform=cpu']) == 0
  return (workdir / 'metrics.jsonl').read_text()


@pytest.mark.parametrize('moment', MOMENTS)
def test_a_signal_at_any_moment(moment, uninterrupted, tmp_path):
  number = signal.SIGINT if moment == 'an evaluation' else signal.SIGTERM
  workdir, can_save = tmp_path / 'W', MOMENTS[moment][-1]
  process = start(moment, workdir)
  try:
    assert process.stdout.readline() == 'now\n', process.stderr.read()
    begun = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
  finally:
    process.kill()
    process.communicate()
  assert process.returncode == 128 + number, err
  assert 'Traceback' not in err
  command = f'go on with: {pathlib.Path(sys.executable).name} main.py --mode=train'
  steps = Checkpoints(workdir / 'checkpoints', read_only=True).steps() if (workdir / 'checkpoints').is_dir() else []
  if can_save:
    (line,) = [line for line in err.splitlines() if f'{number.name}: saved step' in line]
    assert command in line
    assert f'saved step {steps[-1]};' in line
    assert 'goodput ' in err.splitlines()[-1]
  else:
    assert not steps
    assert err.splitlines()[-1].startswith('interrupted')
    assert command in err.splitlines()[-1]
    assert time.monotonic() - begun < 3  # not when the compiler has ended
  if moment == 'the compile of an evaluation':
    assert time.monotonic() - begun < 3
  assert main.main(['main.py', '--mode=train', f'--config={CONFIG}', f'--workdir={workdir}', '--platform=cpu']) == 0
  assert (workdir / 'metrics.jsonl').read_text() == uninterrupted


def test_an_ignored_signal_stays_ignored(tmp_path):
  """A shell starts what runs in the background with SIGINT ignored."""
  process = subprocess.Popen(
    [sys.executable, '-c', IGNORING], stdout=subprocess.PIPE, cwd=ROOT, text=True, env=os.environ
  )
  out, _ = process.communicate(timeout=60)
  assert out == 'None SIGTERM\n'


IGNORING = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from training.stop import Stop
with Stop() as stop:
  signal.raise_signal(signal.SIGINT)
  print(stop.signal, end=' ')
  signal.raise_signal(signal.SIGTERM)
  print(stop.signal.name)
assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
"""
