"""The user's own text files: found, split and read whole; one clear line for each that cannot be."""

import hashlib
import json
import logging
import os

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.datasets import files
from tasks.identity import check_identity

LINE = 'The quick brown fox jumps over the lazy dog.\n'
TEXT = LINE * 200


@pytest.fixture(autouse=True)
def log(caplog):
  """The project's log at level INFO."""
  caplog.set_level(logging.INFO, 'seqmodels')
  return caplog


def language(dataset, **options):
  return tasks.make('language', {'dataset': str(dataset), 'length': 16} | options)


def whole(task) -> str:
  return ''.join(task.decode(ids) for ids in task.text.ids.values())


def refusal(dataset, **options) -> str:
  with pytest.raises(InputError) as caught:
    language(dataset, **options).spec  # noqa: B018
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_a_file_is_read_whole_and_cut(tmp_path):
  (tmp_path / 'notes.txt').write_text(TEXT)
  for split, sizes in (('90/5/5', (8100, 450, 450)), ('80/10/10', (7200, 900, 900)), ('75/25', (6750, 2250))):
    task = language(tmp_path / 'notes.txt', split=split)
    assert whole(task) == TEXT
    assert tuple(len(ids) for ids in task.text.ids.values()) == sizes
  batches = list(task.dataset('validation', 7))
  assert sum(batch.weights.sum() for batch in batches) == 2250


@pytest.mark.parametrize('unit', ['character', 'byte', 'word', 'whitespace'])
def test_every_unit_reads_the_same_text(tmp_path, unit):
  (tmp_path / 'notes.txt').write_text(TEXT)
  task = language(tmp_path / 'notes.txt', unit=unit)
  text = whole(task)
  assert (text if unit != 'whitespace' else text.replace(' \n', '\n')) == TEXT
  assert next(iter(task.dataset('train', 2, seed=1))).inputs.shape == (2, 16)


def test_files_are_joined_by_name_each_on_its_own_line(tmp_path):
  (tmp_path / 'b.txt').write_text('second file' * 20)
  (tmp_path / 'a.txt').write_text('first file' * 20)
  (tmp_path / 'c.md').write_text('another kind' * 20)
  (tmp_path / '.hidden').write_text('hidden')
  (tmp_path / 'sub').mkdir()
  (tmp_path / 'sub' / 'd.txt').write_text('below' * 20)
  two = 'first file' * 20 + '\n' + 'second file' * 20 + '\n'
  assert whole(language(tmp_path / '*.txt')) == two
  assert whole(language(tmp_path)) == two + 'another kind' * 20 + '\n' + 'below' * 20 + '\n'
  assert whole(language(f'{tmp_path}/**/*.txt')) == two + 'below' * 20 + '\n'


@pytest.mark.parametrize(
  'names',
  [
    ('wiki.train.tokens', 'wiki.valid.tokens', 'wiki.test.tokens'),
    ('train.txt', 'dev.txt', 'test.txt'),
    ('my-training_1.txt', 'my-val.txt', 'my-TEST.txt'),
  ],
)
def test_file_names_tell_their_splits(tmp_path, names):
  for name, word in zip(names, ('one', 'two', 'three'), strict=True):
    (tmp_path / name).write_text(f' {word} \n' * 30)
  task = language(tmp_path, unit='whitespace')
  found = {split: task.decode(ids) for split, ids in task.text.ids.items()}
  assert found == {'train': 'one \n' * 30, 'validation': '<unk> \n' * 30, 'test': '<unk> \n' * 30}
  assert 'leave it 90/5/5' in refusal(tmp_path, split='80/20')


def test_a_test_split_is_not_needed_and_shards_of_one_split_are_a_text(tmp_path):
  for name in ('train-1.txt', 'train-2.txt'):
    (tmp_path / name).write_text(TEXT)
  assert whole(language(tmp_path)) == 2 * TEXT
  (tmp_path / 'valid.txt').write_text(TEXT)
  assert language(tmp_path).splits == ('train', 'validation')


def test_names_that_tell_splits_only_in_part_are_refused(tmp_path):
  for name in ('train.txt', 'valid.txt', 'README.md'):
    (tmp_path / name).write_text(TEXT)
  message = refusal(tmp_path)
  assert 'README.md belongs to no split, while train.txt names one' in message
  assert language(tmp_path / '*.txt').splits == ('train', 'validation')
  (tmp_path / 'valid.txt').rename(tmp_path / 'test.txt')
  assert 'hold no validation split; a name with valid or validation or val or dev' in refusal(tmp_path / '*.txt')


def test_paths_that_are_no_text_are_refused(tmp_path):
  (tmp_path / 'empty').mkdir()
  for dataset, message in (
    (tmp_path / 'nothing.txt', 'is no file, folder or pattern that matches a file'),
    (tmp_path / '*.txt', 'is no file, folder or pattern'),
    (tmp_path / 'empty', 'is an empty folder'),
    ('./' + 'x' * 300, 'cannot be read: File name too long'),
    ('./a\0b', 'task.dataset='),
  ):
    assert message in refusal(dataset)
  with pytest.raises(InputError, match=r'nearest: tinyshakespeare; .*or files: a path, a folder or a pattern'):
    language('tinyshakespear')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
  (tmp_path / 'a.txt').write_text(TEXT)
  (tmp_path / 'a.txt').chmod(0)
  assert 'a.txt cannot be read: Permission denied' in refusal(tmp_path / 'a.txt')


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'notes.txt is empty: 0 bytes'),
    (b'\xef\xbb\xbf', 'notes.txt is empty: 0 bytes'),
    (TEXT.encode() + 'caf\xe9\n'.encode('latin1'), r'notes.txt is not UTF-8: byte 0xe9 in line 201; convert it'),
    (TEXT.encode('utf-16'), 'notes.txt is UTF-16; convert it: iconv -f utf-16 -t utf-8, or set task.unit=byte'),
    (TEXT.encode('utf-32'), 'notes.txt is UTF-32; convert it: iconv -f utf-32'),
    (b'\x1f\x8b\x08\x00', 'notes.txt is not UTF-8: byte 0x8b in line 1'),
    (b'short', "task.split='90/5/5' leaves nothing for validation: "),
    (b'long enough to have splits', 'task.length=100 must be less than the 23 tokens of the training text'),
  ],
  ids=['empty', 'mark alone', 'latin1', 'utf16', 'utf32', 'gzip', 'short', 'window'],
)
def test_awkward_content_is_refused_in_one_line(tmp_path, content, message):
  (tmp_path / 'notes.txt').write_bytes(content)
  with pytest.raises(InputError) as caught:
    language(tmp_path / 'notes.txt', length=100).dataset('train', 1)
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)


def test_bytes_are_read_as_they_are_in_any_encoding(tmp_path, log):
  content = '\ufeffWindows\r\n\r\ncaf\xe9'.encode('utf-16') * 20
  (tmp_path / 'notes.txt').write_bytes(content)
  task = language(tmp_path / 'notes.txt', unit='byte')
  assert b''.join(ids.tobytes() for ids in task.text.ids.values()) == content
  assert not log.messages


def test_a_byte_order_mark_and_line_ends_of_windows_are_said(tmp_path, log):
  path = tmp_path / 'notes.txt'
  path.write_bytes(b'\xef\xbb\xbf' + TEXT.replace('\n', '\r\n').encode())
  assert whole(language(path)) == TEXT
  assert log.messages == [f'{path}: its byte order mark is left out', f'{path}: 200 line ends CR LF are read as LF']


def test_empty_lines_and_lone_carriage_returns_stay(tmp_path, log):
  text = '\n\nOne\n\n\n  Two\rThree\t\n\n' * 20
  (tmp_path / 'notes.txt').write_bytes(text.encode())
  assert whole(language(tmp_path / 'notes.txt')) == text
  assert whole(language(tmp_path / 'notes.txt', unit='word', vocabulary=50)) == text
  assert not log.messages


def test_empty_files_among_others_are_said(tmp_path, log):
  (tmp_path / 'a.txt').write_text(TEXT)
  (tmp_path / 'b.txt').write_text('')
  assert whole(language(tmp_path)) == TEXT
  assert log.messages == [f'{tmp_path}/b.txt: 1 of 2 files are empty']


def test_a_split_without_words_is_refused(tmp_path):
  (tmp_path / 'a.txt').write_text('word ' * 100 + ' ' * 100)
  assert 'the validation split has no words: 30 characters' in refusal(tmp_path / 'a.txt', unit='whitespace')


def test_a_changed_file_is_read_anew(tmp_path):
  path = tmp_path / 'notes.txt'
  path.write_text(TEXT)
  before = language(path)
  assert whole(before) == TEXT
  path.write_text(TEXT.replace('fox', 'cat!'))
  assert whole(language(path)) == TEXT.replace('fox', 'cat!')


def test_the_identity_follows_the_content_and_not_the_path(tmp_path):
  path, copy = tmp_path / 'notes.txt', tmp_path / 'copy.txt'
  path.write_text(TEXT)
  copy.write_text(TEXT)
  recorded = json.loads(json.dumps(language(path).identity()))
  assert recorded['content'] == {'full': hashlib.sha256(TEXT.encode()).hexdigest()}
  check_identity(recorded, language(copy))
  copy.write_text(TEXT.replace('dog', 'god'))
  with pytest.raises(InputError, match=r'run: content\.full was sha256 \w+… and is sha256 \w+…$'):
    check_identity(recorded, language(copy, unit='character'))
  copy.write_text(TEXT.replace('fox', 'f\xf6x'))
  with pytest.raises(InputError, match=r'content\.full was .*; vocabulary was sha256'):
    check_identity(recorded, language(copy))


def test_names_of_splits_are_whole_words(tmp_path):
  names = ('training.txt', 'constraints.txt', 'attest.txt', 'developer.txt', 'x_dev1.txt')
  assert [files.split_of(tmp_path / name) for name in names] == ['train', None, None, None, 'validation']


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'notes.txt').write_text(TEXT)
  assert whole(language('~/notes.txt')) == TEXT


def test_a_random_text_is_read_whole_in_every_unit(tmp_path):
  """Characters of all kinds, spaces and line ends of all kinds: joined, the tokens are the text."""
  random = np.random.default_rng(0)
  letters = list('aé漢\U0001f600 .,\n\t\u00a0\u2028x')
  text = ''.join(random.choice(letters, 3000))
  (tmp_path / 'notes.txt').write_text(text, newline='')
  for unit in ('character', 'byte', 'word'):
    task = language(tmp_path / 'notes.txt', unit=unit)
    train, *rest = (task.text.ids[split] for split in task.splits)
    if unit == 'byte':
      assert b''.join(ids.tobytes() for ids in (train, *rest)) == text.encode()
    else:
      assert task.decode(train) == text[:2700]
    if unit == 'character':
      assert ''.join(map(task.decode, rest)) == text[2700:]
