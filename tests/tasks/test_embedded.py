"""The embedded text is one frozen file: the same bytes on every Python, refused when they are others."""

import gzip
import hashlib
import pathlib
import platform
import shutil
import subprocess
import sys
import tomllib

import pytest

import tasks
from seqmodels.errors import InputError
from tasks.datasets import embedded

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path, monkeypatch):
  """A copy of the file in its place, which a test may damage."""
  path = tmp_path / embedded.PATH.name
  shutil.copy(embedded.PATH, path)
  monkeypatch.setattr(embedded, 'PATH', path)
  embedded.read.cache_clear()
  yield path
  embedded.read.cache_clear()


def test_the_text_is_that_of_its_checksum():
  text = embedded.read()
  assert hashlib.sha256(text).hexdigest() == '71f2ff5d99bdc1f9c48c5c2353ad138201c5ca1c377e0226857ef8fa89b8bcee'
  assert (len(text), len(text.decode())) == (466_273, 465_126)


@pytest.mark.skipif(platform.python_version() != '3.11.7', reason='the text was taken from Python 3.11.7')
def test_the_text_is_what_python_3_11_7_ships():
  from pydoc_data.topics import topics

  assert embedded.read().decode() == '\n\n'.join(topics[name] for name in sorted(topics))


@pytest.mark.parametrize(
  ('unit', 'size', 'splits'),
  [
    ('character', 103, (418_613, 23_256, 23_257)),
    ('byte', 256, (419_645, 23_314, 23_314)),
    ('word', 5_457, (102_520, 6_205, 5_696)),
  ],
)
def test_vocabulary_and_splits_have_their_sizes(unit, size, splits):
  text = tasks.make('language', {'unit': unit}).text
  assert (text.size, tuple(len(ids) for ids in text.ids.values())) == (size, splits)


def test_every_python_at_hand_reads_the_same_text():
  """The module needs the standard library alone, and no interpreter's own help topics."""
  program = (
    'import importlib.util, sys\n'
    'sys.path.insert(0, sys.argv[1])\n'
    'sys.modules["pydoc_data"] = None\n'
    'spec = importlib.util.spec_from_file_location("embedded", sys.argv[2])\n'
    'module = importlib.util.module_from_spec(spec)\n'
    'spec.loader.exec_module(module)\n'
    'import hashlib; print(hashlib.sha256(module.read()).hexdigest())'
  )
  names = ('/usr/bin/python3', *(f'python3.{minor}' for minor in range(11, 16)))
  found = {sys.executable, *filter(None, map(shutil.which, names))}
  arguments = ('-c', program, str(ROOT), str(embedded.PATH.with_name('__init__.py')))
  for python in found:
    if subprocess.run([python, '-c', ''], capture_output=True, check=False).returncode:
      continue  # a shim without an interpreter behind it
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == embedded.SHA256, (python, done.stderr)


@pytest.mark.parametrize(
  ('content', 'reason'),
  [
    (b'', r'sha256 e3b0c442\w+ instead of 71f2ff5d'),
    (b'no archive', 'Not a gzipped file'),
    (gzip.compress(b'another text', mtime=0), r'sha256 \w{64} instead of 71f2ff5d'),
  ],
  ids=['empty', 'not gzip', 'another text'],
)
def test_another_content_is_refused_in_one_line(copy, content, reason):
  copy.write_bytes(content)
  with pytest.raises(InputError, match=rf'topics\.txt\.gz is damaged: {reason}') as caught:
    embedded.read()
  assert '\n' not in str(caught.value)


def test_a_damaged_or_missing_file_is_refused_in_one_line(copy):
  content = copy.read_bytes()
  for damaged in (content[:-9], content[:1000] + b'damage' + content[1006:]):
    copy.write_bytes(damaged)
    with pytest.raises(InputError, match='is damaged'):
      embedded.read()
  copy.unlink()
  with pytest.raises(InputError, match='is damaged: No such file'):
    embedded.read()


def test_the_file_and_its_licence_are_declared_as_package_data():
  declared = tomllib.loads((ROOT / 'pyproject.toml').read_text())['tool']['setuptools']['package-data']
  assert {path.name for path in embedded.PATH.parent.iterdir() if path.suffix != '.py' and path.is_file()} == set(
    declared['tasks.datasets.embedded']
  )
