"""Options of tasks: their names and defaults, and one line for a value that makes no sense."""

import pytest

import tasks
from seqmodels.errors import InputError
from tasks import datasets
from tasks.datasets import corpora


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('langage', {}, "task='langage' is not known; nearest: language"),
    ('language', {'lenght': 3}, "'lenght' is not known; nearest: length"),
    ('language', {'dataset': 'tinyshakespear'}, 'task.dataset=.*nearest: tinyshakespeare'),
    ('language', {'length': 0}, 'task.length=0'),
    ('language', {'length': 'long'}, "task.length='long' must be a whole number"),
    ('language', {'length': True}, 'task.length=True must be a whole number'),
    ('language', {'unit': 'sentence'}, "task.unit of embedded='sentence' is not known; allowed: auto, byte, char"),
    ('language', {'dataset': 'enwik8', 'unit': 'character'}, 'allowed: auto, byte, subword, word'),
    ('language', {'vocabulary': 500}, 'task.vocabulary=500 has no meaning with task.unit=character'),
    ('language', {'unit': 'word', 'vocabulary': 2}, 'task.vocabulary=2 must be at least 3'),
    ('language', {'dataset': 'ptb', 'split': '90/10'}, 'task.split'),
    ('language', {'split': '80/30'}, "task.split='80/30' must be percentages .* add up to 100"),
    ('language', {'split': '90/0/10'}, 'task.split'),
    ('language', {'split': 'train'}, 'task.split'),
    ('language', {'objective': 'maskd'}, "task.objective='maskd' is not known; nearest: masked"),
    ('language', {'mask_share': 0.0}, 'task.mask_share=0.0'),
    ('reversal', {'symbols': 27}, 'task.symbols=27 must be at most 26'),
    ('forecasting', {'dataset': 'ETTh2'}, 'nearest: ETTh1'),
    ('forecasting', {'horizon': -1}, 'task.horizon=-1'),
    ('forecasting', {'channels': 'all'}, 'task.channels'),
    ('forecasting', {'form': 'auto'}, "task.form='auto' is not known; allowed: autoregressive, direct"),
    ('forecasting', {'form': 'autoregressive', 'patch': 56}, 'task.patch=56 must divide task.horizon=96'),
    ('forecasting', {'normalise': 'smoothing', 'form': 'autoregressive'}, 'smoothing needs task.form=direct'),
    ('forecasting', {'quantiles': 2}, r'task.quantiles=2 must be 0 \(none\) or odd'),
    ('forecasting', {'quantiles': -1}, 'task.quantiles=-1 must be'),
    ('copying', {'lag': 0}, 'task.lag=0'),
    ('copying', {'loss_on': 'end'}, 'task.loss_on'),
    ('copying', {'train_examples': -1}, 'task.train_examples=-1'),
    ('adding', {'length': 1}, 'task.length=1'),
    ('formal_languages', {'language': 'parities'}, "task.language='parities' is not known; nearest: parity"),
    ('formal_languages', {'length': 1}, 'task.length=1 must be at least 2'),
    ('formal_languages', {'shortest': 0}, 'task.shortest=0'),
    ('formal_languages', {'shortest': 41}, 'task.length=40 must be at least 2 and task.shortest=41'),
    ('formal_languages', {'longest': 40}, 'task.longest=40 must be greater than task.length=40'),
    ('formal_languages', {'language': 'missing_duplicate', 'length': 5, 'shortest': 5}, 'leave no length of missing'),
    ('classification', {'dataset': 'sequential_mnst'}, 'task.dataset=.*nearest: sequential_mnist'),
    ('classification', {'dataset': 'permuted_mnist', 'missing': 'forward'}, 'task.missing=forward has no meaning'),
    ('classification', {'validation': 10}, 'task.validation=10 has no meaning'),
    ('classification', {'dataset': 'a/', 'validation': 60}, 'task.validation=60 must be a percentage'),
    ('classification', {'dataset': 'a/', 'missing': 'mean'}, 'task.missing'),
    ('classification', {'kind': 'both'}, "task.kind='both' is not known; allowed: causal, encode"),
    ('classification', {'patch': 0}, 'task.patch=0'),
    ('listops', {'nesting': 1}, 'task.nesting=1 must be at least 2'),
    ('listops', {'arguments': 1}, 'task.arguments=1 must be at least 2'),
    ('listops', {'shortest': 201}, 'task.shortest=201 must be from 4 to 200'),
    ('listops', {'kind': 'seq2seq'}, 'task.kind'),
    ('temporal_order', {'marks': 11}, 'task.marks=11 must be at most 10'),
    ('temporal_order', {'length': 1}, 'task.length=1 must be at least task.marks=2'),
    ('selective_copying', {'items': 300}, 'task.length=256 must be at least task.items=300'),
    ('selective_copying', {'symbols': 0}, 'task.symbols=0'),
    ('video', {'dataset': 'moving_mnst'}, "task.dataset='moving_mnst' is not known; nearest: moving_mnist"),
    ('video', {'size': 28}, 'task.size=28 must be one of 16, 32, 64'),
    ('video', {'frames': 513}, 'task.frames=513 must be from 2 to 512'),
    ('video', {'history': 20}, 'task.history=20 must be less than task.frames=20'),
    ('video', {'patch': 5}, 'task.patch=5 must divide task.size=32'),
    ('video', {'reading': 'patch'}, "task.reading='patch' is not known; nearest: patches"),
    ('video', {'digits': 9}, 'task.digits=9 must be at most 8'),
    ('video', {'form': 'both'}, "task.form='both' is not known; allowed: autoregressive, direct"),
    ('video_question', {'kind': 'both'}, 'task.kind'),
    ('delay', {'lag': 128}, 'task.length=128 must be greater than task.lag=128'),
    ('delay', {'lag': 0}, 'task.lag=0'),
    ('induction_heads', {'length': 2}, 'task.length=2 must be at least 3'),
    ('state_tracking', {'group': 'A6'}, "task.group='A6' is not known"),
    ('state_tracking', {'length': 0}, 'task.length=0'),
    ('recall', {'pairs': 0}, 'task.pairs=0'),
    ('recall', {'pairs': 17}, 'task.length=64 must be at least 68'),
    ('recall', {'vocabulary': 8}, 'task.vocabulary=8'),
    ('recall', {'queries': 5}, 'task.queries=5'),
    ('recall', {'gap': 7}, 'task.gap=7 must be from 8'),
    ('recall', {'fewest_pairs': 5}, 'task.fewest_pairs=5'),
    ('recall', {'most_pairs': 2}, 'task.most_pairs=2 .* task.fewest_pairs=0'),
    ('recall', {'fewest_pairs': 1, 'most_pairs': 5}, 'task.most_pairs=5'),
    ('recall', {'gap': 58}, 'task.gap=58 .* to 57'),
    ('recall', {'distance': 'near'}, 'task.distance'),
    ('forecasting', {'patch': 5}, 'task.patch=5 must divide task.lookback=336'),
  ],
)
def test_bad_options_are_one_line(name, options, message):
  with pytest.raises(InputError, match=message) as caught:
    tasks.make(name, options)
  assert '\n' not in str(caught.value)


def test_options_are_named_as_configs_name_them():
  assert tasks.options('language')['dataset'] == 'embedded'
  for name in tasks.TASKS:
    assert tasks.make(name, tasks.options(name)) == tasks.TASKS[name]()
  assert tasks.make('language', {'length': 1e2}).length == 100


def test_a_split_too_short_for_the_windows_is_one_line():
  with pytest.raises(InputError, match=r'task\.lookback=5000'):
    tasks.make('forecasting', {'lookback': 5000}).dataset('train', 1)
  with pytest.raises(InputError, match=r'task\.length'):
    tasks.make('language', {'length': 1_000_000}).dataset('train', 1)
  with pytest.raises(InputError, match=r'train\.segment'):
    tasks.make('language', {}).dataset('train', 64, segment=100_000)
  with pytest.raises(InputError, match=r'train_examples=4000 must be at most 3270: the training text has 418613'):
    tasks.make('language', {'train_examples': 4000}).dataset('train', 1)
  with pytest.raises(InputError, match=r'train_examples=301 must be at most 300'):
    tasks.make('classification', {'train_examples': 301}).dataset('train', 1)
  with pytest.raises(InputError, match=r'task\.train_examples=3170 must be at most 3169'):
    tasks.make('forecasting', {'train_examples': 3170}).dataset('train', 1)


def test_every_data_set_has_a_line_and_every_line_a_data_set():
  assert datasets.TEXTS.keys() == corpora.UNITS.keys()
  for name in datasets.SERIES:
    assert tasks.make('forecasting', {'dataset': name}).series == name
  for name in datasets.CASES:
    assert tasks.make('classification', {'dataset': name}).collection == name
  with pytest.raises(InputError, match=f'allowed: {", ".join(sorted(datasets.SERIES))}'):
    tasks.make('forecasting', {'dataset': 'none_of_them'})
