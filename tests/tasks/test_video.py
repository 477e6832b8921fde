"""Videos of moving digits: trajectories and drawing by loops, readings, scores as of OpenSTL, what is asked."""

import dataclasses

import jax
import numpy as np
import pytest
from skimage.metrics import structural_similarity

import tasks
from seqmodels.config import ModelConfig
from seqmodels.models import build
from tasks import moving_digits
from tasks.base import Batch, Evaluation
from tasks.datasets import glyphs
from tasks.ssim import ssim
from training.free_running import free_running
from training.settings import EvalSettings

FIRST_TEN = 50.284  # mean of the first ten images
SMALL = {'frames': 7, 'history': 3, 'size': 16, 'evaluation_examples': 10}


def make(name='video', **options):
  return tasks.make(name, SMALL | options if name == 'video' else options)


def test_digits_bounce_as_in_the_authors_program():
  """One coordinate at a time, as get_data of Srivastava et al. does: step, then stop at the edge and turn around."""
  words = np.random.default_rng(0).integers(0, 2**63, (3, 6)).astype(np.uint64)
  found = moving_digits.trajectories(words, 40)
  drawn = (words >> np.uint64(12)).astype(np.float64) * 2.0**-52
  for row, digit in np.ndindex(3, 2):
    y, x, angle = drawn[row, 3 * digit : 3 * digit + 3]
    v_y, v_x = np.sin(2 * np.pi * angle), np.cos(2 * np.pi * angle)
    for frame in range(40):
      y, x = y + 0.1 * v_y, x + 0.1 * v_x
      if y <= 0:
        y, v_y = 0, -v_y
      if y >= 1:
        y, v_y = 1, -v_y
      if x <= 0:
        x, v_x = 0, -v_x
      if x >= 1:
        x, v_x = 1, -v_x
      np.testing.assert_allclose(found[row, digit, frame], (y, x), atol=1e-9)
  assert found.min() == 0
  assert found.max() == 1


@pytest.mark.parametrize('of_frames', [1, 4])
def test_the_brighter_digit_is_seen(of_frames):
  random = np.random.default_rng(1)
  images = random.integers(0, 256, (2, 3, of_frames, 5, 6)).astype(np.uint8)
  places = random.random((2, 3, 4, 2))
  expected = np.zeros((2, 4, 16, 16), np.uint8)
  for row, number, frame in np.ndindex(2, 3, 4):
    y, x = int(places[row, number, frame, 0] * 11), int(places[row, number, frame, 1] * 10)
    here = expected[row, frame, y : y + 5, x : x + 6]
    np.maximum(here, images[row, number, frame % of_frames], out=here)
  np.testing.assert_array_equal(moving_digits.draw(images, places, 16), expected)


def test_a_longer_video_begins_as_the_shorter_one():
  short, longer = make(), make(frames=30)
  indices = np.array([0, 5])
  np.testing.assert_array_equal(longer.video('test', indices)[:, :7], short.video('test', indices))
  smaller = make(size=32).video('test', indices)
  assert smaller.shape == (2, 7, 32, 32)
  assert (smaller.max(axis=(2, 3)) > 128).all(), 'a digit is in every frame'


def test_splits_have_digits_of_their_own():
  found = glyphs.load('moving_segments')
  images = {split: {image.tobytes() for image in part.images} for split, part in found.items()}
  assert [len(part) for part in images.values()] == [1000, 200, 200]
  assert not images['train'] & images['test'] | images['train'] & images['validation']
  for part in found.values():
    np.testing.assert_array_equal(np.bincount(part.labels), len(part.labels) // 10)
  # Version 1 of what draws them: by a few values, since roundings may differ.
  assert found['train'].images[:10].mean() == pytest.approx(FIRST_TEN, abs=0.05)
  halves = glyphs.load('moving_segments', 2)['test'].images
  whole = found['test'].images.astype(np.float64)
  np.testing.assert_allclose(halves[:, 3, 4], whole[:, 6:8, 8:10].mean(axis=(1, 2)), atol=0.5)


@pytest.mark.parametrize('reading', ['vector', 'image', 'patches'])
def test_tokens_are_the_frames(reading):
  task = make(reading=reading)
  video = task.video('test', np.arange(2))
  tokens = task.tokens(video)
  np.testing.assert_allclose(task.pixels(tokens) * 255, video, atol=1e-4)
  if reading == 'vector':
    np.testing.assert_allclose(tokens, video.reshape(2, 7, 256) / 255, rtol=1e-6)
  else:
    assert task.vectors.image == ((4, 4) if reading == 'image' else (1, 1))
    places = tokens.reshape(2, 7, 4, 4, 16)
    np.testing.assert_allclose(places[1, 2, 3, 1], video[1, 2, 12:16, 4:8].ravel() / 255, rtol=1e-6)
  batch = task.arrays('test', np.arange(2))
  each = task.tokens_of_frame
  np.testing.assert_array_equal(batch.inputs, tokens[:, :-each])
  np.testing.assert_array_equal(batch.targets, tokens[:, each:])
  np.testing.assert_array_equal(batch.weights[0], np.repeat([0, 0, 1, 1, 1, 1], each))


def test_direct_prediction_reads_no_frame_of_the_future():
  task, direct = make(), make(form='direct')
  a, b = task.arrays('test', np.arange(3)), direct.arrays('test', np.arange(3))
  np.testing.assert_array_equal(a.inputs[:, :3], b.inputs[:, :3])
  assert not b.inputs[:, 3:].any()
  assert a.inputs[:, 3:].any()
  np.testing.assert_array_equal(a.targets, b.targets)
  np.testing.assert_array_equal(a.weights, b.weights)


@pytest.mark.parametrize('data_range', [1.0, 2.0])
def test_ssim_is_that_of_scikit_image(data_range):
  random = np.random.default_rng(0)
  noise = random.random((3, 4, 20, 24)).astype(np.float32)
  video = make(size=32).video('test', np.arange(2)).astype(np.float32) / 255
  pairs = (noise, random.random(noise.shape).astype(np.float32)), (video[:, :-1], video[:, 1:]), (video, 0.5 * video)
  for a, b in pairs:
    found = np.asarray(ssim(jax.numpy.asarray(a), jax.numpy.asarray(b), data_range))
    expected = [structural_similarity(x, y, data_range=data_range) for x, y in zip(*map(images, (a, b)), strict=True)]
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-5)


def images(videos):
  return videos.reshape(-1, *videos.shape[2:])


@pytest.mark.parametrize('reading', ['vector', 'image', 'patches'])
def test_scores_are_those_of_openstl(reading):
  """Its formulas over arrays [b t h w]: errors summed over pixels, SSIM of clipped frames."""
  task = make(reading=reading)
  batch = task.arrays('test', np.arange(4))
  outputs = (batch.targets + np.random.default_rng(0).normal(0, 0.2, batch.targets.shape)).astype(np.float32)
  found = {name: a.sum() / b.sum() for name, (a, b) in task.metrics(outputs, batch).items()}
  true, pred = (task.pixels(x)[:, 2:] for x in (batch.targets, outputs))
  clipped = np.clip(pred, 0, 1)
  similar = [structural_similarity(x, y, data_range=2) for x, y in zip(images(clipped), images(true), strict=True)]
  expected = {
    'loss': np.mean((pred - true) ** 2),
    'mse': np.mean((pred - true) ** 2, axis=(0, 1)).sum(),
    'mae': np.mean(np.abs(pred - true), axis=(0, 1)).sum(),
    'ssim': np.mean(similar),
  }
  assert found == pytest.approx(expected, rel=1e-4)


def test_baselines_are_scores_of_what_they_say():
  task, direct = make(), make(form='direct')
  found, of_direct = task.baselines(), direct.baselines()
  video = task.video('test', np.arange(10)) / 255
  error = lambda frames: float(np.square(frames - video[:, 3:]).mean(axis=(0, 1)).sum())
  assert found['copy_last']['mse'] == pytest.approx(error(video[:, 2:-1]), rel=1e-5)
  assert found['copy_last']['free_mse'] == pytest.approx(error(video[:, 2:3]), rel=1e-5)
  assert of_direct['copy_last']['mse'] == found['copy_last']['free_mse']
  assert found['black_frame']['mse'] == found['black_frame']['free_mse'] == pytest.approx(error(0), rel=1e-5)
  mean = task.video('train', np.arange(500))[:, 1:].mean(axis=(0, 1)) / 255
  assert found['mean_frame']['mse'] == pytest.approx(error(mean), rel=1e-4)
  assert 'free_mse' not in of_direct['black_frame']
  for own in found.values():
    assert own.keys() == {'loss', 'mse', 'mae', 'ssim', 'free_mse', 'free_mae', 'free_ssim'}
  few = make(train_examples=3)
  mean = few.video('train', np.arange(3))[:, 1:].mean(axis=(0, 1)) / 255
  assert few.baselines()['mean_frame']['mse'] == pytest.approx(error(mean), rel=1e-4)
  patches = make(reading='patches').baselines()
  for name, own in found.items():
    assert patches[name] == pytest.approx(own, rel=1e-5)


MODELS = {
  'vector': {'pattern': ('lstm',)},
  'image': {'pattern': ('conv_lstm',), 'width': 64, 'block': 'plain', 'feedforward': 0.0},
  'patches': {'pattern': ('attention',), 'position': 'learned'},
}


@pytest.mark.parametrize('reading', MODELS)
def test_a_free_running_model_reads_its_own_frames(reading):
  """Against the whole model on the frames so far, and black ones after them, frame by frame; at any batch size."""
  task = make(reading=reading)
  model = build(ModelConfig(**{'width': 16, 'depth': 1} | MODELS[reading]), task.spec)
  params, each = model.init(jax.random.key(0)), task.tokens_of_frame
  batch = task.arrays('test', np.arange(10))
  apply = jax.jit(model.apply)
  read, written = batch.inputs.copy(), []
  read[:, 3 * each :] = 0
  for frame in range(3, 7):
    written.append(np.asarray(apply(params, read)[0][:, (frame - 1) * each : frame * each]))
    read[:, frame * each : (frame + 1) * each] = np.clip(written[-1], 0, 1)[:, : read.shape[1] - frame * each]
  future = Batch(None, batch.targets[:, 2 * each :], batch.weights[:, 2 * each :])
  found = task.metrics(np.concatenate(written, axis=1), future)
  expected = {f'free_{name}': float(a.sum() / b.sum()) for name, (a, b) in found.items() if name != 'loss'}
  for size in (10, 4):
    got = free_running(model, params, task, Evaluation('test'), EvalSettings(size, free_running=10))
    assert got == pytest.approx(expected, rel=1e-4)
  direct = dataclasses.replace(task, form='direct')
  assert free_running(model, params, direct, Evaluation('test'), EvalSettings(10, free_running=10)) == {}


def test_scores_are_the_same_in_segments_of_frames_and_of_less():
  """SSIM needs whole frames: segments of 3 of the 16 tokens of a frame have none."""
  task = make(reading='patches')
  outputs = np.random.default_rng(0).random((4, 96, 16), np.float32)
  batch = task.arrays('test', np.arange(4))
  whole = task.metrics(outputs, batch)
  for length in (32, 3):
    parts = [
      task.metrics(
        outputs[:, i : i + length], Batch(None, batch.targets[:, i : i + length], batch.weights[:, i : i + length])
      )
      for i in range(0, 96, length)
    ]
    assert ('ssim' in parts[0]) == (length == 32)
    for name in parts[0]:
      np.testing.assert_allclose(np.sum([part[name] for part in parts], axis=0), whole[name], rtol=1e-5)


@pytest.mark.parametrize('reading', ['vector', 'patches'])
def test_the_answer_is_the_digit_of_the_marked_frame(reading):
  task = make('video_question', frames=12, size=64, evaluation_examples=40, reading=reading, patch=16)
  batch = task.arrays('test', np.arange(40))
  assert batch.inputs.shape[1] == task.spec.length == 12 * task.tokens_of_frame
  video = np.round(255 * task.pixels(batch.inputs)).astype(np.uint8)
  border = np.stack([video[..., 0, :], video[..., -1, :], video[..., :, 0], video[..., :, -1]], axis=2)
  marked = (border == 255).all(axis=(2, 3))
  assert (marked.sum(axis=1) == 1).all()
  frames = marked.argmax(axis=1)
  assert set(frames) == set(range(6)), 'in the first half, and anywhere in it'
  images, labels = task.glyphs('test')
  for row, (frame, answer) in enumerate(zip(frames, batch.targets, strict=True)):
    inside = video[row, frame, 1:-1, 1:-1]
    corner = [np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0)]
    lit = inside[corner[0][0] : corner[0][-1] + 1, corner[1][0] : corner[1][-1] + 1]
    shown = [cropped(image) for image in images[labels == answer]]
    # A border pixel may cut the digit's edge off.
    assert any(image.shape == lit.shape and (image == lit).all() for image in shown) or touches(inside)
  assert len(set(batch.targets.tolist())) > 5
  assert task.baselines()['majority class']['accuracy'] < 0.3
  few = make('video_question', frames=12, size=64, evaluation_examples=40, train_examples=8)
  counts = np.bincount(few.arrays('train', np.arange(8)).targets, minlength=10) + 1
  nats = -np.log(counts / 18)[few.arrays('test', np.arange(few.count('test'))).targets]
  assert few.baselines()['majority class']['loss'] == pytest.approx(nats.mean())
  assert task.evaluations()['longer'].options == {'frames': 24}


def cropped(image):
  rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
  return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def touches(inside):
  return inside[[0, -1]].any() or inside[:, [0, -1]].any()
