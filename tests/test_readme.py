"""The examples of the README work: its own mixer keeps the contract, trains, and is described."""

import pathlib
import re

import pytest

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS
from seqmodels.models import build
from seqmodels.spec import Spec, Tokens
from tests import contract
from tests.cases import make
from tests.mixers import test_flops

README = (pathlib.Path(__file__).parent.parent / 'README.md').read_text()


@pytest.fixture(scope='module')
def decay():
  """The README's mixer, run as it stands there, under its name in MIXERS."""
  block = re.search(r'```python\n(# seqmodels/mixers/decay.py\n.*?)```', README, re.DOTALL).group(1)
  assert len(block.splitlines()) < 40
  names: dict = {}
  exec(compile(block, 'README.md', 'exec'), names)
  MIXERS['decay'] = names['Decay']
  case = contract.Case('decay')
  case.params  # noqa: B018  (drawn here, not inside a check that is being traced)
  yield case
  del MIXERS['decay']


@pytest.mark.parametrize('check', contract.CHECKS, ids=lambda check: check.__name__.removeprefix('check_'))
def test_the_readmes_mixer_keeps_the_contract(decay, check):
  check(decay)


@pytest.mark.parametrize('backend', ['reference', 'xla'])
def test_the_readmes_mixer_is_the_same_with_every_backend(decay, backend):
  contract.check_backends_agree(decay, backend)


def test_the_flops_of_the_readmes_mixer_are_those_of_its_program(decay):
  test_flops.test_flops_are_the_programs('decay', {'heads': 2}, 'xla')


def test_the_readmes_mixer_is_refused_where_a_task_reads_both_ways(decay):
  with pytest.raises(InputError, match='Decay cannot be bidirectional'):
    make('decay', causal=False)
  spec = Spec('encode', Tokens(5), Tokens(5), 7)
  with pytest.raises(InputError, match='decay, which cannot be bidirectional'):
    build(ModelConfig(pattern=('decay',), depth=1, width=8), spec)


def test_the_readmes_mixer_trains_and_is_described(decay, tmp_path, capsys):
  import train
  from commands import describe
  from configs.copying import get_config

  config = get_config('decay,width=16,lag=3,items=2,symbols=2,steps=60,warmup_steps=5,eval_every=0,learning_rate=1e-2')
  results = train.train(config, tmp_path)
  assert results['validation/loss'] < 0.6  # guessing evenly among the four symbols costs 1.39
  describe.main(config)
  assert '2 × (decay)' in capsys.readouterr().out


def test_the_readmes_mixer_is_compared_and_reported(decay, tmp_path):
  from commands import compare
  from comparison import records

  experiments = ['forward_latency', 'recall_capacity']  # one that times, one that trains
  compare.main('smoke', str(tmp_path), claims=[7, 10], experiments=experiments, architectures=['decay'])
  rows = records.read_all(tmp_path)
  measured = {(row['experiment'], row['metric']) for row in rows if row['architecture'] == 'decay'}
  assert {('forward_latency', 'forward_seconds'), ('recall_capacity', 'accuracy')} <= measured
  assert not [row for row in rows if row['metric'] in ('failed', 'gate')]
  lines = (tmp_path / 'report.md').read_text().splitlines()
  against, beside = [line for line in lines if line.startswith('| decay |')]
  assert re.search(r'\| (wins|tie|loses|open) \| [^|]* × \| (wins|tie|loses|open) \|$', against)  # both references
  assert beside.count('|') == 5  # its name, its block, its latency and its recall
  assert '>decay</td>' in (tmp_path / 'report.html').read_text()
