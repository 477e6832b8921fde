"""Flags: bad input is one line, exit code 2 and nothing written; and a small run through train and eval."""

import gc
import json
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import eval as evaluation
import main
from training.checkpoint import Checkpoints
from training.metrics import read_rows
from training.run import build_run
from training.workdir import read_config

ROOT = pathlib.Path(main.__file__).parent
COPYING = f'--config={ROOT}/configs/copying.py'
SMALL = f'{COPYING}:gru,width=8,depth=1,symbols=2,items=2,lag=2,batch_size=4,steps=6,warmup_steps=0,keep=2'
TRAIN = ['--mode=train', '--workdir=W', f'{COPYING}:gru']


def run(capsys, *flags: str) -> tuple[int, str]:
  """The exit code and what stands on stderr."""
  code = main.main(['main.py', *flags])
  return code, capsys.readouterr().err


@pytest.mark.parametrize(
  ('flags', 'expected'),
  [
    ([], '--mode is missing; allowed: train'),
    (['--mode=trian'], "--mode='trian' is not known; nearest: train"),
    (['--mode=train'], '--mode=train needs --config'),
    (['--mode=train', COPYING + ':gru'], '--mode=train needs --workdir'),
    (['--mode=train', '--workdir=W', '--config=configs/copyin.py:gru'], 'nearest: configs/copying.py'),
    (['--mode=train', '--workdir=W', COPYING + ':gruu'], 'nearest: gru'),
    (['--mode=train', '--workdir=W', COPYING + ':gru,lagg=3'], 'nearest: lag'),
    (['--mode=train', '--workdir=W', COPYING + ':gru,lag=-3'], 'task.lag'),
    (['--mode=train', '--workdir=W', COPYING + ':gru,width=0'], 'model.width=0 must be at least 1'),
    (['--mode=train', '--workdir=W', COPYING + ':gru,batch_size=0'], 'train.batch_size=0 must be greater than 0'),
    (['--mode=train', '--workdir=W', COPYING + ':gru,steps=abc'], "train.steps='abc' must be a whole number"),
    ([*TRAIN, '--config.train.steps=abc'], "train.steps='abc' must be a whole number"),
    ([*TRAIN, '--config.train.stepz=3'], "'stepz' is not known; nearest: steps"),
    ([*TRAIN, '--config.trian.steps=3'], "'trian' is not known; nearest: train"),
    ([*TRAIN, '--config.train.optimizer=adamm'], 'nearest: adam, adamw'),
    ([*TRAIN, '--config.task.name=copyin'], 'nearest: copying'),
    ([*TRAIN, '--platform=gup'], "--platform='gup' is not known; nearest: gpu"),
    ([*TRAIN, '--config.model.params=inf'], 'model.params=inf must be a finite number'),
    ([*TRAIN, '--config.model.pattern=lstmm+gru'], 'nearest: lstm'),
    (['--mode=train', '--workdir=W', f'--config={ROOT}/README.md:lstm'], 'README.md:lstm: '),
    ([*TRAIN, '--config=nothing.py:gru'], '--config=nothing.py:gru: given twice, first as '),
    ([*TRAIN, '--flagfile=nothing'], 'nothing'),
    (['--mode=train', '--workdir=W', '--config=configs/copying.py:gru'], 'is not a file of the current folder'),
    (
      ['--mode=train', '--workdir=W', f'--config={ROOT}/configs/forecasting.py:gru,lookback=24,horizon=5000'],
      'task.horizon=5000 do not fit',
    ),
    (
      ['--mode=train', '--workdir=W', f'--config={ROOT}/configs/language.py:transformer,position=learned,segment=8'],
      'train.segment=8 must be 0 with model.position=learned',
    ),
    (
      [
        '--mode=train',
        '--workdir=W',
        f'--config={ROOT}/configs/language.py:linformer_encoder,objective=masked,length=600',
        '--config.model.mixer.length=512',
      ],
      'mixer.length=512 of linformer must be at least 600',
    ),
    (['--mode=generate', '--workdir=W', '--prompt=a', '--seed=99999999999999999999'], '--seed=99999999999999999999'),
    (['--mode=train', '--config.train.steps=3'], '--config.train.steps needs --config='),
    ([*TRAIN, '--step=3'], '--step has no effect with --mode=train; allowed:'),
    (['--mode=eval', '--workdir=W', COPYING + ':gru'], '--config has no effect with --mode=eval'),
    (['--mode=eval', '--workdir=W'], '--workdir=W holds no trained model'),
    (['--mode=eval', '--workdir=W', '--step=-1'], '--step=-1'),
    (['--mode=eval', '--workdir=W', '--step=1', '--all_steps'], '--step and --all_steps exclude each other'),
    (['--mode=eval', '--wrkdir=W'], "flag='wrkdir' is not known; nearest: workdir"),
    (['--mode=eval', '--workdir=W', 'rest'], "'rest' is not expected"),
    (['--mode=eval', '--workdir'], '--workdir'),
    (['--mode=generate', '--workdir=W', '--prompt=a', '--top_p=2'], '--top_p=2'),
    (['--mode=generate', '--workdir=W'], '--mode=generate needs --prompt'),
    (['--mode=generate', '--workdir=W', '--prompt=a', '--length_penalty=-1'], '--length_penalty=-1'),
    (['--mode=generate', '--workdir=W', '--prompt=a', '--length_penalty=1'], '--length_penalty=1.0 needs --beam'),
    (
      ['--mode=generate', '--workdir=W', '--prompt=a', '--beam=2', '--top_k=3'],
      '--top_k and --beam exclude each other',
    ),
    (['--mode=compare', '--workdir=W'], '--mode=compare needs --scale'),
    (['--mode=compare', '--workdir=W', '--scale=smoke', '--shard=4/4'], "--shard='4/4' must be i/n with 0 <= i < n"),
    (['--mode=compare', '--workdir=W', '--scale=smoke', '--claims=1,x'], "--claims='x' must be numbers"),
  ],
)
def test_bad_flags_are_one_line(capsys, tmp_path, monkeypatch, flags, expected):
  monkeypatch.chdir(tmp_path)
  code, err = run(capsys, *flags)
  assert code == 2
  assert expected in err
  assert err.startswith('error: ')
  assert err.count('\n') == 1
  assert not list(tmp_path.iterdir())


def test_a_config_file_that_fails_is_one_line(capsys, tmp_path):
  (tmp_path / 'mine.py').write_text('def get_config(arg=None):\n  raise TypeError("no\\nsuch")\n')
  code, err = run(capsys, '--mode=describe', f'--config={tmp_path}/mine.py')
  assert (code, err) == (2, f'error: --config={tmp_path}/mine.py: line 2: TypeError: no such\n')


def test_the_command_itself():
  """No traceback, and the exit code that a shell sees."""
  command = [sys.executable, str(ROOT / 'main.py'), '--mode=train', '--workdir=W', '--config=nothing.py']
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.returncode == 2
  assert done.stderr.startswith("error: --config='nothing.py' is not known")
  assert done.stderr.count('\n') == 1
  assert not done.stdout


def test_garbage_is_collected_once_the_imports_are_done(capsys):
  gc.disable()
  try:
    assert main.main(['main.py', '--mode=list']) == 0
    assert gc.isenabled()
  finally:
    gc.enable()
    gc.unfreeze()
  assert 'lstm' in capsys.readouterr().out


def test_help(capsys):
  with pytest.raises(SystemExit) as stop:
    main.main(['main.py', '--help'])
  assert not stop.value.code
  assert '--workdir' in capsys.readouterr().out


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('run') / 'W'
  changes = ['--config.eval.batch_size=1000', '--config.train.checkpoint_every=2']
  assert main.main(['main.py', '--mode=train', SMALL, f'--workdir={folder}', *changes]) == 0
  return folder


def test_a_run_leaves_what_a_workdir_holds(workdir):
  files = {
    'config.json',
    'provenance.json',
    'metrics.jsonl',
    'timings.jsonl',
    'goodput.jsonl',
    'checkpoints',
    'tensorboard',
  }
  assert {path.name for path in workdir.iterdir()} == files
  assert json.loads((workdir / 'config.json').read_text())['train']['steps'] == 6
  rows = read_rows(workdir / 'metrics.jsonl')
  assert [(row['step'], row['split']) for row in rows[:3]] == [(1, 'train'), (6, 'train'), (6, 'validation')]
  assert rows[0].keys() == {'step', 'split', 'loss', 'gradient_norm', 'learning_rate'}


def test_eval_gives_the_numbers_of_training(workdir, capsys):
  assert main.main(['main.py', '--mode=eval', f'--workdir={workdir}', '--all_steps']) == 0
  out = capsys.readouterr().out
  assert 'step 4\n' in out
  trained = {row['split']: row for row in read_rows(workdir / 'metrics.jsonl') if row['split'] != 'train'}
  again = {row['split']: row for row in read_rows(workdir / 'eval.jsonl') if row['step'] == 6}
  assert trained == again
  assert f'{trained["validation"]["loss"]:.6g}' in out


def test_what_a_workdir_refuses(workdir, capsys, tmp_path):
  code, err = run(capsys, '--mode=eval', f'--workdir={workdir}', '--step=5')
  assert code == 2
  assert '--step=5 has no checkpoint; there are 4, 6' in err
  changes = ['--config.train.checkpoint_every=2', '--config.train.seed=1']
  code, err = run(capsys, '--mode=train', SMALL, f'--workdir={workdir}', *changes)
  assert code == 2
  expected = 'eval.batch_size is 1000 there and 64 now; train.seed is 0 there and 1 now'
  assert err == f'error: --workdir={workdir} was made with another config: {expected}\n'
  (tmp_path / 'file').write_text('')
  code, err = run(capsys, '--mode=train', SMALL, f'--workdir={tmp_path}/file/W')
  assert (code, err) == (2, f'error: --workdir={tmp_path}/file/W cannot be used: Not a directory\n')


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
  flags = ['--config.train.optimizer=sgd', '--config.train.learning_rate=1e38', '--config.train.clip=0']
  with pytest.raises(SystemExit, match='not finite at step'):
    main.main(['main.py', '--mode=train', SMALL, f'--workdir={tmp_path}/W', *flags])
  assert read_rows(tmp_path / 'W' / 'metrics.jsonl')[-1]['loss'] is None


def test_a_model_with_a_source_trains_and_answers(tmp_path, capsys):
  small = 'encoder_decoder,width=8,depth=1,symbols=3,length=4,batch_size=4,steps=2,evaluation_examples=4'
  config = f'--config={ROOT}/configs/reversal.py:{small}'
  assert main.main(['main.py', '--mode=train', config, f'--workdir={tmp_path}/W']) == 0
  (row,) = [row for row in read_rows(tmp_path / 'W' / 'metrics.jsonl') if row['split'] == 'test']
  assert row.keys() == {'step', 'split', 'loss', 'accuracy', 'exact_match'}
  capsys.readouterr()
  assert main.main(['main.py', '--mode=generate', f'--workdir={tmp_path}/W', '--prompt=abc', '--length=4']) == 0
  answer = capsys.readouterr().out.removeprefix('abc → ').rstrip('\n')
  assert set(answer) <= set('abc')
  both = ['--prompt=abc', '--prompt=ca']
  assert main.main(['main.py', '--mode=generate', f'--workdir={tmp_path}/W', *both, '--beam=2']) == 0
  first, second = capsys.readouterr().out.rstrip('\n').split('\n\n')
  assert first.startswith('abc → ')
  assert second.startswith('ca → ')
  code, err = run(capsys, '--mode=generate', f'--workdir={tmp_path}/W', *both, '--beam=2', '--stop=a')
  assert (code, err) == (2, "error: --stop='a' has no meaning with --beam here: answers end by themselves\n")
  code, err = run(capsys, '--mode=generate', f'--workdir={tmp_path}/W', '--prompt=abz')
  assert (code, err) == (2, "error: --prompt='abz': characters outside the vocabulary: 'z'; allowed: abc\n")


def test_an_encoder_that_keeps_no_state_trains_and_is_described(tmp_path, capsys):
  small = 'linformer_encoder,objective=masked,width=8,depth=1,length=16,batch_size=4,steps=1'
  config = f'--config={ROOT}/configs/language.py:{small}'
  assert main.main(['main.py', '--mode=describe', config]) == 0
  assert 'linformer' in capsys.readouterr().out
  assert main.main(['main.py', '--mode=train', config, f'--workdir={tmp_path}/W']) == 0


def test_transformer_xl_trains_with_a_memory_and_goes_on_from_it(tmp_path):
  small = 'transformer_xl,width=8,depth=1,length=64,batch_size=4,steps=5,log_every=1,checkpoint_every=2,streams=64'
  config = f'--config={ROOT}/configs/language.py:{small}'
  whole, again = tmp_path / 'whole', tmp_path / 'again'
  assert main.main(['main.py', '--mode=train', config, f'--workdir={whole}']) == 0
  shutil.copytree(whole, again)
  for step in (4, 5):
    shutil.rmtree(again / 'checkpoints' / str(step))
  assert main.main(['main.py', '--mode=train', config, f'--workdir={again}']) == 0
  assert (whole / 'metrics.jsonl').read_text() == (again / 'metrics.jsonl').read_text()
  like = build_run(read_config(whole)).abstract_state()
  carries = [Checkpoints(w / 'checkpoints', read_only=True).restore(5, like).tree.carry for w in (whole, again)]
  jax.tree.map(np.testing.assert_array_equal, *carries)
  held = jax.tree.map(lambda leaf: leaf[0], carries[0]['stack']['group_0']['x']).joined()  # of the one layer
  assert held.shape == (4, 1, 64, 8)
  assert np.abs(held).max(axis=3).min() > 0  # every row remembers as many positions as a segment has


def test_a_performer_that_redraws_trains_on_other_features_each_step(tmp_path, capsys):
  losses = []
  for redraw in (True, False):
    small = f'performer,width=8,depth=1,symbols=2,items=2,lag=2,batch_size=4,steps=3,log_every=1,redraw={redraw}'
    folder = tmp_path / str(redraw)
    assert main.main(['main.py', '--mode=train', f'{COPYING}:{small}', f'--workdir={folder}']) == 0
    losses.append([row['loss'] for row in read_rows(folder / 'metrics.jsonl') if row['split'] == 'train'])
  assert losses[0] != losses[1]
  capsys.readouterr()
  code, err = run(capsys, '--mode=train', f'{COPYING}:performer,redraw=True,segment=4', f'--workdir={tmp_path}/W')
  assert code == 2
  assert 'train.segment=4 must be 0 with mixer.redraw=True' in err


def test_a_damaged_checkpoint_is_one_line(workdir, tmp_path):
  """In a process of its own, since what Orbax leaves behind is reported late."""
  folder = tmp_path / 'W'
  shutil.copytree(workdir, folder)
  for path in (folder / 'checkpoints' / '6' / 'arrays').rglob('*'):
    if path.is_file() and path.parent.name == 'd':
      path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
  command = [sys.executable, str(ROOT / 'main.py'), '--mode=eval', f'--workdir={folder}']
  for more, step in (([], 'step 4\n'), (['--all_steps'], 'step 4\n')):
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=True)
    assert 'checkpoint 6 is damaged' in done.stderr
    assert len([line for line in done.stderr.splitlines() if 'compilation cache' not in line]) == 1
    assert step in done.stdout
    assert 'step 6\n' not in done.stdout


def test_tables_are_aligned():
  rows = {'validation': {'loss': 1.5, 'accuracy': 0.25}, 'test': {'loss': 10.25}}
  assert evaluation.table(rows, 'split').splitlines() == [
    '  split        loss  accuracy',
    '  validation    1.5      0.25',
    '  test        10.25          ',
  ]
