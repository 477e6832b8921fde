"""The identity of data: equal for equal data, refused in one line for others, the same in every process."""

import hashlib
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.base import Task
from tasks.datasets import corpora, embedded
from tasks.identity import check_identity
from tasks.procedural import Procedural


@pytest.fixture(params=sorted(tasks.TASKS))
def name(request):
  return request.param


def recorded(task: Task) -> dict:
  """The identity as a workdir gives it back."""
  return json.loads(json.dumps(task.identity()))


def test_a_task_reads_the_data_that_it_recorded(name):
  check_identity(recorded(tasks.make(name, {})), tasks.make(name, {}))


def test_identities_of_tasks_differ(name):
  mine = recorded(tasks.make(name, {}))
  for other in tasks.TASKS.keys() - {name}:
    with pytest.raises(InputError, match='dataset was'):
      check_identity(mine, tasks.make(other, {}))


@pytest.fixture(scope='module')
def elsewhere() -> dict[str, dict]:
  """Name → identity, as another process finds it."""
  program = 'import json, tasks; print(json.dumps({name: tasks.make(name, {}).identity() for name in tasks.TASKS}))'
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
  return json.loads(done.stdout)


def test_identity_is_the_same_in_another_process(name, elsewhere):
  assert elsewhere[name] == recorded(tasks.make(name, {}))


def test_a_texts_checksum_is_that_of_its_file():
  assert tasks.make('language', {}).identity()['content'] == {'full': embedded.SHA256}


@pytest.mark.parametrize(
  ('task', 'before', 'now', 'message'),
  [
    ('language', {}, {'unit': 'word'}, "unit was 'character' and is 'word'; vocabulary was sha256 .*… and is sha256"),
    ('language', {}, {'unit': 'byte'}, 'vocabulary was sha256 .* and is absent'),
    ('language', {'unit': 'word'}, {'unit': 'word', 'vocabulary': 500}, 'run: vocabulary was sha256'),
    ('language', {}, {'split': '90/10'}, "run: split was '90/5/5' and is '90/10'"),
    ('copying', {}, {'symbols': 9}, 'run: options.symbols was 8 and is 9'),
    ('recall', {}, {'train_examples': 0}, 'run: options.train_examples was 100000 and is 0'),
  ],
)
def test_other_data_are_refused_in_one_line(task, before, now, message):
  with pytest.raises(InputError, match=message) as caught:
    check_identity(recorded(tasks.make(task, before)), tasks.make(task, now))
  assert '\n' not in str(caught.value)
  assert len(str(caught.value)) < 300


def test_options_of_windows_are_no_part_of_a_texts_identity():
  check_identity(recorded(tasks.make('language', {})), tasks.make('language', {'length': 50}))
  check_identity(recorded(tasks.make('forecasting', {})), tasks.make('forecasting', {'lookback': 48, 'horizon': 24}))


def test_one_changed_character_is_another_text(monkeypatch):
  before = recorded(tasks.make('language', {'unit': 'word'}))
  text = embedded.read()
  monkeypatch.setattr(embedded, 'read', lambda: text[:-2] + b'!\n')
  corpora.load.cache_clear()
  try:
    with pytest.raises(InputError, match=r'run: content\.full was sha256 71f2ff5d99bd… and is sha256 \w{12}…$'):
      check_identity(before, tasks.make('language', {'unit': 'word'}))
  finally:
    corpora.load.cache_clear()


def test_a_record_of_an_older_version_is_compared_in_what_it_has():
  task = tasks.make('adding', {})
  check_identity({}, task)
  check_identity({'dataset': 'adding'}, task)
  with pytest.raises(InputError, match='run: version was 0 and is 1'):
    check_identity({'dataset': 'adding', 'version': 0}, task)
  with pytest.raises(InputError, match='identity of the data is damaged: list instead of an object'):
    check_identity([], task)


# sha256 of the first 16 examples of each split. Where a generator changes on purpose, its `version` must be raised with
# the value here: models trained on the examples of before are then refused.
GENERATED = {
  'adding': (1, 'fd0a67e23bb0bc3c'),
  'formal_languages': (1, 'fed3c0fc3b0edf5c'),
  'state_tracking': (1, '89f5d851ed2650ca'),
  'copying': (1, 'eee9b1a691c86864'),
  'recall': (1, '9d124d33a5403b3c'),
  'reversal': (1, 'ab5dc61cac3510fa'),
  'delay': (1, '4166e1f7bcd16531'),
  'induction_heads': (1, '5b271bd6d31c6bbc'),
  'listops': (1, 'fe5015e10f0da556'),
  'selective_copying': (1, '2968464b6f592f40'),
  'temporal_order': (1, 'deefb5fb151093ee'),
  'video_question': (1, '2215737765f67987'),
  'video': (1, 'e9c6c6ece15f416d'),
}


@pytest.mark.parametrize('name', [name for name, task in tasks.TASKS.items() if issubclass(task, Procedural)])
def test_generators_keep_their_examples_or_raise_their_version(name):
  task = tasks.make(name, {})
  digest = hashlib.sha256()
  for split in ('train', 'validation', 'test'):
    for array in jax.tree.leaves(task.arrays(split, np.arange(16))):
      digest.update(np.ascontiguousarray(array).tobytes())
  assert (task.identity()['version'], digest.hexdigest()[:16]) == GENERATED[name]
