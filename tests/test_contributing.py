"""Follow the recipes of CONTRIBUTING.md: their code is run as it stands, and what it adds is used."""

import itertools
import pathlib
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from comparison.experiments import EXPERIMENTS
from seqmodels.mixers import MIXERS
from tasks import TASKS
from tests import contract

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / 'CONTRIBUTING.md').read_text()
BLOCKS = {match[1]: match[0] for match in re.finditer(r'(?<=```python\n)# (\S+\.py)\n.*?(?=```)', TEXT, re.DOTALL)}
REGISTRIES = {
  'seqmodels/mixers/__init__.py': MIXERS, 'tasks/__init__.py': TASKS,
  'comparison/experiments/__init__.py': EXPERIMENTS,
}  # fmt: skip
OUTSIDE = 'decoding_costs/'  # a folder of its own, which is loaded as it is


@pytest.fixture(scope='module')
def added():
  """All blocks of the recipes, run in their order; the registries are restored afterwards."""
  before = {path: dict(registry) for path, registry in REGISTRIES.items()}
  names: dict = {'MIXERS': MIXERS, 'TASKS': TASKS, 'EXPERIMENTS': EXPERIMENTS}
  for path, block in BLOCKS.items():
    if path.startswith(OUTSIDE):
      continue
    if path in REGISTRIES:
      exec(compile(block, f'CONTRIBUTING.md: {path}', 'exec'), names)
      continue
    module = types.ModuleType(path.removesuffix('.py').replace('/', '.'))
    sys.modules[module.__name__] = module  # where dataclasses look up their annotations
    exec(compile(block, f'CONTRIBUTING.md: {path}', 'exec'), module.__dict__)
    names |= {name: value for name, value in vars(module).items() if not name.startswith('_')}
  yield names
  for path, registry in REGISTRIES.items():
    registry.clear()
    registry |= before[path]
  for path in BLOCKS:
    sys.modules.pop(path.removesuffix('.py').replace('/', '.'), None) if path not in REGISTRIES else None


@pytest.fixture(scope='module')
def shift(added):
  case = contract.Case('shift')
  case.params  # noqa: B018  (drawn here, not inside a check that is being traced)
  return case


def test_every_recipe_has_a_file_and_a_line_of_its_registry():
  assert list(BLOCKS) == [
    'seqmodels/mixers/shift.py', 'seqmodels/mixers/__init__.py', 'tasks/parity.py', 'tasks/__init__.py',
    'configs/parity.py', 'comparison/experiments/flops.py', 'comparison/experiments/__init__.py',
    'decoding_costs/article.py', 'decoding_costs/measure.py',
  ]  # fmt: skip


@pytest.mark.parametrize('check', contract.CHECKS, ids=lambda check: check.__name__.removeprefix('check_'))
def test_the_mixer_keeps_the_contract(shift, check):
  check(shift)


def test_the_mixers_options_are_checked(added):
  from seqmodels.errors import InputError

  with pytest.raises(InputError, match=r'share=2'):
    added['ShiftOptions'](share=2)


def test_the_task_is_trained_from_its_config(added, tmp_path):
  import train

  task = TASKS['parity'](length=5)
  batch = next(iter(task.dataset('validation', 4)))
  np.testing.assert_array_equal(batch.targets, np.cumsum(batch.inputs, axis=1) % 2)
  config = added['get_config']('gru,width=16,depth=1,length=5,steps=150,warmup_steps=5,batch_size=64,eval_every=0')
  results = train.train(config, tmp_path)
  assert results['validation/loss'] < 0.3  # guessing costs 0.693


def test_the_tasks_comparison_is_one_line(added, tmp_path):
  from commands import compare

  compare.main('smoke', str(tmp_path), claims=[1], tasks=['parity'], architectures=['gru'])
  report = (tmp_path / 'report.md').read_text()
  table = report[report.index('Quality by task') :]
  assert '| parity | test accuracy | transformer, residual | ' in table
  assert '|  |  | gru, plain | ' in table
  assert 'no model: guessing | 0.693' in table


def test_the_experiment_is_run(added, tmp_path, monkeypatch):
  from commands import compare
  from comparison import records

  # Names are read from the files of the project, which the recipe is in below alone.
  monkeypatch.setattr(compare.catalogue, 'experiment_summaries', lambda: dict.fromkeys(EXPERIMENTS, ''))
  compare.main('laptop', str(tmp_path), claims=[1], experiments=['flops'])
  rows = records.read_all(tmp_path)
  flops = {(row['architecture'], row['length']): row['value'] for row in rows if row['metric'] == 'flops'}
  assert set(flops) == set(itertools.product(('lstm', 'transformer'), (64, 512, 4096)))
  assert flops['lstm', 512] == pytest.approx(flops['lstm', 64], rel=1e-2)
  assert flops['transformer', 512] > flops['transformer', 64]


def test_what_is_added_to_the_files_is_known(tmp_path):
  """As written, at the ends of the files: names are looked up in sources, before anything is imported."""
  for name in ('seqmodels', 'tasks', 'configs', 'commands', 'comparison', 'training'):
    shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('__pycache__', '_build'))
  for name in ('main.py', 'train.py', 'eval.py'):
    shutil.copy(ROOT / name, tmp_path)
  for path, block in BLOCKS.items():
    if not path.startswith(OUTSIDE):
      with (tmp_path / path).open('a') as file:
        file.write('\n' + block)
  run = lambda *flags: (
    subprocess.run([sys.executable, 'main.py', *flags], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
  )
  listed = {line.split()[0]: line for line in run('--mode=list').splitlines() if line.strip()}
  for name, about in (('shift', 'Mix each'), ('parity', 'Say after'), ('flops', 'Forward')):
    assert about in listed[name]
  command = re.search(r'--config=(configs/parity\.py:\S+)', BLOCKS['configs/parity.py'])
  assert command
  assert '2 × (lstm), plain block' in run('--mode=describe', f'--config={command[1]}')
  assert '(shift)' in run('--mode=describe', '--config=configs/copying.py:shift,width=8,share=0.3')


def test_an_article_from_outside_is_measured_and_reported(tmp_path, capsys):
  from commands import compare, report
  from comparison import articles, records

  for path, block in BLOCKS.items():
    if path.startswith(OUTSIDE):
      (tmp_path / path).parent.mkdir(exist_ok=True)
      (tmp_path / path).write_text(block)
  folder, workdir = tmp_path / 'decoding_costs', tmp_path / 'w'
  compare.main('laptop', str(workdir), article=str(folder))
  assert '1 cells run, 0 were finished already, 0 failed' in capsys.readouterr().out
  text = (workdir / 'report.md').read_text()
  assert text.startswith('# What a longer context costs\n')
  assert '## 1. A longer context: supported' in text
  assert '- 2. A longer context is worth its cost (G)' in text
  assert f'--scale=laptop --article={folder} --claims=1 --workdir=W' in text
  judge, rows = articles.load(str(folder)).claims[1].judge, records.read_all(workdir)
  assert judge([{**row, 'value': 1 / row['value']} for row in rows]).status == 'contradicted'
  assert judge([]).status == 'not measured here'
  report.report(str(workdir), 'csv', str(folder))
  table = (workdir / 'tables/verdicts.csv').read_text()
  assert '1,A token of a longer context costs a Transformer more.,' in table
  assert ',supported,' in table
