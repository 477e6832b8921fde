"""The library in C++: how it is built, and that nothing is loaded that was not built here."""

import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest

from seqmodels.errors import InputError
from seqmodels.kernels.cpu import library

ROOT = pathlib.Path(__file__).parents[2]
built = pytest.mark.skipif(not library.load(), reason='the kernels for CPUs are not built')
LOAD = 'from seqmodels.kernels.cpu import library; print("loaded", library.load())'
ATTENTION = """
import jax.numpy as jnp
from seqmodels.kernels.attention import attention
q = jnp.ones((1, 16, 1, 8))
print('sum', float(attention(q, q, q).sum()))
"""


def run(program, **environment):
  """A process with another environment; None takes a variable away."""
  merged = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
  return subprocess.run(
    [sys.executable, *program], cwd=ROOT, env=merged, capture_output=True, text=True, timeout=300, check=False
  )


@pytest.fixture
def compiler(tmp_path, monkeypatch):
  """A stand-in that writes its output at once, and a cache of its own."""
  script = tmp_path / 'compiler'
  script.write_text('#!/bin/sh\nwhile [ "$1" != "-o" ]; do shift; done\necho library > "$2"\n')
  script.chmod(0o755)
  monkeypatch.setenv('CXX', str(script))
  path = tmp_path / 'cache' / 'kernels.so'
  monkeypatch.setattr(library, 'library', lambda: path)
  return path


def test_builds_once_with_a_checksum_beside_it(compiler, monkeypatch):
  assert library.build() == compiler
  assert library.wrong(compiler) is None
  assert stat.S_IMODE(compiler.parent.stat().st_mode) == 0o700
  assert sorted(file.suffix for file in compiler.parent.iterdir()) == ['.sha256', '.so']
  monkeypatch.setenv('CXX', 'false')
  assert library.build() == compiler


def truncate(path):
  path.write_bytes(path.read_bytes()[:-1])


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def link(path):
  other = path.with_name('other')
  path.rename(other)
  path.symlink_to(other)


DAMAGES = {
  'truncated': (truncate, 'does not have its checksum'),
  'flipped': (flip, 'does not have its checksum'),
  'empty': (lambda path: path.write_bytes(b''), 'does not have its checksum'),
  'without a checksum': (lambda path: path.with_suffix('.sha256').unlink(), 'cannot be read'),
  'not text': (lambda path: path.with_suffix('.sha256').write_bytes(b'\xff'), 'does not have its checksum'),
  'writable by others': (lambda path: path.chmod(0o666), 'may be written by others'),
  'a link': (link, 'is not a regular file'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_library_is_not_loaded_and_built_again(compiler, damage, capsys):
  library.build()
  spoil, reason = DAMAGES[damage]
  spoil(compiler)
  assert reason in library.wrong(compiler)
  assert not library.load.__wrapped__()
  line = capsys.readouterr().err
  assert line.startswith('The kernels for CPUs are left out: ')
  assert line.endswith('run `python -m seqmodels.kernels.cpu`\n')
  assert library.build() == compiler
  assert library.wrong(compiler) is None


def test_a_library_of_another_user_is_not_loaded(compiler, monkeypatch):
  library.build()
  owner = compiler.stat().st_uid
  monkeypatch.setattr(os, 'getuid', lambda: owner + 1)
  assert (f'belongs to user {owner}' in (library.wrong(compiler) or '')) is (owner != 0)
  assert owner == 0 or not library.load.__wrapped__()


@built
def test_a_truncated_library_is_left_out_by_a_process(tmp_path):
  """Compute with the other forms and say so in one line; this was SIGBUS."""
  folder = tmp_path / 'seqmodels' / 'cpu'
  folder.mkdir(parents=True)
  source = library.library()
  for file in (source, source.with_suffix('.sha256')):
    shutil.copy(file, folder)
  whole = run(['-c', LOAD], XDG_CACHE_HOME=str(tmp_path))
  assert whole.stdout.split() == ['loaded', 'True'], whole.stderr
  copy = folder / source.name
  copy.write_bytes(copy.read_bytes()[:5000])
  done = run(['-c', ATTENTION], XDG_CACHE_HOME=str(tmp_path))
  assert (done.returncode, done.stdout.split()) == (0, ['sum', '128.0']), done.stderr
  assert done.stderr.count('The kernels for CPUs are left out') == 1


@pytest.mark.parametrize('cache', [{'HOME': '/proc', 'XDG_CACHE_HOME': None}, {'XDG_CACHE_HOME': '/proc/x'}])
def test_without_a_folder_to_write_to_the_other_forms_run(cache):
  environment = {**cache, 'TMPDIR': '/proc'}
  build = run(['-m', 'seqmodels.kernels.cpu'], **environment)
  assert (build.returncode, build.stderr, len(build.stdout.splitlines())) == (0, '', 1)
  assert build.stdout.startswith('The kernels for CPUs are not built, their other forms will run: ')
  done = run(['-c', ATTENTION], JAX_COMPILATION_CACHE_DIR=None, **environment)
  assert (done.returncode, done.stdout.split()) == (0, ['sum', '128.0']), done.stderr


def test_without_a_folder_there_is_no_library(monkeypatch):
  monkeypatch.setattr(library, 'cache_folder', lambda name: None)
  monkeypatch.setattr(library, 'library', library.library.__wrapped__)
  assert library.library() is None
  assert not library.load.__wrapped__()
  with pytest.raises(InputError, match='no folder for them can be written'):
    library.build()


def test_the_variable_leaves_the_library_out(monkeypatch):
  monkeypatch.setenv('SEQMODELS_CPU_KERNELS', '0')
  assert not library.load.__wrapped__()


def test_without_a_compiler_one_line_says_so(monkeypatch, tmp_path):
  monkeypatch.setattr(library, 'library', lambda: tmp_path / 'none.so')
  monkeypatch.delenv('CXX', raising=False)
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(InputError, match=r'no C\+\+ compiler found'):
    library.build()
  monkeypatch.setenv('CXX', 'false')
  monkeypatch.setenv('PATH', '/usr/bin:/bin')
  with pytest.raises(InputError, match=r'compiler false failed'):
    library.build()
  monkeypatch.setenv('CXX', 'no-such-compiler')
  with pytest.raises(InputError, match='no-such-compiler: No such file'):
    library.build()
  assert not list(tmp_path.iterdir())


@built
def test_the_version_follows_from_the_sources(tmp_path, monkeypatch):
  for file in library.FOLDER.glob('*.[ch]*'):
    shutil.copy(file, tmp_path)
  version = library.version()
  assert len(version) == 8
  monkeypatch.setattr(library, 'FOLDER', tmp_path)
  library.version.cache_clear()
  assert library.version() == version
  (tmp_path / 'lstm.cc').write_text((tmp_path / 'lstm.cc').read_text() + '// faster')
  library.version.cache_clear()
  assert library.version() not in (version, None)
  monkeypatch.setattr(library, 'load', lambda: False)
  library.version.cache_clear()
  assert library.version() is None
  library.version.cache_clear()
