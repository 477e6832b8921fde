"""Every independent check passes, and the table in the documentation has all of them."""

import pathlib
import re

import pytest

from seqmodels.config import POSITIONS
from tests.independent.everything import ALL
from tests.independent.verdicts.statements import STATEMENTS


@pytest.mark.parametrize('check', ALL, ids=str)
def test_agrees_with_an_independent_formulation(check):
  assert check.deviation() <= check.tolerance


def test_the_documented_table_has_every_check():
  """A mixer or position that has a row there keeps its check; every position encoding has one."""
  table = pathlib.Path(__file__).parents[2] / 'docs' / 'independent-checks.md'
  rows = re.findall(r'^\| (position )?`(\w+)` \|', table.read_text(), re.MULTILINE)
  documented = {('position' if position else 'mixer', name) for position, name in rows}
  assert {(check.kind, check.name) for check in ALL} == documented
  assert {('position', name) for name in POSITIONS if name != 'none'} <= documented


def test_the_documented_table_has_every_claim():
  table = pathlib.Path(__file__).parents[2] / 'docs' / 'independent-checks.md'
  assert [int(number) for number in re.findall(r'^\| (\d+) \|', table.read_text(), re.MULTILINE)] == list(STATEMENTS)
