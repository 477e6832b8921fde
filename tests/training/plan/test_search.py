"""The search, with a compiler whose memory is a formula."""

import math

import pytest

from configs.language import get_config
from seqmodels.errors import InputError
from training.plan import search as searching
from training.plan.figures import Figures
from training.plan.search import candidates, search
from training.plan.topology import parse

MEMORY = 100


@pytest.fixture
def config():
  return get_config('transformer,batch_size=32').to_dict()


def figures(peak, params=10, is_estimate=False, memory=MEMORY):
  return Figures('', is_estimate, params, 0, 0, 0, math.ceil(peak), memory, 1.0)


def peak(candidate, whole=640):
  """Parameters by fsdp and tensor; activations by rows a device, and by what is computed again."""
  kept = {'none': 4, 'dots': 2, 'block': 1}[candidate.remat]
  rows = candidate.batch_size / (candidate.data * candidate.fsdp * candidate.accumulate)
  return whole / (candidate.fsdp * candidate.tensor) + 20 * kept * rows / candidate.tensor


def run(config, whole=640, error=1.0, compiles=True, refuse=lambda c: False):
  """Return what is found, how often was compiled, and what was said; estimates are `error` times the truth."""
  compiled, said = [], []

  def estimate(members):
    guesses = [figures(error * peak(c, whole), whole / (c.fsdp * c.tensor), is_estimate=True) for c in members]
    return [InputError('heads') if refuse(c) else guess for c, guess in zip(members, guesses, strict=True)]

  def compile_one(candidate):
    compiled.append(candidate)
    return figures(peak(candidate, whole))

  tried = list(candidates(config, parse('v5e:4x4'), keeps_mesh=False))
  return search(tried, estimate, compile_one if compiles else None, said.append), compiled, said


@pytest.mark.parametrize('compiles', [True, False])
def test_what_is_found_fits_and_keeps_the_batch(config, compiles):
  found, compiled, said = run(config, compiles=compiles)
  assert found.figures.fits
  assert peak(found.candidate) <= MEMORY
  assert (found.candidate.batch_size, found.candidate.accumulate) == (32, 1)
  assert len(compiled) <= searching.MOST_COMPILED
  if not compiles:
    assert found.figures.is_estimate
    assert all('(estimate)' in line for line in said)


def test_nothing_that_costs_less_fits(config):
  """All that comes before in the order of costs does not fit."""
  found, _, _ = run(config)
  before = list(candidates(config, parse('v5e:4x4'), keeps_mesh=False))
  cost = lambda c: (c.accumulate, searching.REMAT.index(c.remat))
  cheaper = [c for c in before if c.batch_size == 32 and cost(c) < cost(found.candidate)]
  assert cheaper
  assert all(peak(c) > MEMORY for c in cheaper)


def test_estimates_that_are_wrong_do_not_decide(config):
  """Estimates 1.4 times too large: the compiler is asked, and finds the same."""
  assert run(config, error=1.4)[0].candidate == run(config)[0].candidate
  low, _, said = run(config, error=0.7)
  assert low.figures.fits
  assert any('does not fit' in line and '(estimate)' not in line for line in said)


def test_what_cannot_be_spread_is_said_and_left_out(config):
  found, compiled, said = run(config, refuse=lambda c: c.tensor > 1)
  assert found.candidate.tensor == 1
  assert all(c.tensor == 1 for c in compiled)
  assert any(line.endswith(': heads') for line in said)


def test_parameters_that_do_not_fit_are_never_compiled(config):
  found, compiled, said = run(config, whole=16 * MEMORY * 100)
  assert found is None
  assert not compiled
  assert all('does not fit' in line for line in said)


def test_a_compiler_that_always_refuses_is_given_up(config):
  said = []
  tried = list(candidates(config, parse('v5e:4x4'), keeps_mesh=False))
  answer = search(tried, lambda cs: [figures(1, 0) for _ in cs], lambda c: InputError('no'), said.append)
  assert answer is None
  assert said[-1] == f'given up after {searching.MOST_COMPILED} compilations'


def test_candidates_use_all_devices_and_join_slices_by_data(config):
  place = parse('v5e:4x4,slices:2')
  found = list(candidates(config, place, keeps_mesh=False))
  assert found
  for c in found:
    assert c.data * c.fsdp * c.tensor == place.devices
    assert c.data % place.slices == 0
    assert c.batch_size % (c.data * c.fsdp * c.accumulate) == 0
  assert len(set(found)) == len(found)


def test_a_given_mesh_is_kept(config):
  config['mesh'] |= {'data': 1, 'fsdp': 8, 'tensor': 2}
  config['model']['remat'] = 'dots'
  found = list(candidates(config, parse('v5e:4x4'), keeps_mesh=True))
  assert {(c.data, c.fsdp, c.tensor) for c in found} == {(1, 8, 2)}
  assert {c.remat for c in found} == {'dots', 'block'}


def test_the_flags_of_a_candidate_make_its_config(config):
  from commands import config_file
  from training.mesh_settings import mesh_settings, mesh_sizes

  candidate = searching.Candidate(2, 4, 2, 'block', 16, 2)
  mesh, *overrides = candidate.flags().split()
  _, fields = config_file.split_overrides(overrides)
  sizes = mesh_settings(mesh_sizes(mesh.removeprefix('--mesh=')))
  made = config_file.load(f'{config_file.ROOT}/configs/language.py:transformer,batch_size=32', fields, sizes).to_dict()
  assert made == candidate.applied(config)
