"""Compiled programs take memory maps, of which a process has a limited number."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import pytest

from training import maps


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux counts maps')
def test_programs_give_their_maps_back(monkeypatch):
  programs = [jax.jit(lambda x, i=i: x * i + 1) for i in range(20)]
  before = maps.share()
  x = jnp.ones(3)
  for program in programs:
    program(x)
  with_programs = maps.share()
  assert 0 < before < with_programs < 1
  assert not maps.let_programs_go(1.0)
  assert maps.let_programs_go(0.0)
  assert all(program._cache_size() == 0 for program in programs)
  assert maps.share() < with_programs


def test_a_system_that_does_not_count_maps_keeps_programs(monkeypatch, tmp_path):
  monkeypatch.setattr(maps, 'MAPS', pathlib.Path('/nowhere'))
  assert maps.share() == 0.0
  assert not maps.let_programs_go()
  (tmp_path / 'maps').write_text('1\n2\n3\n')
  monkeypatch.setattr(maps, 'MAPS', tmp_path / 'maps')
  for text, share in (('6', 0.5), ('0', 0.0), ('unlimited', 0.0)):
    (tmp_path / 'limit').write_text(text)
    monkeypatch.setattr(maps, 'LIMIT', tmp_path / 'limit')
    assert maps.share() == share
