"""Sweeps from the command line: killed and resumed, in shards, extended, reported; bad input writes nothing."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

import main
from commands import sweep as sweeps
from comparison import records
from training import loop

ROOT = pathlib.Path(main.__file__).parent
CONFIG = f'{ROOT}/configs/copying.py:gru,scale=smoke,width=4,depth=1,symbols=2,items=2,lag=2,evaluation_examples=20'
RATES, SEEDS = '--set=learning_rate=1e-3,1e-2,1e-1', '--set=seed=0..1'
# The processes of a test compile alike.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')


def arguments(workdir, *flags):
  return ['main.py', '--mode=sweep', f'--config={CONFIG}', f'--workdir={workdir}', *flags]


def sweep(workdir, *flags, config=CONFIG):
  return main.main(['main.py', '--mode=sweep', f'--config={config}', f'--workdir={workdir}', *flags])


def scores(workdir):
  """The table, the curve and the verdict, without what depends on time."""
  found = json.loads((workdir / 'sweep.json').read_text())
  return {name: found[name] for name in ('settings', 'best', 'verdict', 'best_of_k', 'axes')}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('whole') / 'W'
  assert sweep(workdir, RATES, SEEDS) == 0
  return workdir


def test_every_trial_is_a_run_with_a_row_in_the_table(whole):
  rows = records.read_all(whole)
  diverged = [row for row in rows if row['metric'] == 'diverged']
  tried = {(row['train.learning_rate'], row['seed']) for row in diverged}
  assert tried == {(rate, seed) for rate in (1e-3, 1e-2, 1e-1) for seed in (0, 1)}
  found = scores(whole)
  assert [setting['seeds'] for setting in found['settings']] == [[0, 1]] * 3
  for setting in found['settings']:
    rate = setting['values']['train.learning_rate']
    losses = []
    for seed in (0, 1):
      folder = whole / 'trials' / f'train.learning_rate={rate},seed={seed}'
      config = json.loads((folder / 'config.json').read_text())
      assert (config['train']['learning_rate'], config['train']['seed']) == (rate, seed)
      metrics = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
      (loss,) = [row['loss'] for row in metrics if row['split'] == 'validation' and row['step'] == 20]
      losses.append(loss)
    assert setting['scores']['validation loss']['value'] == pytest.approx(sum(losses) / 2)
    assert 'test loss' in setting['scores']
  values = [setting['scores']['validation loss']['value'] for setting in found['settings']]
  assert values == sorted(values)
  spent = [row['value'] for row in rows if row['metric'] == 'seconds']
  assert len(spent) == 6
  assert all(value > 0 for value in spent)


def test_no_setting_at_an_edge_is_named_best(whole):
  found = scores(whole)
  first = found['settings'][0]['values']['train.learning_rate']
  assert first == 1e-1  # of twenty updates
  assert found['best'] is None
  assert found['verdict'] == 'No setting is named best: the best learning_rate, 0.1, ends the grid: extend it to 1.'


def test_killed_and_resumed_the_table_is_that_of_an_unbroken_sweep(whole, tmp_path):
  workdir = tmp_path / 'W'
  # The flags of the tests' own process: with others, numbers differ by rounding.
  program = 'import tests.conftest, main, sys; sys.exit(main.main(sys.argv[1:]))'
  command = [sys.executable, '-c', program, *arguments(workdir, RATES, SEEDS)]
  process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  third = workdir / 'trials' / 'train.learning_rate=0.01,seed=0' / 'metrics.jsonl'
  try:
    while process.poll() is None and not (third.exists() and third.read_text()):
      time.sleep(0.001)
    assert process.poll() is None
  finally:
    process.send_signal(signal.SIGKILL)
    process.wait()
  before = records.read_all(workdir)
  finished = {row['cell'] for row in before}
  assert len(finished) in (2, 3)  # the third may just have ended
  assert not (workdir / 'sweep.json').exists()
  assert sweep(workdir, RATES, SEEDS) == 0
  assert records.read_all(workdir)[: len(before)] == before
  assert len({row['cell'] for row in records.read_all(workdir)}) == 6
  assert scores(workdir) == scores(whole)


def test_a_signal_saves_the_trial_and_says_how_to_go_on(whole, tmp_path, monkeypatch, capsys):
  workdir = tmp_path / 'W'
  advance = loop.Loop.advance

  def stopped(self):
    advance(self)
    if self.step == 7 and self.settings.seed == 1:
      signal.raise_signal(signal.SIGTERM)

  with monkeypatch.context() as patched:
    patched.setattr(loop.Loop, 'advance', stopped)
    with pytest.raises(SystemExit) as caught:
      sweep(workdir, '--set=learning_rate=1e-1', SEEDS)
  assert caught.value.code == 128 + signal.SIGTERM
  (line,) = capsys.readouterr().err.splitlines()
  assert 'SIGTERM: saved step 7; go on with: ' in line
  assert len({row['cell'] for row in records.read_all(workdir)}) == 1
  assert sweep(workdir, '--set=learning_rate=1e-1', SEEDS) == 0
  (setting,) = scores(workdir)['settings']
  assert setting == next(s for s in scores(whole)['settings'] if s['values'] == setting['values'])
  assert scores(workdir)['verdict'].startswith('Best by validation')  # of one value, which has no edge


def test_shards_make_one_table(whole, tmp_path, capsys):
  workdir = tmp_path / 'W'
  assert sweep(workdir, RATES, SEEDS, '--shard=0/2') == 0
  out = capsys.readouterr().out
  assert '3 trials run' in out
  assert 'No setting is named best: 3 of 6 trials are not finished.' in out
  assert sweep(workdir, RATES, SEEDS, '--shard=1/2') == 0
  assert {path.name for path in workdir.glob('records*')} == {'records-0-of-2.jsonl', 'records-1-of-2.jsonl'}
  assert scores(workdir)['verdict'] == scores(whole)['verdict']
  assert {str(s['values']): s['scores'] for s in scores(workdir)['settings']} == {
    str(s['values']): s['scores'] for s in scores(whole)['settings']
  }
  assert sweep(workdir, RATES, SEEDS) == 0
  assert '0 trials run, 6 were finished already, 0 failed' in capsys.readouterr().out


def test_an_extended_grid_trains_what_is_new_and_diverged_trials_are_counted(whole, tmp_path, monkeypatch, capsys):
  workdir = tmp_path / 'W'
  shutil.copytree(whole, workdir)
  finish = loop.Loop.finish

  def diverging(self):
    if self.settings.learning_rate == 1.0 and self.settings.seed == 1:
      raise loop.Diverged('step 1: the loss is not finite')
    finish(self)

  monkeypatch.setattr(loop.Loop, 'finish', diverging)
  assert sweep(workdir, '--set=learning_rate=1e-3,1e-2,1e-1,1', SEEDS) == 0
  out = capsys.readouterr().out
  assert '2 trials run, 6 were finished already, 0 failed' in out
  assert '8 trials (1 diverged, 0 failed)' in out
  found = scores(workdir)
  assert found['best'] == {'train.learning_rate': 0.1}  # it is no edge any more
  assert 'Best by validation: learning_rate=0.1' in out
  last = found['settings'][-1]
  assert (last['values'], last['diverged'], last['scores']) == ({'train.learning_rate': 1.0}, 1, {})
  assert found['best_of_k']['rows'][0][1] == 'diverged'  # one trial alone may be that one
  assert 'diverged' not in found['best_of_k']['rows'][-1]


def test_a_budget_says_which_part_it_takes(tmp_path, capsys):
  assert sweep(tmp_path / 'W', RATES, SEEDS, '--budget=1', '--sweep_seed=3') == 0
  out = capsys.readouterr().out
  part = '--budget=1: 1 of the 6 trials of the product, drawn with sweep_seed 3'
  assert out.startswith(part)
  assert out.count(part) == 2  # the budget line has it too


def test_the_report_prints_the_table_again_and_writes_every_format(whole, capsys):
  before = (whole / 'sweep.json').read_text()
  assert main.main(['main.py', '--mode=report', f'--workdir={whole}']) == 0
  out = capsys.readouterr().out
  header = next(line for line in out.splitlines() if line.startswith('learning_rate'))
  assert header.split('  ')[0] == 'learning_rate'
  assert 'Best of k' not in out
  assert 'No setting is named best' in out
  assert (whole / 'sweep.json').read_text() == before
  for kind, name in (('markdown', 'md'), ('csv', 'csv'), ('json', 'json'), ('latex', 'tex')):
    (whole / f'sweep.{name}').unlink()
    assert main.main(['main.py', '--mode=report', f'--workdir={whole}', f'--format={kind}']) == 0
    assert (whole / f'sweep.{name}').stat().st_size > 100
  assert (whole / 'sweep_best_of_k.csv').read_text().startswith('k,validation loss,')
  capsys.readouterr()
  assert main.main(['main.py', '--mode=report', f'--workdir={whole}', '--format=html']) == 2
  assert '--format=html has no effect on a sweep' in capsys.readouterr().err


def test_trials_of_another_kind_of_device_are_left_out_with_a_warning(whole, tmp_path, capsys):
  workdir = tmp_path / 'W'
  workdir.mkdir()
  shutil.copy(whole / 'space.json', workdir)
  rows = records.read_all(whole)
  cells = list(dict.fromkeys(row['cell'] for row in rows))
  for cell in cells:
    kind = {} if cell == cells[0] else {'device_kind': 'another'}
    records.append(workdir / 'records.jsonl', [{**row, **kind} for row in rows if row['cell'] == cell])
  assert main.main(['main.py', '--mode=report', f'--workdir={workdir}']) == 0
  (line,) = [line for line in capsys.readouterr().err.splitlines() if 'left out' in line]
  assert f'of another alone; 1 of {rows[0]["device_kind"]} are left out' in line


AXIS = {'field': 'train.seed', 'text': '0..1', 'numeric': True, 'below': None, 'above': None}
SPACE = {'config': {}, 'axes': [AXIS], 'seeds': AXIS, 'cells': ['a']}


def test_what_a_sweep_needs_of_its_space_is_checked():
  assert sweeps.is_whole(SPACE)
  broken = [{**SPACE, 'axes': [{k: v for k, v in AXIS.items() if k != name}]} for name in AXIS]
  broken += [{k: v for k, v in SPACE.items() if k != name} for name in SPACE]
  broken += [{**SPACE, name: 3} for name in SPACE]
  broken += [[], None, {**SPACE, 'cells': [1]}, {**SPACE, 'seeds': {'field': 1, 'text': ''}}, {**SPACE, 'axes': [[]]}]
  assert not any(map(sweeps.is_whole, broken))


@pytest.mark.parametrize(
  ('flags', 'expected'),
  [
    ([], '--mode=sweep needs --set'),
    ([RATES], '--set=seed=… is missing'),
    ([RATES, SEEDS, '--set=lr=1'], "--set field='lr' is not known; nearest: learning_rate"),
    ([RATES, SEEDS, '--set=model.width=a'], "model.width='a' must be a whole number"),
    ([RATES, '--set=seed=1..0'], '--set=train.seed=1..0 is empty'),
    ([RATES, SEEDS, '--budget=0'], '--budget=0'),
    ([RATES, SEEDS, '--shard=2/2'], "--shard='2/2' must be i/n"),
    ([SEEDS, '--set=learning_rate=uniform:0:1'], 'is drawn and needs --budget=N'),
    ([SEEDS, '--set=learning_rate=-1,1'], 'train.learning_rate=-1.0 must be greater than 0'),
    ([SEEDS, '--set=optimizer=adamw,adamx'], "train.optimizer='adamx' is not known"),
    ([SEEDS, '--set=model.pattern=gru,attention', '--set=model.heads=3'], 'heads'),
    ([SEEDS, '--set=task.lag=-3,2'], 'lag'),
    ([RATES, SEEDS, '--config.train.seed=1'], '--config.train.seed and --set=train.seed exclude each other'),
    ([RATES, SEEDS, '--config.train.init_from=/nope.safetensors'], 'train.init_from=/nope.safetensors cannot be read'),
    ([RATES, SEEDS, '--config.train.writers=jsonl,wand'], "'wand'"),
  ],
)
def test_bad_input_is_one_line_and_writes_nothing(flags, expected, tmp_path, capsys):
  workdir = tmp_path / 'W'
  assert sweep(workdir, *flags) == 2
  err = capsys.readouterr().err
  assert expected in err
  assert err.count('\n') == 1
  assert not workdir.exists()


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('lr[1e-3]', "lr[1e-3]' must not hold '[' ']': checkpoints cannot be kept there"),  # not in a comparison's
    ('trials/W', 'trials/W cannot be used: Not a directory'),
    ('', ' cannot be written: {}/trials is a file'),
  ],
)
def test_a_workdir_that_no_trial_could_use_is_refused(name, expected, tmp_path, capsys):
  (tmp_path / 'trials').write_text('')
  assert sweep(tmp_path / name, RATES, SEEDS) == 2
  err = capsys.readouterr().err
  assert err.startswith('error: --workdir=')
  assert expected.format(tmp_path) in err
  assert err.count('\n') == 1
  assert [path.name for path in tmp_path.iterdir()] == ['trials']


def test_a_sweep_without_a_finished_trial_ends_with_an_error(tmp_path, monkeypatch, capsys):
  def fail(*_, **__):
    raise OSError('the disk is gone')

  with monkeypatch.context() as patched:
    patched.setattr('train.train', fail)
    with pytest.raises(SystemExit) as caught:
      sweep(tmp_path / 'W', '--set=learning_rate=1e-1', SEEDS)
  assert caught.value.code == 'error: all 2 trials failed; their lines above say why'
  out = capsys.readouterr().out
  assert out.count('FAILED: OSError: the disk is gone') == 2
  assert '0 trials run, 0 were finished already, 2 failed' in out


def test_a_workdir_of_something_else_is_refused(whole, tmp_path, capsys):
  other = CONFIG.replace('width=4', 'width=8')
  files = sorted(path.name for path in whole.iterdir())
  for flags, config, expected in (
    ([RATES, SEEDS], other, 'is of a sweep of another config: model.width is 4 there and 8 now'),
    ([SEEDS], CONFIG, 'is of a sweep over other fields (train.learning_rate; now: the seed alone)'),
  ):
    assert sweep(whole, *flags, config=config) == 2
    assert expected in capsys.readouterr().err
  assert main.main(['main.py', '--mode=compare', '--scale=smoke', '--experiments=order', f'--workdir={whole}']) == 2
  assert 'is of a sweep' in capsys.readouterr().err
  assert sorted(path.name for path in whole.iterdir()) == files
  (tmp_path / 'config.json').write_text('{}')
  assert sweep(tmp_path, RATES, SEEDS) == 2
  assert 'is of a training run (it holds config.json); a sweep needs another workdir' in capsys.readouterr().err
  (tmp_path / 'config.json').unlink()
  (tmp_path / 'space.json').write_text('{"config": 3}')
  for flags in (['--mode=report', f'--workdir={tmp_path}'], arguments(tmp_path, RATES, SEEDS)[1:]):
    assert main.main(['main.py', *flags]) == 2
  assert 'space.json is damaged' in capsys.readouterr().err
