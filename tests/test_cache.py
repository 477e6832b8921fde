"""Where what is kept lies, for any home."""

import os
import pathlib
import stat

import pytest

from seqmodels import cache
from tasks.datasets import files, source


@pytest.fixture
def homeless(monkeypatch, tmp_path):
  """A user without HOME and without an entry in the password file, as in a container."""
  for name in ('HOME', 'XDG_CACHE_HOME', 'SEQMODELS_DATA_DIR'):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
  monkeypatch.setenv('TMPDIR', str(tmp_path))
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
  return tmp_path


def test_xdg_then_home_then_temporary(monkeypatch, tmp_path):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  monkeypatch.setenv('TMPDIR', str(tmp_path / 'tmp'))
  (tmp_path / 'tmp').mkdir()
  assert cache.cache_folder('a') == tmp_path / 'xdg' / 'seqmodels' / 'a'
  monkeypatch.setenv('XDG_CACHE_HOME', 'relative')  # which the standard says to ignore
  assert cache.cache_folder('a') == tmp_path / 'home' / '.cache' / 'seqmodels' / 'a'
  monkeypatch.setenv('HOME', '/dev/null')
  own = tmp_path / 'tmp' / f'seqmodels-{os.getuid()}'
  assert cache.cache_folder('a') == own / 'seqmodels' / 'a'
  assert stat.S_IMODE(own.stat().st_mode) == 0o700
  monkeypatch.setenv('TMPDIR', '/dev/null')
  assert cache.cache_folder('a') is None


def test_a_temporary_folder_that_others_can_write_to_is_not_used(monkeypatch, homeless):
  (homeless / f'seqmodels-{os.getuid()}').mkdir()
  (homeless / f'seqmodels-{os.getuid()}').chmod(0o777)
  assert cache.cache_folder('a') is None
  (homeless / f'seqmodels-{os.getuid()}').chmod(0o700)
  assert cache.cache_folder('a') is not None


def test_data_without_a_home_lies_among_temporary_files(homeless):
  assert cache.cache_home() is None
  assert source.data_folder() == homeless / 'seqmodels' / 'data'


def test_data_follow_xdg(monkeypatch, tmp_path):
  monkeypatch.delenv('SEQMODELS_DATA_DIR', raising=False)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  assert source.data_folder() == tmp_path / 'seqmodels' / 'data'
  monkeypatch.setenv('SEQMODELS_DATA_DIR', '~nosuchuser/data')
  assert source.data_folder() == pathlib.Path('~nosuchuser/data')


def test_a_home_that_does_not_exist_is_no_file():
  with pytest.raises(files.InputError, match=r"task\.dataset='~nosuchuser/x'"):
    files.find('~nosuchuser/x')
