"""Raw files: where they are found, and what is refused, without a network (a server on this machine stands in)."""

import functools
import gzip
import hashlib
import http.server
import io
import logging
import sys
import tarfile
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest

from seqmodels.errors import InputError
from tasks.datasets import progress, source

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
  return source.RawFile('plays/play.txt', url, len(CONTENT), sha256)


def zipped(content, method=zipfile.ZIP_DEFLATED, names=('play.txt',)):
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w', method) as archive:
    for name in names:
      archive.writestr(name, content)
  return stream.getvalue()


def patched(archive, offset, value):
  """A zip with two bytes of its member's description replaced, in the local header and in the directory."""
  content = bytearray(archive)
  for start, place in ((content.index(b'PK\x03\x04'), offset), (content.index(b'PK\x01\x02'), offset + 2)):
    content[start + place : start + place + 2] = value.to_bytes(2, 'little')
  return bytes(content)


@pytest.mark.parametrize('place', ['plays/play.txt', 'play.txt'])
@pytest.mark.parametrize(
  ('ending', 'pack'),
  [
    ('', bytes),
    ('.gz', gzip.compress),
    ('.zip', zipped),
    ('.zip', functools.partial(zipped, method=zipfile.ZIP_LZMA)),
    ('.zip', functools.partial(zipped, names=('plays/', 'plays/play.txt', 'plays/notes.txt'))),
  ],
  ids=['plain', 'gzip', 'zip', 'zip lzma', 'zip of several'],
)
def test_a_local_remoteis_found_packed_or_not(folders, place, ending, pack):
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
    ('play.txt.zip', patched(zipped(CONTENT), 6, 1)),
    ('play.txt.zip', patched(zipped(CONTENT), 8, 99)),
    ('play.txt.zip', zipped(CONTENT, names=())),
    ('play.txt.zip', zipped(CONTENT, names=('a/play.txt', 'b/play.txt'))),
    ('play.txt.zip', b'PK\x05\x06' + bytes(18)),
  ],
  # Named by hand: packed bytes hold the time of packing, so names made from them would differ between processes.
  ids=[
    'short',
    'altered',
    'empty',
    'gzip short',
    'gzip altered',
    'not gzip',
    'zip short',
    'zip encrypted',
    'zip unknown method',
    'zip empty',
    'zip of two',
    'zip of nothing',
  ],
)
def test_a_damaged_local_remoteis_refused_in_one_line(folders, name, content):
  path = folders[0] / name
  path.write_bytes(content)
  with pytest.raises(InputError, match=r'is refused: expected plays/play\.txt, 10500 bytes with sha256') as caught:
    source.read(raw())
  message = str(caught.value)
  assert '\n' not in message
  assert str(path) in message
  assert raw().url in message
  assert not folders[1].exists()


def test_what_is_wrong_with_an_archive_is_said(folders):
  path = folders[0] / 'play.txt.zip'
  for content, reason in (
    (patched(zipped(CONTENT), 6, 1), 'found an encrypted archive: unpack it, and give the file itself; remove it'),
    (patched(zipped(CONTENT), 8, 99), 'cannot be unpacked: .*compression'),
    (zipped(CONTENT, names=('a', 'b')), r'found an archive of 2 files, 0 of them named play\.txt'),
  ):
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
      source.read(raw())


@pytest.mark.parametrize(('ending', 'pack'), [('.gz', gzip.compress), ('.zip', zipped)])
def test_damaged_archives_are_read_right_or_refused_in_one_line(folders, ending, pack):
  """Every kind of damage that 200 flipped, cut or repeated pieces make."""
  random = np.random.default_rng(0)
  path, content = folders[0] / f'play.txt{ending}', pack(CONTENT)
  for case in range(200):
    damaged, (start, stop) = bytearray(content), sorted(random.integers(0, len(content), 2))
    if case % 3 == 0:
      damaged[start] ^= int(random.integers(1, 256))
    elif case % 3 == 1:
      damaged[start:stop] = b''
    else:
      damaged[start:start] = damaged[start:stop]
    path.write_bytes(damaged)
    try:
      found, message = source.read(raw()), ''
    except InputError as error:
      found, message = CONTENT, str(error)
    assert found == CONTENT
    assert '\n' not in message


@pytest.mark.parametrize(('ending', 'pack'), [('', bytes), ('.gz', gzip.compress), ('.zip', zipped)])
def test_a_remotethat_unpacks_to_more_than_it_should_is_never_held(folders, ending, pack):
  (folders[0] / f'play.txt{ending}').write_bytes(pack(bytes(100 << 20)))
  tracemalloc.start()
  try:
    with pytest.raises(InputError, match='found more than its 10500 bytes'):
      source.read(raw())
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
  finally:
    tracemalloc.stop()


def test_an_archive_is_fetched_and_judged_by_its_content(folders, server):
  served, address = server
  (served / 'play.txt.gz').write_bytes(gzip.compress(CONTENT))
  assert source.read(raw(f'{address}/play.txt.gz')) == CONTENT
  assert (folders[1] / 'downloads' / 'plays' / 'play.txt.gz').is_file()


def test_a_download_says_what_it_fetches(folders, server, caplog):
  (server[0] / 'play.txt').write_bytes(CONTENT)
  with caplog.at_level(logging.INFO, 'seqmodels'):
    source.read(raw(f'{server[1]}/play.txt'))
  assert caplog.messages[0] == f'plays/play.txt: downloading from {server[1]}/play.txt'
  assert caplog.messages[-1].startswith('plays/play.txt: 0.0 MB in ')


def test_a_download_shows_a_bar_in_a_terminal(folders, server, monkeypatch):
  (server[0] / 'play.txt').write_bytes(CONTENT)
  terminal = io.StringIO()
  monkeypatch.setattr(terminal, 'isatty', lambda: True)
  monkeypatch.setattr(sys, 'stderr', terminal)
  source.read(raw(f'{server[1]}/play.txt'))
  assert 'plays/play.txt' in terminal.getvalue()
  assert '10.5k/10.5k' in terminal.getvalue()


def test_a_long_download_is_logged_now_and_then(caplog, monkeypatch):
  monkeypatch.setattr(progress, 'LOG_SECONDS', 0.0)
  with caplog.at_level(logging.INFO, 'seqmodels'), progress.Progress('big', 4_000_000) as shown:
    shown.update(1_000_000)
    shown.total = 0  # a server that does not say how much it sends
    shown.update(1_000_000)
  assert caplog.messages == ['big: 1.0 of 4.0 MB', 'big: 2.0 MB']


@pytest.mark.parametrize(('file', 'pack'), [('play.txt', bytes), ('play.zip', zipped)])
def test_a_remoteis_fetched_once_and_verified(folders, server, file, pack):
  served, address = server
  (served / file).write_bytes(pack(CONTENT))
  remote = raw(f'{address}/{file}')
  assert source.read(remote) == CONTENT
  (served / file).unlink()
  assert source.read(remote) == CONTENT


@pytest.mark.parametrize(('file', 'pack'), [('play.txt', bytes), ('play.zip', zipped)])
def test_a_wrong_download_is_refused_and_nothing_is_kept(folders, server, file, pack):
  served, address = server
  (served / file).write_bytes(pack(CONTENT + b'!'))
  with pytest.raises(InputError, match='is refused') as caught:
    source.read(raw(f'{address}/{file}'))
  assert '\n' not in str(caught.value)
  assert not folders[1].exists()


def test_a_missing_remotewithout_network_says_what_to_do(folders, server):
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


def packed(kind, files):
  """An archive of files; kind: tar, tar.gz or zip."""
  stream = io.BytesIO()
  if kind == 'zip':
    with zipfile.ZipFile(stream, 'w') as archive:
      for name, content in files.items():
        archive.writestr(name, content)
    return stream.getvalue()
  with tarfile.open(fileobj=stream, mode='w' if kind == 'tar' else 'w:gz') as archive:
    for name, content in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return stream.getvalue()


SOUNDS = {'a/1.wav': b'one', 'b/2.wav': b'three', 'b/notes.txt': b'n'}


def raw_archive(url='http://127.0.0.1:9/sounds.tar.gz'):
  listing = ''.join(f'{hashlib.sha256(SOUNDS[name]).hexdigest()}  {name[2:]}\n' for name in ('a/1.wav', 'b/2.wav'))
  sha256 = hashlib.sha256(listing.encode()).hexdigest()
  return source.RawArchive('sounds/sounds.tar', url, 8, sha256, r'\d\.wav')


@pytest.mark.parametrize(('kind', 'ending'), [('tar', ''), ('tar.gz', '.gz'), ('zip', '.zip')])
def test_members_of_an_archive_are_found_however_it_is_packed(folders, kind, ending):
  downloads, _ = folders
  (downloads / f'sounds.tar{ending}').write_bytes(packed(kind, SOUNDS))
  assert source.read_members(raw_archive()) == {'1.wav': b'one', '2.wav': b'three'}


@pytest.mark.parametrize(
  ('files', 'found'),
  [
    ({**SOUNDS, 'a/1.wav': b'two'}, '2 files of 8 bytes with sha256'),
    ({**SOUNDS, 'b/3.wav': b''}, '3 files of 8 bytes with sha256'),
    ({'1.wav': b'one'}, '1 files of 3 bytes'),
    ({**SOUNDS, 'b/2.wav': b'threes'}, 'more than its 8 bytes'),
  ],
)
@pytest.mark.parametrize('kind', ['tar', 'zip'])
def test_members_with_another_content_are_refused(folders, kind, files, found):
  downloads, _ = folders
  path = downloads / f'sounds.tar{".zip" if kind == "zip" else ""}'
  path.write_bytes(packed(kind, files))
  with pytest.raises(
    InputError, match=rf'{path} is refused: expected sounds/sounds\.tar, 8 bytes .* found {found}'
  ) as caught:
    source.read_members(raw_archive())
  assert '\n' not in str(caught.value)


def test_an_archive_that_is_damaged_or_none_is_refused(folders):
  downloads, _ = folders
  for content in (b'no archive', packed('tar.gz', SOUNDS)[:100]):
    (downloads / 'sounds.tar.gz').write_bytes(content)
    with pytest.raises(InputError, match=r'sounds\.tar\.gz is refused: .* found cannot be unpacked') as caught:
      source.read_members(raw_archive())
    assert '\n' not in str(caught.value)


def test_an_archive_is_downloaded_once(folders, server):
  _, data = folders
  served, address = server
  (served / 'v1.tar.gz').write_bytes(packed('tar.gz', SOUNDS))
  file = raw_archive(f'{address}/v1.tar.gz')
  assert len(source.read_members(file)) == 2
  (served / 'v1.tar.gz').unlink()
  assert len(source.read_members(file)) == 2
  assert (data / 'downloads' / 'sounds' / 'sounds.tar.gz').is_file()
