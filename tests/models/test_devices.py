"""A batch split over several devices gives the outputs, gradients and states of one device, with kernels=auto."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from seqmodels.kernels.cpu import library
from seqmodels.mixers import MIXERS

ROOT = pathlib.Path(__file__).parents[2]
# Mixers whose training has a kernel in C++.
IN_CPP = {'rnn', 'lstm', 'gru', 'attention'}


@pytest.fixture(scope='module')
def measured() -> dict[str, dict[str, Any]]:
  command = [sys.executable, '-m', 'tests.models.devices', *MIXERS]
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


@pytest.mark.parametrize('name', MIXERS)
def test_several_devices_are_one(measured, name):
  deviations = {key: value for key, value in measured[name].items() if 'on' in key.split()}
  assert {'whole on 2', 'whole on 4'} <= deviations.keys()
  assert ('stepwise on 4' in deviations) == MIXERS[name].can_be_causal
  assert max(deviations.values()) < 2e-5, deviations


@pytest.mark.skipif(not library.load(), reason='the kernels for CPUs are not built')
def test_kernels_in_cpp_are_used_on_several_devices_too(measured):
  used = {name: rows for name, rows in measured.items() if rows['whole: in C++'][0]}
  assert used.keys() >= IN_CPP
  for name, rows in used.items():
    for program in ('whole', 'stepwise'):
      alone, split = rows.get(f'{program}: in C++', (False, False))
      assert alone == split, name
