"""Check the package: a wheel works outside of the checkout, and every list of dependencies says the same."""

import ast
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

import seqmodels

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
EXTRAS = PROJECT['optional-dependencies']
# Import LSTM and attention from the installed wheel, build a model, and find nothing else of the checkout.
PROGRAM = """
import importlib.util, pathlib, sys
import jax, seqmodels
from seqmodels import models
from seqmodels.config import ModelConfig
from seqmodels.spec import Spec, Tokens
folder = pathlib.Path(seqmodels.__file__).parent
assert folder.is_relative_to(sys.argv[1]), folder
assert (folder / 'py.typed').exists()
for name in ('tasks', 'training', 'configs', 'commands', 'comparison'):
  assert importlib.util.find_spec(name) is None, name
spec = Spec('causal', Tokens(5), Tokens(5), 8)
for mixer in ('lstm', 'attention'):
  model = models.build(ModelConfig(pattern=(mixer,), depth=1, width=8), spec)
  model.apply(model.init(jax.random.key(0)), jax.numpy.zeros((1, 8), int))
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  """A wheel of the checkout, built with what is installed: no network."""
  folder = tmp_path_factory.mktemp('wheel')
  pip('wheel', '--no-index', '--no-deps', '--no-build-isolation', '-w', str(folder), str(ROOT))
  (path,) = folder.glob('*.whl')
  return path


def run(*command, **options):
  return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def pip(*arguments):
  done = run(sys.executable, '-m', 'pip', '--disable-pip-version-check', *arguments)
  assert done.returncode == 0, done.stderr


def test_wheel_holds_the_library_and_nothing_else(wheel):
  tracked = run('git', 'ls-files', 'seqmodels', cwd=ROOT).stdout.split()
  expected = {name for name in tracked if (ROOT / name).exists()}
  found = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
  assert expected <= found
  assert {name.split('/')[0] for name in found} == {'seqmodels'}
  assert [name for name in found if name.endswith('.cc')]
  assert not [name for name in found if name.endswith(('.pyc', '.so'))]
  assert wheel.name.startswith(f'seqmodels-{seqmodels.__version__}-')


def test_wheel_builds_models_outside_of_the_checkout(wheel, tmp_path):
  site = tmp_path / 'site'
  pip('install', '--quiet', '--no-index', '--no-deps', '--target', str(site), str(wheel))
  environment = {**os.environ, 'PYTHONPATH': str(site)}
  done = run(sys.executable, '-P', '-c', PROGRAM, str(site), cwd=tmp_path, env=environment)
  assert done.returncode == 0, done.stderr


def test_library_declares_what_it_imports():
  imported = set()
  for path in (ROOT / 'seqmodels').rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Import):
        imported |= {alias.name.split('.')[0] for alias in node.names}
      elif isinstance(node, ast.ImportFrom) and not node.level:
        imported.add(node.module.split('.')[0])
  outside = imported - set(sys.stdlib_module_names) - {'seqmodels', 'jaxlib'}
  assert outside <= names(PROJECT['dependencies'])


@pytest.mark.parametrize(
  ('file', 'extras'),
  [
    ('requirements.txt', ['programs']),
    ('requirements-dev.txt', ['programs', 'tfds', 'dev']),
    ('requirements-peers.txt', ['programs', 'peers']),
  ],
)
def test_requirements_and_extras_agree(file, extras):
  listed = set(requirements(ROOT / file))
  declared = {*PROJECT['dependencies'], *(line for extra in extras for line in EXTRAS[extra])}
  assert listed == {line for line in declared if not line.startswith('seqmodels[')}


def test_the_lock_pins_every_requirement():
  locked = names(line for line in (ROOT / 'requirements.lock').read_text().splitlines() if re.match(r'\w', line))
  assert names(requirements(ROOT / 'requirements-dev.txt')) <= locked


def requirements(path):
  for line in path.read_text().splitlines():
    line = line.split('  #')[0].strip()
    if line.startswith('-r '):
      yield from requirements(path.parent / line[3:])
    elif line and not line.startswith('#'):
      yield line


def names(lines):
  return {re.match(r'[\w.-]+', line).group().lower().replace('_', '-') for line in lines}


@pytest.mark.parametrize('extra', [*sorted(EXTRAS), 'cuda12,k8s'])
def test_make_installs_every_extra_on_top_of_the_lock(extra, tmp_path):
  lines = make('--dry-run', 'install', f'EXTRA={extra}', f'VENV={tmp_path}/venv')
  (line,) = [line for line in lines if 'pip install' in line]
  assert line.endswith(f"-r requirements.lock -e '.[{extra}]'")


def test_make_runs_the_second_suite_with_the_interpreter_it_is_given(tmp_path):
  lines = make(
    '--dry-run', 'test-next', f'NEXT_PYTHON={sys.executable}', f'NEXT_VENV={tmp_path}/next', 'NEXT_TESTS=tests/x'
  )
  assert f'{sys.executable} -m venv {tmp_path}/next' in lines
  assert lines[-1].startswith(f'{tmp_path}/next/bin/python -m pytest')
  assert lines[-1].endswith(' tests/x')


def test_ci_runs_a_part_of_the_second_suite_that_exists(tmp_path):
  lines = make('--dry-run', 'test-next-quick', f'NEXT_PYTHON={sys.executable}', f'NEXT_VENV={tmp_path}/next')
  program, _, rest = lines[-1].partition(" -k 'not (test_contract or test_layers) or gru or gated_delta' ")
  assert program.startswith(f'{tmp_path}/next/bin/python -m pytest -n ')
  assert rest
  assert all((ROOT / path).exists() for path in rest.split())
  assert 'make test-next-quick' in (ROOT / '.ci' / 'run').read_text()


def test_find_python_prints_an_interpreter_of_the_range_or_fails():
  script, minor = str(ROOT / '.ci' / 'find-python'), sys.version_info[1]
  found = run(script, f'3.{minor}', f'3.{minor}')
  if not found.returncode:  # the interpreter of a virtual environment need not be found by name
    version = run(found.stdout.strip(), '--version').stdout
    assert version.startswith(f'Python 3.{minor}.')
  assert run(script, '3.98', '3.99').returncode == 1


def make(*arguments):
  done = run('make', '--no-print-directory', *arguments, cwd=ROOT)
  assert done.returncode == 0, done.stderr
  return done.stdout.splitlines()
