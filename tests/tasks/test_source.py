"""Raw files: where they are found, and what is refused, without a network (a server on this machine stands in)."""

import functools
import gzip
import hashlib
import http.server
import io
import threading
import zipfile

import pytest

from seqmodels.errors import InputError
from tasks.datasets import source

CONTENT = b'To be, or not to be.\n' * 500
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folders(tmp_path, monkeypatch):
  """(downloads, data), set for this test; the environment's own are hidden."""
  monkeypatch.delenv('SEQMODELS_DOWNLOADS_DIR', raising=False)
  monkeypatch.setattr(source, '_settings', source._Settings())
  downloads, data = tmp_path / 'downloads', tmp_path / 'data'
  downloads.mkdir()
  source.configure(downloads, data)
  return downloads, data


@pytest.fixture
def server(tmp_path):
  """Serves tmp_path/served; gives the address."""
  served = tmp_path / 'served'
  served.mkdir()
  handler = functools.partial(Quiet, directory=str(served))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield served, f'http://127.0.0.1:{running.server_port}'
    running.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
  def log_message(self, format, *args):
    pass


def raw(url='http://127.0.0.1:9/play.txt', sha256=SHA256):
  return source.RawFile('plays/play.txt', url, sha256)


def zipped(content):
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('play.txt', content)
  return stream.getvalue()


@pytest.mark.parametrize('place', ['plays/play.txt', 'play.txt'])
@pytest.mark.parametrize(('ending', 'pack'), [('', bytes), ('.gz', gzip.compress), ('.zip', zipped)])
def test_a_local_file_is_found_packed_or_not(folders, place, ending, pack):
  path = folders[0] / (place + ending)
  path.parent.mkdir(exist_ok=True)
  path.write_bytes(pack(CONTENT))
  assert source.read(raw()) == CONTENT
  assert not folders[1].exists()


@pytest.mark.parametrize(
  ('name', 'content'),
  [
    ('play.txt', CONTENT[:-1]),
    ('play.txt', CONTENT.replace(b'not', b'nor', 1)),
    ('play.txt', b''),
    ('play.txt.gz', gzip.compress(CONTENT)[:-20]),
    ('play.txt.gz', gzip.compress(CONTENT)[:60] + b'xxxx' + gzip.compress(CONTENT)[64:]),
    ('play.txt.gz', CONTENT),
    ('play.txt.zip', zipped(CONTENT)[:-30]),
  ],
  # Named by hand: packed bytes hold the time of packing, so names made from them would differ between processes.
  ids=['short', 'altered', 'empty', 'gzip short', 'gzip altered', 'not gzip', 'zip short'],
)
def test_a_damaged_local_file_is_refused_in_one_line(folders, name, content):
  path = folders[0] / name
  path.write_bytes(content)
  with pytest.raises(InputError, match=r'is refused: expected plays/play\.txt with sha256') as caught:
    source.read(raw())
  message = str(caught.value)
  assert '\n' not in message
  assert str(path) in message
  assert raw().url in message
  assert not folders[1].exists()


@pytest.mark.parametrize(('file', 'pack'), [('play.txt', bytes), ('play.zip', zipped)])
def test_a_file_is_fetched_once_and_verified(folders, server, file, pack):
  served, address = server
  (served / file).write_bytes(pack(CONTENT))
  wanted = raw(f'{address}/{file}')
  assert source.read(wanted) == CONTENT
  (served / file).unlink()
  assert source.read(wanted) == CONTENT


@pytest.mark.parametrize(('file', 'pack'), [('play.txt', bytes), ('play.zip', zipped)])
def test_a_wrong_download_is_refused_and_nothing_is_kept(folders, server, file, pack):
  served, address = server
  (served / file).write_bytes(pack(CONTENT + b'!'))
  with pytest.raises(InputError, match='is refused') as caught:
    source.read(raw(f'{address}/{file}'))
  assert '\n' not in str(caught.value)
  assert not folders[1].exists()


def test_a_missing_file_without_network_says_what_to_do(folders, server):
  for url in ('http://127.0.0.1:9/play.txt', f'{server[1]}/missing.txt'):
    with pytest.raises(InputError, match=r'put the file into a folder as plays/play\.txt .*--downloads_dir') as caught:
      source.read(raw(url))
    assert '\n' not in str(caught.value)
    assert not folders[1].exists()
  (folders[1] / 'downloads').mkdir(parents=True)
  with pytest.raises(InputError):
    source.read(raw())
  assert [*folders[1].rglob('*')] == [folders[1] / 'downloads'], 'what was there stays there'


def test_a_data_folder_that_cannot_be_written_is_one_line(folders, server, tmp_path):
  (server[0] / 'play.txt').write_bytes(CONTENT)
  (tmp_path / 'file').write_bytes(b'')
  source.configure(data_dir=tmp_path / 'file' / 'data')
  with pytest.raises(InputError, match='cannot be fetched to'):
    source.read(raw(f'{server[1]}/play.txt'))


def test_folders_come_from_flags_then_environment_then_defaults(folders, monkeypatch, tmp_path):
  assert (source.downloads_folder(), source.data_folder()) == folders
  source.configure()
  assert source.downloads_folder() is None
  monkeypatch.setenv('SEQMODELS_DOWNLOADS_DIR', str(tmp_path))
  monkeypatch.setenv('SEQMODELS_DATA_DIR', str(tmp_path / 'd'))
  assert (source.downloads_folder(), source.data_folder()) == (tmp_path, tmp_path / 'd')
  with pytest.raises(InputError, match='downloads_dir='):
    source.configure(downloads_dir=tmp_path / 'nowhere')
