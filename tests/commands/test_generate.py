"""Prompts in a row and as a batch, and where a text stops."""

import io
import sys

import jax
import numpy as np
import pytest

import tasks
from commands import generate as generation
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models import build
from training.workdir import Loaded


@pytest.fixture(scope='module')
def loaded() -> Loaded:
  task = tasks.make('language', {'length': 16})
  model = build(ModelConfig(pattern=('gru',), width=8, depth=1, block='plain', feedforward=0.0), task.spec)
  params = jax.tree.map(lambda p: 3 * p, model.init(jax.random.key(3)))
  return Loaded({}, task, model, params, 0)


@pytest.fixture
def written(loaded, monkeypatch):
  """Return what `--mode=generate` prints with this model."""
  monkeypatch.setattr(generation.rebuilding, 'without_data', lambda folder: None)
  monkeypatch.setattr(generation.workdirs, 'load', lambda workdir, step, rebuilt: loaded)

  def run(*prompts: str, **flags) -> str:
    out = io.StringIO()
    with monkeypatch.context() as patched:
      patched.setattr(sys, 'stdout', out)
      generation.main('W', prompt=prompts, **flags)
    return out.getvalue()

  return run


def test_prompts_are_written_one_after_the_other_each_as_alone(written):
  alone = [written('The', length=20, seed=5), written('if x', length=20, seed=6)]
  assert written('The', 'if x', length=20, seed=5) == '\n'.join(alone)
  assert alone[0].startswith('The')
  assert len(alone[0]) == len('The') + 20 + 1


def test_beams_search_all_prompts_as_one_batch(written):
  alone = [written(prompt, length=5, beam=3) for prompt in ('The', 'if x')]
  assert written('The', 'if x', length=5, beam=3) == '\n'.join(alone)


def test_a_text_ends_before_the_stop(written):
  whole = written('The', length=40).removeprefix('The')
  stop = whole[18:21]
  assert written('The', length=40, stop=stop) == 'The' + whole[: whole.index(stop)] + '\n'
  greedy = written('The', length=9, beam=1).removeprefix('The')
  assert written('The', length=9, beam=1, stop=greedy[4]) == f'The{greedy[: greedy.index(greedy[4])]}\n'


@pytest.mark.parametrize('beam', [0, 2])
def test_a_prompt_begins_a_packed_document_and_the_text_ends_with_it(loaded, written, monkeypatch, beam):
  task = tasks.make('language', {'length': 16, 'documents': 'packed', 'separator': 'blank_line'})
  model = build(loaded.model.config, task.spec)
  params = model.init(jax.random.key(3))
  end = task.end_of_text
  monkeypatch.setattr(generation.workdirs, 'load', lambda *_: Loaded({}, task, model, params, 0))
  for bias, length in ((-100.0, 20), (100.0, 0)):
    params['output']['bias'] = params['output']['bias'].at[end].set(bias)
    for prompt in ('The', ''):
      assert len(written(prompt, length=20, beam=beam)) == len(prompt) + length + 1
  assert task.prompt('The').tolist() == [end, *task.encode('The')]


def test_text_streams_in_whole_characters():
  decode = lambda ids: np.asarray(ids, np.uint8).tobytes().decode(errors='replace')
  text = 'née, 日本, \N{GRINNING FACE}'.encode() + b'\xff\xe6 and \xe6\x97'
  for size in (1, 2, 3, 5, len(text)):
    chunks = [np.frombuffer(text[i : i + size], np.uint8) for i in range(0, len(text), size)]
    assert ''.join(generation.pieces(iter(chunks), decode)) == decode(np.frombuffer(text, np.uint8))
  assert list(generation.pieces([np.array([0xC3]), np.array([0xA9, 0x21])], decode)) == ['é!', '']


@pytest.mark.parametrize('stop', ['b', 'cd', 'fgh', 'hi', 'jjk', '!', 'kx'])
def test_stops_are_found_across_chunks_and_what_may_begin_one_waits(stop):
  text = 'abcdefghhijjjk'
  for size in (1, 2, 3, 20):
    chunks = (np.frombuffer(text[i : i + size].encode(), np.uint8) for i in range(0, len(text), size))
    found = list(generation.pieces(chunks, lambda ids: bytes(ids.tolist()).decode(), stop))
    assert ''.join(found) == text.partition(stop)[0]


@pytest.mark.parametrize(
  ('flags', 'expected'),
  [
    ({'prompt': ['a', 'λ']}, "--prompt='λ': characters outside the vocabulary: 'λ'"),
    ({'prompt': ['λ' * 50]}, f"--prompt='{'λ' * 40}…': characters"),
    ({'prompt': ['']}, "--prompt='' must hold at least one token"),
    ({'prompt': ['a'], 'stop': ''}, "--stop='' must hold at least one token"),
    ({'prompt': ['a'], 'stop': 'λ'}, "--stop='λ': characters outside the vocabulary: 'λ'"),
    ({'prompt': ['a'], 'stop': 'ab', 'beam': 2}, "--stop='ab' must be a single token"),
    ({'prompt': ['a'], 'length_penalty': 0.5}, '--length_penalty=0.5 needs --beam'),
    ({'prompt': ['a'], 'length_penalty': float('inf'), 'beam': 1}, 'length_penalty=inf must be'),
    ({'prompt': ['a'], 'temperature': 0.5, 'beam': 2}, '--temperature and --beam exclude each other'),
  ],
)
def test_bad_requests_are_one_line(written, flags, expected):
  with pytest.raises(InputError) as caught:
    written(*flags.pop('prompt'), **flags)
  assert expected in str(caught.value)
  assert '\n' not in str(caught.value)
