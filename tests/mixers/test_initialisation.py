"""Initial parameters and outputs, pinned: a seed means the same model in every version.

The values were computed before parameters got named axes, when one matrix held queries, keys and values, and one all
gates: they fix the draws, their order, and which column of a draw belongs to which gate or head. The outputs of
gated_delta are those with the epsilon of `layers.Norm`, 1e-6; it was 1e-5. Those of conv_lstm are its first; of
one place it is the lstm.
"""

import jax
import numpy as np
import pytest
from flax import nnx

from seqmodels.mixers import make_mixer
from seqmodels.mixers.base import Form

WIDTH, LENGTH = 8, 12
# Mixer, options, causal: the number of parameters, their sum, the sum of their squares, and `projected_output`.
PINNED = [
  ('rnn', {}, True, 136, -0.67014868, 16.433105, 13.108),
  ('rnn', {}, False, 104, 0.61356912, 15.049008, -18.912),
  ('lstm', {}, True, 544, 13.695226, 70.072729, 2.785),
  ('lstm', {}, False, 416, 16.774524, 71.18111, 1.7216),
  ('gru', {}, True, 416, 3.2027623, 48.632885, 3.8485),
  ('gru', {}, False, 320, 6.4133445, 47.612053, -0.96578),
  ('attention', {'heads': 2}, True, 256, 8.167698, 31.638942, 1.1737),
  ('attention', {'heads': 2}, False, 256, 8.167698, 31.638942, -16.062),
  ('attention', {'heads': 4, 'kv_heads': 2, 'position': 'rotary'}, True, 192, 8.1855888, 24.001144, -28.135),
  ('attention', {'heads': 4, 'kv_heads': 2, 'position': 'rotary'}, False, 192, 8.1855888, 24.001144, -25.085),
  ('attention', {'heads': 2, 'position': 'relative'}, True, 516, -0.62450159, 102.96523, -8.547),
  ('attention', {'heads': 2, 'position': 'relative'}, False, 772, 12.015351, 165.12844, -5.6977),
  ('attention', {'heads': 2, 'position': 't5'}, True, 320, 8.167698, 31.638942, 1.1737),
  ('attention', {'heads': 2, 'position': 't5'}, False, 320, 8.167698, 31.638942, -16.062),
  ('attention', {'heads': 2, 'position': 'transformer_xl'}, True, 336, 5.4646854, 40.272324, 1.2253),
  ('attention', {'heads': 2, 'position': 'transformer_xl'}, False, 336, 5.4646854, 40.272324, -16.656),
  ('sliding_window', {}, True, 256, 8.167698, 31.638942, -2.3873),
  ('sliding_window', {}, False, 256, 8.167698, 31.638942, -15.076),
  ('sparse', {}, True, 256, 8.167698, 31.638942, -2.3873),
  ('sparse', {}, False, 256, 8.167698, 31.638942, -15.076),
  ('transformer_xl', {}, True, 336, 5.4646854, 40.272324, -4.8421),
  ('transformer_xl', {}, False, 336, 5.4646854, 40.272324, -21.597),
  ('linear_attention', {}, True, 256, 8.167698, 31.638942, 3.0553),
  ('linear_attention', {}, False, 256, 8.167698, 31.638942, -10.523),
  ('performer', {}, True, 256, 8.167698, 31.638942, 8.3864),
  ('performer', {}, False, 256, 8.167698, 31.638942, -7.3183),
  ('linformer', {'length': 12}, False, 1792, 5.5526758, 161.31078, 26.836),
  ('retention', {}, True, 544, 21.005091, 69.096551, -16.257),
  ('retention', {}, False, 480, 22.294115, 74.02743, 13.935),
  ('ssd', {}, True, 2155, 2.7808858, 361.40351, 4.2562),
  ('ssd', {}, False, 3766, 7.1936574, 673.87867, 19.406),
  ('gla', {}, True, 460, 12.932508, 58.744834, 5.244),
  ('gla', {}, False, 556, 9.2249711, 75.76027, 28.604),
  ('gated_delta', {}, True, 442, 1.6673955, 106.80322, 23.284),
  ('gated_delta', {}, False, 428, -6.3377117, 159.91955, 17.252),
  ('mlstm', {}, True, 346, 15.55147, 55.793617, -32.813),
  ('mlstm', {}, False, 332, 14.152706, 67.651718, -22.735),
  ('min_gru', {}, True, 144, 6.052576, 16.995088, 22.005),
  ('min_gru', {}, False, 144, 4.366482, 15.439163, -11.485),
  ('min_lstm', {}, True, 216, 6.0346852, 24.632886, -1.9522),
  ('min_lstm', {}, False, 216, 7.7315741, 23.612052, 4.3397),
  ('lru', {}, True, 288, -13.194328, 92.621364, -67.367),
  ('lru', {}, False, 224, -2.1442209, 54.60113, 11.874),
  ('rg_lru', {}, True, 624, 62.67608, 365.42335, -3.3197),
  ('rg_lru', {}, False, 408, 41.913459, 367.65047, -2.4159),
  ('slstm', {}, True, 592, 3.005914, 180.70024, 2.5057),
  ('slstm', {}, False, 504, -9.3696453, 228.01719, -17.033),
  ('conv', {}, True, 136, 4.4867181, 15.158016, -2.0492),
  ('conv', {}, False, 208, 0.92239378, 23.927518, 19.15),
  ('conv_lstm', {}, True, 544, 13.695224, 70.07273, 2.785),
  ('conv_lstm', {'image_height': 2, 'image_width': 2, 'peepholes': True}, True, 320, 6.497097, 18.132071, -3.463),
]


def projected_output(apply, params) -> float:
  """Return Σ y · weight for parameters p + p/2 + 0.1 cos 7p, in which no bias is zero and no two are alike."""
  moved = jax.tree.map(lambda a: np.asarray(1.5 * np.float64(a) + 0.1 * np.cos(7 * np.float64(a)), np.float32), params)
  x = np.random.default_rng(0).normal(size=(2, LENGTH, WIDTH)).astype(np.float32)
  weight = np.random.default_rng(1).normal(size=(2, LENGTH, WIDTH))
  return float((np.asarray(jax.jit(apply)(moved, x), np.float64) * weight).sum())


@pytest.mark.parametrize(('name', 'options', 'causal', 'size', 'total', 'squares', 'output'), PINNED)
def test_a_seed_means_the_same_model(name, options, causal, size, total, squares, output):
  graphs = []

  def init():
    form = Form(WIDTH, causal=causal)
    graph, params = nnx.split(make_mixer(name, form, rngs=nnx.Rngs(7), options=options))
    graphs.append(graph)
    return nnx.to_pure_dict(params)

  params = jax.jit(init)()
  flat = np.concatenate([np.asarray(a, np.float64).ravel() for a in jax.tree.leaves(params)])
  assert flat.size == size
  scale = np.abs(flat).sum()
  assert flat.sum() == pytest.approx(total, abs=1e-6 * scale)
  assert (flat**2).sum() == pytest.approx(squares, rel=1e-6)
  assert projected_output(lambda p, x: nnx.merge(graphs[0], p)(x)[0], params) == pytest.approx(
    output, rel=1e-3, abs=1e-3
  )
