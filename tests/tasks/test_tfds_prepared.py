"""Data sets that TFDS has prepared: read by name without TensorFlow; the true reason where one is not there."""

import itertools
import json
import logging

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.datasets import corpora, source, tfds_prepared
from tasks.identity import check_identity

# TFDS and its dependencies, on import.
pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')
tfds = pytest.importorskip('tensorflow_datasets', exc_type=ImportError)


builders = pytest.importorskip('tests.tasks.tfds_builders', exc_type=ImportError)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  made = tmp_path_factory.mktemp('tfds')
  tfds.disable_progress_bar()
  for builder in builders.ALL:
    options = {'config': 'short'} if builder is builders.Translated else {}
    builder(data_dir=made, file_format='array_record', **options).download_and_prepare()
  return made


@pytest.fixture(autouse=True)
def settings(folder, monkeypatch, caplog):
  monkeypatch.setattr(source, '_settings', source._Settings())
  source.configure(tfds_data_dir=folder)
  caplog.set_level(logging.INFO, 'seqmodels')
  return caplog


def refusal(task, dataset, **options):
  with pytest.raises(InputError) as caught:
    tasks.make(task, {'dataset': dataset} | options).spec  # noqa: B018
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_texts_are_its_examples_line_by_line(settings):
  task = tasks.make('language', {'dataset': 'tfds:sentences', 'length': 8})
  lines = {split: task.decode(ids) for split, ids in task.text.ids.items()}
  assert lines['train'] == ''.join(f'Übung {i}\n' for i in range(38))
  assert lines['validation'] == 'Übung 38\nÜbung 39\n'
  assert lines['test'] == ''.join(f'Übung {i}\n' for i in range(40, 44))
  assert 'tfds:sentences has no validation split: the last 2 of 40 training examples validate' in settings.text
  assert task.identity()['dataset'] == 'tfds:sentences'
  recorded = json.loads(json.dumps(task.identity()))
  assert tasks.make('language', {'dataset': 'tfds:sentences:1.2.0#text'}).text.content == task.text.content
  with pytest.raises(InputError, match=r'content\.test was sha256'):
    check_identity(recorded, tasks.make('language', {'dataset': 'tfds:translated/short#en'}))


def test_each_example_is_a_packed_document():
  task = tasks.make('language', {'dataset': 'tfds:sentences', 'documents': 'packed', 'length': 8})
  ids, end = task.text.ids['test'], task.end_of_text
  found = [task.decode(part).rstrip('\n') for part in np.split(ids, np.flatnonzero(ids == end) + 1)]
  assert found == [*(f'Übung {i}' for i in range(40, 44)), '']
  assert (task.text.ids['train'] == end).sum() == 38 + 1  # one stands before the first


def test_pairs_are_its_two_languages(settings):
  options = {'dataset': 'tfds:translated/short', 'vocabulary': 290, 'split': '90/10'}
  with pytest.raises(InputError, match='has no meaning'):
    tasks.make('translation', options).spec  # noqa: B018
  options['split'] = '90/5/5'
  task = tasks.make('translation', options)
  texts = task.corpus.texts
  assert texts.sources['train'] == [f'Übung {i}' for i in range(40)]
  assert texts.targets['validation'] == [f'exercise {i}' for i in range(40, 44)]
  assert task.splits == ('train', 'validation')
  assert 'the splits extra are not read' in settings.text
  back = tasks.make('translation', options | {'pair': 'en-de'})
  assert back.corpus.texts.sources == texts.targets


def unscaled(task):
  data = task.data
  starts = [*data.starts.tolist(), len(data.values)]
  parts = [data.values[a:b] for a, b in itertools.pairwise(starts)]
  return [part * spread + mean for part, mean, spread in zip(parts, data.mean, data.deviation, strict=True)]


WINDOW = {'lookback': 4, 'horizon': 2}


def test_an_example_a_step_is_one_series_with_the_splits_of_the_data_set():
  task = tasks.make('forecasting', {'dataset': 'tfds:hours', 'columns': 'load+weather/wind', 'period': 5} | WINDOW)
  (table,) = unscaled(task)
  steps = np.arange(60)
  np.testing.assert_allclose(table, np.stack([steps % 5, -steps], axis=1), atol=1e-9)
  assert task.data.ends.tolist() == [[40, 52, 60]]
  assert task.data.periods == (5,)
  assert task.identity()['dataset'] == 'tfds:hours'
  cut = tasks.make('forecasting', {'dataset': 'tfds:hours#load', 'split': '50/25/25'} | WINDOW)
  assert cut.data.ends.tolist() == [[30, 45, 60]]
  (rain,) = unscaled(tasks.make('forecasting', {'dataset': 'tfds:hours#weather/rain'} | WINDOW))
  np.testing.assert_allclose(rain, np.stack([steps, steps * steps, np.ones(60)], axis=1), atol=1e-9)
  with pytest.raises(InputError, match='content'):
    check_identity(json.loads(json.dumps(task.identity())), cut)


def test_an_example_that_is_a_series_is_cut_in_time(settings):
  task = tasks.make('forecasting', {'dataset': 'tfds:curves#values'} | WINDOW)
  for i, table in enumerate(unscaled(task)):
    np.testing.assert_allclose(table[:, 0], np.arange(50 + i) + 100 * i, atol=1e-4)
  assert task.data.count == 3
  assert [(ends - start).tolist() for ends, start in zip(task.data.ends, task.data.starts, strict=True)] == [
    [35, 40, 50], [35, 41, 51], [36, 42, 52],
  ]  # fmt: skip
  assert 'tfds:curves#values: the series of test are not read; those of train are cut in time' in settings.text
  wide = unscaled(tasks.make('forecasting', {'dataset': 'tfds:curves#table'} | WINDOW))
  np.testing.assert_allclose(wide[2][:, 1], -wide[2][:, 0], atol=1e-4)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'dataset': 'tfds:hours'}, 'must name one of its features of numbers behind "#", or task.columns'),
    ({'dataset': 'tfds:hours#day'}, "'day' is none of its features of numbers: load, weather/rain, weather/wind"),
    ({'dataset': 'tfds:hours', 'columns': 'load+rain'}, "task.columns='load+rain': 'rain' is none of its features"),
    ({'dataset': 'tfds:hours', 'columns': 'load+weather/rain'}, 'task.columns those of one number'),
    ({'dataset': 'tfds:hours#load', 'columns': 'load'}, "task.columns='load' has no meaning with a feature behind"),
    ({'dataset': 'tfds:hours#load', 'date': 'day'}, "task.date='day' has no meaning"),
    ({'dataset': 'tfds:hours#load', 'missing': 'forward'}, "task.missing='forward' has no meaning"),
    ({'dataset': 'tfds:curves#gaps'}, 'in example 0, step 7 of gaps is nan; it must be a finite number'),
    ({'dataset': 'tfds:sentences#text'}, "'text' is none of its features of numbers: label"),
    ({'dataset': 'tfds:translated/short'}, 'it has none'),
    ({'dataset': 'tfds:short'}, 'series 2 of 3 has too few steps to train on: 1'),
    ({'dataset': 'tfds:hours#load', 'lookback': 39}, 'do not fit into tfds:hours#load'),
  ],
)
def test_what_is_no_series_is_one_line(options, message):
  with pytest.raises(InputError) as caught:
    tasks.make('forecasting', WINDOW | options).windows('train')
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)


def values_of(task, split):
  """Return the series of a split in the order of the data set, unscaled, and their labels."""
  part = task.data.splits[split]
  rows = sorted(
    (series[:length].tolist(), int(label))
    for series, length, label in zip(part.values, part.lengths, part.labels, strict=True)
  )
  return [np.array(series) for series, _ in rows], [label for _, label in rows]


def test_labelled_series_are_the_input_of_the_builder():
  task = tasks.make('classification', {'dataset': 'tfds:labelled'})
  assert task.data.classes == ('low', 'high')
  held, rest = values_of(task, 'validation'), values_of(task, 'train')
  assert len(held[1]) == 8  # 20 % of 20 cases of each class
  assert sorted(held[1] + rest[1]) == [0] * 20 + [1] * 20
  series, labels = values_of(task, 'test')
  for i, (found, label) in enumerate(zip(series, labels, strict=True), 40):
    np.testing.assert_array_equal(found, np.full((3 + i % 4, 2), i) * [[1, -1]])
    assert label == i % 2
  assert task.spec.length == 6
  assert next(iter(task.dataset('test', 4))).mask.sum() == sum(map(len, series))
  assert task.identity()['dataset'] == 'tfds:labelled'


def test_labelled_texts_are_the_input_of_the_builder(settings):
  task = tasks.make('text_classification', {'dataset': 'tfds:reviews', 'length': 16})
  assert task.data.classes == ('neg', 'pos')
  assert task.data.texts['test'] == [f'Übung {i}' for i in range(40, 44)]
  assert task.data.labels['test'].tolist() == [0, 1, 0, 1]
  assert len(task.data.texts['train']) == 37  # of 40 the last two validate, and one has no label
  assert '1 of 38 train rows have no label or no text and are left out, the first is number 6' in settings.text
  assert task.identity()['dataset'] == 'tfds:reviews'
  for dataset, message in (
    ('tfds:sentences', 'must have one label'), ('tfds:images', 'it has none'), ('tfds:reviews#label', 'its texts'),
  ):  # fmt: skip
    assert message in refusal('text_classification', dataset)


def test_text_that_is_not_utf8_is_one_line():
  row = {'text': b'good \xff'}
  with pytest.raises(InputError, match=r'^example 7 of train: text is not UTF-8: byte 0xff at 5$'):
    tfds_prepared.decoded(row, 'text', 'train', 7)
  with pytest.raises(InputError, match=r'^the text of tfds:a is not UTF-8: byte 0xff at 5; task\.unit=byte reads it'):
    corpora._characters('tfds:a', row['text'])


def test_a_curve_and_an_image_are_read_step_by_step():
  series, _ = values_of(tasks.make('classification', {'dataset': 'tfds:labelled#curve'}), 'test')
  np.testing.assert_array_equal(series[1][:, 0], np.arange(6) * 41)
  images, _ = values_of(tasks.make('classification', {'dataset': 'tfds:labelled#image'}), 'test')
  np.testing.assert_array_equal(images[2], (np.arange(18) + 42).reshape(6, 3))
  recorded, other = (tasks.make('classification', {'dataset': f'tfds:labelled{end}'}) for end in ('', '#curve'))
  with pytest.raises(InputError, match='content'):
    check_identity(json.loads(json.dumps(recorded.identity())), other)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'dataset': 'tfds:labelled#gaps'}, 'in train, example 0: gaps must have steps, and finite numbers alone'),
    ({'dataset': 'tfds:labelled#kind'}, 'must name one of its series or images behind "#": curve, gaps, image, series'),
    ({'dataset': 'tfds:images'}, 'must have one label, a feature ClassLabel; it has none'),
    ({'dataset': 'tfds:unlabelled'}, 'in train, example 0 has no label (b is -1)'),
    ({'dataset': 'tfds:sentences'}, 'series or images behind "#": it has none'),
    ({'dataset': 'tfds:translated/short'}, 'it has none'),
    ({'dataset': 'tfds:labelled', 'missing': 'forward'}, 'task.missing=forward has no meaning'),
    ({'dataset': 'tfds:labelled', 'validation': 51}, 'task.validation=51 must be a percentage'),
    ({'dataset': 'label'}, 'tfds:NAME, or .ts files'),
  ],
)
def test_what_has_no_labelled_series_is_one_line(options, message):
  with pytest.raises(InputError) as caught:
    tasks.make('classification', options).spec  # noqa: B018
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_name_that_is_not_prepared_is_one_line_with_the_true_reason(folder):
  command = f'tfds build {{}} --file_format=array_record --data_dir={folder}'
  known = refusal('language', 'tfds:lm1b')
  assert known.startswith(f"task.dataset='tfds:lm1b' is not prepared in {folder / 'lm1b'}: prepare it: ")
  assert command.format('lm1b') in known
  hidden = refusal('translation', 'tfds:wmt14_translate/de-en')
  assert 'its builder needs TensorFlow, without which TFDS does not list it' in hidden
  assert command.format('wmt14_translate/de-en') in hidden
  assert 'needs TensorFlow' in refusal('language', 'tfds:wiki40b/en')
  assert 'TFDS has no such builder (nearest: lm1b' in refusal('language', 'tfds:lm1c')
  assert 'must name a config, behind "/": short' in refusal('translation', 'tfds:translated')
  assert 'is not prepared' in refusal('language', 'tfds:sentences:1.0.0')


def test_features_that_do_not_fit_are_one_line():
  assert 'must name one of its texts behind "#": it has none' in refusal('language', 'tfds:images')
  assert 'must name one of its texts behind "#": de, en' in refusal('language', 'tfds:translated/short')
  assert 'must name two of the texts of tfds:sentences: text' in refusal('translation', 'tfds:sentences')
  assert "task.pair='de-fr' must name two of the texts" in refusal('translation', 'tfds:translated/short', pair='de-fr')
  assert 'must be tfds:NAME[/CONFIG][:VERSION][#FEATURE]' in refusal('language', 'tfds:a b')


def test_other_formats_and_damage_are_one_line(folder, tmp_path, monkeypatch):
  version = tmp_path / 'sentences' / '1.2.0'
  version.mkdir(parents=True)
  for path in (folder / 'sentences' / '1.2.0').iterdir():
    (version / path.name).write_bytes(path.read_bytes())
  source.configure(tfds_data_dir=tmp_path)
  (data,) = version.glob('*-train.array_record*')
  content = data.read_bytes()
  data.write_bytes(content[:200] + b'damaged!' + content[208:])
  damaged = refusal('language', 'tfds:sentences')
  assert 'is damaged' in damaged
  assert 'prepare it again: pip install tensorflow && tfds build sentences' in damaged
  data.write_bytes(content)
  info = version / 'dataset_info.json'
  before = info.read_text()
  info.write_text(before.replace('"array_record"', '"tfrecord"'))
  assert 'is prepared as tfrecord, which only TensorFlow reads; prepare it as array_record' in refusal(
    'language', 'tfds:sentences'
  )
  info.write_text('{')
  assert 'is damaged' in refusal('language', 'tfds:sentences')
  monkeypatch.setitem(__import__('sys').modules, 'tensorflow_datasets', None)
  assert 'needs the package tensorflow-datasets: pip install -e ".[tfds]"' in refusal('language', 'tfds:sentences')
  assert tfds_prepared.find('tfds:sentences') == version


def test_the_folder_must_exist(tmp_path):
  with pytest.raises(InputError, match=r"tfds_data_dir='.*nowhere' is not a folder"):
    source.configure(tfds_data_dir=tmp_path / 'nowhere')
