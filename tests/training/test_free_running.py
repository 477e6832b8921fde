"""Free-running metrics: against greedy decoding by hand, at any batch size, on two devices, by two processes."""

import json

import jax
import numpy as np
import pytest

import eval as evaluation
import tasks
import train
from configs.reversal import get_config
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models import build
from tasks.base import Evaluation
from tests.training import toy
from training import free_running as module
from training import mesh as meshes
from training.free_running import free_running
from training.mesh_settings import MeshSettings
from training.settings import EvalSettings

TEST = Evaluation('test')


@pytest.fixture(scope='module')
def reverser():
  """A model that is right about some strings of two letters: its parameters are large, and drawn."""
  task = tasks.make('reversal', {'symbols': 2, 'length': 2, 'evaluation_examples': 23})
  config = ModelConfig(
    pattern=('gru',), encoder_pattern=('gru',), width=8, depth=1, block='plain', feedforward=0.0, cross_attention=False
  )
  model = build(config, task.spec)
  return model, jax.tree.map(lambda x: 4 * x, model.init(jax.random.key(3))), task


def exact_by_hand(model, params, task, count):
  """The share of examples whose greedy answer, token by token through the whole model, is the target."""
  batch = task.arrays('test', np.arange(count))
  inputs = np.zeros((count, 1), np.int32)
  for _ in range(task.spec.length):
    outputs, _ = jax.jit(model.apply)(params, inputs, source=batch.source, source_mask=batch.source_mask)
    inputs = np.concatenate([inputs, np.argmax(np.asarray(outputs[:, -1:]), axis=-1).astype(np.int32)], axis=1)
  right = 0
  for written, target, weights in zip(inputs[:, 1:].tolist(), batch.targets.tolist(), batch.weights, strict=True):
    needed = int(weights.sum())  # letters and the end
    right += written[:needed] == target[:needed]
  return right / count


def test_equals_greedy_decoding_by_hand_at_any_batch_size(reverser, caplog):
  caplog.set_level('INFO', logger='seqmodels')
  expected = {count: exact_by_hand(*reverser, count) for count in (10, 23)}
  assert 0 < expected[10] < 1
  assert expected[10] != expected[23]
  for size, limit in ((23, 1000), (7, 23), (4, 10), (64, 10), (7, -1)):
    caplog.clear()
    got = free_running(*reverser, TEST, EvalSettings(size, free_running=limit))
    assert got == {'exact_match': expected[10 if limit == 10 else 23]}
    assert ('scored on 10 of 23 examples' in caplog.text) == (limit == 10)
  mesh = meshes.make_mesh(MeshSettings(data=1, fsdp=2))
  assert free_running(*reverser, TEST, EvalSettings(8), mesh) == {'exact_match': expected[23]}


def test_processes_share_the_batches(reverser, monkeypatch):
  whole, sent = free_running(*reverser, TEST, EvalSettings(8)), []
  monkeypatch.setattr(module.processes, 'count', lambda: 2)
  for index in (0, 1):
    monkeypatch.setattr(module.processes, 'index', lambda index=index: index)
    monkeypatch.setattr(module.processes, 'gather', lambda value: sent.append(json.loads(json.dumps(value))) or sent)
    got = free_running(*reverser, TEST, EvalSettings(8))
  assert [part['exact_match'][1] for part in sent] == [15, 8]  # batches of 8, 8 and 7
  assert got == whole


def test_nothing_is_written_without_a_limit_or_such_metrics(reverser):
  assert free_running(*reverser, TEST, EvalSettings(free_running=0)) == {}
  model = toy.model()
  assert free_running(model, model.init(jax.random.key(0)), toy.Toy(), TEST, EvalSettings()) == {}


def test_the_end_of_training_and_eval_have_it_and_the_way_has_not(tmp_path):
  config = get_config(
    'seq2seq_lstm,width=8,depth=1,symbols=2,length=2,evaluation_examples=9,steps=4,eval_every=2,batch_size=4,beams=2'
  )
  results = train.train(config, tmp_path)
  rows = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  has = {(row['step'], row['split']): 'exact_match' in row for row in rows if row['split'] != 'train'}
  assert has == {(2, 'validation'): False, (4, 'validation'): True, (4, 'test'): True}
  ((_, evaluated, _),) = evaluation.evaluations(tmp_path, step=None, all_steps=False)
  assert evaluated['test']['exact_match'] == results['test/exact_match']


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'free_running': -2}, r'eval.free_running=-2 must be a number of examples, 0 \(none\) or -1 \(all\)'),
    ({'beams': 0}, 'eval.beams=0 must be greater than 0'),
    ({'beams': 2, 'free_running': 0}, 'eval.beams=2 has no effect with eval.free_running=0'),
    ({'length_penalty': 0.6}, r'eval.length_penalty=0.6 has no effect with eval.beams=1'),
    ({'length_penalty': float('inf'), 'beams': 2}, 'eval.length_penalty=inf must be a finite number'),
  ],
)
def test_refuses_settings(fields, message):
  with pytest.raises(InputError, match=message):
    EvalSettings(**fields)
