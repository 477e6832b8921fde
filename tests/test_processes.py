"""Runs as real processes: two in one folder, a second signal, a limit on file sizes, a run by hand, a terminal."""

import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SMALL = 'configs/copying.py:gru,width=8,depth=1,symbols=2,items=2,lag=2,batch_size=4,warmup_steps=0'
ENDLESS = f'{SMALL},steps=2000000,eval_every=0,checkpoint_every=50,log_every=50'


def start(*flags, program='main.py'):
  command = [sys.executable, program, *flags]
  return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(moment, process, seconds=120):
  end = time.monotonic() + seconds
  while not moment() and process.poll() is None and time.monotonic() < end:
    time.sleep(0.02)
  assert process.poll() is None, process.stderr.read()
  assert moment()


@pytest.fixture
def running(tmp_path):
  """A run that does not end, with a checkpoint."""
  process = start('--mode=train', f'--config={ENDLESS}', f'--workdir={tmp_path}/W')
  wait_for(lambda: any((tmp_path / 'W' / 'checkpoints').glob('[0-9]*')), process)
  yield process
  process.kill()
  process.communicate()


def test_a_second_run_in_a_folder_is_refused_and_the_first_goes_on(running, tmp_path):
  second = start('--mode=train', f'--config={ENDLESS}', f'--workdir={tmp_path}/W')
  out, err = second.communicate(timeout=120)
  assert second.returncode == 2, err
  assert err.splitlines()[-1].startswith(f'error: --workdir={tmp_path}/W is in use by process {running.pid} on host ')
  assert 'Traceback' not in err
  # Reading is allowed, while checkpoints come and go.
  reading = start('--mode=eval', f'--workdir={tmp_path}/W', '--all_steps')
  out, err = reading.communicate(timeout=120)
  assert reading.returncode == 0, err
  assert 'step ' in out
  assert 'damaged' not in err
  before = time.monotonic()
  running.send_signal(signal.SIGTERM)
  running.wait(60)
  assert running.returncode == 128 + signal.SIGTERM
  assert time.monotonic() - before < 60
  assert not (tmp_path / 'W' / 'lock').exists()


SLOW_SAVE = """
import sys, time
import train
from training import checkpoint
from configs.copying import get_config
write = checkpoint.Checkpoints._write
def slow(self, step, host, extra):
  print('saving', flush=True)
  time.sleep(60)
checkpoint.Checkpoints._write = slow
train.main(get_config(sys.argv[1].partition(':')[2]), sys.argv[2])
"""


def test_a_second_signal_ends_a_run_that_is_saving(tmp_path):
  command = [sys.executable, '-c', SLOW_SAVE, ENDLESS, str(tmp_path / 'W')]
  process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  try:
    assert process.stdout.readline() == 'saving\n'
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # a terminal and a job queue may both pass one on
    time.sleep(1)
    assert process.poll() is None  # the first is waited out
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 128 + signal.SIGINT
    assert time.monotonic() - before < 5
    assert 'second signal: stopped at once' in process.stderr.read()
  finally:
    process.kill()
    process.communicate()


def test_a_file_that_may_not_grow_is_one_line(tmp_path):
  """TensorStore's own error, out of the thread that saves."""
  limit = 'import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)); '
  limit += 'os.execv(sys.executable, [sys.executable, *sys.argv[1:]])'
  config = f'{SMALL.replace("width=8", "width=128")},steps=4,optimizer=sgd'
  flags = ['--mode=train', f'--config={config}', f'--workdir={tmp_path}/W']
  process = start(limit, 'main.py', *flags, program='-c')
  _, err = process.communicate(timeout=240)
  assert process.returncode == 1, err
  assert 'Traceback' not in err
  error = [line for line in err.splitlines() if line.startswith('error: ')]
  assert error == err.splitlines()[-1:]
  assert 'checkpoint 4 cannot be written' in error[0]
  assert 'File too large; there is no checkpoint yet' in error[0]


def test_train_and_eval_by_hand(tmp_path):
  """`python train.py` is `python main.py --mode=train`; on a terminal it has a bar, and lines of the log above it."""
  host, terminal = pty.openpty()
  command = [sys.executable, 'train.py', f'--config={SMALL},steps=6,log_every=2', f'--workdir={tmp_path}/W']
  os.environ.setdefault('TERM', 'xterm')
  subprocess.run(['stty', 'cols', '100', 'rows', '40'], stdin=terminal, check=True)
  process = subprocess.Popen(command, cwd=ROOT, stderr=terminal)
  os.close(terminal)
  seen = b''
  while process.poll() is None or select.select([host], [], [], 0.1)[0]:
    if select.select([host], [], [], 0.1)[0]:
      try:
        seen += os.read(host, 65536)
      except OSError:  # the other end is closed
        break
  os.close(host)
  assert process.wait(120) == 0
  text = seen.decode()
  assert '6/6' in text
  lines = text.replace('\r\n', '\n').replace('\x1b[A', '').split('\n')
  (validation,) = [line.rsplit('\r', 1)[-1] for line in lines if 'step 6  validation' in line]
  assert validation.startswith('step 6  validation')
  done = start(f'--workdir={tmp_path}/W', program='eval.py')
  out, err = done.communicate(timeout=120)
  assert done.returncode == 0, err
  assert out.startswith('step 6\n')


def test_a_terminal_without_a_width_gets_lines(tmp_path):
  host, terminal = pty.openpty()
  subprocess.run(['stty', 'cols', '0'], stdin=terminal, check=True)
  code = 'import sys; from training.progress import has_terminal; print(has_terminal(sys.stderr))'
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, check=True)
  os.close(terminal)
  os.close(host)
  assert done.stdout == b'False\n'
