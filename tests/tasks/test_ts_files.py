"""The user's own .ts files: several variables, different lengths, missing values, and bad files with the line named."""

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError

HEADER = '@problemName Toy\n@timeStamps false\n@dimensions 2\n@classLabel true up down\n@data\n'
TRAIN = ['1,2,3:5,5,5:up', '3,2:6,6:down', '1,3:5,6:up', '9,8,7,6:5,5,5,5:down']
TEST = ['1,2:7,7:down', '1,2,3,4,5:7,8,9,9,9:up']


def write(folder, train=TRAIN, test=TEST, header=HEADER, **others):
  for name, lines in {'TRAIN': train, 'TEST': test, **others}.items():
    (folder / f'Toy_{name}.ts').write_text(header + '\n'.join(lines) + '\n')
  return {'dataset': f'{folder}/', 'validation': 50}


def make(folder, **content):
  return tasks.make('classification', write(folder, **content))


def series(task, split):
  """The cases of a split as they were before scaling, sorted: (values of each variable, class)."""
  batch = task.arrays(split, np.arange(task.count(split)))
  units = task.units()
  found = []
  for row, mask, label in zip(batch.inputs, batch.mask, batch.targets, strict=True):
    assert mask[: mask.sum()].all()
    assert not row[~mask].any()
    values = row[mask] * units['deviation'] + units['mean']
    found.append((np.round(values.T, 4).tolist(), units['classes'][label]))
  return sorted(found)


def test_cases_of_several_variables_and_lengths_are_read(tmp_path):
  task = make(tmp_path)
  assert (task.spec.input.size, task.spec.output.size, task.spec.length) == (2, 2, 5)
  assert series(task, 'test') == [([[1, 2], [7, 7]], 'down'), ([[1, 2, 3, 4, 5], [7, 8, 9, 9, 9]], 'up')]
  held, kept = series(task, 'validation'), series(task, 'train')
  assert sorted(label for _, label in held) == sorted(label for _, label in kept) == ['down', 'up']
  every = [
    ([[float(x) for x in part.split(',')] for part in line.split(':')[:-1]], line.split(':')[-1]) for line in TRAIN
  ]
  assert sorted(held + kept) == sorted(every)


def test_scale_is_that_of_the_training_cases_alone(tmp_path):
  task = make(tmp_path)
  rows = [values for values, _ in series(task, 'train')]
  for variable in range(2):
    seen = np.concatenate([values[variable] for values in rows])
    assert task.units()['mean'][variable] == pytest.approx(seen.mean())
    assert task.units()['deviation'][variable] == pytest.approx(seen.std() or 1)


def test_a_validation_file_is_used_where_there_is_one(tmp_path):
  options = write(tmp_path, VALID=['4,4:4,4:up'])
  task = tasks.make('classification', options)
  assert [task.count(split) for split in ('train', 'validation', 'test')] == [4, 1, 2]
  assert series(task, 'validation') == [([[4, 4], [4, 4]], 'up')]


def test_series_of_one_length_need_no_mask(tmp_path):
  task = make(tmp_path, train=['1,2:3,4:up'] * 2 + ['2,1:3,4:down'] * 2, test=['1,1:1,1:up'])
  assert task.arrays('train', np.arange(2)).mask is None
  assert (task.data.deviation > 0).all()


def test_patches_of_unequal_series_are_masked_as_a_whole(tmp_path):
  task = tasks.make('classification', write(tmp_path) | {'patch': 2})
  batch = task.arrays('test', np.arange(2))
  assert sorted(batch.mask.sum(axis=1).tolist()) == [1, 3]


def test_missing_values_are_refused_or_take_the_value_before(tmp_path, caplog):
  options = write(tmp_path, test=['1,?,3:NaN,7,?:up', '1,2:3,4:down'])
  with pytest.raises(
    InputError, match=r'Toy_TEST\.ts line 6, variable 2, value 1 is missing, the first of 3'
  ) as caught:
    tasks.make('classification', options).count('test')
  assert 'task.missing=forward' in str(caught.value)
  task = tasks.make('classification', options | {'missing': 'forward'})
  assert ([[1, 1, 3], [7, 7, 7]], 'up') in series(task, 'test')


@pytest.mark.parametrize(
  ('lines', 'message'),
  [
    (['1,2:3,x:up'], r"line 6, variable 2, value 2: 'x' is not a finite number"),
    (['1,2:3,4:up', '', '1,inf:3,4:up'], r"line 8, variable 1, value 2: 'inf' is not a finite number"),
    (['1,2:3,4:left'], r"line 6: class='left' is not known; .*allowed: down, up"),
    (['1,2:3,4:5,6:up'], r'line 6 has 3 variables instead of 2'),
    (['1,2:3,4,5:up'], r'line 6: variable 2 has 3 values, variable 1 has 2'),
    (['up'], r'line 6 has a class and no series'),
    (['1,2:3,4'], r"line 6: class='3,4' is not known"),
    ([], r'has a header and no cases'),
    (['?,?:1,2:up'], r'line 6, variable 1, value 1 is missing'),
  ],
)
def test_bad_cases_are_one_line_with_their_place(tmp_path, lines, message):
  with pytest.raises(InputError, match=message) as caught:
    make(tmp_path, test=lines).count('test')
  assert 'Toy_TEST.ts' in str(caught.value)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('header', 'message'),
  [
    ('@problemName Toy\n@classLabel true up down\n', r'it has no line `@data`|is neither a comment'),
    ('@problemName Toy\n@data\n', r'no line `@classLabel true …` with its classes before line 2'),
    ('@timeStamps true\n@classLabel true up down\n@data\n', r'line 1: series with time stamps are not read'),
    ('@dimensions two\n@classLabel true up down\n@data\n', r"line 1: '@dimensions two' must say a number"),
    ('@classLabel false\n@data\n', r'no line `@classLabel true …`'),
    ('hello\n@data\n', r'line 1 is neither a comment'),
  ],
)
def test_bad_headers_are_one_line(tmp_path, header, message):
  with pytest.raises(InputError, match=message) as caught:
    make(tmp_path, header=header).count('train')
  assert '\n' not in str(caught.value)


def test_a_case_of_missing_values_alone_is_named(tmp_path):
  options = write(tmp_path, test=['?,?:1,2:up']) | {'missing': 'forward'}
  with pytest.raises(InputError, match=r'Toy_TEST\.ts line 6, variable 1 has no value at all'):
    tasks.make('classification', options).count('test')


def test_a_test_file_of_other_classes_or_variables_is_refused(tmp_path):
  options = write(tmp_path)
  path = tmp_path / 'Toy_TEST.ts'
  path.write_text('@classLabel true up left\n@data\n1,2:3,4:left\n')
  with pytest.raises(InputError, match=r"Toy_TEST\.ts line 3: class 'left' is not one of training"):
    tasks.make('classification', options).count('test')
  path.write_text('@classLabel true up down\n@data\n1,2:up\n')
  with pytest.raises(InputError, match=r'Toy_TEST\.ts line 3 has 1 variables; the first training case has 2'):
    tasks.make('classification', options).count('test')


def test_files_that_are_no_data_set_are_refused(tmp_path):
  write(tmp_path)
  with pytest.raises(InputError, match=r'must be files with train and test in their names'):
    tasks.make('classification', {'dataset': f'{tmp_path}/Toy_TRAIN.ts'}).count('train')
  (tmp_path / 'More_TRAIN.ts').write_text('')
  with pytest.raises(InputError, match=r'are 2 files for train'):
    tasks.make('classification', {'dataset': str(tmp_path)}).count('train')
  with pytest.raises(InputError, match='no file, folder or pattern'):
    tasks.make('classification', {'dataset': f'{tmp_path}/None_*.ts'}).count('train')
  (tmp_path / 'More_TRAIN.ts').unlink()
  (tmp_path / 'Toy_TRAIN.ts').write_bytes(HEADER.encode() + '1,2:3,4:ü'.encode('latin1'))
  with pytest.raises(InputError, match=r'Toy_TRAIN\.ts is not UTF-8: byte 0xfc in line 6'):
    tasks.make('classification', {'dataset': str(tmp_path)}).count('train')


def test_one_case_a_class_leaves_nothing_to_validate_with(tmp_path):
  with pytest.raises(InputError, match=r'task\.validation=50 leaves nothing for validation'):
    make(tmp_path, train=['1,2:3,4:up', '1,2:3,4:down']).count('train')


def test_changed_files_are_other_data(tmp_path):
  before = make(tmp_path).identity()
  assert make(tmp_path).identity() == before
  after = make(tmp_path, test=['1,2:7,8:down']).identity()
  assert after['content']['train'] == before['content']['train']
  assert after['content']['test'] != before['content']['test']
