"""Run launch/local.sh on a small program: flags, output, exit codes, signals, and that no process stays behind."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.launch.programs import LAUNCH, is_alive, run, wait_until, write

LOCAL = LAUNCH / 'local.sh'
# Stands for main.py: saves and ends at a signal, as a run does. --fail=i:code, --stubborn=i and --child=i are of tests.
PROGRAM = r"""#!PYTHON
import json, os, pathlib, signal, subprocess, sys, time
flags = dict(word.removeprefix('--').partition('=')[::2] for word in sys.argv[1:])
me = flags['process_index']
signals = []
for number in (signal.SIGINT, signal.SIGTERM):
  signal.signal(number, lambda number, frame: signals.append(number))
folder = pathlib.Path(flags['folder'])
(folder / f'words-{me}').write_text(json.dumps([*sys.argv[1:], os.environ.get('JAX_NUM_CPU_DEVICES')]))
os.write(1, f'output of {me}\n'.encode())  # at once: `print` writes in pieces where PYTHONUNBUFFERED is set
os.write(2, f'error of {me}'.encode())
(folder / f'ready-{me}').write_text(str(os.getpid()))
if flags.get('child') == me:
  child = subprocess.Popen(['sleep', '60'])
  (folder / 'child').write_text(str(child.pid))
index, _, code = flags.get('fail', '').partition(':')
if index == me:
  while len(list(folder.glob('ready-*'))) < int(flags['process_count']):
    time.sleep(0.01)
  if code == 'kill':
    os.kill(os.getpid(), signal.SIGKILL)
  sys.exit(int(code))
while flags.get('endless') == 'yes' and (not signals or flags.get('stubborn') == me):
  time.sleep(0.01)
if signals:
  end = time.monotonic() + float(flags.get('saving', 0.2))
  while time.monotonic() < end and len(signals) < 2:
    time.sleep(0.01)
  (folder / f'signals-{me}').write_text(' '.join(str(int(number)) for number in signals))
  sys.exit(128 + signals[-1])
"""


@pytest.fixture
def program(tmp_path):
  return write(tmp_path / 'program.py', PROGRAM)


def command(program, count, *flags):
  return [str(LOCAL), str(count), f'--program={program}', f'--folder={program.parent}', *flags]


def launch(program, count, *flags, **variables):
  return run(*command(program, count, *flags), env={**os.environ, 'PYTHON': sys.executable, **variables})


@pytest.fixture
def start(program):
  """Start processes that do not end by themselves, and wait until all of them have started."""
  started = []

  def start(count, *flags, before=(), **options):
    process = subprocess.Popen(
      [*before, *command(program, count, '--endless=yes', *flags)],
      env={**os.environ, 'PYTHON': sys.executable},
      **{'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE, 'text': True, **options},
    )
    started.append(process)
    wait_until(lambda: len(list(program.parent.glob('ready-*'))) == count)
    return process

  yield start
  for process in started:
    if process.poll() is None:
      process.kill()
  for pid in pids(program):  # those of a test that failed, which would hold the pipes open
    with contextlib.suppress(ProcessLookupError):
      os.kill(pid, signal.SIGKILL)
  for process in started:
    process.communicate(timeout=20)


def pids(program):
  return [int(path.read_text()) for path in program.parent.glob('ready-*')]


def signals(program):
  """Which signals each process got, as text."""
  return {path.name[-1]: path.read_text() for path in program.parent.glob('signals-*')}


def test_every_process_gets_the_flags_and_its_number(program):
  done = launch(program, 3, '--text=two  words', '--empty=', JAX_NUM_CPU_DEVICES='2')
  assert done.returncode == 0, done.stderr
  words = [json.loads((program.parent / f'words-{i}').read_text()) for i in range(3)]
  coordinator = words[0][3]
  assert re.fullmatch(r'--coordinator=127\.0\.0\.1:\d+', coordinator)
  given = [f'--folder={program.parent}', '--text=two  words', '--empty=', coordinator]
  assert words == [[*given, f'--process_index={i}', '--process_count=3', '2'] for i in range(3)]


def test_output_of_process_0_stays_as_it_is_and_that_of_others_is_numbered(program):
  done = launch(program, 3)
  assert sorted(done.stdout.splitlines()) == [
    '[1] error of 1', '[1] output of 1', '[2] error of 2', '[2] output of 2', 'output of 0',
  ]  # fmt: skip
  assert done.stderr == 'error of 0'


@pytest.mark.parametrize(('failure', 'code'), [('0:3', 3), ('1:kill', 137), ('2:143', 143)])
def test_a_failure_ends_the_others_and_is_the_exit_code(program, failure, code):
  done = launch(program, 3, '--endless=yes', f'--fail={failure}')
  assert done.returncode == code
  index = int(failure[0])
  message = f'process {index} of 3 has failed with exit code {code}: the others are ended'
  assert done.stderr == f'error of 0{message}\n'
  assert signals(program) == {str(i): '15' for i in range(3) if i != index}
  assert not any(map(is_alive, pids(program)))


def test_a_process_that_does_not_end_is_killed(program):
  done = launch(program, 2, '--endless=yes', '--fail=0:3', '--stubborn=1', GRACE='1')
  assert done.returncode == 3
  assert not any(map(is_alive, pids(program)))


@pytest.mark.parametrize(('sent', 'received'), [('INT', 'INT'), ('HUP', 'TERM')])
def test_signals_reach_every_process_once(start, program, sent, received):
  process = start(3)
  process.send_signal(signal.Signals[f'SIG{sent}'])
  number = int(signal.Signals[f'SIG{received}'])
  _, errors = process.communicate(timeout=20)
  assert process.returncode == 128 + number
  assert signals(program) == dict.fromkeys('012', str(number))
  assert 'has failed with' not in errors


def test_processes_may_save_for_longer_than_a_failure_allows(start, program, monkeypatch):
  monkeypatch.setenv('GRACE', '0')
  process = start(2, '--saving=1')
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=20)
  assert process.returncode == 143
  assert signals(program) == {'0': '15', '1': '15'}


def test_a_second_signal_is_passed_on_too(start, program):
  process = start(2, '--saving=30')
  process.send_signal(signal.SIGTERM)
  time.sleep(0.3)  # two signals of one kind at once are one
  process.send_signal(signal.SIGINT)
  process.communicate(timeout=20)
  assert process.returncode == 130
  assert signals(program) == {'0': '15 2', '1': '15 2'}


def test_control_c_on_a_terminal_reaches_every_process_once(start, program):
  host, terminal = pty.openpty()

  process = start(2, before=['setsid', '--ctty'], stdin=terminal, stdout=terminal, stderr=terminal)
  os.close(terminal)
  os.write(host, b'\x03')
  process.wait(20)
  os.close(host)
  assert process.returncode == 130
  assert signals(program) == {'0': '2', '1': '2'}


def test_children_of_processes_do_not_stay_behind(program):
  done = launch(program, 2, '--child=1')
  assert done.returncode == 0
  assert not is_alive(int((program.parent / 'child').read_text()))


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ([], 'N= is not allowed'),
    (['0', '--mode=train'], 'N=0 is not allowed'),
    (['--mode=train'], 'N=--mode=train is not allowed'),
    (['257', '--mode=train'], 'N=257 is not allowed'),
    (['2'], 'flags are missing'),
    (['2', '--program=none.py', '--x'], '--program=none.py is no file'),
  ],
)
def test_bad_input_is_one_line(arguments, message):
  done = run(LOCAL, *arguments)
  assert done.returncode == 2
  assert done.stdout == ''
  (line,) = done.stderr.splitlines()
  assert line.startswith(f'error: {message}')


def test_without_program_it_is_main():
  done = run(LOCAL, 2, '--mode=tarin', env={**os.environ, 'PYTHON': sys.executable})
  assert done.returncode == 2
  lines = [line for line in (done.stdout + done.stderr).splitlines() if 'has failed with exit code 2' not in line]
  assert {line.removeprefix('[1] ').partition(':')[0] for line in lines} == {'error'}, lines
