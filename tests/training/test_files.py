"""Folders that a flag names, writes that happen at once or not at all, and the lock of a workdir."""

import errno
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from seqmodels.errors import InputError
from training import files, kinds

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert files.resolve('workdir', '~/run') == tmp_path / 'run'
  assert files.resolve('workdir', pathlib.Path('~/run')) == tmp_path / 'run'


@pytest.mark.parametrize(
  ('path', 'message'),
  [
    ('gs://bucket/run', '--workdir=gs://bucket/run must be a local folder'),
    ('file:///tmp/x', 'must be a local folder'),
    ('runs/lr[1e-3]', r"must not hold '\[' '\]'"),
    ('a\\b', "must not hold '\\\\\\\\'"),
    ('a*b', r"must not hold '\*'"),
    ('what?', r"must not hold '\?'"),
    ('line\nend', "must not hold '\\\\n'"),
    ('x' * 300, r'xxx…xxx.* cannot be used: File name too long'),
    ('/'.join(['x' * 100] * 60), 'cannot be used: File name too long'),
    ('bad\udcff', r'bad\\udcff. cannot be used: it is not UTF-8'),
    ('~no-user-of-this-name/run', 'cannot be used: '),
    ('nul\0', 'must not hold'),
  ],
)
def test_paths_that_cannot_hold_checkpoints_are_refused(path, message):
  with pytest.raises(InputError, match=message) as caught:
    files.resolve('workdir', path)
  assert len(str(caught.value)) < 250
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('path', ['plain', 'lr=1e-3,seed=0', 'a b', 'é', '50%', 'run#2', '{y}', 'a:b', 'c:/d'])
def test_other_paths_are_taken(path, tmp_path):
  assert files.resolve('workdir', tmp_path / path) == tmp_path / path


def test_a_write_happens_at_once_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / 'config.json'
  files.write_text(path, 'old')

  def full(number):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(os, 'fsync', full)
  with pytest.raises(files.WriteError, match=r'config.json cannot be written: No space left on device'):
    files.write_text(path, 'new')
  assert path.read_text() == 'old'
  assert [p.name for p in tmp_path.iterdir()] == ['config.json']


HOLD = """
import pathlib, sys, time
from training import kinds
from training.files import Lock
with Lock(pathlib.Path(sys.argv[1]), kinds.RUN):
  print('held', flush=True)
  time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
  command = [sys.executable, '-c', HOLD, str(tmp_path / 'W')]
  process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
  assert process.stdout.readline() == 'held\n'
  yield process
  process.kill()
  process.communicate()


def test_a_folder_is_held_by_one_process(tmp_path, holder):
  with pytest.raises(InputError) as caught, files.Lock(tmp_path / 'W', kinds.RUN):
    pass
  message = f'--workdir={tmp_path}/W is in use by process {holder.pid} on host {socket.gethostname()}'
  assert str(caught.value).startswith(message)
  with files.Lock(tmp_path / 'W', kinds.RUN, 'other'):  # of another name
    pass


def test_a_lock_ends_with_its_process(tmp_path, holder):
  """Whatever it left behind."""
  holder.send_signal(signal.SIGKILL)
  holder.wait()
  assert (tmp_path / 'W' / 'lock').exists()
  with files.Lock(tmp_path / 'W', kinds.RUN):
    assert json.loads((tmp_path / 'W' / 'lock').read_text())['pid'] == os.getpid()
  assert not (tmp_path / 'W' / 'lock').exists()
  with pytest.raises(InputError), files.Lock(tmp_path / 'W', kinds.RUN), files.Lock(tmp_path / 'W', kinds.RUN):
    pass


def test_many_processes_never_hold_a_lock_together(tmp_path):
  """Each appends `begin` and `end`; between them there must be nothing."""
  program = """
import pathlib, sys, time
from training import kinds
from training.files import InputError, Lock
folder = pathlib.Path(sys.argv[1])
end, held = time.monotonic() + 2, 0
while time.monotonic() < end:
  try:
    with Lock(folder, kinds.RUN), (folder / 'log').open('a') as log:
      log.write('begin\\n'); log.flush()
      log.write('end\\n'); log.flush()
      held += 1
  except InputError:
    pass
print(held)
"""
  command = [sys.executable, '-c', program, str(tmp_path)]
  processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
  held = [int(process.communicate(timeout=30)[0]) for process in processes]
  assert (tmp_path / 'log').read_text() == 'begin\nend\n' * sum(held)
  assert sum(held) > 3


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / 'file').write_text('')
  for path in ('file', 'file/W'):
    with (
      pytest.raises(InputError, match=r'cannot be written: (Not a directory|it is a file)'),
      files.Lock(tmp_path / path, kinds.RUN),
    ):
      pass


def test_a_holder_that_writes_nothing_is_waited_for_a_moment(tmp_path, holder):
  (tmp_path / 'W' / 'lock').write_text('')
  begin = time.monotonic()
  with pytest.raises(InputError, match='in use by another process'), files.Lock(tmp_path / 'W', kinds.RUN):
    pass
  assert time.monotonic() - begin < 2


def test_a_folder_that_cannot_be_written_is_found_before_it_is_made(tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  files.check_writable('output', 'new', tmp_path / 'new' / 'deep')
  with pytest.raises(InputError, match=rf'^--output=x cannot be written: {tmp_path}/file is a file$'):
    files.check_writable('output', 'x', tmp_path / 'file' / 'W')
  monkeypatch.setattr(os, 'access', lambda path, mode: False)  # which it never is for root
  with pytest.raises(InputError, match=rf'^--workdir=W cannot be written: permission denied in {tmp_path}$'):
    files.check_writable('workdir', 'W', tmp_path / 'new' / 'deep')
  assert not (tmp_path / 'new').exists()
