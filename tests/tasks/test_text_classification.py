"""Texts with a class each: passages of help topics, the user's own tables, awkward files, sub-words that are kept."""

import logging

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.datasets import embedded, labelled_texts
from tasks.identity import check_identity
from tasks.text_classification import TOKENIZER

TRAIN = [('good', 'a film that I liked'), ('bad', 'dull'), ('good', 'Übung macht'), ('bad', 'long and empty')]
OTHERS = [('bad', 'no'), ('good', 'yes, it is')]


def lines(rows):
  return ''.join(f'{label}\t{text}\n' for label, text in rows)


@pytest.fixture
def write(tmp_path):
  """Write tables into a folder; return the options of a task that reads it."""

  def of(**tables):
    folder = tmp_path / 'data'
    folder.mkdir(exist_ok=True)
    for name, content in tables.items():
      data = content if isinstance(content, bytes) else content.encode()
      (folder / f'{name}.tsv').write_bytes(data)
    return {'dataset': f'{folder}/', 'length': 12}

  return of


@pytest.fixture
def log(caplog):
  caplog.set_level(logging.INFO, 'seqmodels')
  return caplog


def rows_of(task, split):
  """The texts of a split as a model reads them, with their classes."""
  batch = task.arrays(split, np.arange(task.count(split)))
  return [
    (task.data.classes[label], task.tokenizer.decode(ids[mask]))
    for label, ids, mask in zip(batch.targets, batch.inputs, batch.mask, strict=True)
  ]


def test_passages_are_of_the_topic_that_they_are_labelled_with():
  data = tasks.make('text_classification', {}).data
  assert {split: len(texts) for split, texts in data.texts.items()} == {'train': 2010, 'validation': 244, 'test': 242}
  assert len(data.classes) == 15
  text = embedded.read().decode()
  passages = [passage for texts in data.texts.values() for passage in texts]
  assert {len(passage) for passage in passages} <= set(range(labelled_texts.PASSAGE + 1))
  for split, texts in data.texts.items():
    assert set(data.labels[split]) == set(range(15))
    for passage, label in list(zip(texts, data.labels[split], strict=True))[::7]:
      title = text.index(f'{data.classes[label]}\n***')
      body = text.index('*\n', title)
      end = text.find('\n***', body)  # below the next title
      assert body < text.index(passage, title) < (end if end > 0 else len(text))
  assert not set(data.texts['train']) & set(data.texts['test'])


@pytest.mark.parametrize('unit', ['byte', 'word', 'subword'])
def test_tables_of_splits_are_read_in_every_unit(write, unit):
  options = write(train=lines(TRAIN), valid=lines(OTHERS), test=lines(OTHERS)) | {'unit': unit, 'length': 40}
  task = tasks.make('text_classification', options | ({'vocabulary': 290} if unit == 'subword' else {}))
  assert task.data.classes == ('bad', 'good')
  assert rows_of(task, 'train') == TRAIN
  if unit != 'word':  # others are unknown
    assert rows_of(task, 'test') == rows_of(task, 'validation') == OTHERS
  assert task.spec.length == 40
  assert task.token_names(task.arrays('train', np.array([1])).inputs[0, :1])[0] in 'dull'


def test_long_texts_are_cut_and_counted(write, log):
  task = tasks.make('text_classification', write(train=lines(TRAIN), valid=lines(OTHERS)))
  assert rows_of(task, 'train')[0] == ('good', 'a film that ')
  assert 'train: 2 of 4 texts are cut to 12 tokens (task.length)' in log.text
  assert task.splits == ('train', 'validation')


def test_rows_are_cut_at_random_where_no_file_names_a_split(write):
  rows = [('a', f'text {i}') for i in range(50)] + [('b', f'text {i}') for i in range(50, 100)]
  task = tasks.make('text_classification', write(all=lines(rows)) | {'split': '70/20/10'})
  assert [task.count(split) for split in task.splits] == [70, 20, 10]
  found = {split: rows_of(task, split) for split in task.splits}
  assert sorted(row for part in found.values() for row in part) == sorted(rows)
  assert all({label for label, _ in part} == {'a', 'b'} for part in found.values())
  again = tasks.make('text_classification', write(all=lines(rows)) | {'split': '70/20/10'})
  assert {split: rows_of(again, split) for split in again.splits} == found


def test_columns_header_marks_and_empty_rows_are_said(write, log):
  table = '\ufeffid\ttext\tLabel\r\n1\tone\tx\r\n2\t\tx\r\n3\ttwo\ty\r\n\r\n4\tthree\t \r\n'
  options = write(train=table, valid=table) | {'columns': '3-2'}
  task = tasks.make('text_classification', options)
  assert rows_of(task, 'train') == [('x', 'one'), ('y', 'two')]
  assert 'the first line is its header' in log.text
  assert '3 of 5 train rows have no label or no text and are left out, the first is number 2' in log.text
  assert 'its byte order mark is left out' in log.text
  assert 'line ends CR LF are read as LF' in log.text


REVIEWS = [('positive', 'good'), ('negative', 'bad'), ('positive', 'fine'), ('negative', 'dull')]


@pytest.mark.parametrize('parts', [('all',), ('train', 'valid')])
def test_a_header_of_other_names_is_no_class(write, log, parts):
  table = lines([('sentiment', 'review'), *REVIEWS * 20])
  task = tasks.make('text_classification', write(**dict.fromkeys(parts, table)))
  assert task.data.classes == ('negative', 'positive')
  assert task.count('train') == (80 if 'train' in parts else 72)
  assert log.text.count('the first line is its header: sentiment, review') == len(parts)


def test_columns_are_named_by_the_header(write):
  table = 'id\tstar-rating\treview\n' + ''.join(f'{i}\t{label}\t{text}\n' for i, (label, text) in enumerate(REVIEWS))
  task = tasks.make('text_classification', write(train=table, valid=table) | {'columns': 'star-rating-review'})
  assert rows_of(task, 'train') == REVIEWS


def test_a_first_row_of_a_class_is_no_header(write):
  rare = [('rare', 'a'), *REVIEWS]
  task = tasks.make('text_classification', write(train=lines(rare), valid=lines(REVIEWS)))
  assert rows_of(task, 'train') == rare  # validation begins with another label
  found = labelled_texts.load(
    write(train=lines(rare), valid=lines(rare))['dataset'], '90/5/5', 'auto', (), task.data.classes
  )
  assert len(found.texts['train']) == 5  # a class of the model


def test_the_workdir_keeps_sub_words_and_other_data_is_refused(write, tmp_path):
  options = write(train=lines(TRAIN), valid=lines(OTHERS)) | {'unit': 'subword', 'vocabulary': 290}
  task = tasks.make('text_classification', options)
  kept = tmp_path / 'kept'
  kept.mkdir()
  for name, content in task.kept_files().items():
    (kept / name).write_bytes(content)
  loaded = task.with_files(kept)
  assert loaded.tokenizer_file == str(kept / TOKENIZER)
  check_identity(task.identity(), loaded)
  others = tasks.make('text_classification', options | {'vocabulary': 280})
  (tmp_path / 'other.model').write_bytes(others.kept_files()[TOKENIZER])
  with pytest.raises(InputError, match='is not the tokenizer of the run'):
    tasks.make('text_classification', options | {'tokenizer': str(tmp_path / 'other.model')}).with_files(kept)
  changed = tasks.make('text_classification', write(train=lines(TRAIN[::-1]), valid=lines(OTHERS)) | {'unit': 'byte'})
  with pytest.raises(InputError, match=r'unit|content'):
    check_identity(task.identity(), changed)


@pytest.mark.parametrize(
  ('tables', 'options', 'message'),
  [
    ({'train': '', 'valid': lines(OTHERS)}, {}, 'is empty: 0 bytes; labels and texts are needed'),
    ({'train': 'one column\n', 'valid': lines(OTHERS)}, {}, 'line 1: 1 columns between tabs; 2 are needed'),
    ({'train': 'label\ttext\n', 'valid': lines(OTHERS)}, {}, 'the train split has no row with a label and a text'),
    ({'train': 'a\tb\n', 'valid': 'a\tb\n'}, {}, "has one class in training, 'a'; two or more are needed"),
    (
      {'train': lines(TRAIN), 'valid': 'worse\tx\n'},
      {},
      "the class 'worse' of the validation split is not in training",
    ),
    ({'train': b'a\t\xff\n', 'valid': lines(OTHERS)}, {}, 'is not UTF-8: byte 0xff in line 1'),
    ({'all': 'a\tb\nb\tc\n'}, {}, "task.split='90/5/5' leaves nothing for validation"),
    ({'train': lines(TRAIN), 'valid': lines(OTHERS)}, {'split': '80/20'}, 'has no meaning'),
    ({'train': lines(TRAIN), 'valid': lines(OTHERS)}, {'columns': '1'}, "task.columns='1' must name two columns"),
    ({'train': lines(TRAIN), 'valid': lines(OTHERS)}, {'columns': '2-2'}, "task.columns='2-2' must name two columns"),
    ({'train': lines(TRAIN), 'valid': lines(OTHERS)}, {'columns': '0-1'}, "task.columns='0-1' must name two columns"),
    (
      {'train': lines(TRAIN), 'valid': lines(OTHERS)},
      {'columns': 'label-text'},
      'train.tsv has other names: good, a film that I liked',
    ),
    ({'train': lines(TRAIN), 'valid': lines(OTHERS)}, {'columns': '1-3'}, 'line 1: 2 columns between tabs; 3 are'),
    ({'train': lines(TRAIN), 'valid': lines(OTHERS)}, {'unit': 'letter'}, "task.unit='letter'"),
    ({'train': lines(TRAIN), 'valid': lines(OTHERS)}, {'vocabulary': 5}, 'task.vocabulary=5 has no meaning'),
    ({'train': lines(TRAIN), 'valid': lines(OTHERS)}, {'train_examples': 9}, 'task.train_examples=9 must be at most 4'),
    ({}, {'dataset': 'topics', 'split': '80/20'}, "task.split='80/20' is not offered for topics"),
    ({}, {'dataset': 'topics', 'columns': '2-1'}, "task.columns='2-1' has no meaning"),
    ({}, {'dataset': 'topic'}, 'nearest: topics'),
  ],
)
def test_bad_tables_and_options_are_one_line(write, tables, options, message):
  with pytest.raises(InputError) as caught:
    tasks.make('text_classification', write(**tables) | options).count('train')
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)


def test_another_kind_of_file_is_refused(tmp_path):
  (tmp_path / 'reviews.csv').write_text('a,b')
  with pytest.raises(InputError, match=r'reviews\.csv must be tables, of the suffix \.tsv or \.tab'):
    tasks.make('text_classification', {'dataset': f'{tmp_path}/'}).spec  # noqa: B018
