"""The contract of `tests/contract.py` over every entry of `MIXERS`."""

import functools

import pytest

from seqmodels.kernels.cpu import library
from seqmodels.mixers import MIXERS
from tests import bidirectional, contract
from tests.cases import Case

GROUPED = (('heads', 4), ('kv_heads', 2), ('position', 'rotary'))
RELATIVE = (('heads', 2), ('position', 'relative'))
# Options small enough for the contract's lengths; without an entry, a mixer's defaults.
SMALL = {
  'sliding_window': (('window', 5),),
  'sparse': (('stride', 3), ('position', 'alibi')),
  'linear_attention': (('heads', 2), ('position', 'rotary'), ('chunk', 4)),
  'performer': (('heads', 2), ('features', 6), ('chunk', 4)),
  'retention': (('position', 'rotary'), ('chunk', 4)),
  'ssd': (('heads', 4), ('state_width', 4), ('chunk', 4)),
  'gla': (('heads', 2), ('chunk', 4)),
  'gated_delta': (('heads', 2), ('chunk', 4)),
  'mlstm': (('chunk', 4),),
  'conv_lstm': (('image_height', 2), ('image_width', 2), ('peepholes', True)),
}
BACKENDS = ('reference', 'xla', 'cpu')
OF_BFLOAT16 = (
  contract.check_bfloat16,
  contract.check_state_is_what_its_spec_says,
  contract.check_dtype_of_outputs,
)


@functools.cache
def case(name, options=(), kernels='auto'):
  return Case(name, options, kernels=kernels)


CAUSAL = [name for name, mixer in MIXERS.items() if mixer.can_be_causal]
BIDIRECTIONAL = [name for name, mixer in MIXERS.items() if mixer.can_be_bidirectional]
CASES = [
  *((name, SMALL.get(name, ()), 'auto') for name in CAUSAL),
  ('attention', GROUPED, 'xla'),
  ('attention', RELATIVE, 'auto'),
  *((name, (), 'cpu') for name in ('rnn', 'lstm', 'gru')),
  ('lstm', (), 'newton'),
  ('gru', (), 'quasi_newton'),
  ('attention', GROUPED, 'cpu'),
]
# Every encoding that acts inside a mixer, and none, where no case has it.
POSITIONS = sorted(
  {(name, position) for name in CAUSAL if MIXERS[name].positions for position in ('none', *MIXERS[name].positions)}
  - {(name, dict(options).get('position', 'none')) for name, options, _ in CASES}
  - {('transformer_xl', 'transformer_xl')}  # it has no other
)


@pytest.mark.parametrize(('name', 'options', 'kernels'), CASES)
@pytest.mark.parametrize('check', contract.CHECKS, ids=lambda check: check.__name__.removeprefix('check_'))
def test_contract(name, options, kernels, check):
  if kernels == 'cpu' and (not library.load() or check in OF_BFLOAT16):
    pytest.skip('the C++ kernels are not built, or not for this dtype')
  check(case(name, options, kernels))


@pytest.mark.parametrize(
  ('name', 'backend'),
  [
    *((name, backend) for name in CAUSAL for backend in BACKENDS),
    *((name, backend) for name in ('lstm', 'gru') for backend in ('newton', 'quasi_newton')),
  ],
)
def test_backends_agree(name, backend):
  contract.check_backends_agree(case(name, SMALL.get(name, ())), backend)


@pytest.mark.parametrize(('name', 'position'), POSITIONS)
def test_position_inside(name, position):
  others = [(option, value) for option, value in SMALL.get(name, ()) if option != 'position']
  contract.check_any_segments(case(name, SMALL.get(name, ())).fitted(options=(*others, ('position', position))))


@functools.cache
def both_ways(name, position):
  return bidirectional.form(case(name, SMALL.get(name, ())), position)


@pytest.mark.parametrize(('name', 'position'), [*((name, 'none') for name in BIDIRECTIONAL), ('linformer', 'rotary')])
@pytest.mark.parametrize('check', bidirectional.CHECKS, ids=lambda check: check.__name__.removeprefix('check_'))
def test_bidirectional(name, position, check):
  check(both_ways(name, position))


def test_recurrences_with_a_product_of_each_token_project_it():
  projects = {name for name in CAUSAL if case(name, SMALL.get(name, ())).apply_projection is not None}
  assert projects >= {'rnn', 'lstm', 'gru', 'min_gru', 'min_lstm'}
