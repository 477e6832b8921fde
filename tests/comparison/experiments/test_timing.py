"""Timing: interleaved, warm, setups outside of the clock; and what the compiler says about a program."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from comparison.experiments import program, timing


def test_rounds_are_interleaved_in_an_order_of_their_own():
  calls = []
  callables = {name: lambda n=name: calls.append(n) or time.sleep(2e-3) for name in 'abc'}
  found = timing.interleave(callables, repeats=40)
  assert ''.join(calls[:6]) == 'aabbcc'
  rounds = [''.join(calls[i : i + 3]) for i in range(6, len(calls), 3)]
  assert len(rounds) == 40
  assert set(rounds) == {'abc', 'acb', 'bac', 'bca', 'cab', 'cba'}  # none always follows the same one
  assert {len(samples) for samples in found.values()} == {40}
  assert min(min(samples) for samples in found.values()) >= 2e-3


def test_short_calls_are_repeated_within_a_sample(monkeypatch):
  now = count = 0

  def call():
    nonlocal now, count
    now, count = now + 1e-4, count + 1

  monkeypatch.setattr(timing.time, 'perf_counter', lambda: now)
  samples = timing.interleave({'call': call}, repeats=3, shortest=5e-3)['call']
  assert count == 2 + 3 * 50
  np.testing.assert_allclose(samples, 1e-4)


def test_setups_are_made_anew_and_not_timed():
  made = []

  def setup():
    made.append(len(made))
    time.sleep(5e-3)
    return made[-1]

  seen = []
  found = timing.interleave({'a': seen.append}, setups={'a': setup}, repeats=3)
  assert seen == made == list(range(2 + 2 * 3))  # an untimed call comes before each sample
  assert max(found['a']) < 4e-3


def test_rounds_end_with_the_time_but_not_before_the_fewest():
  assert len(timing.interleave({'a': lambda: time.sleep(2e-2)}, repeats=50, seconds=0.0, fewest=3)['a']) == 3


def test_a_timing_row_has_its_median_interval_and_samples():
  times = [3.0, 1.0, 2.0, 2.5, 1.5]
  row = timing.timing_row(times, metric='m')
  assert (row['value'], row['unit'], row['samples'], row['metric']) == (2.0, 's', times, 'm')
  assert row['low'] <= 2.0 <= row['high']


@pytest.mark.parametrize(('length', 'layers'), [(7, 1), (7, 2), (19, 1)])
def test_dependent_steps_of_scans_one_after_the_other_are_added(length, layers):
  def stacked(x):
    for _ in range(layers):
      x = jax.lax.scan(lambda h, a: (jnp.tanh(h @ a), h @ a), x[0], x)[1]
    return x

  text = program.compile_program(stacked, jax.ShapeDtypeStruct((length, 5, 5), jnp.float32)).text
  assert program.dependent_steps(text) == length * layers


def test_dependent_steps_of_nested_loops_are_multiplied_and_none_is_none():
  def inner(h, _):
    return jax.lax.scan(lambda h, _: (jnp.sin(h @ h), None), h, None, length=11)[0], None

  nested = lambda h: jax.lax.scan(inner, h, None, length=5)[0]
  shape = jax.ShapeDtypeStruct((40, 40), jnp.float32)
  assert program.dependent_steps(program.compile_program(nested, shape).text) == 55
  assert program.dependent_steps(program.compile_program(lambda h: h @ h, shape).text) == 0


def test_memory_is_that_of_the_shapes():
  shape = jax.ShapeDtypeStruct((64, 64), jnp.float32)
  compiled = program.compile_program(lambda a, b: a @ b, shape, shape)
  assert compiled.argument_bytes == 2 * 4 * 64 * 64
  assert compiled.output_bytes == 4 * 64 * 64
