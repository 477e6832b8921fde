"""Resumed = uninterrupted, bit for bit: real processes, killed at several moments, with a carried state."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
import pytest

from training.checkpoint import Checkpoints
from training.run import build_run
from training.workdir import read_config

ROOT = pathlib.Path(__file__).parent.parent
STEPS = 240
CONFIG = (
  'configs/language.py:gru,width=8,depth=1,length=16,batch_size=4,segment=8,clip=0.5,warmup_steps=5,dropout=0.1,'
  f'steps={STEPS},log_every=4,eval_every=100,checkpoint_every=20,keep=2'
)
COMMAND = [sys.executable, 'main.py', '--mode=train', f'--config={CONFIG}', '--platform=cpu']
COMMAND += ['--config.eval.batch_size=512']


def start(workdir: pathlib.Path) -> subprocess.Popen:
  return subprocess.Popen([*COMMAND, f'--workdir={workdir}'], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def interrupt(workdir: pathlib.Path, moment: Callable[[], bool], number: signal.Signals) -> int:
  """Starts or resumes a run, and sends it a signal at a moment; the exit code."""
  process = start(workdir)
  try:
    while process.poll() is None and not moment():
      time.sleep(0.0005)
    assert process.poll() is None, f'it ended before the moment came: {process.stderr.read()}'
    process.send_signal(number)
    return process.wait(60)
  finally:
    process.kill()
    process.communicate()


def finish(workdir: pathlib.Path) -> str:
  process = start(workdir)
  _, err = process.communicate(timeout=120)
  assert process.returncode == 0, err
  return err


def logged(workdir: pathlib.Path) -> int:
  """The last step in metrics.jsonl, from its last whole line."""
  path = workdir / 'metrics.jsonl'
  lines = path.read_text().split('\n')[:-1] if path.exists() else []
  return int(lines[-1].split(',')[0].split(':')[1]) if lines else 0


def writing(workdir: pathlib.Path) -> bool:
  return any((workdir / 'checkpoints').glob('*tmp*'))


def newest(workdir: pathlib.Path):
  checkpoints = Checkpoints(workdir / 'checkpoints', read_only=True)
  return checkpoints.restore(checkpoints.steps()[-1], build_run(read_config(workdir)).abstract_state())


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory) -> pathlib.Path:
  workdir = tmp_path_factory.mktemp('whole') / 'W'
  finish(workdir)
  return workdir


def test_killed_and_resumed_equals_uninterrupted(uninterrupted, tmp_path):
  workdir = tmp_path / 'W'
  # Before the first checkpoint; while one is written; between two, asked to stop.
  assert interrupt(workdir, lambda: logged(workdir) >= 4, signal.SIGKILL) == -signal.SIGKILL
  assert interrupt(workdir, lambda: logged(workdir) >= 60 and writing(workdir), signal.SIGKILL) == -signal.SIGKILL
  assert interrupt(workdir, lambda: logged(workdir) >= 130, signal.SIGTERM) == 128 + signal.SIGTERM
  assert 'going on from step' in finish(workdir)

  assert (workdir / 'metrics.jsonl').read_text() == (uninterrupted / 'metrics.jsonl').read_text()
  ours, theirs = newest(workdir), newest(uninterrupted)
  assert ours.step == theirs.step == STEPS
  assert ours.extra == theirs.extra
  assert jax.tree.leaves(ours.tree.carry)
  assert any(np.any(leaf) for leaf in jax.tree.leaves(ours.tree.carry))
  for a, b in zip(jax.tree.leaves(ours.tree), jax.tree.leaves(theirs.tree), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.fixture(scope='module')
def runs(tmp_path_factory) -> dict[str, pathlib.Path]:
  """A run of 20 steps with each way to run the layers, with checkpoints at 10 and 20."""
  folder = tmp_path_factory.mktemp('layers')
  for layers in ('scan', 'unroll'):
    train_layers(folder / layers, layers)
  return {layers: folder / layers for layers in ('scan', 'unroll')}


def train_layers(workdir: pathlib.Path, layers: str) -> str:
  config = (
    'configs/language.py:gru,width=8,depth=4,length=16,batch_size=4,segment=8,layers='
    f'{layers},steps=20,log_every=1,eval_every=0,checkpoint_every=10'
  )
  flags = [f'--config={config}', f'--workdir={workdir}', '--platform=cpu', '--config.eval.batch_size=512']
  command = [sys.executable, 'main.py', '--mode=train', *flags]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
  assert done.returncode == 0, done.stderr
  return done.stderr


@pytest.mark.parametrize(('first', 'then'), [('scan', 'unroll'), ('unroll', 'scan')])
def test_a_run_goes_on_whichever_way_its_layers_are_run(runs, tmp_path, first, then):
  """The carry included: a checkpoint has one array a layer, whichever way wrote it."""
  workdir = tmp_path / 'W'
  shutil.copytree(runs[first], workdir)
  shutil.rmtree(workdir / 'checkpoints' / '20')
  log = train_layers(workdir, then)
  assert f"model.layers is '{first}' there and '{then}' now" in log
  assert 'going on from step 10' in log
  resumed, whole = newest(workdir), newest(runs[first])
  assert jax.tree.structure(resumed.tree) == jax.tree.structure(whole.tree)
  assert jax.tree.leaves(resumed.tree.carry)
  for a, b in zip(jax.tree.leaves(resumed.tree), jax.tree.leaves(whole.tree), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
  names = [set(json.loads((w / 'checkpoints' / '20' / 'meta' / 'metadata').read_text())['sums']) for w in runs.values()]
  assert names[0] == names[1]
  assert any(name.startswith('params/') and '/block_03/' in name for name in names[0])
  assert any(name.startswith('carry/') and '/block_03/' in name for name in names[0])
  assert not any('group_' in name for name in names[0])
