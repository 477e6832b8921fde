"""Compare what is shown of an example with the data, with the metrics, and with what a model writes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from seqmodels.config import ModelConfig
from seqmodels.context import Context
from seqmodels.models import build
from tasks import listops
from tasks.base import Evaluation
from tasks.shown import Classes, Film, Forecast, Spectrograms, Text
from tests.tasks.test_contract import SMALL
from training import shown as showing
from training.settings import EvalSettings
from training.shown import attention, can_show, shown

KINDS = {
  'adding': Text, 'classification': Classes, 'copying': Text, 'delay': Text, 'forecasting': Forecast,
  'formal_languages': Text, 'induction_heads': Text, 'language': Text, 'listops': Classes, 'recall': Text,
  'reversal': Text, 'selective_copying': Text, 'speech_frames': Spectrograms,
  'speech_recognition': Spectrograms, 'state_tracking': Text, 'temporal_order': Classes,
  'text_classification': Classes, 'translation': Text, 'video': Film, 'video_question': Classes,
}  # fmt: skip
NOTHING = {'speech_synthesis'}


def made(name, **options):
  task = tasks.make(name, SMALL.get(name, {}) | options)
  model = build(ModelConfig(pattern=('gru',), depth=1, width=8), task.spec)
  return task, model, model.init(jax.random.key(0))


def seen(task, model, params, count=3, split='test', **settings):
  return shown(model, params, task, Evaluation(split), EvalSettings(batch_size=2, **settings), count=count)


def test_every_task_is_named_here():
  assert set(tasks.TASKS) == set(KINDS) | NOTHING
  assert {name for name in tasks.TASKS if can_show(tasks.make(name, SMALL.get(name, {})))} == set(KINDS)


@pytest.mark.parametrize('name', KINDS)
def test_every_example_is_of_its_kind(name):
  split = 'validation' if name == 'language' else 'test'
  task, model, params = made(name)
  found = seen(task, model, params, split=split)
  assert len(found) == 3
  assert {type(one) for one in found} == {KINDS[name]}


def test_a_split_of_few_examples_has_no_more_than_these():
  task, model, params = made('copying', evaluation_examples=2)
  assert len(seen(task, model, params, count=5)) == 2


@pytest.mark.parametrize('channels', ['joint', 'independent'])
@pytest.mark.parametrize('normalise', ['none', 'instance'])
@pytest.mark.parametrize('form', ['direct', 'autoregressive'])
def test_a_forecast_is_in_the_units_of_the_data_beside_the_truth(form, normalise, channels):
  task, model, params = made('forecasting', form=form, normalise=normalise, channels=channels, quantiles=3)
  first = task.windows('test')[0]
  values = task.data.values * task.data.deviation[0] + task.data.mean[0]
  variables = slice(None) if channels == 'joint' else slice(0, 1)
  one = seen(task, model, params)[0]
  np.testing.assert_allclose(one.past, values[first : first + 24, variables], rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(one.truth, values[first + 24 : first + 30, variables], rtol=1e-4, atol=1e-4)
  assert one.forecast.shape == one.truth.shape
  assert (one.low is not None) == (one.high is not None) == (form == 'direct')


def test_the_error_of_a_forecast_is_that_of_the_metrics():
  """In the units of the data, divided by the deviation of training: the mean absolute error that is scored."""
  task, model, params = made('forecasting')
  found = seen(task, model, params, count=4)
  errors = [np.abs(one.forecast - one.truth) / task.data.deviation[0] for one in found]
  batch = task.arrays('test', np.arange(4))
  total, weight = task.metrics(model.apply(params, jnp.asarray(batch.inputs))[0], batch)['mae']
  assert np.mean(errors) == pytest.approx(float(total.sum() / weight.sum()), rel=1e-4)


def test_a_season_that_is_subtracted_leaves_the_numbers_that_the_model_reads():
  task, model, params = made('forecasting', normalise='smoothing')
  batch = task.arrays('test', np.arange(3))
  np.testing.assert_allclose(seen(task, model, params)[0].past.ravel(), batch.inputs[0].ravel(), rtol=1e-6)


@pytest.mark.parametrize('form', ['direct', 'autoregressive'])
@pytest.mark.parametrize('reading', ['vector', 'patches'])
def test_a_film_goes_on_where_the_history_ends(form, reading):
  task, model, params = made('video', form=form, reading=reading)
  frames = task.video('test', np.arange(3)) / np.float32(255)
  for one, whole in zip(seen(task, model, params), frames, strict=True):
    np.testing.assert_allclose(one.given, whole[:3], atol=1e-6)
    np.testing.assert_allclose(one.truth, whole[3:], atol=1e-6)
    assert one.predicted.shape == one.truth.shape
    assert 0 <= one.predicted.min() <= one.predicted.max() <= 1


def test_a_continuation_follows_the_text_and_stands_beside_what_came():
  task, model, params = made('language')
  windows = seen(task, model, params, split='validation')
  text = task.decode(task.tokens('validation'))
  first = windows[0]
  assert first.given[1:] + first.truth == text[: len(first.given) - 1 + len(first.truth)]
  assert len(first.given) == len(first.written) == 16
  assert len(first.truth) == 16
  assert windows == seen(task, model, params, split='validation')
  masked, encoder, params = made('language', objective='masked')
  assert seen(masked, encoder, params, split='validation') == []


def test_a_continuation_of_a_packed_document_stays_inside_of_it():
  task, model, params = made('language', documents='packed', separator='blank_line')
  ids = task.text.ids['validation']
  documents = [task.decode(part) for part in np.split(ids, np.flatnonzero(ids == task.end_of_text) + 1)]
  for window in seen(task, model, params, split='validation'):
    assert any(window.given + window.truth in document for document in documents)


def test_tokens_that_count_stand_beside_the_likeliest_ones():
  task, model, params = made('copying')
  batch = task.arrays('test', np.arange(3))
  outputs = np.asarray(model.apply(params, jnp.asarray(batch.inputs))[0])
  for i, one in enumerate(seen(task, model, params)):
    counted = batch.weights[i] > 0
    assert one.given.split() == [str(x) for x in batch.inputs[i]]
    assert one.truth.split() == [str(x) for x in batch.targets[i][counted]]
    assert one.written.split() == [str(x) for x in outputs[i].argmax(axis=-1)[counted]]


def test_the_sum_stands_beside_the_marked_numbers():
  task, model, params = made('adding')
  for i, one in enumerate(seen(task, model, params)):
    inputs, target = (part[i] for part in task.arrays('test', np.arange(3))[:2])
    marked = [float(part.split()[0]) for part in one.given.split(' + ')]
    np.testing.assert_allclose(marked, inputs[inputs[:, 1] > 0, 0], atol=1e-4)
    assert float(one.truth) == pytest.approx(sum(marked), abs=2e-4)
    assert float(one.written) == pytest.approx(float(model.apply(params, jnp.asarray(inputs[None]))[0][0, 0]), abs=1e-4)
    assert float(one.truth) == pytest.approx(float(target[0]), abs=1e-4)


@pytest.mark.parametrize('name', [name for name, kind in KINDS.items() if kind is Classes])
def test_probabilities_are_those_of_the_loss(name):
  task, model, params = made(name)
  batch = task.arrays('test', np.arange(3))
  mask = None if batch.mask is None else jnp.asarray(batch.mask)
  outputs, _ = model.apply(params, jnp.asarray(batch.inputs), None, Context(mask=mask))
  losses = np.asarray(task.loss(outputs, batch)[0])
  found = seen(task, model, params)
  np.testing.assert_allclose([-np.log(one.probabilities[one.truth]) for one in found], losses, rtol=1e-4)
  assert [one.truth for one in found] == batch.targets.tolist()
  assert all(len(one.names) == len(one.probabilities) == task.spec.output.size for one in found)


def test_what_is_read_is_shown_in_its_own_units():
  task, model, params = made('classification')
  one = seen(task, model, params)[0]
  np.testing.assert_allclose(one.given, task.data.splits['test'].values[0], rtol=1e-4, atol=1e-4)
  task, model, params = made('text_classification')
  assert task.data.texts['test'][0].startswith(seen(task, model, params)[0].given)
  task, model, params = made('listops')
  assert set(seen(task, model, params)[0].given.split()) <= set(listops.SYMBOLS)
  task, model, params = made('video_question')
  assert seen(task, model, params)[0].given.shape == (task.size, task.size * task.frames)


def test_translations_stand_beside_source_and_reference():
  task, model, params = made('translation')
  found = seen(task, model, params)
  texts = task.corpus.texts
  assert [one.given for one in found] == list(texts.sources['test'][:3])
  assert [one.truth for one in found] == list(texts.targets['test'][:3])


@pytest.mark.parametrize('loss', ['ctc', 'attention', 'label'])
def test_a_sound_has_its_transcript_and_what_is_written(loss):
  task, model, params = made('speech_recognition', loss=loss)
  for i, one in enumerate(seen(task, model, params)):
    ((title, bands),) = one.parts
    assert title.startswith(f'said: {task.data.splits["test"].texts[i]}; written: ')
    assert bands.shape == (task.steps('test', task.reading_of_sound).lengths[i], 16)


def test_samples_are_shown_as_texts():
  task, model, params = made('speech_recognition', features='mu_law', hop=80)
  (one, *_) = seen(task, model, params)
  assert isinstance(one, Text)
  assert one.truth == task.data.splits['test'].texts[0]


def attended(task, count=3, split='test', **config):
  settings = {'pattern': ('attention',), 'depth': 2, 'width': 8, 'heads': 2, 'feedforward': 1.0} | config
  model = build(ModelConfig(**settings), task.spec)
  return attention(model, model.init(jax.random.key(0)), task, Evaluation(split), count=count)


@pytest.mark.parametrize('name', tasks.TASKS)
def test_every_task_has_maps_of_attention(name):
  task = tasks.make(name, SMALL.get(name, {}))
  check_maps(attended(task, split='validation' if name == 'language' else 'test'))


def test_masked_text_has_maps():
  check_maps(attended(tasks.make('language', SMALL['language'] | {'objective': 'masked'}), split='validation'))


def check_maps(found):
  assert len(found) == 3
  for maps in found:
    for one in maps:
      np.testing.assert_allclose(one.weights.sum(axis=-1), 1, atol=1e-5)
      assert one.reads is None or len(one.reads) == one.weights.shape[1]
      assert one.over is None or len(one.over) == one.weights.shape[2]


def test_maps_are_named_as_the_model_runs_and_by_what_it_reads_and_writes():
  task = tasks.make('translation', SMALL['translation'])
  kinds = {'encoder': ['mixer'], 'decoder': ['mixer', 'cross']}
  ends = [f'{part}/block_0{i}/{kind}' for part, found in kinds.items() for i in range(2) for kind in found]
  for maps, source, target in zip(
    attended(task), task.corpus.texts.sources['test'], task.corpus.texts.targets['test'], strict=False
  ):
    assert [one.layer for one in maps] == ends
    inner, own, cross = maps[0], maps[2], maps[3]
    assert inner.reads == inner.over == cross.over
    assert ''.join(inner.over[:-1]).replace('▁', ' ').strip() == source
    assert ''.join(cross.reads[:-1]).replace('▁', ' ').strip() == target
    assert own.reads == own.over == ('#0', *cross.reads[:-1])


def test_only_softmax_attention_has_maps():
  task = tasks.make('translation', SMALL['translation'])
  layers = lambda **config: [one.layer for one in attended(task, count=1, **config)[0]]
  assert layers(pattern=('gru',)) == ['decoder/block_00/cross', 'decoder/block_01/cross']
  copying = tasks.make('copying', SMALL['copying'])
  (maps,) = attended(copying, count=1, pattern=('lstm', 'attention'))
  assert [one.layer for one in maps] == ['block_01/mixer']
  assert maps[0].reads == tuple(map(str, copying.arrays('test', np.arange(1)).inputs[0]))
  assert attended(copying, pattern=('lstm',)) == []


def test_of_a_long_text_the_first_tokens_are_shown_and_a_long_source_is_said(monkeypatch, logged):
  monkeypatch.setattr(showing, 'LONGEST', 7)
  task = tasks.make('copying', SMALL['copying'])
  assert attended(task)[0][0].weights.shape == (2, 7, 7)
  assert attended(tasks.make('reversal', SMALL['reversal'] | {'length': 9})) == []
  assert 'sequences of 10 tokens are too long' in logged.text
