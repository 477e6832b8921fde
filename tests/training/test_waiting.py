"""The limit of reading and writing: one line ends the process; what is in time, and errors, pass through."""

import io
import pathlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import eval as evaluation
from tasks.base import Evaluation
from tests.training.toy import Toy
from training import files, processes, waiting
from training.free_running import free_running
from training.goodput import Ledger
from training.metrics import MetricsWriter
from training.settings import EvalSettings

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import time
from training import waiting
waiting.start(1)
for _ in waiting.each('quick', range(3)):
  pass
time.sleep(1.5)
print('nothing is waited for', flush=True)
with waiting.within('outer'):
  with waiting.within('inner'):
    time.sleep(60)
"""


def test_what_takes_too_long_ends_the_process():
  done = subprocess.run([sys.executable, '-c', PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
  assert (done.returncode, done.stdout) == (1, 'nothing is waited for\n')
  assert done.stderr == 'error: --io_timeout=1: outer takes longer, here or in another process of this run\n'


@pytest.mark.parametrize(('seconds', 'grace'), [(5, 2), (100, 10)])
def test_the_grace_grows_with_the_limit(monkeypatch, seconds, grace):
  monkeypatch.setattr(waiting, '_seconds', seconds)
  monkeypatch.setattr(waiting, '_waits', [(50.0, 'first'), (90.0, 'second')])
  late = lambda now, has_grace: waiting._late(now, has_grace=has_grace)
  assert (late(49.9, False), late(50.1, False)) == ('', 'first')
  assert (late(49.9 + grace, True), late(50.1 + grace, True)) == ('', 'first')


@pytest.fixture
def limits(monkeypatch):
  """Return a function that returns the names of the limits that its caller is within."""
  monkeypatch.setattr(waiting, '_seconds', 100)
  return lambda: [name for _, name in waiting._waits]


def test_rows_of_the_ledger_have_a_limit(limits, tmp_path, monkeypatch):
  seen = []

  class File(io.StringIO):
    def write(self, text):
      seen.append(limits())
      return super().write(text)

    def close(self):
      seen.append(limits())
      super().close()

  monkeypatch.setattr(files, 'open_to_append', lambda path: seen.append(limits()) or File())
  ledger = Ledger()
  ledger.open(tmp_path, 3)
  ledger.flush()
  ledger.close()
  names = {name for (name,) in seen}  # each within exactly one
  assert names == {'opening goodput.jsonl', 'writing goodput.jsonl', 'closing goodput.jsonl'}
  assert limits() == []


def test_metrics_and_timings_have_a_limit(limits, tmp_path, monkeypatch):
  seen = []

  class Writer:
    metrics = timings = lambda self, *_: seen.extend(limits())

  writer = MetricsWriter(tmp_path, 0)
  writer.close()
  writer.writers = [Writer()]
  writer.write(1, 'train', {'loss': 1.0})
  writer.write_timings(1, 'train', {'step_seconds': 1.0})
  assert seen == ['writing metrics', 'writing timings']


def test_batches_of_free_running_have_a_limit_and_decoding_has_none(limits):
  seen = {'dataset': [], 'decoding': []}

  class Written(Toy):
    def dataset(self, split, batch_size, **options):
      for batch in super().dataset(split, batch_size, **options):
        seen['dataset'].append(limits())
        yield batch

    def free_running(self, model, params, batch, decoding):
      seen['decoding'].append(limits())
      return {}

  free_running(None, {}, Written(), Evaluation('validation'), EvalSettings(batch_size=4, free_running=8))
  assert seen['dataset'][:2] == [['reading a batch']] * 2
  assert seen['decoding'] == [[], []]


@pytest.mark.parametrize('waited_for', ['', 'reading the table'])
def test_what_is_gathered_is_waited_for_without_a_limit_unless_it_is_files(limits, waited_for, monkeypatch):
  seen = []
  monkeypatch.setattr(processes, 'count', lambda: 2)
  allgather = lambda x: seen.append(limits()) or np.stack([x, x])
  monkeypatch.setattr('jax.experimental.multihost_utils.process_allgather', allgather)
  assert processes.gather({'a': 1}, waited_for) == [{'a': 1}] * 2
  assert seen == [[waited_for] if waited_for else []] * 2


def test_rows_of_an_evaluation_have_a_limit(limits, tmp_path, monkeypatch):
  seen = []
  loaded = SimpleNamespace(step=3, config={'eval': {}}, params={}, model=None, task=None)
  monkeypatch.setattr(evaluation.workdirs, 'load_steps', lambda *_: seen.append(limits()) or iter([loaded]))
  monkeypatch.setattr(evaluation, 'param_shardings', lambda *_: {})
  monkeypatch.setattr(evaluation, 'possible_evaluations', lambda *_: {})
  monkeypatch.setattr(evaluation, 'say_left_out', lambda *_: None)
  monkeypatch.setattr(evaluation, 'keep', lambda *_: seen.append(limits()))
  assert [step for step, *_ in evaluation.evaluations(tmp_path, step=3, all_steps=False)] == [3]
  assert seen[-1] == ['writing eval.jsonl']


def test_each_gives_all_and_passes_errors_on():
  assert list(waiting.each('a', [1, 2])) == [1, 2]
  with pytest.raises(ZeroDivisionError):
    list(waiting.each('a', (1 // n for n in (1, 0))))
