"""The published counts of the real data, from a folder that SEQMODELS_DOWNLOADS_DIR names (skipped without one)."""

import gzip
import os
import pathlib
import shutil

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.datasets import cases, corpora, series, source, spoken_digits

FOLDER = os.environ.get('SEQMODELS_DOWNLOADS_DIR')

pytestmark = pytest.mark.skipif(not FOLDER, reason='SEQMODELS_DOWNLOADS_DIR names no folder of raw files')


@pytest.fixture(scope='module', autouse=True)
def read_anew(tmp_path_factory):
  """Everything is read anew, and what is in memory comes from there."""
  before = source._settings
  source._settings = source._Settings()
  source.configure(FOLDER, tmp_path_factory.mktemp('data'))
  corpora.load.cache_clear()
  series.load.cache_clear()
  yield
  source._settings = before
  corpora.load.cache_clear()
  series.load.cache_clear()


def sizes(options):
  text = tasks.make('language', options).text
  return text.size, tuple(len(ids) for ids in text.ids.values())


def test_texts_have_the_published_counts():
  assert sizes({'dataset': 'tinyshakespeare'}) == (65, (1_003_854, 55_770, 55_770))
  assert sizes({'dataset': 'tinyshakespeare', 'split': '90/10'}) == (65, (1_003_854, 111_540))
  assert sizes({'dataset': 'ptb'}) == (10_000, (929_589, 73_760, 82_430))
  text = tasks.make('language', {'dataset': 'tinyshakespeare', 'unit': 'word'}).text
  assert (text.size, text.tokenizer.decode(text.ids['train'][:4])) == (10_000, 'First Citizen:\n')
  assert sizes({'dataset': 'ptb', 'unit': 'character'}) == (50, (5_017_482, 393_042, 442_423))


def test_enwik8_has_the_published_counts_and_its_own_bytes():
  text = tasks.make('language', {'dataset': 'enwik8'}).text
  assert {name: len(ids) for name, ids in text.ids.items()} == {
    'train': 90_000_000,
    'validation': 5_000_000,
    'test': 5_000_000,
  }
  found = source.RawFile('enwik8/enwik8', '', 0, '')
  with gzip.open(source._local(found)) as file:
    start = file.read(3 << 20)
  np.testing.assert_array_equal(text.ids['train'][: len(start)], np.frombuffer(start, np.uint8))
  assert len(np.unique(text.ids['train'])) == 205


def test_every_token_of_the_ptb_test_set_is_predicted_once():
  task = tasks.make('language', {'dataset': 'ptb', 'length': 35})
  batches = list(task.dataset('test', 64))
  assert sum(batch.weights.sum() for batch in batches) == 82_430
  sentences = task.decode(np.concatenate([batch.targets[batch.weights > 0] for batch in batches]))
  assert sentences.count('\n') == 3_761
  assert sentences.startswith("no it was n't black monday \nbut while the new york stock exchange")


def test_words_of_the_ptb_are_counted_as_published_in_both_units():
  for unit in ('word', 'character'):
    task = tasks.make('language', {'dataset': 'ptb', 'unit': unit})
    for split, words in (('train', 929_589), ('validation', 73_760), ('test', 82_430)):
      ids = task.text.ids[split]
      before = np.concatenate([[task.text.before[split]], ids[:-1]])
      assert np.asarray(task.text.word_counts.words_in(before, ids), np.float64).sum() == words


def test_a_folder_of_the_users_is_the_same_as_the_named_data(tmp_path):
  """The Penn Treebank under its own file names, read by blanks, is the data set `ptb`."""
  for name in ('train', 'valid', 'test'):
    (path,) = (pathlib.Path(FOLDER) / 'ptb').glob(f'ptb.{name}.txt*')
    content = gzip.decompress(path.read_bytes()) if path.suffix == '.gz' else path.read_bytes()
    (tmp_path / f'ptb.{name}.txt').write_bytes(content)
  own = tasks.make('language', {'dataset': str(tmp_path), 'unit': 'whitespace'}).text
  built = tasks.make('language', {'dataset': 'ptb'}).text
  assert own.tokenizer == built.tokenizer
  assert own.content == built.content
  for split, ids in built.ids.items():
    np.testing.assert_array_equal(own.ids[split], ids)


def test_ett_has_the_usual_borders_and_windows():
  for name, hour in (('ETTh1', 1), ('ETTm1', 4)):
    task = tasks.make('forecasting', {'dataset': name})
    assert tuple(task.data.ends[0]) == (8640 * hour, 11520 * hour, 14400 * hour)
    assert task.count('train') == 8640 * hour - 336 - 96 + 1
    assert task.count('validation') == task.count('test') == 2880 * hour - 96 + 1
  first = task.arrays('test', np.array([0]))
  np.testing.assert_allclose(first.inputs[0, -1], task.data.values[11520 * 4 - 1], rtol=1e-6)


def test_baselines_on_etth1_reach_the_published_errors():
  """Zeng et al. 2023: repeating the last value 1.295 and 0.713, NLinear 0.374."""
  baselines = tasks.make('forecasting', {'dataset': 'ETTh1'}).baselines()
  assert baselines['copy_last']['mse'] == pytest.approx(1.295, abs=2e-3)
  assert baselines['copy_last']['mae'] == pytest.approx(0.713, abs=2e-3)
  assert baselines['linear']['mse'] <= 0.38
  # DLinear 0.375 and 0.399; in closed form, every window counted.
  assert baselines['dlinear']['mse'] == pytest.approx(0.375, rel=0.03)
  assert baselines['dlinear']['mae'] == pytest.approx(0.399, rel=0.03)


def test_m4_baselines_give_the_published_errors():
  """sMAPE and MASE of the hourly series, computed from the stored files (Makridakis et al. 2018 give the rules)."""
  task = tasks.make('forecasting', {'dataset': 'm4_hourly', 'lookback': 168, 'horizon': 48, 'channels': 'independent'})
  assert (task.data.count, task.count('test'), task.count('validation')) == (414, 414, 414)
  lengths = np.diff([*task.data.starts, len(task.data.values)]) - 48
  assert (lengths.min(), lengths.max()) == (700, 960)
  baselines = task.baselines()
  for name, smape, mase in (
    ('copy_last', 43.003, 11.608),
    ('seasonal_naive', 13.912, 1.193),
    ('seasonal_naive_168', 12.695, 2.867),
    ('naive2', 18.383, 2.395),
  ):
    assert baselines[name]['smape'] == pytest.approx(smape, abs=6e-4)
    assert baselines[name]['mase'] == pytest.approx(mase, abs=6e-4)
    assert baselines[name]['owa'] == pytest.approx((smape / 18.383 + mase / 2.395) / 2, abs=6e-4)


@pytest.mark.parametrize('channels', ['joint', 'independent'])
@pytest.mark.parametrize('normalise', ['none', 'last', 'instance'])
def test_the_metrics_of_a_model_are_those_of_the_baseline_it_copies(channels, normalise):
  """A model that repeats the last value of M4, through batches with filler, scaling and shifts."""
  options = {'dataset': 'm4_hourly', 'lookback': 24, 'horizon': 48, 'channels': channels, 'normalise': normalise}
  task = tasks.make('forecasting', options)
  totals = {}
  for batch in task.dataset('test', 100):
    outputs = np.tile(batch.inputs[:, -1], (1, 48))
    for name, (value, weight) in task.metrics(outputs, batch).items():
      totals[name] = totals.get(name, 0) + np.array([value.sum(), weight.sum()], np.float64)
  assert totals['smape'][0] / totals['smape'][1] == pytest.approx(43.003, abs=2e-3)
  assert totals['mase'][0] / totals['mase'][1] == pytest.approx(11.608, abs=2e-3)
  scores = task.derived({name: total / weight for name, (total, weight) in totals.items()})
  assert scores['owa'] == pytest.approx((43.003 / 18.383 + 11.608 / 2.395) / 2, abs=1e-3)
  assert scores['skill'] == pytest.approx(1 - 11.608 / 1.193, abs=2e-2)


def test_mnist_is_read_as_sequences_of_pixels():
  one, other = (tasks.make('classification', {'dataset': f'{name}_mnist'}) for name in ('sequential', 'permuted'))
  assert [one.count(split) for split in one.splits] == [55_000, 5_000, 10_000]
  assert one.spec.length == 784
  # Mean and deviation of the pixels in [0, 1] are commonly given as 0.1307 and 0.3081, of all 60,000 images.
  assert one.units()['mean'][0] / 255 == pytest.approx(0.1307, abs=5e-4)
  assert one.units()['deviation'][0] / 255 == pytest.approx(0.3081, abs=5e-4)
  labels = one.arrays('test', np.arange(10_000)).targets
  assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
  first, second = (task.arrays('test', np.arange(50)) for task in (one, other))
  assert not np.array_equal(first.inputs, second.inputs)
  np.testing.assert_array_equal(np.sort(first.inputs, axis=1), np.sort(second.inputs, axis=1))
  np.testing.assert_array_equal(first.targets, second.targets)
  # Of every image the same pixel stands in a place: a column of one is a column of the other.
  columns = {column.tobytes() for column in first.inputs[:, :, 0].T}
  assert columns == {column.tobytes() for column in second.inputs[:, :, 0].T}
  rows = tasks.make('classification', {'dataset': 'sequential_mnist', 'patch': 28})
  np.testing.assert_array_equal(rows.arrays('test', np.arange(3)).inputs.reshape(3, 784, 1), first.inputs[:3])
  cases.load.cache_clear()


@pytest.mark.parametrize(
  ('name', 'counts', 'length', 'variables', 'classes', 'has_mask'),
  [
    ('ItalyPowerDemand', (67, 1029), 24, 1, 2, False),
    ('ACSF1', (100, 100), 1460, 1, 10, False),
    ('JapaneseVowels', (270, 370), 29, 12, 9, True),
  ],
)
def test_archives_of_series_have_the_published_counts(tmp_path, name, counts, length, variables, classes, has_mask):
  for path in (pathlib.Path(FOLDER) / 'ucr').glob(f'{name}_*.ts*'):
    content = gzip.decompress(path.read_bytes()) if path.suffix == '.gz' else path.read_bytes()
    (tmp_path / path.name.removesuffix('.gz')).write_bytes(content)
  task = tasks.make('classification', {'dataset': f'{tmp_path}/{name}_*.ts'})
  assert (task.count('train') + task.count('validation'), task.count('test')) == counts
  assert (task.spec.length, task.spec.input.size, task.spec.output.size) == (length, variables, classes)
  test = task.arrays('test', np.arange(task.count('test')))
  assert (test.mask is not None) == has_mask
  if has_mask:
    assert (test.mask.sum(axis=1).min(), test.mask.sum(axis=1).max()) == (7, 29)


def test_spoken_digits_have_the_published_counts_and_splits():
  """3,000 recordings, 50 of each digit and speaker; those with an index from 0 to 4 test (the data set's README)."""
  recordings = spoken_digits.load()
  assert len(recordings) == len({r[:3] for r in recordings}) == 3000
  assert {(r.digit, r.speaker) for r in recordings} == {(d, s) for d in range(10) for s in spoken_digits.SPEAKERS}
  assert sum(len(r.samples) for r in recordings) / 8000 == pytest.approx(1312, abs=1)
  assert (min(len(r.samples) for r in recordings), max(len(r.samples) for r in recordings)) == (1148, 18_262)
  task = tasks.make('speech_recognition', {'dataset': 'spoken_digits'})
  assert (task.count('train') + task.count('validation'), task.count('test')) == (2700, 300)
  test = task.data.splits['test']
  first = {r.samples.tobytes() for r in recordings if r.take < 5}
  assert {part.tobytes() for part in np.split(test.samples, test.starts[1:-1])} == first
  held_out = tasks.make('speech_recognition', {'dataset': 'spoken_digits', 'split': 'speaker', 'speaker': 'theo'})
  assert [held_out.count(split) for split in held_out.splits] == [2250, 250, 500]
  # Each digit is said as often as the others, so that the most frequent word is right in a tenth of the recordings.
  for read in (task, held_out):
    baselines = read.baselines()
    assert baselines['most frequent word']['wer'] == pytest.approx(0.9)
    assert 0.1 < baselines['nearest mean spectrum']['wer'] < 0.6


def test_exchange_rates_are_read_and_cut_as_in_the_literature():
  task = tasks.make('forecasting', {'dataset': 'exchange_rate', 'lookback': 96, 'horizon': 96})
  assert task.data.values.shape == (7588, 8)
  assert task.data.ends.tolist() == [[5311, 6071, 7588]]
  assert tasks.make('forecasting', {'dataset': 'exchange_rate', 'split': '60/20/20'}).data.ends[0, 0] == 4552
  baselines = task.baselines()
  assert set(baselines) == {'copy_last', 'linear', 'dlinear'}, 'rates have no season'
  assert baselines['copy_last']['skill'] == 0
  # Repeating the last value: 0.081 and 0.196 ("Repeat" of Zeng et al. 2023 at horizon 96, recalled).
  assert baselines['copy_last']['mse'] == pytest.approx(0.081, abs=1e-3)
  assert baselines['copy_last']['mae'] == pytest.approx(0.196, abs=1e-3)


def test_a_corrupted_copy_is_refused_before_anything_is_written(tmp_path):
  copy = tmp_path / 'ptb'
  copy.mkdir()
  for path in (pathlib.Path(FOLDER) / 'ptb').iterdir():
    shutil.copy(path, copy)
  valid = next(copy.glob('ptb.valid*'))
  content = gzip.decompress(valid.read_bytes()) if valid.suffix == '.gz' else valid.read_bytes()
  valid.unlink()
  (copy / 'ptb.valid.txt').write_bytes(content.replace(b'banks', b'ranks', 1))
  kept = (source.downloads_folder(), source.data_folder())
  source.configure(tmp_path, tmp_path / 'data')
  corpora.load.cache_clear()
  with pytest.raises(InputError, match=r'ptb\.valid\.txt is refused: expected .* c9fe6985'):
    sizes({'dataset': 'ptb'})
  assert not [path for path in (tmp_path / 'data').rglob('*') if path.is_file()]
  source.configure(*kept)
