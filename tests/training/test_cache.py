"""The folder of compiled programs stays below its limit, and entries that went bad do not stay."""

import os
import pathlib
import re
import subprocess
import sys
import zlib

import pytest
from etils import epath

import main
from training import cache

ROOT = pathlib.Path(__file__).parent.parent.parent


def fill(folder, count):
  """Entries of about 1,000 bytes, the first used longest ago."""
  for i in range(count):
    path = folder / f'jit_f-{i}-cache'
    path.write_bytes(zlib.compress(os.urandom(1000), 0))
    os.utime(path, (i, i))


def names(folder):
  return sorted(int(path.name.split('-')[1]) for path in folder.glob('*-cache'))


def test_what_was_used_longest_ago_goes_first(tmp_path):
  fill(tmp_path, 20)
  os.utime(tmp_path / 'jit_f-0-cache', (1000, 0))  # read lately
  (tmp_path / 'jit_f-1-atime').write_bytes(b'')
  (tmp_path / 'other').write_text('')
  cache.tidy(tmp_path, 1 << 30)
  assert len(names(tmp_path)) == 20
  cache.tidy(tmp_path, 11_300)
  assert names(tmp_path) == [0, *range(11, 20)]
  assert not (tmp_path / 'jit_f-1-atime').exists()
  assert (tmp_path / 'other').exists()
  cache.tidy(tmp_path, 11_300)
  assert len(names(tmp_path)) == 10


@pytest.mark.parametrize('damage', ['flipped', 'truncated', 'empty', 'garbage', 'of another program', 'swapped'])
def test_entries_that_went_bad_are_deleted(tmp_path, damage):
  fill(tmp_path, 4)
  cache.tidy(tmp_path, 1 << 30)
  path, other = tmp_path / 'jit_f-1-cache', tmp_path / 'jit_f-2-cache'
  data = path.read_bytes()
  if damage == 'swapped':
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)
  else:
    path.write_bytes(
      {
        'flipped': data[:500] + bytes([data[500] ^ 255]) + data[501:],
        'truncated': data[:500],
        'empty': b'',
        'garbage': b'garbage',
        'of another program': other.read_bytes(),
      }[damage]
    )
  cache.tidy(tmp_path, 1 << 30)
  assert names(tmp_path) == ([0, 3] if damage == 'swapped' else [0, 2, 3])
  cache.tidy(tmp_path, 1 << 30)
  assert 0 in names(tmp_path)


def test_a_folder_seen_for_the_first_time(tmp_path):
  fill(tmp_path, 4)
  (tmp_path / 'jit_f-1-cache').write_bytes((tmp_path / 'jit_f-2-cache').read_bytes())
  (tmp_path / 'jit_f-3-cache').write_bytes(b'\x78')
  (tmp_path / 'index.json').write_text('[1]')
  cache.tidy(tmp_path, 1 << 30)
  assert names(tmp_path) == [0]
  cache.tidy(tmp_path / 'nowhere', 1)


def test_the_limit_follows_the_environment(monkeypatch):
  assert cache.limit() == 2 * 2**30
  monkeypatch.setenv(cache.VARIABLE, '1000')
  assert cache.limit() == 1000


PROGRAM = """
import sys
from training import runtime
print(repr(runtime.prepare(*sys.argv[1:])['compilation_cache']))
runtime.select('cpu')
import jax
from training.cache import counts
counts.say()  # nothing was compiled yet
counts.start()
counts.start()
f = jax.jit(lambda x: x * 3)
print(f(2.0))
if sys.argv[1:]:
  counts.say()
  counts.say()
runtime.log.info('a line × of the log')
"""


def run(*arguments, **environment):
  kept = {name: value for name, value in os.environ.items() if not name.startswith(('JAX_', 'XDG_'))}
  command = [sys.executable, '-c', PROGRAM, *arguments]
  done = subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, check=False)
  assert done.returncode == 0, done.stderr
  return done


def test_without_a_folder_to_write_nothing_is_cached():
  done = run(JAX_COMPILATION_CACHE_DIR='/proc/x')
  assert done.stdout.decode().startswith("''\n6.0\n")
  assert b'JAX_COMPILATION_CACHE_DIR=/proc/x cannot be written' in done.stderr
  assert done.stderr.count(b'\n') == 2


def test_log_lines_have_the_time_where_there_is_no_terminal(tmp_path):
  done = run(XDG_CACHE_HOME=str(tmp_path))
  assert done.stderr.decode().count('\n') == 1
  date, clock, rest = done.stderr.decode().split(' ', 2)
  assert (len(date), len(clock), rest) == (10, 8, 'a line × of the log\n')


def test_hits_and_misses_are_said_once(tmp_path):
  folder = tmp_path / 'programs'
  for line in (f'compilation cache {folder}: 0 hits, 1 misses', f'compilation cache {folder}: 1 hits, 0 misses'):
    done = run(str(folder), JAX_COMPILATION_CACHE_DIR='/proc/x')  # the argument comes first
    assert done.stdout.decode().startswith(f'{str(folder)!r}\n6.0\n')
    assert [text.split(' ', 2)[2] for text in done.stderr.decode().splitlines()] == [line, 'a line × of the log']


def test_training_and_evaluation_say_what_the_cache_had(tmp_path):
  config = f'--config={ROOT}/configs/copying.py:min_gru,width=8,depth=1,lag=3,items=2,batch_size=4,steps=2'
  examples = '--config.task.evaluation_examples=8'
  for mode, flags in (('train', [config, examples]), ('eval', [])):
    common = ['--workdir=run', '--platform=cpu', '--compilation_cache=programs']
    command = [sys.executable, str(ROOT / 'main.py'), f'--mode={mode}', *common, *flags]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if 'compilation cache' in line]
    found = re.search(rf'compilation cache {tmp_path}/programs: (\d+) hits, (\d+) misses$', line)
    assert found, line
    hits, misses = map(int, found.groups())
    assert misses > 0 if mode == 'train' else hits > 0


def raising(url):
  raise ImportError(f'Please install gcsfs\n  to read {"it" if url == "gs://nowhere/x" else "another"}')


def test_the_reason_of_a_url_is_what_its_client_raises(monkeypatch):
  monkeypatch.setattr(epath, 'Path', raising)
  assert cache.why_not('gs://nowhere/x') == 'Please install gcsfs to read it'

  def wordless(url):
    raise RuntimeError

  monkeypatch.setattr(epath, 'Path', wordless)
  assert cache.why_not('gs://nowhere/x') == 'RuntimeError'


def test_a_url_that_can_be_written_is_tried_with_files_of_other_names(tmp_path, monkeypatch):
  tried = []

  class Bucket(type(tmp_path)):
    def write_bytes(self, data):
      tried.append(self.name)
      return super().write_bytes(data)

  monkeypatch.setattr(epath, 'Path', lambda url: Bucket(tmp_path / url.removeprefix('gs://')))
  assert [cache.why_not('gs://bucket/x') for _ in range(2)] == ['', '']
  assert len(set(tried)) == 2  # also of one process, as those in containers may have the same number
  assert list((tmp_path / 'bucket' / 'x').iterdir()) == []


@pytest.mark.parametrize(
  ('path', 'reason'),
  [
    ('/proc/x', r'No such file or directory'),
    ('gs://nowhere/x', r'Please install gcsfs to read it'),
    ('', None),
    ('~nosuchuser/x', None),
  ],
)
def test_a_cache_that_cannot_be_written_is_refused(path, reason, capsys, monkeypatch):
  monkeypatch.setattr(epath, 'Path', raising)
  assert main.main(['main.py', '--mode=eval', '--workdir=x', f'--compilation_cache={path}']) == 2
  expected = rf'error: --compilation_cache={path} cannot be written: {reason}\n' if reason else 'error: --compil.*\n'
  assert re.fullmatch(expected, capsys.readouterr().err)
