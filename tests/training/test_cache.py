"""The folder of compiled programs stays below its limit, and entries that went bad do not stay."""

import os
import pathlib
import subprocess
import sys
import zlib

import pytest

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
print(repr(runtime.prepare()['compilation_cache']))
runtime.select('cpu')
import jax
f = jax.jit(lambda x: x * 3)
print(f(2.0))
runtime.log.info('a line × of the log')
"""


def run(**environment):
  kept = {name: value for name, value in os.environ.items() if not name.startswith(('JAX_', 'XDG_'))}
  command = [sys.executable, '-c', PROGRAM]
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
