"""Runs of several processes: the numbers of one, in any number that follow each other, and one end for all."""

import contextlib
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from tests import host_curves
from training import checkpoint
from training.checkpoint import Checkpoints
from training.run import build_run
from training.workdir import read_config

ROOT = pathlib.Path(__file__).parent.parent
# With dropout, whose draws must not depend on who holds a row; a carried state; and an accumulated step.
CONFIG = (
  'configs/language.py:gru,width=16,depth=2,length=16,batch_size=8,segment=8,dropout=0.1,accumulate=2,log_every=1,'
  'eval_every=8,checkpoint_every=4,keep=4,steps={steps}'
)


def start(
  workdir: pathlib.Path, steps: int, *flags: str, mode: str = 'train', program: Sequence[str] = ('main.py',)
) -> subprocess.Popen:
  command = [sys.executable, *program, f'--mode={mode}', '--platform=cpu', f'--workdir={workdir}', *flags]
  if mode == 'train':
    command += [f'--config={CONFIG.format(steps=steps)}', '--config.eval.batch_size=512']
  return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def several(
  count: int,
  workdir: pathlib.Path,
  steps: int,
  *flags: str,
  mode: str = 'train',
  programs: Sequence[Sequence[str]] = (['main.py'],) * 2,
) -> Iterator[list[subprocess.Popen]]:
  with socket.socket() as free:
    free.bind(('localhost', 0))
    hosts = [f'--coordinator=localhost:{free.getsockname()[1]}', f'--process_count={count}', '--init_timeout=60']
  processes = [
    start(workdir, steps, *hosts, f'--process_index={i}', *flags, mode=mode, program=programs[i]) for i in range(count)
  ]
  try:
    yield processes
  finally:
    for process in processes:
      process.kill()


def ends(processes: list[subprocess.Popen], seconds: float = 120) -> list[tuple[int, str]]:
  """Return the exit code and the last line of every process."""
  found = []
  for process in processes:
    _, err = process.communicate(timeout=seconds)
    found.append((process.returncode, err.splitlines()[-1]))
  return found


def rows(workdir: pathlib.Path) -> dict[tuple[int, str], float]:
  lines = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
  return {(row['step'], row['split']): row['loss'] for row in lines}


@pytest.fixture(scope='module')
def alone(tmp_path_factory) -> pathlib.Path:
  """A run of one process: 12 steps, with checkpoints 4, 8 and 12."""
  workdir = tmp_path_factory.mktemp('alone') / 'run'
  ((code, line),) = ends([start(workdir, 12)])
  assert code == 0, line
  return workdir


def from_step(alone: pathlib.Path, step: int, workdir: pathlib.Path) -> pathlib.Path:
  """Return a copy of a run that was killed after the checkpoint of `step`."""
  shutil.copytree(alone, workdir)
  for path in (workdir / 'checkpoints').iterdir():
    if path.name.isdecimal() and int(path.name) > step:
      shutil.rmtree(path)
  return workdir


def test_a_run_goes_on_in_two_processes_and_then_in_one(alone, tmp_path):
  workdir = from_step(alone, 4, tmp_path / 'run')
  with several(2, workdir, 12) as processes:
    codes = ends(processes)
  assert [code for code, _ in codes] == [0, 0], codes
  expected, found = rows(alone), rows(workdir)
  assert found.keys() == expected.keys()
  np.testing.assert_allclose(list(found.values()), [expected[key] for key in found], rtol=1e-5)
  with several(2, workdir, 12, mode='eval') as both:
    codes = ends(both)
  assert [code for code, _ in codes] == [0, 0], codes
  lines = [json.loads(line) for line in (workdir / 'eval.jsonl').read_text().splitlines()]
  assert {row['split'] for row in lines} == {'validation', 'test'}
  for row in lines:
    np.testing.assert_allclose(row['loss'], expected[12, row['split']], rtol=1e-6)
  # A checkpoint of two processes has no part on one host alone, and one process reads it.
  assert (workdir / 'checkpoints' / '12' / 'files.json').is_file()
  from_step(workdir, 8, tmp_path / 'one')
  ((code, line),) = ends([start(tmp_path / 'one', 12)])
  assert code == 0, line
  np.testing.assert_allclose([rows(tmp_path / 'one')[key] for key in found], list(found.values()), rtol=1e-5)


def test_damage_to_any_file_of_a_shared_checkpoint_is_noticed(alone, tmp_path, monkeypatch):
  monkeypatch.setattr(checkpoint, 'REMOVAL_SECONDS', 0.0)
  workdir = from_step(alone, 8, tmp_path / 'run')
  with several(2, workdir, 12, '--mesh=fsdp:2', '--config.mesh.min_size=1', '--config.mesh.max_replicated=1') as both:
    codes = ends(both)
  assert [code for code, _ in codes] == [0, 0], codes
  like = build_run(read_config(workdir)).abstract_state()
  folder = workdir / 'checkpoints' / '12'
  whole = Checkpoints(workdir / 'checkpoints', read_only=True).restore(12, like)
  assert whole.step == 12
  for path in sorted(path for path in folder.rglob('*') if path.is_file()):
    content = path.read_bytes()
    if not content:
      continue
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    restored = Checkpoints(workdir / 'checkpoints', read_only=True).restore_latest_verified(like)
    assert restored is not None
    assert restored.step == 8, path
    path.write_bytes(content)


def test_two_processes_pass_over_a_damaged_checkpoint_of_one(alone, tmp_path):
  workdir = from_step(alone, 8, tmp_path / 'run')
  for path in (workdir / 'checkpoints' / '8' / 'arrays' / 'd').iterdir():
    path.write_bytes(path.read_bytes()[::-1])
  with several(2, workdir, 12) as both:
    lines = [process.communicate(timeout=120)[1] for process in both]
  assert [process.returncode for process in both] == [0, 0], lines
  assert 'checkpoint 8 is damaged' in lines[0]
  assert 'going on from step 4' in lines[0]
  expected = rows(alone)
  found = rows(workdir)
  np.testing.assert_allclose(list(found.values()), [expected[key] for key in found], rtol=1e-5)


def test_a_signal_to_one_process_saves_and_ends_all(tmp_path):
  with several(2, tmp_path / 'run', 100_000) as processes:
    wait_for_steps(tmp_path / 'run')
    processes[1].send_signal(signal.SIGTERM)
    codes = ends(processes)
  assert [code for code, _ in codes] == [128 + signal.SIGTERM] * 2, codes
  steps = Checkpoints(tmp_path / 'run' / 'checkpoints', read_only=True).steps()
  assert max(steps) == max(step for step, _ in rows(tmp_path / 'run'))


def test_a_process_that_dies_ends_the_other_within_seconds(tmp_path):
  with several(2, tmp_path / 'run', 100_000) as processes:
    wait_for_steps(tmp_path / 'run')
    processes[1].kill()
    begun = time.monotonic()
    ((code, line),) = ends(processes[:1], 30)
    assert time.monotonic() - begun < 20
  assert code == 1
  assert line.startswith('error: another process of this run has ended')


# The limit is shorter while a checkpoint is saved: what comes before takes as long as the machine is loaded.
SAVES = """
import sys, time
from training import checksums, loop, waiting
seconds, hangs = {seconds}, {hangs}
if hangs:
  checksums.of_share = lambda *_: time.sleep(600)
save = loop.Loop.save
def save_sooner(self):
  waiting._seconds = seconds
  save(self)
loop.Loop.save = save_sooner
import main
sys.exit(main.main(['main.py', *sys.argv[1:]]))
"""


def test_a_process_that_hangs_while_it_saves_ends_both(tmp_path):
  """The one that hangs has the shorter limit: if it came to save late, the other's end would abort it."""
  programs = [['-c', SAVES.format(seconds=seconds, hangs=hangs)] for seconds, hangs in ((30, False), (5, True))]
  with several(2, tmp_path / 'run', 8, programs=programs) as processes:
    codes = ends(processes)
  assert [code for code, _ in codes] == [1, 1], codes
  (_, waiting), (_, hanging) = codes
  late = 'error: --io_timeout={}: saving checkpoint 4 takes longer, here or in another process of this run'.format
  assert hanging == late(5)
  assert waiting == late(30) or waiting.startswith('error: another process of this run has ended')


def wait_for_steps(workdir: pathlib.Path) -> None:
  end = time.monotonic() + 120
  while not (workdir / 'metrics.jsonl').exists() or len((workdir / 'metrics.jsonl').read_text().splitlines()) < 3:
    assert time.monotonic() < end
    time.sleep(0.05)


def test_another_config_is_refused_in_every_process(tmp_path):
  with socket.socket() as free:
    free.bind(('localhost', 0))
    hosts = [f'--coordinator=localhost:{free.getsockname()[1]}', '--process_count=2', '--init_timeout=60']
  both = [start(tmp_path / 'run', 4, *hosts, f'--process_index={i}', f'--config.train.clip={i}.5') for i in range(2)]
  codes = ends(both)
  assert codes == [
    (2, 'error: the configuration differs: train.clip is 0.5 here and 1.5 in process 1'),
    (2, 'error: the configuration differs: train.clip is 1.5 here and 0.5 in process 0'),
  ]
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('index', [0, 1])
def test_processes_that_do_not_meet_end_with_one_line(tmp_path, index):
  hosts = ['--coordinator=localhost:9', '--process_count=2', f'--process_index={index}', '--init_timeout=1']
  if index == 0:
    with socket.socket() as free:
      free.bind(('localhost', 0))
      hosts[0] = f'--coordinator=localhost:{free.getsockname()[1]}'
  ((code, line),) = ends([start(tmp_path / 'run', 4, *hosts)], 60)
  assert code == 2
  where = hosts[0].removeprefix('--coordinator=')
  assert line == f'error: --init_timeout=1: not all processes have met at {where} by then'
  assert not (tmp_path / 'run').exists()


def test_loss_curves_of_several_processes_are_those_of_one():
  cases = ('transformer_xl', 'encoder_decoder')  # a carry with a cache and zero=1; `python -m tests.host_curves`: all
  alone = host_curves.curves(1, 1, cases, (0.1,))
  for some, sequence in ((cases, False), (cases[1:], True)):  # data:2,fsdp:2, then sequence:4 over both processes
    found = host_curves.deviations(alone, host_curves.curves(2, 2, some, (0.1,), sequence=sequence))
    assert len(found) == len(some)
    assert max(found.values()) < 1e-5, found
