"""eSpeak NG: an index has the same sentence, voice and samples every time; one line where it is not installed."""

import importlib.util
import time

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.datasets import espeak, source, speech

needs_espeak = pytest.mark.skipif(
  importlib.util.find_spec('espeakng_loader') is None, reason='espeakng-loader, of the extra `speech`, is not installed'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.setattr(source, '_settings', source._Settings())
  source.configure(None, tmp_path)
  monkeypatch.setattr(espeak, 'BLOCK', 10)
  return tmp_path


@needs_espeak
def test_an_index_is_the_same_in_any_number_of_utterances_and_without_the_cache(folder, logged):
  one = espeak.utterances('train', 12, 8000)
  assert len(logged.messages) == 2
  more = espeak.utterances('train', 25, 8000)
  assert len(logged.messages) == 3, 'the first two blocks are cached'
  paths = sorted(folder.rglob('*.npz'))
  assert len(paths) == 3
  paths[0].unlink()
  paths[1].write_bytes(paths[1].read_bytes()[:100])
  clock = time.time()
  while int(time.time()) == int(clock):  # its noise must not come from the clock, in seconds
    time.sleep(0.05)
  again = espeak.utterances('train', 12, 8000)
  assert len(logged.messages) == 5, 'a missing and a damaged block are made again'
  for first, second, third in zip(one, more, again, strict=False):
    assert first[:2] == second[:2] == third[:2]
    np.testing.assert_array_equal(first.samples, second.samples)
    np.testing.assert_array_equal(first.samples, third.samples)


@needs_espeak
def test_utterances_are_sentences_of_the_grammar_in_many_voices(folder):
  found = espeak.utterances('validation', 20, 8000)
  for text, voice, samples in found:
    words = text.split()
    assert len(words) == 6
    assert all(word in choices for word, choices in zip(words, espeak.GRID, strict=True))
    assert voice in espeak.VOICES
    assert 0.8 < len(samples) / 8000 < 2.5
    assert np.abs(samples).max() > 3000
  assert len({r.text for r in found}) > 15
  assert len({r.speaker for r in found}) > 5
  other = espeak.utterances('test', 1, 16_000)[0]
  assert other.text != found[0].text
  assert 0.8 < len(other.samples) / 16_000 < 2.5


@needs_espeak
def test_a_recogniser_reads_as_many_as_it_is_asked_for(folder, monkeypatch):
  monkeypatch.setattr(speech, 'MADE', {'train': 20, 'validation': 10, 'test': 10})
  speech.load.cache_clear()
  task = tasks.make('speech_recognition', {'dataset': 'espeak', 'train_examples': 30})
  assert [task.count(split) for split in task.splits] == [30, 10, 10]
  assert (task.spec.kind, task.spec.length) == ('encode', 249)
  smaller = tasks.make('speech_recognition', {'dataset': 'espeak', 'train_examples': 20})
  assert smaller.data.splits['train'].texts == task.data.splits['train'].texts[:20]
  speech.load.cache_clear()


def test_where_it_is_not_installed_the_line_names_the_command(monkeypatch):
  monkeypatch.setattr(espeak.importlib.util, 'find_spec', lambda name: None)
  monkeypatch.setattr(espeak.ctypes.util, 'find_library', lambda name: None)
  espeak._library.cache_clear()
  try:
    with pytest.raises(
      InputError, match=r'which is not installed: pip install espeakng-loader .* apt-get install'
    ) as caught:
      tasks.make('speech_recognition', {'dataset': 'espeak', 'rate': 16_000}).count('train')
    assert '\n' not in str(caught.value)
  finally:
    espeak._library.cache_clear()
