"""Ops on several devices, with the batch split over them: the results of one device, and nothing is gathered."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests.kernels.cases import PAIRS, make, skip_without

ROOT = pathlib.Path(__file__).parents[2]
GATHERS = ('all-gather', 'all-to-all', 'collective-permute')


@pytest.mark.parametrize(
  ('name', 'backend'), [(n, b) for n, b in PAIRS if b in ('auto', 'xla', 'cpu', 'newton', 'quasi_newton')]
)
def test_a_split_batch_has_the_results_of_one_device(name, backend):
  skip_without(backend)
  case = make(name, 13, flagged=True)
  mesh = jax.make_mesh((jax.device_count(),), ('data',), axis_types=(jax.sharding.AxisType.Auto,))

  def split(a, axis):
    spec = jax.P() if axis is None else jax.P(*[None] * axis, 'data')
    return jax.device_put(a, jax.NamedSharding(mesh, spec))

  arrays = {
    n: jax.tree.map(split, a, case.batch_axes[n]) if isinstance(a, tuple) else split(a, case.batch_axes[n])
    for n, a in case.arrays.items()
  }
  flags = jax.tree.map(lambda a: split(a, 0), case.flags)
  run = jax.jit(jax.value_and_grad(case.loss(backend), has_aux=True))
  compiled = run.lower(arrays, flags).compile()
  actual, expected = compiled(arrays, flags), run(case.arrays, case.flags)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5), actual, expected)
  text = compiled.as_text()
  assert not any(gather in text for gather in GATHERS)
  if backend == 'cpu' and 'decay' not in name:  # which has no form in C++
    assert 'custom_call_target="seqmodels_' in text


@pytest.mark.parametrize('devices', [1, 4])
def test_another_number_of_devices(devices):
  if os.environ.get('SEQMODELS_TEST_DEVICES') or jax.default_backend() != 'cpu':
    pytest.skip('this is the other number, or a device that is not a CPU')
  command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-k', 'test_a_split_batch', __file__]
  environment = {**os.environ, 'SEQMODELS_TEST_DEVICES': str(devices)}
  done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
  assert done.returncode == 0, done.stdout[-4000:]
