"""speech_frames: what is read and written, alignment against loops, and sounds that a recogniser understands."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from seqmodels.config import ModelConfig
from seqmodels.context import Context
from seqmodels.errors import InputError
from seqmodels.models import build
from tasks import audio, frame_scores
from tasks.datasets import dial_tones
from training import mesh as meshes
from training.evaluate import evaluate
from training.run import make_run
from training.settings import EvalSettings, TrainSettings


def make(**options):
  return tasks.make('speech_frames', {'mels': 16, **options})


def frames_of(task, split, number):
  recordings = task.data.splits[split]
  samples = recordings.samples[recordings.starts[number] : recordings.starts[number + 1]]
  bands = audio.log_mel_of(audio.framed(samples, 200, 80), 8000, 16)
  return (bands - bands.mean() - task.prepared.mean) / task.prepared.deviation


@pytest.mark.parametrize('frames', [1, 2, 3])
def test_a_step_reads_the_frames_that_the_step_before_was_to_write(frames):
  task = make(frames=frames)
  batch = task.arrays('test', np.array([2, 7]))
  for row, number in enumerate((2, 7)):
    expected = frames_of(task, 'test', number)
    steps = -(-len(expected) // frames)
    filled = np.concatenate([expected, np.tile(expected[-1:], (steps * frames - len(expected), 1))])
    written = batch.targets[row, :steps, :-1]
    np.testing.assert_allclose(written.reshape(-1, 16), filled, atol=1e-4)
    assert batch.weights[row].tolist() == [i < steps for i in range(task.spec.length)]
    assert np.flatnonzero(batch.targets[row, :, -1]).tolist() == [steps - 1]
    np.testing.assert_array_equal(batch.inputs[row, 1:steps], written[:-1])
    assert not batch.inputs[row, 0].any()
    text = batch.source[row][batch.source_mask[row]]
    recordings = task.data.splits['test']
    assert task.text_of(text) == recordings.texts[number]
    assert text[0] - task.prepared.labels.size == sorted(dial_tones.SPEAKERS).index(recordings.speakers[number])


def test_what_is_cut_has_no_end():
  task = make(seconds=0.08)
  batch = task.arrays('test', np.arange(task.count('test')))
  has_end = batch.targets[..., -1].sum(axis=1)
  # Seven frames hold 680 samples.
  assert ((task.data.splits['test'].lengths <= 680) == (has_end > 0)).all()
  assert 0 < has_end.mean() < 1


def test_noise_is_on_the_frames_that_are_read_in_training_alone():
  task, plain = make(noise=2.0), make(noise=0.0)
  noisy, clean = (t.arrays('train', np.arange(200)) for t in (task, plain))
  np.testing.assert_array_equal(noisy.targets, clean.targets)
  noise = (noisy.inputs - clean.inputs)[:, 1:]
  assert noise.mean() == pytest.approx(0, abs=0.03)
  assert noise.std() == pytest.approx(2, rel=0.02)
  assert np.abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.3
  for split in ('validation', 'test'):
    np.testing.assert_array_equal(*(t.arrays(split, np.arange(5)).inputs for t in (task, plain)))


def test_losses_are_means_over_values_and_steps():
  task = make()
  batch = task.arrays('test', np.arange(4))
  outputs = np.asarray(jax.random.normal(jax.random.key(0), batch.targets.shape))
  totals = {name: np.zeros(2) for name in ('loss', 'mse', 'end_nats')}
  for row, step in zip(*np.nonzero(batch.weights), strict=True):
    squared = np.square(outputs[row, step, :-1] - batch.targets[row, step, :-1]).mean()
    sigmoid = 1 / (1 + np.exp(-np.float64(outputs[row, step, -1])))
    nats = -np.log(sigmoid if batch.targets[row, step, -1] else 1 - sigmoid)
    for name, value in (('loss', squared + nats), ('mse', squared), ('end_nats', nats)):
      totals[name] += value, 1
  for name, (value, weight) in task.metrics(jnp.asarray(outputs), batch).items():
    assert np.array([value.sum(), weight.sum()]) == pytest.approx(totals[name], rel=1e-5)


def test_a_model_writes_what_it_would_say_of_its_own_frames():
  task = make()
  model = build(ModelConfig(pattern=('gru',), depth=1, width=16), task.spec)
  params = jax.tree.map(lambda p: 2 * p, model.init(jax.random.key(0)))
  batch = task.arrays('test', np.arange(3))
  written = task.write(model, params, batch.source, batch.source_mask)
  for row, frames in enumerate(written):
    steps = frames.reshape(-1, task.values)
    inputs = np.concatenate([np.zeros((1, task.values), np.float32), steps[:-1]])[None]
    source, mask = (jnp.asarray(part[row : row + 1]) for part in (batch.source, batch.source_mask))
    outputs, _ = model.apply(params, jnp.asarray(inputs), context=Context(), source=source, source_mask=mask)
    np.testing.assert_allclose(outputs[0, :, :-1], steps, atol=1e-4)
    ends = np.asarray(outputs[0, :, -1]) > 0
    assert not ends[:-1].any()
    assert ends[-1] or len(steps) == task.spec.length


def least_by_hand(a, b):
  """The least sum over all paths, by trying them all, and the fewest steps among those."""
  best = []
  moves = ((1, 1), (1, 0), (0, 1))
  cost = lambda i, j: np.square(a[i] - b[j]).mean()

  def walk(i, j, total, steps):
    if (i, j) == (len(a) - 1, len(b) - 1):
      best.append((total, steps))
      return
    for di, dj in moves:
      if i + di < len(a) and j + dj < len(b):
        walk(i + di, j + dj, total + cost(i + di, j + dj), steps + 1)

  walk(0, 0, cost(0, 0), 1)
  total, steps = min(best)
  return total / steps


def test_warping_finds_the_best_of_all_alignments():
  random = np.random.default_rng(0)
  for long, short in itertools.product((1, 2, 5), (1, 3, 4)):
    a, b = random.normal(size=(long, 2)), random.normal(size=(short, 2))
    assert frame_scores.warped_distance(a, b) == pytest.approx(least_by_hand(a, b))
  a = random.normal(size=(6, 3))
  assert frame_scores.warped_distance(np.repeat(a, 2, axis=0), a) == 0, 'half as fast'
  sums = frame_scores.sums([a, a[:4]], [a, a])
  assert sums['length_error'][0].tolist() == [0, 2]
  assert sums['length_error'][1].tolist() == sums['dtw_mse'][1].tolist() == [6, 6]


def test_griffin_lim_gives_a_sound_of_the_bands():
  samples = dial_tones.recording(5, 0, 1)
  bands = audio.log_mel_of(audio.framed(samples, 200, 80), 8000, 40)
  sound = audio.griffin_lim(bands, 8000, 200, 80)
  assert np.abs(sound).max() == pytest.approx(0.5)
  found = audio.log_mel_of(audio.framed(np.round(32767 * sound).astype(np.int16), 200, 80), 8000, 40)[: len(bands)]
  loud = bands > bands.max() - 6
  difference = (found - bands)[loud]
  assert difference.std() < 0.5, 'the same but for the loudness'
  np.testing.assert_array_equal(sound, audio.griffin_lim(bands, 8000, 200, 80))


def test_a_small_model_learns_tones():
  task = make()
  settings = TrainSettings(steps=150, batch_size=32, learning_rate=1e-2, warmup_steps=5)
  run = make_run(build(ModelConfig(pattern=('gru',), depth=1, width=48, block='plain'), task.spec), task, settings)
  state, batches = run.initial_state(), run.batches()
  step = run.trace_step().lower().compile()
  for _ in range(150):
    state, _ = step(state, meshes.put_batch(next(batches), run.mesh))
  values = evaluate(run.model, state.params, task, task.evaluations()['test'], EvalSettings())
  assert values['mse'] < 0.8 * task.baselines()['frame before']['mse']
  batch = task.arrays('test', np.arange(8))
  sums = task.free_running(run.model, state.params, batch)
  assert sums['dtw_mse'][0].sum() / sums['dtw_mse'][1].sum() < 1, 'nearer than the mean frame'


def test_prompts_are_a_text_of_known_characters_and_a_speaker():
  task = make()
  source = task.encode(' seven  radio ')
  assert task.text_of(source) == 'seven'
  assert task.text_of(task.encode('ten radio')) == 'ten', 'a text that training does not have'
  assert len(task.prompts()) == 40
  for prompt, message in (
    ('seven radoi', "speaker='radoi' is not known; nearest: radio"),
    ('radio', 'a text must stand before the speaker'),
    ('Seven radio', "characters outside the vocabulary: 'S'; allowed: up to 5 of 'efghinorstuvwxz'"),
    ('seventeen radio', 'too long; allowed: up to 5'),
  ):
    with pytest.raises(InputError, match=message):
      task.encode(prompt)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'frames': 0}, r'task\.frames=0'),
    ({'noise': -1.0}, r'task\.noise=-1\.0 must be from 0 to 10'),
    ({'hop': 9000}, r'task\.hop=9000'),
    ({'mels': 10**9}, r'task\.mels=1000000000 is too many'),
    ({'split': 'speaker', 'speaker': 'radio'}, r"the speaker 'radio' of the test split is in no training recording"),
  ],
)
def test_bad_options_are_one_line(options, message):
  with pytest.raises(InputError, match=message) as caught:
    make(**options).prepared  # noqa: B018
  assert '\n' not in str(caught.value)
