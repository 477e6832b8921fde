"""The user's own CSV: read whole and in order, or refused with line and column."""

import datetime
import json
import logging

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.datasets import own_csv
from tasks.identity import check_identity

ROWS = 200
VALUES = np.random.default_rng(0).normal(size=(ROWS, 2)).round(6)
START = datetime.datetime(2020, 1, 1)


@pytest.fixture(autouse=True)
def log(caplog):
  """The project's log at level INFO."""
  caplog.set_level(logging.INFO, 'seqmodels')
  return caplog


def lines(step=datetime.timedelta(hours=1), header='date,load,temperature'):
  dates = [START + i * step for i in range(ROWS)]
  return [header, *(f'{date},{a},{b}' for date, (a, b) in zip(dates, VALUES, strict=True))]


def forecasting(path, **options):
  return tasks.make('forecasting', {'dataset': str(path), 'lookback': 8, 'horizon': 4} | options)


@pytest.fixture
def write(tmp_path):
  path = tmp_path / 'table.csv'

  def written(content, encoding='utf-8'):
    path.write_bytes('\n'.join(content).encode(encoding) if isinstance(content, list) else content)
    return path

  return written


def data_of(task):
  """The values in the file's own units."""
  return task.data.values * task.data.deviation + task.data.mean


def refusal(path, **options) -> str:
  with pytest.raises(InputError) as caught:
    forecasting(path, **options).spec  # noqa: B018
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_a_table_with_dates_is_read_and_cut_in_time(write, log):
  task = forecasting(write(lines()))
  np.testing.assert_allclose(data_of(task), VALUES, atol=1e-12)
  assert task.data.ends.tolist() == [[140, 160, 200]]
  assert task.data.periods == (24, 168)
  assert (task.count('train'), task.count('validation'), task.count('test')) == (129, 17, 37)
  assert task.spec.input.size == 2
  batch = next(iter(task.dataset('test', 3)))
  np.testing.assert_allclose(batch.inputs[0] * task.data.deviation + task.data.mean, VALUES[152:160], rtol=1e-5)
  assert forecasting(write(lines()), split='60/20/20').data.ends.tolist() == [[120, 160, 200]]
  assert not log.messages


@pytest.mark.parametrize(
  ('step', 'periods'),
  [
    ({'minutes': 15}, (96, 672)),
    ({'minutes': 7}, (1,)),
    ({'hours': 1}, (24, 168)),
    ({'days': 1}, (7,)),
    ({'weeks': 1}, (52,)),
    ({'days': 30}, (12,)),
    ({'hours': 5}, (1,)),
  ],
)
def test_the_step_between_dates_tells_the_seasons(write, step, periods):
  path = write(lines(datetime.timedelta(**step)))
  assert forecasting(path).data.periods == periods
  assert forecasting(path, period=10).data.periods == (10,)


@pytest.mark.parametrize(
  ('content', 'options', 'names'),
  [
    (lines(header='when,load,temperature'), {}, ['load', 'temperature']),
    (lines()[1:], {}, ['column 2', 'column 3']),
    ([line.replace(',', ';') for line in lines()], {}, ['load', 'temperature']),
    ([line.replace(',', '\t') for line in lines()], {'columns': 'temperature'}, ['temperature']),
    ([line.partition(',')[2] for line in lines()], {}, ['load', 'temperature']),
    ([line.partition(',')[2] for line in lines()[1:]], {}, ['column 1', 'column 2']),
    ([f'"{line.replace(",", chr(34) + "," + chr(34))}"' for line in lines()], {}, ['load', 'temperature']),
    (lines(header='ds,load,temperature'), {'columns': 'temperature+load'}, ['temperature', 'load']),
    ([line.replace('-', '/', 2) if i else line for i, line in enumerate(lines())], {}, ['load', 'temperature']),
  ],
  ids=['named', 'no header', 'semicolon', 'tab', 'no dates', 'numbers alone', 'quoted', 'chosen', 'slashes'],
)
def test_tables_of_many_forms_are_read(write, content, options, names):
  task = forecasting(write(content), **options)
  assert task.data.identity['columns'] == names
  expected = VALUES[:, [0 if name in ('load', names[0]) and name != 'temperature' else 1 for name in names]]
  np.testing.assert_allclose(data_of(task), expected, atol=1e-12)


def test_marks_and_line_ends_of_windows_are_read_and_said(write, log):
  path = write(b'\xef\xbb\xbf' + '\r\n'.join([*lines(), '', '']).encode())
  np.testing.assert_allclose(data_of(forecasting(path)), VALUES, atol=1e-12)
  assert log.messages == [f'{path}: its byte order mark is left out', f'{path}: 202 line ends CR LF are read as LF']


def test_unsorted_rows_are_sorted_and_said(write, log):
  content = lines()
  path = write([content[0], *content[:0:-1]])
  np.testing.assert_allclose(data_of(forecasting(path)), VALUES, atol=1e-12)
  assert log.messages == [f"{path}: rows are sorted by 'date'; in 199 places a date came before the one above it"]


def test_a_gap_in_the_dates_is_said(write, log):
  content = lines()
  path = write([*content[:50], *content[60:]])
  assert len(forecasting(path).data.values) == ROWS - 10
  assert log.messages == [
    f'{path}: 1 of 189 steps between rows are not 1:00:00, the first after line 50; rows count as evenly spaced'
  ]


def test_missing_values_are_refused_or_take_the_value_before(write, log):
  content = lines()
  for line, text in ((10, ',,'), (11, ',NaN,'), (11, ',nan,n/a')):
    date = content[line].partition(',')[0]
    content[line] = (
      f'{date}{text}' if text.count(',') == 2 and text[-1] != ',' else f'{date}{text}{VALUES[line - 1][1]}'
    )
  path = write(content)
  message = "line 11, column 'load' has no value, the first of 3 missing in 2 columns; task.missing=forward takes"
  assert message in refusal(path)
  filled = VALUES.copy()
  filled[9, 0] = filled[10, 0] = filled[8, 0]
  filled[10, 1] = filled[9, 1]
  np.testing.assert_allclose(data_of(forecasting(path, missing='forward')), filled, atol=1e-12)
  assert log.messages == [f'{path}: 3 missing values in 2 columns take the value before']
  content[1] = f'{START},,1.0'
  assert "line 2, column 'load' has no value, and none before it" in refusal(write(content), missing='forward')


def test_empty_lines_inside_are_said(write, log):
  content = lines()
  path = write([*content[:5], '', ',,', *content[5:], '', ''])
  np.testing.assert_allclose(data_of(forecasting(path)), VALUES, atol=1e-12)
  assert log.messages == [f'{path}: 2 empty lines are left out, the first is line 6']


def test_a_column_that_does_not_change_is_said(write, log):
  path = write([f'{line},5' if i else f'{line},constant' for i, line in enumerate(lines())])
  task = forecasting(path)
  assert not task.data.values[:, 2].any()
  assert log.messages == [f"{path}: column 'constant' is 5 in all 140 training rows; it is shifted to 0"]
  metrics = task.metrics(np.zeros((2, 12), np.float32), task.arrays('test', np.arange(2)))
  assert metrics['mase'][1].tolist() == [8.0, 8.0], 'it has no seasonal error to compare with'
  assert all(np.isfinite(value).all() for value, _ in metrics.values())


def changed(line, text):
  content = lines()
  content[line] = text
  return content


@pytest.mark.parametrize(
  ('content', 'options', 'message'),
  [
    (b'', {}, 'table.csv is empty'),
    (b'\n\n \n', {}, 'table.csv is empty'),
    (['date,load'], {}, 'table.csv has a header and no rows'),
    (changed(9, '2020-01-01 08:00:00,1'), {}, 'table.csv line 10 has 2 cells instead of 3'),
    (changed(9, '2020-01-01 08:00:00,1,2,3'), {}, 'table.csv line 10 has 4 cells instead of 3'),
    (changed(9, '2020-01-01 08:00:00,1.5x,2'), {}, "line 10, column 'load': '1.5x' is not a finite number"),
    (changed(9, '2020-01-01 08:00:00,1,inf'), {}, "line 10, column 'temperature': 'inf' is not a finite number"),
    (changed(9, '2020-01-01 08:00:00,1,1e999'), {}, "line 10, column 'temperature': '1e999' is not a finite number"),
    (changed(9, '2020-01-01 08:00:00,1,1_0'), {}, "line 10, column 'temperature': '1_0' is not a finite number"),
    (changed(9, f'2020-01-01 08:00:00,1,{"x" * 99}'), {}, f"'{'x' * 40}…' is not a finite number"),
    (changed(9, '2020-13-01 08:00:00,1,2'), {}, "line 10, column 'date': '2020-13-01 08:00:00' is not a date such as"),
    (changed(9, ',1,2'), {}, "line 10, column 'date': '' is not a date"),
    (changed(9, '2020-01-01 00:00:00,1,2'), {}, "lines 2 and 10 have the same date: '2020-01-01 00:00:00'"),
    (changed(9, '2020-01-01 08:00:00+01:00,1,2'), {}, "column 'date': dates of different kinds"),
    (changed(0, 'date,load,load'), {}, "names the column 'load' twice"),
    (changed(0, '2019-12-31,1,2x'), {}, "neither a header nor values: column 1 is '2019-12-31', column 3 '2x'"),
    (changed(0, 'date,load,1.5'), {}, "line 1 is neither a header nor values: column 3 is '1.5', column 1 'date'"),
    (changed(9, '"2020-01-01 08:00:00,1,2'), {}, 'is no CSV: unexpected end of data'),
    (lines(), {'date': 'dat'}, "task.date of table.csv='dat' is not known; nearest: date"),
    (lines(), {'date': 'none'}, "line 2, column 'date': '2020-01-01 00:00:00' is not a finite number"),
    (lines(), {'columns': 'lod'}, "task.columns='lod' is not known; nearest: load"),
    (lines(), {'columns': 'date'}, "'date' is the column of dates"),
    (['date', '2020-01-01'], {}, "has no column beside 'date', the dates"),
    ('\n'.join(lines()).encode('utf-16'), {}, 'table.csv is UTF-16'),
    ('\n'.join(lines(header='date,caf\xe9,b')).encode('latin1'), {}, 'is not UTF-8: byte 0xe9 in line 1'),
  ],
)
def test_what_is_no_table_of_numbers_is_refused_with_its_place(write, content, options, message):
  assert message in refusal(write(content), **options)


def test_a_table_shorter_than_a_window_is_refused(write):
  task = forecasting(write(lines()[:15]))
  with pytest.raises(InputError, match=r'task\.lookback=8 and task\.horizon=4 do not fit into .*table\.csv'):
    task.dataset('train', 1)


def test_options_of_a_file_belong_to_a_file(write, tmp_path):
  for options, message in (
    ({'missing': 'forward'}, "task.missing='forward' has no meaning with task.dataset=seasonal: it is for a CSV file"),
    ({'columns': 'OT'}, 'task.columns='),
    ({'split': '90/10'}, "task.split='90/10' must be auto, or three percentages"),
    ({'dataset': 'm4_hourly', 'split': '70/10/20'}, 'must be auto with task.dataset=m4_hourly'),
    ({'dataset': 'table'}, 'the path of a CSV file, or tfds:NAME'),
  ):
    with pytest.raises(InputError, match=message):
      tasks.make('forecasting', options)
  path = write(lines())
  with pytest.raises(InputError, match=r"task\.missing='drop' is not known; allowed: forward, refuse"):
    forecasting(path, missing='drop')
  with pytest.raises(InputError, match=r'task\.period=-1'):
    forecasting(path, period=-1)
  (tmp_path / 'other.csv').write_text('1\n2\n')
  assert 'matches 2 files' in refusal(tmp_path / '*.csv')
  assert 'is no file' in refusal(tmp_path / 'nothing.csv')


def test_the_identity_follows_the_values_and_not_the_form(write):
  recorded = json.loads(json.dumps(forecasting(write(lines())).identity()))
  check_identity(recorded, forecasting(write([line.replace(',', ';') for line in lines()])))
  path = write(changed(9, '2020-01-01 08:00:00,1,2'))
  with pytest.raises(InputError, match=r'run: content was sha256 \w+… and is sha256'):
    check_identity(recorded, forecasting(path))
  with pytest.raises(InputError, match=r"columns was \['load', 'temperature'\] and is \['load'\]"):
    check_identity(recorded, forecasting(write(lines()), columns='load'))


def test_numbers_in_the_column_of_dates_order_the_rows(write):
  path = write(['year,value', *(f'{2000 - i},{i}' for i in range(50))])
  task = forecasting(path)
  np.testing.assert_allclose(data_of(task)[:, 0], np.arange(49, -1, -1))
  assert task.data.periods == (1,)


def test_random_damage_is_read_or_refused_in_one_line(write):
  """Bytes replaced, inserted and left out at random: a table, or an InputError; nothing else."""
  random = np.random.default_rng(0)
  content = '\n'.join(lines()[:40]).encode()
  for _ in range(150):
    damaged = bytearray(content)
    for place in random.integers(0, len(content), 3):
      damaged[place : place + random.integers(0, 2)] = bytes(random.choice(list(b'\x00,;"\n-9e.\xff'), 1).tolist())
    path = write(bytes(damaged))
    try:
      values, message = own_csv.load([path], missing='forward').values, ''
    except InputError as error:
      values, message = np.zeros(1), str(error)
    assert np.isfinite(values).all()
    assert '\n' not in message
