"""speech_recognition: what is read and scored, against loops, and small models that learn dial tones."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import jiwer
import numpy as np
import pytest

import tasks
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models import build
from seqmodels.spec import Spec, Tokens, Vectors
from tasks import audio
from tasks.answers import log_probabilities
from tasks.base import Decoding
from tasks.datasets import dial_tones, spoken_digits
from tasks.edit_distance import edit_distance
from tasks.speech_task import Steps, gathered
from training import mesh as meshes
from training.evaluate import evaluate
from training.free_running import free_running
from training.run import make_run
from training.settings import EvalSettings, TrainSettings


def make(**options):
  return tasks.make('speech_recognition', {'hop': 80, 'mels': 16, **options})


def test_joined_steps_are_those_of_the_recordings_one_after_another():
  values = np.arange(20, dtype=np.float32).reshape(10, 2)
  steps = Steps(values, np.array([0, 3, 4, 8, 10]), 0)
  chosen = np.array([[2, 1, -1], [0, 3, 1], [3, -1, -1], [2, 2, 1]])
  found, mask = gathered(steps, chosen, 7)
  for row, expected in enumerate([[4, 5, 6, 7, 3], [0, 1, 2, 8, 9, 3], [8, 9], [4, 5, 6, 7]]):  # the last: 4 + 4 > 7
    np.testing.assert_array_equal(found[row, : len(expected)], values[expected])
    assert mask[row].tolist() == [i < len(expected) for i in range(7)]
    assert not found[row, len(expected) :].any()


def test_features_are_log_mel_bands_without_their_loudness_scaled_by_training():
  task = make()
  batch, (number,) = task.arrays('test', np.array([5])), (5,)
  recordings = task.data.splits['test']
  samples = recordings.samples[recordings.starts[number] : recordings.starts[number + 1]]
  bands = audio.log_mel_of(audio.framed(samples, 200, 80), 8000, 16)
  expected = ((bands - bands.mean()) - task.prepared.mean) / task.prepared.deviation
  np.testing.assert_allclose(batch.inputs[0][batch.mask[0]], expected, atol=1e-5)
  train = task.arrays('train', np.arange(task.count('train')))
  np.testing.assert_allclose(train.inputs[train.mask].mean(axis=0), 0, atol=1e-4)
  np.testing.assert_allclose(train.inputs[train.mask].std(axis=0), 1, atol=1e-4)


def test_a_louder_recording_has_the_same_features():
  task = make()
  samples = task.data.splits['test'].samples[:600] // 4
  quiet, loud = task.sounds([samples, 3 * samples]).inputs
  np.testing.assert_allclose(quiet, loud, atol=2e-2)


@pytest.mark.parametrize('hop', [1, 80])
def test_mu_law_gives_the_samples_themselves(hop):
  task = make(features='mu_law', hop=hop, loss='label')
  recordings = task.data.splits['test']
  batch = task.arrays('test', np.arange(3))
  assert task.spec.input == (Tokens(256) if hop == 1 else Vectors(80))
  for row in range(3):
    samples = recordings.samples[recordings.starts[row] : recordings.starts[row + 1]] / 32768
    codes = batch.inputs[row][batch.mask[row]]
    found = codes if hop == 1 else np.round((codes.ravel() + 1) / 2 * 255).astype(int)
    np.testing.assert_array_equal(found[: len(samples)], audio.mu_law(samples))
    assert (found[len(samples) :] == 128).all()


@pytest.mark.parametrize('unit', ['word', 'character'])
def test_strings_of_digits_are_of_one_speaker_and_fit(unit):
  task = make(digits=4, unit=unit, hop=40)
  recordings, lengths = task.data.splits['test'], task.steps('test', task.reading_of_sound).lengths
  chosen = task.chosen('test', np.arange(300))
  batch = task.arrays('test', np.arange(300))
  counts = (chosen >= 0).sum(axis=1)
  assert set(counts.tolist()) == {1, 2, 3, 4}
  assert len({int(n) for n in chosen[chosen >= 0]}) > 70, 'of 80 recordings'
  for row, numbers in enumerate(chosen):
    found = numbers[numbers >= 0]
    assert (numbers[: len(found)] == found).all()
    assert len({recordings.speakers[n] for n in found}) == 1
    assert batch.mask[row].sum() == lengths[found].sum() <= task.spec.length
    text = task.prepared.labels.decode(batch.targets[row][batch.weights[row] > 0])
    assert text == ' '.join(recordings.texts[n] for n in found)
  assert batch.weights.sum(axis=1).max() <= task.longest_text


def test_training_strings_are_drawn_endlessly_or_from_a_number_of_examples():
  endless, finite = make(digits=3), make(digits=3, train_examples=40)
  assert (endless.count('train'), finite.count('train'), finite.count('test')) == (0, 40, 300)
  one, other = (endless.arrays('train', np.arange(8), seed) for seed in (0, 1))
  assert not np.array_equal(one.inputs, other.inputs)
  longer = endless.evaluations()['longer']
  assert dataclasses.replace(endless, **longer.options).digits == 6
  assert 'longer' not in make().evaluations()


def test_the_official_split_holds_out_the_first_recordings():
  task = make()
  tones = {dial_tones.recording(d, line, i).tobytes() for d in range(10) for line in range(4) for i in (0, 1)}
  test = task.data.splits['test']
  found = {part.tobytes() for part in np.split(test.samples, test.starts[1:-1])}
  assert (found, [task.count(split) for split in task.splits]) == (tones, [640, 80, 80])


def test_a_held_out_speaker_is_in_no_other_split():
  task = make(split='speaker', speaker='radio')
  speakers = {split: set(part.speakers) for split, part in task.data.splits.items()}
  assert speakers['test'] == {'radio'}
  assert speakers['train'] == speakers['validation'] == set(dial_tones.SPEAKERS) - {'radio'}
  assert [task.count(split) for split in task.splits] == [540, 60, 200]


SOUND = {'source': Vectors(16), 'source_length': 11}


@pytest.mark.parametrize(
  ('options', 'spec'),
  [
    ({'kind': 'causal'}, Spec('causal', Vectors(16), Tokens(12), 11)),
    ({'loss': 'label'}, Spec('encode', Vectors(16), Tokens(10), 11, readout='mean')),
    ({'loss': 'label', 'kind': 'causal'}, Spec('causal', Vectors(16), Tokens(10), 11, readout='last')),
    ({'loss': 'attention'}, Spec('seq2seq', Tokens(12), Tokens(12), 2, **SOUND)),
    ({'loss': 'attention', 'unit': 'character'}, Spec('seq2seq', Tokens(17), Tokens(17), 6, **SOUND)),
  ],
)
def test_each_loss_has_its_form(options, spec):
  task = make(**options)
  assert task.spec == spec
  batch = task.arrays('train', np.arange(3))
  if spec.kind == 'seq2seq':
    assert (batch.inputs[:, 0] == 0).all()
    np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    for row in range(3):
      count = int(batch.weights[row].sum())
      assert batch.targets[row, count - 1] == 0, 'the end counts'
      assert (batch.targets[row, : count - 1] > 0).all()


def test_metrics_of_ctc_are_those_of_what_is_transcribed():
  task = make(digits=3, unit='character', hop=40)
  model = build(ModelConfig(pattern=('gru',), depth=1, width=16), task.spec)
  params = model.init(jax.random.key(1))
  # Blanks are made less likely than they are, so that something is written.
  params['output']['bias'] = params['output']['bias'].at[0].add(-1.0)
  batch = task.arrays('test', np.arange(20))
  written = task.transcribe(model, params, batch)
  assert len(set(written)) > 1
  references = [task.prepared.labels.decode(t[w > 0]) for t, w in zip(batch.targets, batch.weights, strict=True)]
  outputs = np.asarray(log_probabilities(model, params, batch))
  errors, lengths = task.metrics(outputs, batch)['label_error_rate']
  for row, path in enumerate(outputs.argmax(axis=-1)):
    best = [int(label) for label, _ in itertools.groupby(path[batch.mask[row]]) if label]
    labels = batch.targets[row][batch.weights[row] > 0].tolist()
    assert (errors[row], lengths[row]) == (edit_distance(best, labels), len(labels))
  sums = task.free_running(model, params, batch)
  assert sums['wer'][0].sum() / sums['wer'][1].sum() == pytest.approx(jiwer.wer(references, written))
  assert sums['cer'][0].sum() / sums['cer'][1].sum() == pytest.approx(jiwer.cer(references, written))
  wide = task.transcribe(model, params, batch, Decoding(beams=4))
  assert len(wide) == 20


def trained(task, model, steps):
  settings = TrainSettings(steps=steps, batch_size=32, learning_rate=1e-2, warmup_steps=5)
  run = make_run(build(model, task.spec), task, settings)
  state, batches = run.initial_state(), run.batches()
  step = run.trace_step().lower().compile()
  for _ in range(steps):
    state, _ = step(state, meshes.put_batch(next(batches), run.mesh))
  return run.model, state.params


@pytest.mark.parametrize('objective', ['ctc', 'attention', 'label'])
def test_a_small_gru_learns_dial_tones(objective):
  task = make(loss=objective)
  model, params = trained(task, ModelConfig(pattern=('gru',), depth=1, width=32, block='plain', feedforward=0.0), 200)
  evaluation = task.evaluations()['test']
  scores = free_running(model, params, task, evaluation, EvalSettings(beams=2 if objective != 'label' else 1))
  assert scores['wer'] < 0.1
  values = evaluate(model, params, task, evaluation, EvalSettings())
  if objective == 'ctc':
    assert values['label_error_rate'] < 0.1
    samples = [dial_tones.recording(digit, 0, 0) for digit in (7, 1)]
    assert task.transcribe(model, params, task.sounds(samples)) == ['seven', 'one']
  else:
    assert values['accuracy'] > 0.9


def test_baselines_are_counted_by_hand():
  task = make()
  found = task.baselines()
  assert found['most frequent word'] == {'wer': 0.9, 'cer': pytest.approx(0.8, abs=0.1), 'exact_match': 0.1}
  assert found['nearest mean spectrum']['wer'] < 0.1, 'tones differ in their spectra'
  texts = [task._text('test', row) for row in make(digits=3).chosen('test', np.arange(50))]
  assert jiwer.wer(texts, ['nine nine'] * 50) > 0.5
  label = make(loss='label').baselines()['most frequent word']
  assert label['accuracy'] == label['exact_match'] == 0.1
  assert set(make(digits=3).baselines()) == {'most frequent word'}
  assert set(make(features='mu_law').baselines()) == {'most frequent word'}


def test_a_sound_that_is_too_long_is_refused():
  with pytest.raises(InputError, match=r'a sound of \d+ steps of 80 samples is too long: the model reads 11'):
    make().sounds([np.zeros(8000, np.int16)])


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'dataset': 'spoken_digit'}, r'task\.dataset=.*nearest: spoken_digits'),
    ({'loss': 'ctcc'}, r"task\.loss='ctcc' is not known; nearest: ctc"),
    ({'kind': 'both'}, r'task\.kind'),
    ({'unit': 'letter'}, r'task\.unit'),
    ({'features': 'mfcc'}, r'task\.features'),
    ({'normalise': 'max'}, r'task\.normalise'),
    ({'digits': 0}, r'task\.digits=0'),
    ({'hop': -1}, r'task\.hop=-1'),
    ({'mels': 300}, r'task\.mels=300 is too many'),
    ({'rate': 16_000}, r'task\.rate=16000 must be 8000 with task\.dataset=dial_tones'),
    ({'split': '90/10'}, r"task\.split='90/10' is not one of dial_tones; allowed: auto, official, speaker"),
    ({'split': 'speaker'}, r"task\.speaker='' must be the speaker .*: copper, radio, satellite, tunnel"),
    ({'speaker': 'theo'}, r"task\.speaker='theo' needs task\.split=speaker"),
    ({'loss': 'attention', 'kind': 'causal'}, r'task\.kind=causal has no meaning with task\.loss=attention'),
    ({'loss': 'label', 'digits': 2}, r'task\.digits=2 has no meaning'),
    ({'seconds': -1.0}, r'task\.seconds=-1\.0 must be 0 \(as the data set needs\) or from 0\.01 to 3600'),
    ({'seconds': 1e-9}, r'task\.seconds=1e-09'),
    ({'dataset': 'espeak', 'train_examples': 10**6}, r'task\.train_examples=1000000 must be at most 200000'),
    ({'train_examples': 641}, r'task\.train_examples=641 must be at most 640'),
  ],
)
def test_bad_options_are_one_line(options, message):
  with pytest.raises(InputError, match=message) as caught:
    make(**options).count('train')
  assert '\n' not in str(caught.value)


def test_recordings_are_not_read_in_segments():
  with pytest.raises(InputError, match=r'train\.segment=4 must be 0: a recording is read whole'):
    make(kind='causal').dataset('train', 4, segment=4)


def test_dial_tones_have_the_frequencies_of_their_keys():
  for digit, (low, high) in {1: (697, 1209), 5: (770, 1336), 9: (852, 1477), 0: (941, 1336)}.items():
    samples = dial_tones.recording(digit, 0, 3).astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8000))
    for expected, part in ((low, slice(600, 1050)), (high, slice(1100, 1600))):
      assert part.start + spectrum[part].argmax() == pytest.approx(expected, rel=0.02)
  assert spoken_digits.WORDS[7] == 'seven'


def test_jax_gives_finite_losses_for_rows_without_labels():
  task = make()
  batch = next(iter(task.dataset('test', 128)))  # 48 rows of filler
  outputs = jax.random.normal(jax.random.key(0), (128, task.spec.length, task.spec.output.size))
  value, gradient = jax.value_and_grad(lambda x: jnp.sum(task.loss(x, batch)[0]))(outputs)
  assert np.isfinite(value)
  assert np.isfinite(gradient).all()
  assert not gradient[80:].any()
