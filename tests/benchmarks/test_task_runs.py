"""The table of tasks: what it shows is what the workdirs hold, and the commands are those that were given."""

import json

import pytest

import eval as evaluation
import train
from benchmarks import task_runs
from configs import copying
from seqmodels.errors import InputError
from training import workdir as workdirs

PAGE = f'# Tasks\n\n{task_runs.BEGIN}\nold\n{task_runs.END}\n\nnotes\n'
ROW = {
  'task': 'copying', 'examples': 'by number', 'metric': 'accuracy', 'published': '1', 'runs': ['small'],
  'scores': [['test/accuracy', '.2f'], ['test/loss', '.1f']], 'more': ['0.9 by hand'],
  'trivial': [{'name': 'no memory', 'label': 'chance'}, '0 none'],
}  # fmt: skip
COMMAND = 'python main.py --mode=train --config=configs/copying.py:gru,scale=smoke,steps=2,eval_every=0 --workdir=/w/s'


def trained(workdir):
  train.train(copying.get_config('gru,scale=smoke,steps=2,eval_every=0'), workdir)
  path = workdir / 'provenance.json'
  made = json.loads(path.read_text())
  made[0]['command'] = COMMAND
  path.write_text(json.dumps(made))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder with one run of a workdir that was trained and evaluated."""
  root = tmp_path_factory.mktemp('root')
  trained(root / 'small')
  evaluation.main(str(root / 'small'))
  task_runs.take_over(root / 'small', root / 'tasks')
  return root / 'tasks'


def page_of(folder, *rows):
  (folder / 'about.json').write_text(json.dumps({'rows': rows}))
  return task_runs.with_table(PAGE, folder)


def test_the_table_shows_what_the_workdir_holds(folder):
  page = page_of(folder, ROW)
  evaluations = map(json.loads, (folder / 'small' / 'eval.jsonl').read_text().splitlines())
  test = next(row for row in evaluations if row['split'] == 'test')
  assert page.startswith('# Tasks\n\n')
  assert page.endswith(f'{task_runs.END}\n\nnotes\n')
  assert 'old' not in page
  (line,) = [line for line in page.splitlines() if line.startswith('| copying')]
  cells = [cell.strip() for cell in line.strip('|').split('|')]
  assert cells[:4] == ['copying', 'by number', 'accuracy', '0.12, 0.7 chance; 0 none']
  run = json.loads((folder / 'small' / 'run.json').read_text())
  size, seconds = run['parameters'], f'{60 * run["minutes"]:.0f}'
  assert cells[4:] == [
    f'{test["accuracy"]:.2f}, {test["loss"]:.1f} `gru` ({size / 1e3:.0f}k, {seconds} s); 0.9 by hand', '1',
    run['device'], '1', '1',
  ]  # fmt: skip
  assert f'{COMMAND.replace("/w/s", "runs/small")}  # 1\n' in page
  assert task_runs.with_table(page, folder) == page


def test_labels_and_baselines_stand_in_the_place_of_names(folder):
  row = {**ROW, 'labels': {'small': 'a small one'}, 'baselines': [{'name': 'no memory'}]}
  (line,) = [line for line in page_of(folder, row).splitlines() if line.startswith('| copying')]
  assert ' a small one (' in line
  assert '; 0.12, 0.7 no memory; 0.9 by hand |' in line


def test_runs_in_a_list_of_their_own_are_shown_by_their_mean(folder, tmp_path):
  for name, scores in (('one', {'accuracy': 0.25, 'loss': 1.0}), ('two', {'accuracy': 0.75, 'loss': 2.0})):
    (tmp_path / name).mkdir()
    run = json.loads((folder / 'small' / 'run.json').read_text()) | {'parameters': 5000, 'minutes': 2.0}
    (tmp_path / name / 'run.json').write_text(json.dumps({**run, 'baselines': {'no memory': scores}}))
    (tmp_path / name / 'eval.jsonl').write_text(json.dumps({'split': 'test', **scores}))
  row = {**ROW, 'runs': [['one', 'two'], ['one', 'three']], 'commands': {'three': '--config=configs/a.py:lstm'}}
  (line,) = [line for line in page_of(tmp_path, row).splitlines() if line.startswith('| copying')]
  cells = [cell.strip() for cell in line.strip('|').split('|')]
  mean = '0.50 (0.25 to 0.75), 1.5 (1.0 to 2.0)'
  assert cells[3] == f'{mean} chance; 0 none'
  assert cells[4] == f'{mean} `gru` (5k, 4 min); `gru` not measured; 0.9 by hand'
  assert cells[8] == '1, 2, 1, 3'


def test_a_run_that_is_not_there_yet_is_not_measured(folder):
  command = 'python main.py --mode=train --config=configs/copying.py:lstm --workdir=runs/later'
  later = {**ROW, 'task': 'later', 'runs': ['later', '../tasks/small'], 'trivial': [], 'more': []}
  page = page_of(folder, ROW, {**later, 'commands': {'later': command}})
  (line,) = [line for line in page.splitlines() if line.startswith('| later')]
  cells = [cell.strip() for cell in line.strip('|').split('|')]
  assert cells[4].startswith('`lstm` not measured; 0.')
  assert cells[8] == '2, 3'
  assert f'{command}  # 2\n' in page
  with pytest.raises(InputError, match=r'later has neither a run\.json nor a command in about\.json'):
    page_of(folder, ROW, later)


def test_a_run_that_no_row_shows_is_refused(folder):
  with pytest.raises(InputError, match=r'no row of about\.json shows small'):
    page_of(folder, {**ROW, 'runs': [], 'trivial': []})


def test_a_workdir_without_an_evaluation_is_refused(tmp_path):
  trained(tmp_path / 'small')
  with pytest.raises(InputError, match='checkpoint 2 is not evaluated'):
    task_runs.take_over(tmp_path / 'small', tmp_path)


@pytest.mark.parametrize(
  ('given', 'typed'),
  [
    (
      '/usr/bin/python main.py --mode=train --workdir=/x --config=configs/adding.py:gru --config.train.seed=1',
      'python main.py --mode=train --config=configs/adding.py:gru --config.train.seed=1 --config.task.length=99 '
      '--workdir=runs/a',
    ),
    (
      'python /a/main.py --config=configs/adding.py:gru,steps=5 --mode=train --config.task.length=99',
      'python main.py --config=configs/adding.py:gru,steps=5 --mode=train --config.task.length=99 --workdir=runs/a',
    ),
  ],
)
def test_a_command_is_one_that_is_typed_today(given, typed):
  """Values of the workdir that are not today's defaults, and that the command does not set itself, are added."""
  argument = next(word for word in given.split() if word.startswith('--config=')).removeprefix('--config=')
  config = workdirs.plain(task_runs.load(argument))
  config['train']['seed'] = 1 if 'seed' in given else config['train']['seed']
  config['task'] |= {'length': 99, 'renamed': 3}
  assert task_runs.command(given, 'a', config) == typed
