"""Initial parameters of recurrent mixers."""

import re

import jax

from comparison.experiments.subjects import Subject, token_spec


def test_no_batched_qr():
  """On CPU two batched QRs at once can wait for each other for ever, so each gate has one of its own."""
  model = Subject('lstm').build(token_spec(8), width=8, depth=2)
  text = jax.jit(model._init).lower(jax.random.key(0)).as_text()
  shapes = re.findall(r'geqrf\w*\(.*?\) .*?: \(tensor<([\dx]+)xf32>', text)
  assert shapes
  assert set(shapes) == {'8x8'}
