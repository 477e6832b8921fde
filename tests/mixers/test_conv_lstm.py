"""The convolutional LSTM: an LSTM where there is one place, and the same at every place where there are more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.kernels import conv_lstm, recurrent
from seqmodels.mixers import make_mixer
from seqmodels.mixers.base import Form
from seqmodels.models import build, sizing
from seqmodels.spec import Spec, Tokens, Vectors
from tests.cases import make
from tests.contractions import count

CONFIG = ModelConfig(pattern=('conv_lstm',), width=32, depth=2, block='plain', feedforward=0.0)


def normal(*shape):
  return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize('backend', ['reference', 'xla'])
def test_of_one_place_it_is_the_lstm(backend):
  x, h, c = normal(2, 5, 6), normal(2, 3), normal(2, 3)[::-1]
  w, u, bias = normal(6, 4, 3), normal(3, 4, 3), normal(4, 3)
  y, *end = recurrent.lstm(x, h, c, w, u, bias, kernels='reference')
  image = lambda a: a[..., None, None, :]
  kernels = (a[:, None, None] for a in (w, u))
  found, last = conv_lstm.conv_lstm(image(x), (image(h), image(c)), *kernels, bias, kernels=backend)
  np.testing.assert_allclose(found, image(y), atol=1e-6)
  for a, b in zip(last, end, strict=True):
    np.testing.assert_allclose(a, image(b), atol=1e-6)


def test_what_moves_in_the_image_moves_in_the_output():
  """Three frames, with something in the middle of 9 × 9 places, then three places on; edges are out of reach."""
  mixer = make('conv_lstm', 162, options={'image_height': 9, 'image_width': 9})
  x = np.zeros((1, 3, 9, 9, 2), np.float32)
  x[:, :, 3:5, 3:5] = normal(1, 3, 2, 2, 2)
  moved = np.roll(x, (1, 0), axis=(2, 3))
  run = jax.jit(lambda x: mixer(x.reshape(1, 3, -1))[0].reshape(x.shape))
  still, other = run(x), run(moved)
  near = (slice(None), slice(None), slice(2, 6), slice(2, 6))
  away = (slice(None), slice(None), slice(3, 7), slice(2, 6))
  np.testing.assert_allclose(other[away], still[near], atol=1e-6)
  assert np.abs(other[near] - still[near]).max() > 1e-3


def test_the_input_reaches_as_far_as_the_kernel_a_frame():
  mixer = make('conv_lstm', 49, options={'image_height': 7, 'image_width': 7, 'image_kernel': 3})
  influence = jax.jacrev(lambda x: mixer(x)[0])(normal(1, 3, 49))[0, :, :, 0]  # [t 49 s 49]
  reach = np.abs(influence).reshape(3, 7, 7, 3, 49)[:, 3, 3].reshape(3, 3, 7, 7) > 0
  away = np.maximum(*np.abs(np.indices((7, 7)) - 3))
  # Recurrent weights are zero around the middle at first: what was seen stays in its place.
  for t in range(3):
    for s in range(3):
      np.testing.assert_array_equal(reach[t, s], (away <= 1) & (s <= t))


def test_kernels_reach_no_farther_than_the_image():
  sizes = lambda **options: make('conv_lstm', 8, options=options).input_kernel.shape[1:3]
  assert sizes() == (1, 1)
  assert sizes(image_height=1, image_width=4) == (1, 3)
  assert sizes(image_height=2, image_width=4, image_kernel=7) == (3, 7)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'image_height': 3}, 'mixer.image_height=3 times mixer.image_width=1 must divide model.width=8'),
    ({'image_height': -1}, 'mixer.image_height=-1 must be from 0'),
    ({'image_kernel': 2}, 'mixer.image_kernel=2 must be odd, from 1 to 63'),
    ({'image_kernel': 65}, 'mixer.image_kernel=65'),
  ],
)
def test_bad_options_are_one_line(options, message):
  with pytest.raises(InputError, match=message) as caught:
    make('conv_lstm', 8, options=options)
  assert '\n' not in str(caught.value)


def test_the_image_is_that_of_the_task():
  form = Form(16, image=(4, 2))
  made = lambda **options: make_mixer('conv_lstm', form, rngs=nnx.Rngs(0), options=options).state_spec(1, 1)['h'].shape
  assert made() == (1, 4, 2, 2)
  with pytest.raises(InputError, match=r'image_height=2 and mixer\.image_width=4 must be 0 or those of the images'):
    made(image_height=2, image_width=4)


def model_of_images(**changes):
  spec = Spec('causal', Vectors(4 * 2 * 3, (4, 2)), Vectors(4 * 2 * 3, (4, 2)), length=5)
  return build(CONFIG.replace(**changes), spec)


def test_a_model_reads_and_writes_every_place_alike():
  model = model_of_images()
  assert model.abstract_params['input']['kernel'].shape == (3, 4)
  assert model.abstract_params['output']['kernel'].shape == (4, 3)
  params, x = model.init(jax.random.key(0)), normal(2, 5, 24)
  outputs = np.asarray(jax.jit(model.apply)(params, x)[0]).reshape(2, 5, 4, 2, 3)
  # Upside down it is not the same, since a kernel has an upper side; all of one value it is, but at the edges.
  even = np.broadcast_to(normal(2, 5, 1, 3), (2, 5, 8, 3)).reshape(2, 5, 24)
  narrow = jax.jit(model_of_images(mixer={'image_kernel': 1}).apply)
  params['stack'] = jax.tree.map(lambda a: a[:, :, 1:2, 1:2] if a.ndim == 6 else a, params['stack'])
  places = np.asarray(narrow(params, even)[0]).reshape(2, 5, 8, 3)
  np.testing.assert_allclose(places, np.broadcast_to(places[:, :, :1], places.shape), atol=1e-6)
  assert np.abs(outputs).max() > 1e-3


def test_flops_of_a_model_of_images_are_the_programs():
  model = model_of_images()
  x = jax.ShapeDtypeStruct((1, 5, 24), np.float32)
  counted = count(model.apply, model.abstract_params, x) / 5
  biases = 2 * 2 * 16  # which `flops_per_token` takes for weights
  assert sizing.flops_per_token(model, 5) == pytest.approx(counted + biases, rel=1e-6)


def test_a_width_for_images_is_a_multiple_of_their_places():
  model = model_of_images(params=1e6, width=1)
  assert model.config.width % 8 == 0
  with pytest.raises(InputError, match=r'model\.width=30 must be a multiple of 8, the places of the images'):
    model_of_images(width=30)
  spec = Spec('causal', Tokens(5), Tokens(5), length=5)
  own = CONFIG.replace(params=1e6, mixer={'image_height': 3, 'image_width': 2})
  assert build(own, spec).config.width % 6 == 0
  for image, message in (((0, 1), 'image_height=0'), ((4, 4), 'vectors_size=24 must be a multiple of 16')):
    with pytest.raises(InputError, match=message):
      Vectors(24, image)
