"""Models that cannot fit the memory are refused by their size; others are not."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from configs import base
from seqmodels import config as model_config
from seqmodels import models
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.spec import Spec, Tokens
from training import limits
from training import mesh as meshes
from training.mesh_settings import MeshSettings
from training.run import build_run
from training.settings import EvalSettings, TrainSettings

GIGABYTE = 2**30


@pytest.fixture
def small_machine(monkeypatch):
  """A machine with 1 GiB."""
  monkeypatch.setattr(limits, 'host_bytes', lambda: GIGABYTE)


def check(model=None, train=None, evaluation=None, spec=None) -> None:
  config = ModelConfig(**{'pattern': ('attention',), 'width': 64, **(model or {})})
  spec = spec or Spec('causal', Tokens(256), Tokens(256), 128)
  limits.check_config(config)
  built = models.build(config, spec)
  settings = TrainSettings(**(train or {}))
  limits.check_training(
    built, spec, settings, EvalSettings(**(evaluation or {})), meshes.make_mesh(MeshSettings(data=1))
  )


@pytest.mark.usefixtures('small_machine')
@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    ({'model': {'params': 1e8}}, 'model.params=1e+08: at least 1e+08 parameters need 1.49 GiB'),
    ({'model': {'width': 4096}}, 'model.width=4096 and model.depth=2: at least 3.02e+08 parameters need 4.5 GiB'),
    ({'model': {'depth': 10_000}}, 'model.width=64 and model.depth=10000: at least '),
    ({'model': {'feedforward': 1000.0, 'width': 256}}, 'and model.feedforward=1000: '),
    ({'train': {'batch_size': 10_000}}, 'train.batch_size=10000: activations of 10,000 rows of 128 positions'),
    ({'train': {'batch_size': 2**22, 'accumulate': 2**20}}, 'train.batch_size=4194304: a batch need at least 4.5 GiB'),
    ({'train': {'segment': 8, 'memory': 10**6}}, 'train.memory=1000000: the states of 32 rows'),
    ({'evaluation': {'segment': 8, 'memory': 10**7}}, 'eval.memory=10000000: the states of 8 streams'),
    ({'evaluation': {'beams': 10**9}}, 'eval.beams=1000000000: the beams of 64,000,000,000 rows'),
    ({'evaluation': {'batch_size': 10**5}}, 'eval.batch_size=100000: outputs need at least'),
    ({'spec': Spec('causal', Tokens(10**7), Tokens(10**7), 8)}, 'at least 1.29e+09 parameters'),
  ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(arguments, expected):
  with pytest.raises(InputError) as caught:
    check(**arguments)
  assert expected in str(caught.value)
  assert str(caught.value).endswith('this machine has 1 GiB')
  assert '\n' not in str(caught.value)


@pytest.mark.usefixtures('small_machine')
def test_what_fits_passes():
  check()
  check({'width': 512}, {'batch_size': 64}, {'batch_size': 512})
  check({'pattern': ('lstm',)}, {'segment': 8, 'memory': 2**30})  # a state of fixed size


def test_parameters_are_never_fewer_than_the_closed_form_says(monkeypatch):
  """For every architecture: what `check_config` refuses by the fields alone could not have been trained."""
  counted = []
  monkeypatch.setattr(limits, '_check_parameters', lambda what, count, *_: counted.append(count))
  from configs.architectures import ARCHITECTURES

  tokens = Tokens(11)
  for name in ARCHITECTURES:
    config = model_config.from_dict(base.make('copying', f'{name},width=64').model.to_dict())
    source = {'source': tokens, 'source_length': 8} if config.encoder_pattern else {}
    kind = 'seq2seq' if source else 'encode' if config.bidirectional else 'causal'
    limits.check_config(config)
    model = models.build(config, Spec(kind, tokens, tokens, 8, **source))
    assert counted[-1] <= models.count_parameters(model, embedding=False), name


@pytest.mark.usefixtures('small_machine')
def test_accelerators_share_what_a_mesh_splits():
  """A model of 4.5 GiB with its optimizer state on eight devices of 1 GiB."""
  config, spec = ModelConfig(pattern=('attention',), width=4096, depth=2), Spec('causal', Tokens(8), Tokens(8), 8)
  built, devices = models.build(config, spec), np.array([SimpleNamespace(platform='gpu')] * 8)
  check = lambda settings, zero=0, **shape: limits.check_training(
    built, spec, settings, EvalSettings(), SimpleNamespace(devices=devices, size=8, shape=shape), zero
  )
  check(TrainSettings(), fsdp=8, tensor=1)
  with pytest.raises(InputError, match='this machine has 1 GiB on each of 2 devices'):
    check(TrainSettings(), fsdp=2, tensor=1)
  with pytest.raises(InputError, match=r'this machine has 1 GiB$'):
    check(TrainSettings(), fsdp=1, tensor=1)
  with pytest.raises(InputError, match=r'this machine has 1 GiB$'):
    check(TrainSettings(), 1, fsdp=1, tensor=1)  # the parameters alone
  check(TrainSettings(), 1, fsdp=2, tensor=1)


def test_bytes_of_states_are_those_of_arrays():
  model = models.build(ModelConfig(pattern=('attention', 'lstm'), width=16), Spec('causal', Tokens(5), Tokens(5), 8))
  state = model.init_state(3, 100)
  assert limits.state_bytes(model, 3, 100) == sum(leaf.nbytes for leaf in jax.tree.leaves(state))


def test_the_memory_of_this_machine():
  assert GIGABYTE < limits.host_bytes() < 2**50
  assert limits.memory_bytes() == limits.host_bytes() or jax.default_backend() != 'cpu'


def test_optimizers_that_keep_less_need_less():
  config = ModelConfig(params=limits.host_bytes() / 12)
  limits.check_config(config, 'sgd')
  with pytest.raises(InputError, match='to train with adamw'):
    limits.check_config(config, 'adamw')


def test_a_run_is_checked_before_anything_is_built(monkeypatch):
  monkeypatch.setattr(limits, 'host_bytes', lambda: 2**20)
  config = base.make('copying', 'lstm,width=256').to_dict()
  with pytest.raises(InputError, match='this machine has'):
    build_run(config)


def test_settings_bound_their_whole_numbers():
  assert dataclasses.replace(TrainSettings(), steps=2**31 - 1).steps == 2**31 - 1
  for arg in ('steps=2147483648', 'batch_size=1e18', 'eval_every=1e12'):
    with pytest.raises(InputError, match='whole number from -2147483648 to 2147483647'):
      base.make('copying', f'lstm,{arg}')
