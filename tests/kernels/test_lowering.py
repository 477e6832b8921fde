"""Programs that are lowered on this host for a TPU or a GPU call no kernels for CPUs."""

import re

import jax
import jax.numpy as jnp
import pytest

from configs.architectures import ARCHITECTURES, architecture
from seqmodels import config
from seqmodels.kernels.cpu import library
from seqmodels.models import build
from seqmodels.spec import Spec, Tokens
from tests.kernels.cases import MAKERS, make

CELLS = ('rnn', 'lstm', 'gru')
ACCELERATORS = ('tpu', 'cuda')
LENGTH = 96


@pytest.fixture(autouse=True)
def has_library(monkeypatch):
  """Have `auto` choose the kernels for CPUs where they are not built, too: nothing here is compiled or run."""
  monkeypatch.setattr(library, 'load', lambda: True)


def calls(function, platform, *arguments):
  """The targets of the foreign calls in the program."""
  text = jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
  return set(re.findall(r'custom_call @"?([\w.$]+)', text))


@pytest.mark.parametrize('platform', ACCELERATORS)
@pytest.mark.parametrize('name', MAKERS)
def test_no_op_calls_kernels_for_cpus_elsewhere(name, platform):
  case = make(name, 40, flagged=True)
  found = calls(jax.grad(case.loss('auto'), has_aux=True), platform, case.arrays, case.flags)
  assert not {target for target in found if target.startswith('seqmodels')}


@pytest.mark.parametrize(
  'name', ['rnn', 'lstm', 'gru', 'attention', 'decode_attention', 'linear_attention', 'diagonal']
)
def test_on_cpu_auto_calls_them(name):
  case = make(name, 40, flagged=name == 'attention')
  found = calls(jax.grad(case.loss('auto'), has_aux=True), 'cpu', case.arrays, case.flags)
  expected = {'attention_forward', 'attention_backward'} if name == 'attention' else {name.split('_')[0]}
  assert all(any(e in target for target in found) for e in expected), found


@pytest.mark.parametrize('platform', ACCELERATORS)
@pytest.mark.parametrize('name', sorted(ARCHITECTURES))
def test_no_model_calls_kernels_for_cpus_elsewhere(name, platform):
  """Training, evaluation and one decoded token of every named architecture."""
  fields = architecture(name)
  fields |= {'width': 64, 'params': 0.0, 'depth': len(fields['pattern']) if 'pattern' in fields else 1}
  seq2seq = bool(fields.get('encoder_pattern'))
  kind = 'seq2seq' if seq2seq else 'encode' if fields.get('bidirectional') else 'causal'
  source = {'source': Tokens(11), 'source_length': LENGTH} if seq2seq else {}
  model = build(config.from_dict(fields), Spec(kind, Tokens(11), Tokens(11), LENGTH, **source))
  params = model.abstract_params
  tokens = jax.ShapeDtypeStruct((2, LENGTH), 'int32')
  read = {'source': jnp.zeros((2, LENGTH), jnp.int32)} if seq2seq else {}
  loss = lambda params, tokens: model.apply(params, tokens, **read)[0].sum()
  found = calls(jax.grad(loss), platform, params, tokens) | calls(loss, platform, params, tokens)
  if kind != 'encode':
    state = jax.eval_shape(lambda: model.init_state(2, LENGTH))
    token = jax.ShapeDtypeStruct((2, 1), 'int32')
    found |= calls(model.apply, platform, params, token, state)
  assert not {target for target in found if target.startswith('seqmodels')}
