"""Mixers in bfloat16 with the default settings of the compiler: with those of the other tests all products run."""

import os
import subprocess
import sys

PROGRAM = """
import jax
import jax.numpy as jnp

from tests.cases import make

x = jnp.ones((2, 16, 64), jnp.bfloat16)
for name, options, causal in (
  ('attention', {'position': 'transformer_xl'}, True),
  ('transformer_xl', {}, True),
  ('transformer_xl', {}, False),
  ('linear_attention', {}, False),
  ('performer', {}, False),
  ('linformer', {'length': 16}, False),
):
  mixer = make(name, 64, causal=causal, dtype='bfloat16', options=options)
  state = mixer.init_state(2, 20) if causal else None
  loss = lambda x: (mixer(x, state)[0].astype(jnp.float32) ** 2).sum()
  assert jnp.isfinite(jax.jit(jax.grad(loss))(x)).all(), name
"""


def test_products_after_products_run_in_bfloat16():
  environment = {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'}
  subprocess.run([sys.executable, '-c', PROGRAM], env=environment, check=True, timeout=300)
