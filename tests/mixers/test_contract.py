"""The contract of `tests/contract.py` over every entry of `MIXERS`."""

import functools

import pytest

from seqmodels.mixers import MIXERS
from tests import contract
from tests.contract import Case

GROUPED = (('heads', 4), ('kv_heads', 2), ('position', 'rotary'), ('implementation', 'blockwise'))


@functools.cache
def case(name, options=()):
  return Case(name, options)


CASES = [*((name, ()) for name in MIXERS), ('attention', GROUPED)]


@pytest.mark.parametrize(('name', 'options'), CASES, ids=lambda value: value if isinstance(value, str) else len(value))
@pytest.mark.parametrize('check', contract.CHECKS, ids=lambda check: check.__name__.removeprefix('check_'))
def test_contract(name, options, check):
  check(case(name, options))


@pytest.mark.parametrize(('name', 'implementation'), [(c.name, other) for c, other in contract.other_implementations()])
def test_implementations_agree(name, implementation):
  contract.check_implementations_agree(case(name), implementation)


@pytest.mark.parametrize('name', MIXERS)
def test_bidirectional(name):
  contract.check_bidirectional(case(name))
