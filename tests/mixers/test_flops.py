"""`mixing_flops` of every mixer against the products of its traced program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.kernels.local_attention import SMALLEST_BLOCK
from seqmodels.mixers import MIXERS
from seqmodels.mixers.attention import Attention
from seqmodels.mixers.distances import CLIP
from seqmodels.mixers.sliding_window import SlidingWindow
from seqmodels.mixers.sparse import Sparse
from tests.cases import make
from tests.contractions import count
from tests.independent.attention import strided, windowed
from tests.independent.attention_loop import causal

D, LENGTH, MEMORY = 64, 128, 192
TOLERANCE = 0.02  # normalisers and diagonals of chunks, which are of the width's order where matmuls are of its square
NOT_MULTIPLIED = ('taps', 'bias', 'scale')  # by a matmul: element by element

# Options that change the form. Attention computes all scores at once, so that it is known how many are masked.
OPTIONS = {
  'attention': ({}, {'kv_heads': 1}),
  'sliding_window': ({}, {'window': LENGTH // 2}),
  'transformer_xl': ({}, {'kv_heads': 1}),
  'sparse': ({'stride': 32}, {'stride': 32, 'position': 'relative'}),
  'linear_attention': ({}, {'position': 'rotary'}),
  'performer': ({}, {'position': 'rotary', 'features': 64, 'chunk': 64}),
  'linformer': ({'length': 2 * LENGTH, 'rank': 16},),
  'gated_delta': ({}, {'expand': 2, 'chunk': 16}),
  'ssd': ({}, {'heads': 4, 'chunk': 64}),
  'conv_lstm': ({}, {'image_height': 4, 'image_width': 2}),
}
KERNELS = {'attention': 'reference', 'sliding_window': 'reference', 'transformer_xl': 'reference'}
CASES = [
  (name, {'heads': 2} | options, KERNELS.get(name, 'xla')) for name in MIXERS for options in OPTIONS.get(name, ({},))
]
CASES += [('attention', {'heads': 4, 'position': position}, 'reference') for position in Attention.positions]
CASES += [('sliding_window', {'heads': 4, 'window': LENGTH // 2, 'position': 'transformer_xl'}, 'reference')]
CASES += [
  ('linear_attention', {'heads': 2}, 'reference'),
  ('conv_lstm', {'image_height': 2, 'image_width': 4}, 'reference'),
]


def build(name, options, is_causal, kernels='reference'):
  return nnx.eval_shape(lambda: make(name, D, causal=is_causal, kernels=kernels, options=options))


def counted(mixer, length, memory=0):
  """Return the FLOPs a token of the traced program, for one row."""
  graph, params = nnx.split(mixer)
  x = jax.ShapeDtypeStruct((1, length, D), jnp.float32)
  state = jax.eval_shape(lambda: mixer.init_state(1, memory)) if memory else None
  return count(lambda params, x, state: nnx.merge(graph, params)(x, state), params, x, state) / length


def weights(mixer):
  """Return the FLOPs a token of its matmuls with weights."""
  leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(mixer, nnx.Param)))
  multiplied = (a for path, a in leaves if not any(word in jax.tree_util.keystr(path) for word in NOT_MULTIPLIED))
  return 2.0 * sum(a.size for a in multiplied if a.ndim > 1)


def computed(mixer, length, memory):
  """Return how many keys and distances each query meets, masked ones included, and the number of all distances."""
  behind, ahead = memory + length, 0 if mixer.causal else length - 1
  if isinstance(mixer, Sparse):
    window, columns = min(mixer.stride, memory or length), -(-length // mixer.stride) + memory // mixer.stride
    keys = window + SMALLEST_BLOCK + (0 if mixer.causal else window)
    distances = keys if mixer.causal else keys + SMALLEST_BLOCK - 1
    listed = CLIP + 1 if mixer.causal else 2 * CLIP + 1
    return keys + columns, distances + listed, distances
  if isinstance(mixer, SlidingWindow):
    slots = min(mixer.window, memory or mixer.window)
    keys = 2 * slots if length > slots else slots * bool(memory) + length
    if length > slots and not mixer.causal:
      return keys + slots, 4 * slots - 1, 4 * slots - 1
    behind = keys
  return behind, behind + ahead, behind + ahead


def masked(mixer, length, memory=0):
  """Return the FLOPs a token of masked pairs that are computed all the same. One token computes none."""
  if not isinstance(mixer, Attention) or length == 1:
    return 0.0
  return mixer.flops_of(length, *computed(mixer, length, memory)) - mixer.flops_of(length, *mixer.pairs(length, memory))


@pytest.mark.parametrize(('name', 'options', 'kernels'), CASES, ids=str)
def test_flops_are_the_programs(name, options, kernels):
  forms = [True] * MIXERS[name].can_be_causal + [False] * MIXERS[name].can_be_bidirectional
  for is_causal in forms:
    mixer = build(name, options, is_causal, kernels)
    calls = [(LENGTH, 0), (LENGTH, MEMORY), (1, MEMORY)] if is_causal else [(LENGTH, 0)]
    for length, memory in calls:
      ours = weights(mixer) + mixer.mixing_flops(length, memory) + masked(mixer, length, memory)
      assert counted(mixer, length, memory) == pytest.approx(ours, rel=TOLERANCE), (is_causal, length, memory)


@pytest.mark.parametrize(
  ('name', 'options', 'sees'),
  [
    ('attention', {}, lambda i, j: True),
    ('sliding_window', {'window': 5}, windowed(5, True)),
    ('sparse', {'stride': 4}, strided(4, True)),
  ],
)
def test_who_is_seen_is_who_the_papers_say(name, options, sees):
  for is_causal in (True, False):
    mixer = build(name, options, is_causal)
    for length in (1, 3, 8, 30):
      pairs = [(i, j) for i in range(length) for j in range(length) if sees(i, j) and (causal(i, j) or not is_causal)]
      counts = np.bincount([i for i, _ in pairs])
      behind, ahead = mixer.sees(length)
      np.testing.assert_array_equal(behind + ahead, counts)
      if is_causal:  # decoding the last token, and a segment after a memory, whose tokens all see as much
        assert mixer.pairs(1, length)[0] == mixer.pairs(7, length)[0] == counts[-1]
