"""speech_synthesis: the layout of samples and conditions, and speaking chunk by chunk against reading at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from configs import speech_synthesis
from seqmodels.config import ModelConfig
from seqmodels.context import Context
from seqmodels.decoding.sampling import Sampling
from seqmodels.errors import InputError
from seqmodels.models import build
from tasks import audio, sample_baselines
from tasks.pipeline import cut
from tasks.speaking import sound_of, speak
from tasks.speech_synthesis import END, FIRST
from training import mesh as meshes
from training.evaluate import evaluate
from training.run import make_run
from training.settings import EvalSettings, TrainSettings, eval_settings, train_settings


def make(**options):
  return tasks.make('speech_synthesis', {'seconds': 0.01, 'block': 20, **options})


def parts(task, split, row):
  """The samples of a recording as codes, and its condition, without the code under test."""
  recordings = task.data.splits[split]
  samples = recordings.samples[recordings.starts[row] : recordings.starts[row + 1]]
  text = sorted(set(task.data.splits['train'].texts)).index(recordings.texts[row])
  speaker = ('copper', 'radio', 'satellite', 'tunnel').index(recordings.speakers[row])
  return audio.mu_law(samples / np.float32(32768)), [FIRST + text, FIRST + 10 + speaker]


@pytest.mark.parametrize('block', [20, 7, 0])
@pytest.mark.parametrize('seconds', [0.01, 0.0])
def test_every_sample_is_predicted_once_with_its_condition_before_each_block(block, seconds):
  task = make(block=block, seconds=seconds)
  rows = np.array([3, 0, 11])
  batch = task.arrays('test', rows)
  most = 80 if seconds else 960
  for row, number in enumerate(rows):
    codes, condition = parts(task, 'test', number)
    sounds = [*codes[:most], *([END] if len(codes) <= most else [])]
    sequence, predicted = [], []
    for start in range(0, len(sounds), block or len(sounds)):
      sequence += [*condition, *sounds[start : start + (block or len(sounds))]]
    # Position i predicts token i + 1 of the sequence, unless that is a condition.
    counts = batch.weights[row] > 0
    predicted = [sequence[i + 1] for i in range(len(sequence) - 1) if sequence[i + 1] < FIRST]
    assert batch.targets[row][counts].tolist() == predicted == sounds
    assert batch.inputs[row][: len(sequence) - 1].tolist() == sequence[:-1]
    assert batch.mask[row].tolist() == [i < len(sequence) - 1 for i in range(task.spec.length)]


def test_segments_of_a_block_begin_with_the_condition():
  task = make()
  batch = task.arrays('test', np.arange(3))
  for piece in range(task.spec.length // 22):
    segment = cut(batch, piece, 22)
    assert (segment.inputs[:, 0] >= FIRST).all()
    assert (segment.inputs[:, 1] > segment.inputs[:, 0]).all()


def test_prompts_are_a_text_and_a_speaker():
  task = make()
  assert task.encode(' seven  radio ').tolist() == [FIRST + 5, FIRST + 11]
  assert len(task.prompts()) == 40
  assert task.text_of(task.encode('seven radio')) == 'seven'
  for prompt, message in (
    ('sevn radio', "text='sevn' is not known; nearest: seven"),
    ('seven radoi', "speaker='radoi' is not known; nearest: radio"),
    ('seven', 'a speaker must follow the text: copper, radio'),
    ('', "text='' is not known"),
  ):
    with pytest.raises(InputError, match=message):
      task.encode(prompt)


@pytest.fixture(scope='module')
def spoken():
  """A model with random parameters, and what it speaks."""
  task = make()
  model = build(ModelConfig(pattern=('gru',), depth=1, width=16, block='plain', feedforward=0.0), task.spec)
  params = jax.tree.map(lambda p: 4 * p, model.init(jax.random.key(0)))
  params['output']['bias'] = params['output']['bias'].at[END].add(-20.0)
  return task, model, params


def speech(spoken, block, samples, sampling=Sampling(), seed=0):
  task, model, params = spoken
  condition = task.encode('two radio')
  options = {'block': block, 'samples': samples, 'room': 100, 'key': jax.random.key(seed), 'sampling': sampling}
  return list(speak(model.decoder(params), condition, **options))


def codes_of(chunks):
  return audio.mu_law(sound_of(chunks))


@pytest.mark.parametrize('block', [5, 0])
def test_greedy_speech_is_the_likeliest_continuation_of_itself(spoken, block):
  task, model, params = spoken
  codes = codes_of(speech(spoken, block, 15, Sampling(temperature=0.0)))
  assert len(codes) == 15
  sequence: list[int] = []
  for start in range(0, 15, block or 15):
    sequence += [*task.encode('two radio'), *codes[start : start + (block or 15)]]
  outputs, _ = model.apply(params, jnp.asarray([sequence]), context=Context())
  best = np.asarray(outputs[0].argmax(axis=-1))
  predicted = [best[i] for i in range(len(sequence) - 1) if sequence[i + 1] < FIRST]
  assert predicted == codes.tolist()


def test_speech_has_the_length_that_is_asked_for_and_depends_on_the_seed(spoken):
  for samples in (4, 5, 11):
    chunks = speech(spoken, 5, samples)
    assert [len(chunk.samples) for chunk in chunks] == [min(5, samples - start) for start in range(0, samples, 5)]
  one, again, other = (codes_of(speech(spoken, 5, 40, seed=seed)) for seed in (1, 1, 2))
  np.testing.assert_array_equal(one, again)
  assert not np.array_equal(one, other)
  assert np.abs(sound_of(speech(spoken, 5, 40))).max() <= 1


def test_speech_ends_where_the_model_ends_it(spoken):
  task, model, params = spoken
  params = params | {'output': params['output'] | {'bias': params['output']['bias'].at[END].add(23.0)}}
  lengths = {len(codes_of(speech((task, model, params), 5, 1000, seed=s))) for s in range(5)}
  assert max(lengths) < 1000
  assert len(lengths) > 1


def test_baselines_know_no_more_than_they_should():
  random = np.random.default_rng(0)
  noise = [random.integers(0, 256, 30_000).astype(np.uint8) for _ in range(4)]
  for name, values in sample_baselines.scores(noise[:3], noise[3:]).items():
    assert 7.99 < values['bits'] < 10, name
  waves = [np.round(12_000 * np.sin(0.3 * np.arange(3000) + phase)) for phase in (0.1, 0.7, 1.9)]
  tones = [audio.mu_law((wave + random.normal(0, 10, 3000)) / 32768) for wave in waves]
  scores = sample_baselines.scores(tones[:2], tones[2:])
  assert scores['linear prediction of 12']['bits'] < scores['previous sample']['bits'] < scores['unigram']['bits']
  assert scores['unigram']['loss'] == pytest.approx(scores['unigram']['bits'] * np.log(2))


def test_the_bigram_is_the_sum_over_its_counts():
  train, test = [np.array([5, 6, 5, 6], np.uint8)], [np.array([5, 6], np.uint8)]
  every = np.bincount(train[0], minlength=256) + 1.0
  every /= every.sum()
  expected = [(1 + 16 * every[5]) / 17, (2 + 16 * every[6]) / 18]  # after silence, after 5
  assert sample_baselines.scores(train, test)['previous sample']['loss'] == pytest.approx(-np.log(expected).mean())


def test_a_small_model_that_is_trained_in_segments_is_better_than_counts():
  task = make(seconds=0.04, block=40)
  settings = TrainSettings(steps=60, batch_size=16, learning_rate=2e-2, warmup_steps=5, segment=42)
  run = make_run(build(ModelConfig(pattern=('lstm',), depth=1, width=32, block='plain'), task.spec), task, settings)
  state, batches = run.initial_state(), run.batches()
  step = run.trace_step().lower().compile()
  for _ in range(60):
    state, _ = step(state, meshes.put_batch(next(batches), run.mesh))
  evaluation = task.evaluations()['validation']
  whole = evaluate(run.model, state.params, task, evaluation, EvalSettings())
  parts = evaluate(run.model, state.params, task, evaluation, EvalSettings(segment=42, streams=5))
  assert whole['bits'] < task.baselines()['unigram']['bits'] - 0.3
  assert parts['bits'] == pytest.approx(whole['bits'], rel=1e-5)
  assert whole['loss'] == pytest.approx(whole['bits'] * np.log(2), rel=1e-6)


@pytest.mark.parametrize('architecture', ['transformer', 'transformer_xl', 'lstm'])
def test_a_config_reads_in_parts_of_a_block(architecture):
  config = speech_synthesis.get_config(architecture)
  settings = train_settings(config.train.to_dict()).for_task(tasks.make('speech_synthesis', {}))
  assert (settings.segment, settings.memory) == (config.task.block + 2, 1206)
  assert eval_settings(config.eval.to_dict()).for_task(tasks.make('speech_synthesis', {})).segment == 402


def test_a_negative_block_is_refused():
  with pytest.raises(InputError, match=r'task\.block=-1 must be 0'):
    make(block=-1)
