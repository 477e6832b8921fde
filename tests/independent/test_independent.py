"""Every independent check passes, and nothing is without one."""

import pytest

from seqmodels.config import POSITIONS
from seqmodels.mixers import MIXERS
from tests.independent.everything import ALL


@pytest.mark.parametrize('check', ALL, ids=str)
def test_agrees_with_an_independent_formulation(check):
  assert check.deviation() <= check.tolerance


def test_every_mixer_and_position_has_a_check():
  checked = {(check.kind, check.subject) for check in ALL}
  wanted = {('mixer', name) for name in MIXERS} | {('position', name) for name in POSITIONS if name != 'none'}
  assert not wanted - checked
