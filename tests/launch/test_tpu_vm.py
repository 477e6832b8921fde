"""Run launch/tpu_vm.sh with a gcloud whose TPU workers are folders of this machine."""

import json
import shutil
import subprocess

import pytest

from tests.launch.programs import LAUNCH, environment, run, wait_until, write

# Records its words; what concerns workers is done in folders worker-0 and worker-1, which are their homes.
GCLOUD = """#!PYTHON
import json, os, pathlib, shutil, subprocess, sys
here = pathlib.Path(__file__).parents[1]
words = sys.argv[1:]
with open(here / 'calls', 'a') as calls:
  calls.write(json.dumps(words) + '\\n')
options = dict(word[2:].partition('=')[::2] for word in words if word.startswith('--'))
workers = ('0', '1') if options.get('worker') == 'all' else (options.get('worker'),)
task = words[3]
if task == 'ssh':
  for worker in workers:
    home = here / f'worker-{worker}'
    env = {**os.environ, 'HOME': str(home), 'WORKER': worker}
    done = subprocess.run(['bash', '-c', options['command']], cwd=home, env=env)
    if done.returncode:
      sys.exit(done.returncode)
elif task == 'scp':
  for worker in workers:
    shutil.copy(words[4], here / f'worker-{worker}')
elif task == 'describe' and words[2] == 'queued-resources':
  first, *rest = (here / 'states').read_text().split()
  (here / 'states').write_text(' '.join(rest))
  print(first)
elif task == 'describe':
  print('10.0.0.7;10.0.0.8')
"""
CURL = '#!/usr/bin/env bash\n[[ ${*: -1} == */attributes/agent-worker-number ]] && echo "$WORKER"\n'
# Stands for main.py on a worker: writes its flags, and ends as a run does that gets SIGTERM.
MAIN = """
import json, signal, sys, time
signals = []
signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
print('flags', json.dumps(sys.argv[1:]), flush=True)
end = time.monotonic() + 60
while '--endless' in sys.argv and not signals and time.monotonic() < end:
  time.sleep(0.02)
sys.exit(143 if signals else 5 if '--fail' in sys.argv else 0)
"""
MAKEFILE = (
  'install:\n\t@echo installed $(EXTRA) with $(PYTHON)\n\t@mkdir -p .venv/bin\n\t@ln -sf $(PYTHON) .venv/bin/python\n'
)
FIND = '#!/usr/bin/env bash\n[[ ! -e $HOME/old ]] && echo "$TEST_PYTHON"\n'


class Cloud:
  """The script in a repository of its own, and the workers."""

  def __init__(self, folder):
    self.folder = folder
    write(folder / 'bin' / 'gcloud', GCLOUD)
    write(folder / 'bin' / 'curl', CURL)
    repository = folder / 'repository'
    shutil.copytree(LAUNCH, repository / 'launch')
    write(repository / '.ci' / 'find-python', FIND)
    (repository / 'main.py').write_text(MAIN)
    (repository / 'Makefile').write_text(MAKEFILE)
    for words in (['init', '--quiet'], ['add', '.'], ['commit', '--quiet', '-m', 'All']):
      git = ['git', '-c', 'user.name=test', '-c', 'user.email=test@example.com', *words]
      subprocess.run(git, cwd=repository, check=True)
    self.env = environment(folder / 'bin', POLL_SECONDS='0')
    self.env['TEST_PYTHON'] = self.env.pop('PYTHON')
    for name in ('worker-0', 'worker-1'):
      (folder / name).mkdir()

  def __call__(self, *words):
    return run(self.folder / 'repository' / 'launch' / 'tpu_vm.sh', *words, env=self.env)

  def calls(self):
    return [json.loads(line)[1:] for line in (self.folder / 'calls').read_text().splitlines()]

  def flags(self, worker):
    log = self.folder / f'worker-{worker}' / 'seqmodels-run' / 'log'
    wait_until(lambda: log.is_file() and log.read_text().endswith('\n'))  # the script follows the first worker alone
    return json.loads(log.read_text().partition(' ')[2])


@pytest.fixture
def cloud(tmp_path):
  return Cloud(tmp_path)


@pytest.fixture
def installed(cloud):
  done = cloud('install')
  assert done.returncode == 0, done.stderr
  return cloud


def test_create_at_once_and_delete(cloud):
  done = cloud('create', '--name=a', '--zone=z', '--project=p', '--type=v5litepod-16', '--version=v', '--spot')
  assert done.returncode == 0, done.stderr
  assert cloud('delete', '--name=a', '--zone=z').returncode == 0
  place = ['--zone=z', '--project=p']
  assert cloud.calls() == [
    ['tpus', 'tpu-vm', 'create', 'a', '--accelerator-type=v5litepod-16', '--version=v', '--spot', *place],
    ['tpus', 'tpu-vm', 'delete', 'a', '--quiet', '--zone=z'],
  ]


def test_a_queued_resource_is_waited_for(cloud):
  (cloud.folder / 'states').write_text('WAITING_FOR_RESOURCES WAITING_FOR_RESOURCES PROVISIONING ACTIVE')
  done = cloud('create', '--name=a', '--type=v5litepod-16', '--version=v', '--queued')
  assert done.returncode == 0, done.stderr
  states = [line.rpartition(' ')[2] for line in done.stdout.splitlines()]
  assert states == ['WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE']
  assert cloud('delete', '--name=a', '--queued').returncode == 0
  first, *_, last = cloud.calls()
  request = ['--node-id=a', '--accelerator-type=v5litepod-16', '--runtime-version=v']
  assert first == ['tpus', 'queued-resources', 'create', 'a', *request]
  assert last == ['tpus', 'queued-resources', 'delete', 'a', '--force', '--quiet']


@pytest.mark.parametrize('state', ['FAILED', 'SUSPENDED'])
def test_a_queued_resource_that_will_not_come_is_an_error(cloud, state):
  (cloud.folder / 'states').write_text(f'PROVISIONING {state}')
  done = cloud('create', '--type=v5litepod-16', '--version=v', '--queued')
  assert done.returncode == 2
  assert done.stderr == f'error: queued resource seqmodels is {state}; delete it and create it again\n'


def test_install_sends_the_commit_to_every_worker(cloud):
  (cloud.folder / 'repository' / 'main.py').write_text('not committed')
  for _ in range(2):  # the second time over the first
    done = cloud('install', "--setup=echo 'set  up' >>mounted")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f'installed tpu with {cloud.env["TEST_PYTHON"]}') == 2
    assert done.stderr == 'what is not committed is not sent\n'
  head = run('git', '-C', cloud.folder / 'repository', 'rev-parse', 'HEAD').stdout
  for home in (cloud.folder / 'worker-0', cloud.folder / 'worker-1'):
    assert run('git', '-C', home / 'seqmodels', 'rev-parse', 'HEAD').stdout == head
    assert (home / 'seqmodels' / 'main.py').read_text() == MAIN
    assert (home / 'mounted').read_text() == 'set  up\n' * 2


def test_install_fetches_a_python_where_the_image_has_an_old_one(cloud):
  uv = '#!/usr/bin/env bash\nrm "$HOME/old"; echo "uv $*"\n'
  write(cloud.folder / 'bin' / 'uv', uv)
  write(cloud.folder / 'bin' / 'python3', '#!/usr/bin/env bash\necho "python3 $*"\n')
  (cloud.folder / 'worker-1' / 'old').touch()
  done = cloud('install')
  assert done.returncode == 0, done.stderr
  installed = f'installed tpu with {cloud.env["TEST_PYTHON"]}'
  fetched = ['python3 -m pip install --quiet --user uv', 'uv python install 3.12']
  assert done.stdout.splitlines() == [installed, *fetched, installed]


def test_run_starts_every_worker_with_the_same_flags(installed):
  flags = ['--mode=train', '--workdir=/mnt/two  words', "--note=it's $HOME"]
  done = installed('run', '--', *flags)
  assert done.returncode == 0, done.stderr
  assert done.stdout == f'flags {json.dumps(flags)}\n'  # worker 0, once
  assert installed.flags(0) == installed.flags(1) == flags
  # The log of another worker, after the end; and a further run.
  again = installed('logs', '--worker=1')
  assert (again.returncode, again.stdout) == (0, done.stdout)
  assert installed('run', '--', '--fail').returncode == 5


@pytest.mark.parametrize(('coordinator', 'address'), [(':8081', '10.0.0.7:8081'), ('10.1.1.1:90', '10.1.1.1:90')])
def test_a_coordinator_gives_every_worker_its_number(installed, coordinator, address):
  done = installed('run', f'--coordinator={coordinator}', '--', '--mode=train')
  assert done.returncode == 0, done.stderr
  for worker in (0, 1):
    place = [f'--coordinator={address}', '--process_count=2', f'--process_index={worker}']
    assert installed.flags(worker) == ['--mode=train', *place]


def test_stop_ends_a_run_which_no_second_one_disturbs(installed):
  script = str(installed.folder / 'repository' / 'launch' / 'tpu_vm.sh')
  following = subprocess.Popen([script, 'run', '--', '--endless'], env=installed.env, stdout=subprocess.PIPE, text=True)
  assert following.stdout.readline() == 'flags ["--endless"]\n'
  second = installed('run', '--', '--mode=train')
  assert second.returncode == 2
  assert 'runs already, as process ' in second.stderr
  assert installed('stop').returncode == 0
  assert following.wait(20) == 143
  following.stdout.close()
  code = installed.folder / 'worker-1' / 'seqmodels-run' / 'code'
  wait_until(lambda: code.exists() and code.read_text() == '143\n')
  assert 'runs nothing' in installed('stop').stdout


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    ([], 'command= is not known; allowed: create, install, run, logs, stop, delete'),
    (['start'], 'command=start is not known; allowed: create, install, run, logs, stop, delete'),
    (['run', '--mode=train'], 'option --mode=train is not known; the flags of main.py stand after --'),
    (['run', '--name='], 'option --name= is not known; the flags of main.py stand after --'),
    (['run'], 'run needs the flags of main.py after --'),
    (['create', '--type=v5litepod-16'], 'create needs --type and --version, as v5litepod-16 and v2-alpha-tpuv5-lite'),
    (['run', '--coordinator=8081', '--', '--x'], '--coordinator=8081 must be HOST:PORT, or :PORT of worker 0'),
  ],
)
def test_bad_input_is_one_line_and_calls_nothing(cloud, words, message):
  done = cloud(*words)
  assert done.returncode == 2
  assert (done.stdout, done.stderr) == ('', f'error: {message}\n')
  assert not (cloud.folder / 'calls').exists()
