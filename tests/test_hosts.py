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
from tests.kill import end_of
from training import checkpoint
from training.checkpoint import Checkpoints
from training.metrics import read_rows
from training.run import build_run
from training.workdir import read_config

ROOT = pathlib.Path(__file__).parent.parent
# With dropout, whose draws must not depend on who holds a row; a carried state; and an accumulated step.
CONFIG = (
  'configs/language.py:gru,width=16,depth=2,length=16,batch_size=8,segment=8,dropout=0.1,accumulate=2,log_every=1,'
  'eval_every=8,checkpoint_every=4,keep=4,steps={steps}'
)


FSDP = ('--mesh=fsdp:2', '--config.mesh.min_size=1', '--config.mesh.max_replicated=1')
CUBE = ('--mesh=data:2,fsdp:2,tensor:2', *FSDP[1:], '--config.model.layers=scan')
UNROLLED = '--config.model.layers=unroll'
# With steps that take long enough to be interrupted.
SLOW = """
import sys, time
from training import loop
advance = loop.Loop.advance
def advance_later(self):
  time.sleep(0.5)
  advance(self)
loop.Loop.advance = advance_later
import main
sys.exit(main.main(['main.py', *sys.argv[1:]]))
"""


def start(
  workdir: pathlib.Path, steps: int, *flags: str, mode: str = 'train', program: Sequence[str] = ('main.py',)
) -> subprocess.Popen:
  command = [sys.executable, *program, f'--mode={mode}', '--platform=cpu', f'--workdir={workdir}', *flags]
  if mode == 'train':
    command += [f'--config={CONFIG.format(steps=steps)}', '--config.eval.batch_size=512']
  return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


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
  return {(row['step'], row['split']): row['loss'] for row in read_rows(workdir / 'metrics.jsonl')}


@pytest.fixture(scope='module')
def alone(tmp_path_factory) -> pathlib.Path:
  """A run of one process with eight devices: 12 steps, with checkpoints 4, 8 and 12."""
  workdir = tmp_path_factory.mktemp('alone') / 'run'
  ((code, line),) = ends([start(workdir, 12, *CUBE)])
  assert code == 0, line
  return workdir


@pytest.fixture(scope='module')
def in_two(alone, tmp_path_factory) -> pathlib.Path:
  """The run from step 4 on in two processes, on another mesh and with the other form of layers."""
  workdir = from_step(alone, 4, tmp_path_factory.mktemp('two') / 'run')
  finish(workdir, UNROLLED)
  return workdir


@pytest.fixture(scope='module')
def split(alone, tmp_path_factory) -> pathlib.Path:
  """The run from step 4 on in two processes, each of which holds a part of the parameters."""
  workdir = from_step(alone, 4, tmp_path_factory.mktemp('split') / 'run')
  finish(workdir, *FSDP)
  return workdir


def finish(workdir: pathlib.Path, *flags: str) -> None:
  """Run two processes to the end."""
  with several(2, workdir, 12, *flags) as both:
    codes = ends(both)
  assert [code for code, _ in codes] == [0, 0], codes


def from_step(alone: pathlib.Path, step: int, workdir: pathlib.Path) -> pathlib.Path:
  """Return a copy of a run that was killed after the checkpoint of `step`."""
  shutil.copytree(alone, workdir)
  for path in (workdir / 'checkpoints').iterdir():
    if path.name.isdecimal() and int(path.name) > step:
      shutil.rmtree(path)
  lines = (workdir / 'metrics.jsonl').read_text().splitlines(keepends=True)
  (workdir / 'metrics.jsonl').write_text(''.join(line for line in lines if json.loads(line)['step'] <= step))
  return workdir


def test_a_run_goes_on_in_two_processes_and_then_in_one(alone, in_two, tmp_path):
  """On 2×2×2 with scanned layers, then in two processes with unrolled ones, then on one device."""
  workdir = in_two
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
  assert (workdir / 'checkpoints' / '12' / 'files-0-of-2.json').is_file()
  from_step(workdir, 8, tmp_path / 'one')
  ((code, line),) = ends([start(tmp_path / 'one', 12)])
  assert code == 0, line
  np.testing.assert_allclose([rows(tmp_path / 'one')[key] for key in found], list(found.values()), rtol=1e-5)


def test_damage_to_any_file_of_a_shared_checkpoint_is_noticed(split, monkeypatch):
  monkeypatch.setattr(checkpoint, 'REMOVAL_SECONDS', 0.0)
  workdir = split
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


def test_a_signal_to_one_process_saves_and_ends_all_and_the_run_goes_on(alone, in_two, tmp_path):
  workdir = from_step(alone, 4, tmp_path / 'run')
  with several(2, workdir, 12, UNROLLED, programs=(['-c', SLOW],) * 2) as processes:
    wait_for_step(workdir, 6)
    processes[1].send_signal(signal.SIGTERM)
    codes = ends(processes)
  assert [code for code, _ in codes] == [128 + signal.SIGTERM] * 2, codes
  saved = max(Checkpoints(workdir / 'checkpoints', read_only=True).steps())
  assert saved == max(step for step, _ in rows(workdir)) < 12
  finish(workdir, UNROLLED)
  assert end_of(workdir) == end_of(in_two)


@pytest.mark.parametrize('victim', [0, 1])
def test_a_process_that_dies_ends_the_other_within_seconds_and_the_run_goes_on(alone, split, tmp_path, victim):
  workdir = from_step(alone, 4, tmp_path / 'run')
  with several(2, workdir, 12, *FSDP, programs=(['-c', SLOW],) * 2) as processes:
    wait_for_step(workdir, 9)
    processes[victim].kill()
    begun = time.monotonic()
    out, err = processes[1 - victim].communicate(timeout=30)
    assert time.monotonic() - begun < 20
  assert processes[1 - victim].returncode == 1 or (victim == 0 and processes[1].returncode == -signal.SIGABRT)
  line = 'error: another process of this run has ended'
  # Where the first is gone, JAX ends the others itself: docs/faults.md.
  assert line in err if victim else line in err or 'Terminating process because the JAX distributed' in err, err
  assert not out
  finish(workdir, *FSDP)
  assert end_of(workdir) == end_of(split)


# The limit is shorter while a checkpoint is saved: what comes before takes as long as the machine is loaded.
SAVES = """
import sys, time
from training import checksums, loop, waiting
seconds, hangs = {seconds}, {hangs}
if hangs:
  checksums.write_share = lambda *_: time.sleep(600)
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


FAILS = """
import sys
from training import checksums, files
def fail(*_):
  raise files.WriteError('checksums cannot be written: No space left on device')
checksums.write_share = fail
import main
sys.exit(main.main(['main.py', *sys.argv[1:]]))
"""


def test_a_process_that_cannot_save_ends_both_within_seconds(tmp_path):
  with several(2, tmp_path / 'run', 12, programs=(['main.py'], ['-c', FAILS])) as processes:
    (code, line), (failed, problem) = ends(processes)
  assert (code, failed) == (1, 1), (line, problem)
  assert problem == 'error: checksums cannot be written: No space left on device; there is no checkpoint yet'
  assert line.startswith(('error: checkpoint 4: process 1 has ended: ', 'error: another process of this run has ended'))


def wait_for_step(workdir: pathlib.Path, step: int) -> None:
  """Wait until a step has been logged."""
  end = time.monotonic() + 120
  while max((step for step, _ in rows(workdir)), default=0) < step:
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
