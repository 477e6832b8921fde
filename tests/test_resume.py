"""Resumed = uninterrupted, bit for bit: real processes, killed at several moments, with a carried state.

So does a run that is resumed with its layers run in the other way, to rounding.
"""

import json
import pathlib
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


def start(workdir: pathlib.Path, *flags: str) -> subprocess.Popen:
  return subprocess.Popen([*COMMAND, f'--workdir={workdir}', *flags], cwd=ROOT, stderr=subprocess.PIPE, text=True)


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


def finish(workdir: pathlib.Path, *flags: str) -> str:
  process = start(workdir, *flags)
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


def layers(form: str, steps: int) -> list[str]:
  """Return flags for a hybrid of four layers, of two kinds, with a carry and a key of dropout."""
  model = {'pattern': 'gru+attention', 'depth': 4, 'block': 'residual', 'layers': form}
  sections = {'model': model, 'train': {'steps': steps, 'schedule': 'constant', 'checkpoint_every': 0}}
  fields = [(f'{section}.{name}', value) for section, values in sections.items() for name, value in values.items()]
  return [f'--config.{name}={value}' for name, value in fields]


def last_row(workdir: pathlib.Path) -> dict[str, float]:
  row = json.loads((workdir / 'metrics.jsonl').read_text().splitlines()[-1])
  return {name: value for name, value in row.items() if name != 'split'}


def stored_names(workdir: pathlib.Path) -> set[str]:
  (meta,) = (workdir / 'checkpoints').glob('24/meta/metadata')
  return set(json.loads(meta.read_text())['sums'])


def test_layers_are_unrolled_or_scanned_from_the_same_checkpoint(tmp_path):
  whole = tmp_path / 'whole'
  finish(whole, *layers('unroll', 24))
  expected, names = newest(whole), stored_names(whole)
  assert any(np.any(leaf) for leaf in jax.tree.leaves(expected.tree.carry))
  assert {'params/stack/block_03/mixer/query/kernel', 'opt_state/1/mu/stack/block_02/norm_mixer/scale'} <= names
  assert {'carry/stack/block_02/h', 'carry/stack/block_03/end'} <= names
  for first, second in (('unroll', 'scan'), ('scan', 'unroll')):
    workdir = tmp_path / first
    finish(workdir, *layers(first, 12))
    said = finish(workdir, *layers(second, 24))
    assert f'model.layers is {second} now, before {first}; train.steps is raised from 12 to 24' in said
    assert 'going on from step 12' in said
    assert stored_names(workdir) == names
    resumed = newest(workdir)
    assert jax.tree.structure(resumed.tree) == jax.tree.structure(expected.tree)
    for a, b in zip(jax.tree.leaves(resumed.tree), jax.tree.leaves(expected.tree), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert last_row(workdir) == pytest.approx(last_row(whole), rel=1e-5)
