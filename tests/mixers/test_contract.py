"""The contract of `tests/contract.py` over every entry of `MIXERS`."""

import functools

import pytest

from seqmodels.kernels.cpu import library
from seqmodels.mixers import MIXERS
from tests import bidirectional, contract
from tests.cases import Case

GROUPED = (('heads', 4), ('kv_heads', 2), ('position', 'rotary'), ('implementation', 'xla'))
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
}
HALF = (contract.check_bfloat16, contract.check_state_keeps_its_shape)
NATIVE = (('implementation', 'cpu'),)
GROUPED_NATIVE = (*GROUPED[:-1], *NATIVE)
RELATIVE = (('heads', 2), ('position', 'relative'))


@functools.cache
def case(name, options=()):
  return Case(name, options)


CAUSAL = [name for name, mixer in MIXERS.items() if mixer.can_be_causal]
CASES = [*((name, SMALL.get(name, ())) for name in CAUSAL), ('attention', GROUPED), ('attention', RELATIVE)]
CASES += [(name, NATIVE) for name in ('rnn', 'lstm', 'gru')] + [('attention', GROUPED_NATIVE)]
# Every encoding that acts inside a mixer, and none, where no case has it.
POSITIONS = sorted(
  {(name, position) for name in CAUSAL if MIXERS[name].positions for position in ('none', *MIXERS[name].positions)}
  - {(name, dict(options).get('position', 'none')) for name, options in CASES}
  - {('transformer_xl', 'transformer_xl')}  # it has no other
)


@pytest.mark.parametrize(('name', 'options'), CASES, ids=lambda value: value if isinstance(value, str) else len(value))
@pytest.mark.parametrize('check', contract.CHECKS, ids=lambda check: check.__name__.removeprefix('check_'))
def test_contract(name, options, check):
  if NATIVE[0] in options and (not library.load() or check in HALF):
    pytest.skip('the kernels for CPUs are not built, or not for this type')
  check(case(name, options))


@pytest.mark.parametrize(('name', 'implementation'), [(c.name, other) for c, other in contract.other_implementations()])
def test_implementations_agree(name, implementation):
  contract.check_implementations_agree(case(name, SMALL.get(name, ())), implementation)


@pytest.mark.parametrize(('name', 'position'), POSITIONS)
def test_position_inside(name, position):
  others = [(option, value) for option, value in SMALL.get(name, ()) if option != 'position']
  contract.check_any_segments(case(name, SMALL.get(name, ())).fitted(options=(*others, ('position', position))))


@functools.cache
def both_ways(name, position):
  return bidirectional.form(case(name, SMALL.get(name, ())), position)


BOTH_WAYS = [*((name, 'none') for name in MIXERS), ('linformer', 'rotary')]


@pytest.mark.parametrize(('name', 'position'), BOTH_WAYS)
@pytest.mark.parametrize('check', bidirectional.CHECKS, ids=lambda check: check.__name__.removeprefix('check_'))
def test_bidirectional(name, position, check):
  check(both_ways(name, position))
