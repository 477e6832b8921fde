"""How processes find each other, from flags and from the environments of schedulers."""

import pytest

from seqmodels.errors import InputError
from training import processes
from training.processes import Settings, scheduler, settings

STEP = {'SLURM_STEP_NODELIST': 'node[007-008]'}


def test_a_process_of_its_own_needs_nothing():
  assert settings({}) == Settings()
  assert scheduler({}) == ('', None, None)
  assert scheduler({'SLURM_PROCID': '0', 'SLURM_NTASKS': '1'} | STEP) == ('', None, None)
  assert processes.count() == 1
  assert processes.index() == 0
  assert processes.gather({'a': 1}) == [{'a': 1}]
  assert processes.Vote()(15) == 15


@pytest.mark.parametrize(
  ('environ', 'expected'),
  [
    ({'SLURM_PROCID': '3', 'SLURM_NTASKS': '8'} | STEP, ('SLURM', 3, 8)),
    ({'SLURM_PROCID': '1', 'SLURM_NTASKS': '8', 'SLURM_STEP_NUM_TASKS': '2'} | STEP, ('SLURM', 1, 2)),
    (
      {'KUBERNETES_SERVICE_HOST': '10.0.0.1', 'JOB_COMPLETION_INDEX': '1', 'JOB_COMPLETIONS': '4'},
      ('Kubernetes', 1, 4),
    ),
    ({'TPU_WORKER_HOSTNAMES': 'a,b,c,d', 'TPU_WORKER_ID': '2'}, ('a TPU pod', 2, 4)),
    ({'TPU_WORKER_HOSTNAMES': 'localhost', 'TPU_WORKER_ID': '0'}, ('', None, None)),
    ({'MEGASCALE_COORDINATOR_ADDRESS': 'a:1'}, ('TPU slices', None, None)),
  ],
)
def test_schedulers_are_known_by_their_environment(environ, expected):
  assert scheduler(environ) == expected


@pytest.mark.parametrize(
  'environ',
  [
    {'SLURM_JOB_ID': '77', 'SLURM_NTASKS': '4', 'SLURM_PROCID': '0', 'SLURM_LOCALID': '0'},  # the script of sbatch
    {'SLURM_JOB_ID': '77', 'SLURM_NTASKS': '4'},  # the shell of salloc
  ],
)
def test_a_process_that_srun_has_not_started_runs_alone_and_says_so(environ, monkeypatch, logged):
  for name, value in environ.items():
    monkeypatch.setenv(name, value)
  monkeypatch.delenv('SLURM_STEP_NODELIST', raising=False)
  processes.start(Settings())
  assert processes.count() == 1
  assert Settings().share(3) == 3
  assert logged.messages == [
    'SLURM_NTASKS=4, and this process runs alone: start all of them with `srun python main.py …`'
  ]


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ({'coordinator': 'a:1'}, '--process_index, --process_count is missing'),
    ({'process_index': 0, 'process_count': 2}, '--coordinator is missing'),
    ({'coordinator': 'host', 'process_index': 0, 'process_count': 2}, '--coordinator=host must be HOST:PORT'),
    ({'coordinator': ':80', 'process_index': 0, 'process_count': 2}, '--coordinator=:80 must be HOST:PORT'),
    ({'coordinator': 'a:99999', 'process_index': 0, 'process_count': 2}, '--coordinator=a:99999 must be HOST:PORT'),
    ({'coordinator': 'a:1', 'process_index': 2, 'process_count': 2}, '--process_index=2 must be below'),
  ],
)
def test_flags_that_do_not_fit_are_refused(flags, message):
  with pytest.raises(InputError, match=message.replace('(', r'\(')):
    settings(flags)


def test_devices_are_divided_among_processes(monkeypatch):
  hosts = settings({'coordinator': 'a:1', 'process_index': 0, 'process_count': 4})
  assert hosts.share(8) == 2
  assert Settings().share(8) == 8
  with pytest.raises(InputError, match='6 devices cannot be divided among 4 processes'):
    hosts.share(6)
