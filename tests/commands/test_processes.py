"""The programs as processes: start-up, signals, homes, encodings, and environments without the packages."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

import main

ROOT = pathlib.Path(main.__file__).parent
SMALL = f'{ROOT}/configs/language.py:gru,width=8,depth=1,length=8,batch_size=2,unit=byte'
HEAVY = ('jax', 'flax', 'optax', 'grain', 'orbax', 'tensorflow_datasets', 'matplotlib', 'tensorboardX')


def run(*arguments: str, program: str = 'main.py', **environment: str | None) -> subprocess.CompletedProcess:
  """Run a program to its end. An environment variable of None is absent."""
  kept = {name: value for name, value in (os.environ | environment).items() if value is not None}
  command = [sys.executable, str(ROOT / program), *arguments]
  return subprocess.run(command, capture_output=True, text=True, check=False, env=kept, timeout=300)


QUICK = [
  (['--help'], 0),
  (['--mode=list'], 0),
  (['--mode=trian'], 2),
  (['--mode=train', f'--config={SMALL},lr=3', '--workdir=W'], 2),
  (['--mode=train', f'--config={SMALL},steps=x', '--workdir=W'], 2),
  (['--mode=train', f'--config={SMALL}', '--config.model.widht=3', '--workdir=W'], 2),
  (['--mode=train', f'--config={SMALL}', '--config.model.width=1e9', '--workdir=W'], 2),
  (['--mode=describe', f'--config={SMALL},pattern=attention:heads=abc'], 2),
  (['--mode=eval', '--workdir=nowhere'], 2),
  (['--mode=generate', '--workdir=nowhere', '--prompt=a', '--beam=2', '--top_k=3'], 2),
  (['--mode=compare', '--scale=huge', '--workdir=W'], 2),
  (['--mode=compare', '--scale=smoke', '--experiments=ordr', '--workdir=W'], 2),
  (['--mode=compare', '--scale=smoke', '--claims=61', '--workdir=W'], 2),
  (['--mode=compare', '--scale=smoke', '--architectures=lsmt', '--workdir=W'], 2),
]


@pytest.mark.parametrize(('arguments', 'code'), QUICK, ids=[' '.join(a)[:60] for a, _ in QUICK])
def test_what_needs_no_model_imports_no_jax(arguments, code, monkeypatch, tmp_path):
  """JAX and what comes with it take seconds to import."""
  monkeypatch.chdir(tmp_path)
  done = run(*arguments, PYTHONPROFILEIMPORTTIME='1')
  lines = done.stderr.splitlines()
  imported = {line.rpartition('|')[2].strip().partition('.')[0] for line in lines if line.startswith('import time:')}
  assert done.returncode == code
  assert 'commands' in imported
  assert not imported & set(HEAVY)
  said = [line for line in lines if not line.startswith('import time:')]
  assert len(said) == (code == 2)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('program', ['train.py', 'eval.py'])
def test_train_and_eval_are_programs(program, tmp_path):
  assert run(program=program).stderr.startswith('error: --mode=')
  done = run('--mode=train', program=program)
  assert (done.returncode, done.stderr.count('\n')) == (2, 1)
  help_text = run('--help', program=program)
  assert help_text.returncode == 0
  assert '--workdir' in help_text.stdout


def test_train_py_trains_and_eval_py_evaluates(tmp_path):
  done = run(f'--config={SMALL},steps=1', f'--workdir={tmp_path}/W', program='train.py')
  assert done.returncode == 0, done.stderr
  done = run(f'--workdir={tmp_path}/W', program='eval.py')
  assert done.returncode == 0, done.stderr
  assert 'step 1\n' in done.stdout


def test_without_the_packages_a_line_says_what_to_activate():
  command = [sys.executable, '-S', '-E', str(ROOT / 'main.py'), '--mode=list']  # -S: no site-packages
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.returncode == 2
  assert done.stderr.startswith('error: absl is not installed for ')
  assert re.search(r'run (`make install` in .*, then )?`source .*\.venv/bin/activate` first\n$', done.stderr)
  assert done.stderr.count('\n') == 1


# Signals

BLOCKED = {
  'waiting': 'time.sleep(60)',
  'swallowing': 'while True:\n    try:\n      time.sleep(60)\n    except BaseException:\n      pass',
  'in a library': 'import ctypes\n  for _ in range(60): ctypes.CDLL(None).sleep(60)',
  'in a callback': 'import weakref\n  class A: pass\n  weakref.finalize(A(), time.sleep, 60)',
}


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize('how', BLOCKED)
def test_a_signal_ends_the_process_whatever_it_does(how, number, tmp_path):
  """A config file stands for what takes time at the start; it must not be blamed."""
  text = (
    f'import pathlib, time\ndef get_config():\n  pathlib.Path(__file__).with_suffix(".run").touch()\n  {BLOCKED[how]}\n'
  )
  (tmp_path / 'mine.py').write_text(text)
  command = [sys.executable, str(ROOT / 'main.py'), '--mode=describe', f'--config={tmp_path}/mine.py']
  process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  wait_for((tmp_path / 'mine.run').exists)
  process.send_signal(number)
  begun = time.monotonic()
  out, err = communicate(process)
  assert (process.returncode, out, err) == (128 + number, '', 'interrupted\n')
  assert time.monotonic() - begun < 20  # on a busy machine


@pytest.mark.parametrize('delay', [0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.5])
def test_a_signal_in_the_first_seconds_is_no_error(delay, tmp_path):
  """From the moment that handlers stand; before that the interpreter itself is starting."""
  number = signal.SIGTERM if delay in (0.1, 1.0, 3.0) else signal.SIGINT
  command = [sys.executable, '-X', 'importtime', str(ROOT / 'main.py'), '--mode=train']
  command += [f'--config={SMALL},steps=1000000', f'--workdir={tmp_path}/W']
  process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  assert process.stderr is not None
  while 'seqmodels' not in (line := process.stderr.readline()):  # the first import after the handlers
    assert line
  time.sleep(delay)
  process.send_signal(number)
  _, err = communicate(process)
  said = [line for line in err.splitlines() if not line.startswith('import time:')]
  assert process.returncode == 128 + number
  assert 'Traceback' not in err
  assert 'error' not in ' '.join(said)
  assert 'interrupted' in said[-1] or f'{number.name}: saved step' in said[-3]  # then speed and goodput


def communicate(process: subprocess.Popen) -> tuple[str, str]:
  """Return what a process printed until its end, which must come within a minute."""
  try:
    return process.communicate(timeout=60)
  finally:
    process.kill()


def wait_for(condition, seconds: float = 60.0) -> None:
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.01)


# Homes

HOMES: dict[str, dict[str, str | None]] = {
  'no folder': {'HOME': '/proc', 'XDG_CACHE_HOME': None},
  'no HOME': {'HOME': None, 'XDG_CACHE_HOME': None},
  'a file as the cache': {'XDG_CACHE_HOME': '/dev/null'},
  'nothing at all': {'HOME': '/proc', 'XDG_CACHE_HOME': None, 'TMPDIR': '/proc'},
}


@pytest.mark.parametrize('home', HOMES)
def test_modes_work_whatever_the_home(home, tmp_path):
  environment = {'JAX_COMPILATION_CACHE_DIR': None, 'MPLCONFIGDIR': str(tmp_path / 'plots'), **HOMES[home]}
  modes = [['--mode=train', f'--config={SMALL},steps=1', f'--workdir={tmp_path}/W'], ['--mode=list']]
  if home == 'nothing at all':  # what lacks most; start-up is that of training
    modes.append(['--mode=generate', f'--workdir={tmp_path}/W', '--prompt=a', '--length=2'])
  for arguments in modes:
    done = run(*arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr
    no_cache = 'no folder for compiled programs can be written' in done.stderr
    assert no_cache == (home == 'nothing at all' and arguments != ['--mode=list'])


def test_the_cache_lies_where_xdg_says(tmp_path):
  done = run('--mode=describe', f'--config={SMALL}', XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=None)
  assert done.returncode == 0
  assert (tmp_path / 'seqmodels' / 'compilation').is_dir()


def test_a_tilde_in_a_path_is_the_home(tmp_path, monkeypatch):
  home, here = tmp_path / 'home', tmp_path / 'here'
  home.mkdir()
  here.mkdir()
  monkeypatch.chdir(here)
  arguments = ['--mode=train', f'--config={SMALL},steps=1', '--workdir=~/run', '--data_dir=~/data']
  done = run(*arguments, HOME=str(home), XDG_CACHE_HOME=str(tmp_path / 'cache'))
  assert done.returncode == 0, done.stderr
  assert (home / 'run' / 'config.json').exists()
  assert not list(here.iterdir())


# Encodings


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('run') / 'W'
  done = run('--mode=train', f'--config={SMALL},steps=2', f'--workdir={folder}')
  assert done.returncode == 0, done.stderr
  return folder


@pytest.mark.parametrize('encoding', ['ascii', 'cp1252'])
def test_output_does_not_depend_on_what_its_encoding_lacks(encoding, workdir):
  prompt = ['--prompt=Preis: 5 €, 日本 \udcff', '--length=40', '--temperature=3', '--seed=1']
  for arguments in (
    ['--mode=describe', f'--config={SMALL}'],
    ['--mode=generate', f'--workdir={workdir}', *prompt],
    ['--mode=list'],
    ['--mode=× 日本'],
  ):
    kept = os.environ | {'PYTHONIOENCODING': encoding}
    done = subprocess.run(
      [sys.executable, str(ROOT / 'main.py'), *arguments], env=kept, capture_output=True, check=False
    )
    assert done.returncode == (2 if arguments == ['--mode=× 日本'] else 0), done.stderr.decode(errors='replace')
    assert b'Traceback' not in done.stderr
    done.stdout.decode(encoding)


def test_pages_are_utf8_whatever_the_locale(tmp_path):
  lines = (ROOT / 'results' / 'intel-xeon-2-cores' / 'overnight' / 'records.jsonl').read_text().splitlines()
  chosen = [line for line in lines if '"experiment":"attention_scores"' in line]
  assert chosen
  (tmp_path / 'records.jsonl').write_text('\n'.join(chosen) + '\n')
  ascii_files = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
  done = run('--mode=report', f'--workdir={tmp_path}', **ascii_files)
  assert done.returncode == 0, done.stderr
  pages = [tmp_path / 'report.html', *(tmp_path / 'figures').glob('*.svg')]
  assert any(not page.read_text('utf-8').isascii() for page in pages)


def test_a_closed_pipe_is_no_error():
  command = f'{sys.executable} {ROOT}/main.py --mode=list | head -1'
  bash = shutil.which('bash')
  if bash is None:
    pytest.skip('needs bash')
  done = subprocess.run([bash, '-c', command], capture_output=True, text=True, check=False)
  assert done.stdout.startswith('Tasks')
  assert 'Traceback' not in done.stderr
