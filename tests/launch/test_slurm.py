"""Run the batch files of SLURM with its variables and with commands that record how they are called."""

import json
import re
import shutil
import signal
import subprocess

import pytest
from jax._src.clusters.slurm_cluster import SlurmCluster

from commands import flags
from tests.launch.programs import LAUNCH, ROOT, environment, run, wait_until, write

TRAIN = ('--mode=train', '--config=configs/copying.py:lstm', '--workdir=/shared/two words')
COMPARE = ('--mode=compare', '--scale=smoke', '--workdir=/shared/compare')
# Records its words and ends with FAKE_CODE, after FAKE_SECONDS.
SRUN = """#!PYTHON
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(os.path.join(os.path.dirname(__file__), '..', 'srun.json'), 'w').write(json.dumps(sys.argv[1:]))
time.sleep(float(os.environ.get('FAKE_SECONDS', 0)))
sys.exit(int(os.environ.get('FAKE_CODE', 0)))
"""
SCONTROL = '#!/usr/bin/env bash\necho "$@" >"$(dirname "$0")/../scontrol"\n'


@pytest.fixture
def cluster(tmp_path):
  """A folder with srun and scontrol, and copies of the batch files, as sbatch makes them."""
  write(tmp_path / 'bin' / 'srun', SRUN)
  write(tmp_path / 'bin' / 'scontrol', SCONTROL)
  for path in LAUNCH.glob('*.sbatch'):
    shutil.copy(path, tmp_path / path.name)
  return tmp_path


def variables(cluster, **changes):
  """The variables of a job on two nodes with eight GPUs each, and those of the arguments."""
  job = {'SLURM_JOB_ID': '77', 'SLURM_SUBMIT_DIR': str(ROOT), 'SLURM_CPUS_PER_TASK': '8'}
  node = {'SLURM_GPUS_ON_NODE': '8', 'SLURM_NTASKS_PER_NODE': '8'}
  return environment(cluster / 'bin', **{**job, **node, **changes})


def array(index, first=0, last=7, **changes):
  """The variables of one task of an array of all indices from first to last."""
  return {
    'SLURM_ARRAY_JOB_ID': '70',
    'SLURM_ARRAY_TASK_ID': str(index),
    'SLURM_ARRAY_TASK_MIN': str(first),
    'SLURM_ARRAY_TASK_MAX': str(last),
    'SLURM_ARRAY_TASK_COUNT': str(last - first + 1),
    **changes,
  }


def step(cluster):
  """Return the options of srun, the program and its flags."""
  words = json.loads((cluster / 'srun.json').read_text())
  at = next(i for i, word in enumerate(words) if not word.startswith('-'))
  return words[:at], words[at : at + 2], words[at + 2 :]


def directives(name):
  lines = re.findall(r'^#SBATCH --([\w-]+)(?:=(\S+))?$', (LAUNCH / name).read_text(), re.MULTILINE)
  assert len(lines) == len(re.findall(r'^#SBATCH', (LAUNCH / name).read_text(), re.MULTILINE)) == len(dict(lines))
  return dict(lines)


def test_one_task_a_gpu_finds_its_device_and_the_others(monkeypatch):
  """JAX's detection, with the variables of the tasks that slurm.sbatch asks for."""
  asked = directives('slurm.sbatch')
  per_node = int(asked['ntasks-per-node'])
  assert per_node == int(asked['gpus-per-node'])
  assert not {'gpus-per-task', 'gpu-bind'} & asked.keys()  # a task that sees one GPU has no i-th
  monkeypatch.setenv('SLURM_JOB_ID', '77')
  monkeypatch.setenv('SLURM_STEP_NODELIST', 'node[007-008]')
  monkeypatch.setenv('SLURM_NTASKS', str(2 * per_node))
  found = []
  for task in range(2 * per_node):
    monkeypatch.setenv('SLURM_PROCID', str(task))
    monkeypatch.setenv('SLURM_LOCALID', str(task % per_node))
    assert SlurmCluster.is_env_present()
    assert SlurmCluster.get_process_count() == 2 * per_node
    assert SlurmCluster.get_coordinator_address(None, None).startswith('node007:')
    found.append((SlurmCluster.get_process_id(), SlurmCluster.get_local_process_id()))
  assert found == [(task, task % per_node) for task in range(2 * per_node)]


@pytest.mark.parametrize(('name', 'seconds'), [('slurm.sbatch', 300), ('slurm_array.sbatch', 60)])
def test_jobs_are_warned_before_the_limit_and_can_be_queued_again(name, seconds):
  asked = directives(name)
  assert asked['signal'] == f'TERM@{seconds}'  # without B: to the tasks, not to the batch shell
  assert asked['requeue'] == ''
  assert asked['open-mode'] == 'append'  # the log of the first start stays


def test_the_step_runs_main_with_the_flags(cluster):
  done = run('bash', cluster / 'slurm.sbatch', *TRAIN, env=variables(cluster))
  assert done.returncode == 0, done.stderr
  options, program, words = step(cluster)
  assert options == ['--gpu-bind=none', '--kill-on-bad-exit=0', '--wait=120', '--cpus-per-task=8']
  assert program == [variables(cluster)['PYTHON'], 'main.py']
  assert words == list(TRAIN)
  assert not (cluster / 'scontrol').exists()


@pytest.mark.parametrize(
  ('code', 'changes', 'queued'),
  [
    (143, {}, '77'),
    (143, {'SLURM_RESTART_COUNT': '2', 'MAX_RESTARTS': '3'}, '77'),
    (143, {'SLURM_RESTART_COUNT': '3', 'MAX_RESTARTS': '3'}, None),
    (2, {}, None),
    (137, {}, None),
  ],
)
def test_a_run_that_was_stopped_is_queued_again_and_one_that_failed_is_not(cluster, code, changes, queued):
  done = run('bash', cluster / 'slurm.sbatch', *TRAIN, env=variables(cluster, FAKE_CODE=str(code), **changes))
  assert done.returncode == code
  asked = cluster / 'scontrol'
  assert (asked.read_text() if asked.exists() else None) == (queued and f'requeue {queued}\n')


def test_a_cancelled_job_is_not_queued_again(cluster):
  """scancel sends SIGTERM to the batch shell too, which waits for its step."""
  env = variables(cluster, FAKE_CODE='143', FAKE_SECONDS='0.5')
  process = subprocess.Popen(['bash', str(cluster / 'slurm.sbatch'), *TRAIN], env=env)
  wait_until((cluster / 'srun.json').exists)
  process.send_signal(signal.SIGTERM)
  assert process.wait(20) == 143
  assert not (cluster / 'scontrol').exists()


def test_tasks_that_are_not_one_a_gpu_are_refused(cluster):
  done = run('bash', cluster / 'slurm.sbatch', *TRAIN, env=variables(cluster, SLURM_NTASKS_PER_NODE='1'))
  assert done.returncode == 2
  assert done.stderr == 'error: --ntasks-per-node=1 must be --gpus-per-node=8: one task a GPU\n'
  assert not (cluster / 'srun.json').exists()


def test_the_shards_of_an_array_are_all_shards(cluster):
  shards = set()
  for index in range(3):
    done = run('bash', cluster / 'slurm_array.sbatch', *COMPARE, env=variables(cluster, **array(index, last=2)))
    assert done.returncode == 0, done.stderr
    shards.add(flags.parse(['main.py', *step(cluster)[2]])[1]['shard'])
  assert shards == {(0, 3), (1, 3), (2, 3)}


def test_single_tasks_of_an_array_can_be_repeated(cluster):
  env = variables(cluster, SHARDS='8', FAKE_CODE='143', **array(5, first=5, last=5))
  done = run('bash', cluster / 'slurm_array.sbatch', *COMPARE, env=env)
  assert done.returncode == 143
  assert step(cluster)[2] == [*COMPARE, '--shard=5/8']
  assert (cluster / 'scontrol').read_text() == 'requeue 70_5\n'


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (array(5, first=5, last=5), '--array must be 0-N, or SHARDS must say how many shards there are'),
    (array(8, first=1, last=8), '--array must be 0-N, or SHARDS must say how many shards there are'),
    (array(3, SHARDS='3'), 'SHARDS=3 must be a number above the array index 3'),
    (array(3, SHARDS='many'), 'SHARDS=many must be a number above the array index 3'),
  ],
)
def test_arrays_that_are_not_all_shards_are_refused(cluster, changes, message):
  done = run('bash', cluster / 'slurm_array.sbatch', *COMPARE, env=variables(cluster, **changes))
  assert done.returncode == 2
  assert done.stderr == f'error: {message}\n'
  assert not (cluster / 'srun.json').exists()


@pytest.mark.parametrize(('name', 'missing'), [('slurm.sbatch', 'SUBMIT_DIR'), ('slurm_array.sbatch', 'ARRAY_TASK_ID')])
def test_outside_of_slurm_they_say_how_they_are_started(cluster, name, missing):
  env = {key: value for key, value in variables(cluster).items() if key != f'SLURM_{missing}'}
  done = run('bash', cluster / name, *TRAIN, env=env)
  assert done.returncode != 0
  assert f'SLURM_{missing}: is not set: ' in done.stderr


def test_a_sweep_is_split_like_a_comparison(cluster):
  words = ('--mode=sweep', '--config=configs/copying.py:lstm', '--workdir=/shared/sweep', '--set=seed=0..4')
  done = run('bash', cluster / 'slurm_array.sbatch', *words, env=variables(cluster, **array(1, last=3)))
  assert done.returncode == 0, done.stderr
  mode, parsed = flags.parse(['main.py', *step(cluster)[2]])
  assert (mode, parsed['shard'], parsed['axes']) == (flags.MODES['sweep'], (1, 4), ['seed=0..4'])
