"""Packed documents: read as each alone, every token predicted once, words and characters of the text alone counted."""

import dataclasses
import itertools
import json
import logging
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from seqmodels.config import ModelConfig
from seqmodels.context import Context
from seqmodels.errors import InputError
from seqmodels.models import build
from tasks.base import Batch
from tasks.datasets import packing
from tasks.identity import check_identity
from tasks.streams import newest_document

# Names say no split, so that ten documents are cut by their number: eight, one and one.
FILES = {
  '0.txt': 'One fox.\nTwo foxes.\n',
  '1.txt': '',
  '2.txt': 'no line end',
  '3.txt': 'a\r\nline of Windows\r\n',
  '4.txt': ' \n\n',
  '5.txt': ' begins with a space\n',
  '6.txt': 'ends with a space ',
  '7.txt': '\n\nempty lines\n\n',
  '8.txt': 'fox\n',
  'a.txt': 'of two lines:\nthe train\n',
  'b.txt': 'to validate with: the fox.\nOne line end',
  'c.txt': 'to test with: a line.\n',
}
UNITS = ('character', 'byte', 'word', 'whitespace', 'subword')
TEXT = 'The quick brown fox jumps\nover the lazy dog.\n'


@pytest.fixture
def folder(tmp_path):
  for name, text in FILES.items():
    (tmp_path / name).write_bytes(text.encode())
  return tmp_path


def packed(dataset, **options):
  return tasks.make(
    'language', {'dataset': str(dataset), 'documents': 'packed', 'split': '80/10/10', 'length': 8} | options
  )


def of_unit(folder, unit, **options):
  return packed(folder, unit=unit, **({'vocabulary': 300} if unit == 'subword' else {}), **options)


def documents_of(task, split) -> list[np.ndarray]:
  """Return the ids of each document without its end."""
  ids = task.text.ids[split][1:] if split == 'train' else task.text.ids[split]
  assert ids[-1] == task.end_of_text
  return np.split(ids, np.flatnonzero(ids == task.end_of_text) + 1)[:-1]


def expected(unit) -> list[str]:
  texts = [text for text in FILES.values() if text.strip()]
  return texts if unit == 'byte' else [text.replace('\r\n', '\n') for text in texts]


@pytest.mark.parametrize('unit', UNITS)
def test_each_file_is_a_document(folder, unit, caplog):
  caplog.set_level(logging.INFO, 'seqmodels')
  task = of_unit(folder, unit)
  found = {split: documents_of(task, split) for split in task.splits}
  assert [len(found[split]) for split in ('train', 'validation', 'test')] == [8, 1, 1]
  texts = [task.decode(ids) for split in found for ids in found[split]]
  if unit == 'whitespace':
    assert [text.split() for text in texts[:8]] == [text.split() for text in expected(unit)[:8]]
  elif unit == 'word':
    assert texts[:8] == expected(unit)[:8]  # the others have unknown words
  else:
    assert texts == expected(unit)
  assert f'{folder}: documents: 8 train, 1 validation, 1 test' in caplog.messages
  assert any(message.endswith('1.txt: 1 of 12 files are empty') for message in caplog.messages)
  assert task.spec.input.size == task.spec.output.size == task.tokenizer.size + 1 == task.end_of_text + 1


@pytest.mark.parametrize('unit', UNITS)
def test_words_characters_and_bytes_are_those_of_the_text(folder, unit):
  """The nats of the ends count, in the sums: they are no words, no characters and no bytes."""
  task = of_unit(folder, unit)
  size, metrics = task.spec.output.size, jax.jit(task.metrics)
  text, nats, tokens = expected(unit)[8], 0.0, 0.0
  weights = dict.fromkeys(('nats_per_word', 'bits', 'bits_per_byte'), 0.0)
  for batch in task.dataset('validation', 3):
    found = metrics(jnp.zeros((*batch.targets.shape, size)), batch)
    nats, tokens = nats + float(found['loss'][0].sum()), tokens + float(found['loss'][1].sum())
    for name in weights.keys() & found.keys():
      weights[name] += float(found[name][1].sum())
  assert tokens == len(documents_of(task, 'validation')[0])
  assert nats == pytest.approx(tokens * math.log(size), rel=1e-5)
  assert weights['nats_per_word'] == len(text.split()) + text.count('\n')
  assert weights['bits'] == (len(text) if unit in ('character', 'byte', 'subword') else 0)
  assert weights['bits_per_byte'] == (len(text.encode()) if unit == 'subword' else 0)
  baseline = task.baselines()['unigram']
  test = expected(unit)[9]
  tokens = len(task.text.ids['test'])
  assert baseline['nats_per_word'] == pytest.approx(baseline['loss'] * tokens / (len(test.split()) + test.count('\n')))
  if weights['bits']:
    assert baseline['bits'] == pytest.approx(baseline['loss'] / math.log(2) * tokens / len(test))


@pytest.mark.parametrize('segment', [None, 5])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_evaluation_predicts_every_token_once_and_the_first_from_the_end_before(folder, segment, batch_size):
  task = packed(folder, length=7, split='50/40/10')
  batches = list(task.dataset('validation', batch_size, segment=segment))
  if segment is not None:
    batches = [
      Batch(
        *(None if a is None else np.concatenate(a, axis=1) for a in map(list_of_arrays, zip(*batches, strict=True)))
      )
    ]
  counted = [batch.weights > 0 for batch in batches]
  inputs, targets, reset = (
    np.concatenate([getattr(batch, name)[there] for batch, there in zip(batches, counted, strict=True)])
    for name in ('inputs', 'targets', 'reset')
  )
  ids = task.text.ids['validation']
  np.testing.assert_array_equal(targets, ids)
  np.testing.assert_array_equal(inputs, [task.end_of_text, *ids[:-1]])
  begins = inputs == task.end_of_text
  assert begins.sum() == 4
  if segment is None:
    np.testing.assert_array_equal(reset, begins)
  else:
    assert reset[begins].all()
    assert (reset & ~begins).sum() < batch_size  # a stream begins, where the text is cut


def list_of_arrays(arrays):
  return None if arrays[0] is None else list(arrays)


def test_training_streams_begin_anew_at_each_document(folder):
  task = packed(folder, split='80/10/10')
  ids, end, rows, segment = task.text.ids['train'], task.end_of_text, 3, 7
  pieces = len(ids) // rows // segment
  for epoch in range(3):
    part = itertools.islice(iter(task.dataset('train', rows, seed=1, segment=segment)), epoch * pieces, None)
    batches = list(itertools.islice(part, pieces))
    inputs, targets, weights, reset = (
      np.concatenate([getattr(batch, name) for batch in batches], axis=1)
      for name in ('inputs', 'targets', 'weights', 'reset')
    )
    begins = inputs == end
    assert reset[begins].all()
    assert not reset[:, 1:][~begins[:, 1:]].any()
    # The end before the text is no target; all other tokens are.
    assert (targets[weights == 0] == end).all()
    assert (inputs[weights == 0] == end).all()
    firsts = [document[0] for document in documents_of(task, 'train')]
    assert set(targets[begins & (weights > 0)].tolist()) <= {*firsts}


def test_training_windows_have_the_first_token_of_the_text_as_a_target(folder):
  task = packed(folder, train_examples=3)
  batch = task.arrays('train', np.array([0, task.count('train') - 1]))
  assert batch.inputs[0, 0] == task.end_of_text
  assert task.decode(batch.targets[0]) == FILES['0.txt'][:8]
  np.testing.assert_array_equal(batch.targets[1], task.text.ids['train'][17:25])
  np.testing.assert_array_equal(batch.reset, batch.inputs == task.end_of_text)


MODELS = {
  'transformer': {'pattern': ('attention',), 'position': 'sinusoidal', 'heads': 2},
  'lstm': {'pattern': ('lstm',)},
  'gated_delta': {'pattern': ('gated_delta',), 'heads': 2},
}


@pytest.mark.parametrize('segment', [None, 16])
@pytest.mark.parametrize('name', MODELS)
def test_outputs_of_packed_documents_are_those_of_each_alone(folder, name, segment):
  """In one window, and with the state carried over segments whose borders lie inside of documents."""
  task = packed(folder, length=96, split='50/40/10')
  model = build(ModelConfig(width=8, depth=2, **MODELS[name]), task.spec)
  params = jax.tree.map(lambda p: 3 * p, model.init(jax.random.key(0)))
  apply = jax.jit(lambda inputs, state, reset: model.apply(params, inputs, state, Context(reset)))
  state, outputs = None if segment is None else model.init_state(1, 64), []
  for batch in task.dataset('validation', 1, segment=segment):
    logits, state = apply(jnp.asarray(batch.inputs), state, jnp.asarray(batch.reset))
    outputs.append(np.asarray(logits)[batch.weights > 0])
  documents = documents_of(task, 'validation')
  assert len(documents) == 4
  longest = max(map(len, documents))
  # Models are causal: tokens behind a document change none of its outputs.
  rows = [np.pad([task.end_of_text, *document[:-1]], (0, longest - len(document))) for document in documents]
  found = np.asarray(jax.jit(lambda rows: model.apply(params, rows)[0])(jnp.asarray(rows, jnp.int32)))
  alone = [found[i, : len(document)] for i, document in enumerate(documents)]
  np.testing.assert_allclose(np.concatenate(outputs), np.concatenate(alone), rtol=5e-5, atol=5e-5)


def test_masked_documents_keep_their_ends(folder):
  task = packed(folder, objective='masked', mask_share=1.0, length=30)
  assert task.spec.input.size == task.tokenizer.size + 2
  batch = task.arrays('train', np.arange(50), seed=1)
  end = task.end_of_text
  np.testing.assert_array_equal(batch.weights == 0, batch.targets == end)
  assert (batch.inputs[batch.targets == end] == end).all()
  assert (batch.inputs[batch.weights > 0] != end).all()
  np.testing.assert_array_equal(batch.reset[:, 1:], batch.targets[:, :-1] == end)


@pytest.mark.parametrize(
  ('separator', 'text', 'documents'),
  [
    ('', b'a\n\nb\n', [b'a\n\nb\n']),
    ('blank_line', b'\na\nb\n\n \t\nc\r\n\r\nd', [b'a\nb\n', b'c\r\n', b'd']),
    ('blank_line', b'a\n\n\n \n', [b'a\n']),
    ('<|endoftext|>', b'<|endoftext|>\na\n<|endoftext|>\r\nb <|endoftext|>\n<|endoftext|> c\n<|endoftext|>',
     [b'a\n', b'b <|endoftext|>\n<|endoftext|> c\n']),
    ('* *', b'a\n\n* *\n***\n* * \nb', [b'a\n\n', b'***\n', b'b']),
    ('\N{BULLET}', 'é\n\N{BULLET}\nà'.encode(), ['é\n'.encode(), 'à'.encode()]),
  ],
)  # fmt: skip
def test_separators_are_lines_of_their_own(separator, text, documents):
  assert packing.separated([text], separator) == documents
  assert packing.separated([text, text], separator) == 2 * documents


def test_files_of_splits_hold_documents_between_separators(tmp_path):
  for name in ('train.txt', 'valid.txt'):
    (tmp_path / name).write_text(TEXT + '---\n' + TEXT + '---\n')
  task = packed(tmp_path, split='90/5/5', separator='---')
  assert [[task.decode(ids) for ids in documents_of(task, split)] for split in task.splits] == [[TEXT, TEXT]] * 2


def test_options_that_do_not_fit_are_refused_in_one_line(tmp_path):
  for options, message in (
    ({'documents': 'pack'}, "task.documents='pack' is not known; nearest: packed; allowed: joined, packed"),
    ({'documents': 'joined', 'separator': '---'}, "task.separator='---' has no meaning with task.documents=joined"),
    ({'separator': ' '}, "task.separator=' ' must be blank_line or the text of one line"),
    ({'separator': 'a\nb'}, 'must be blank_line or the text of one line, without spaces around it'),
    ({'separator': '---'}, "task.split='80/10/10' leaves nothing for train: {} has 1 documents only"),
  ):
    (tmp_path / 'a.txt').write_text(TEXT)
    with pytest.raises(InputError) as caught:
      packed(tmp_path / 'a.txt', **options).spec  # noqa: B018
    assert message.format(tmp_path / 'a.txt') in str(caught.value)
    assert '\n' not in str(caught.value)
  for name, text in (('train.txt', TEXT), ('valid.txt', ' \n')):
    (tmp_path / name).write_text(text)
  with pytest.raises(InputError, match='has no document in the validation split: spaces alone'):
    packed(f'{tmp_path}/*[nd].txt', split='90/5/5').spec  # noqa: B018


def test_the_identity_knows_the_borders(folder):
  recorded = json.loads(json.dumps(packed(folder).identity()))
  check_identity(recorded, packed(folder))
  first, second = FILES['0.txt'].split('\n', 1)
  (folder / '0.txt').write_text(first)
  (folder / '1.txt').write_text('\n' + second)
  with pytest.raises(InputError, match=r'run: documents was sha256 \w{12}… and is sha256 \w{12}…$'):
    check_identity(recorded, packed(folder, split='80/10/10'))


def test_joined_documents_have_neither_ends_nor_another_identity(folder):
  task = packed(folder, documents='joined')
  assert set(task.identity()) == {'dataset', 'unit', 'split', 'content', 'vocabulary'}
  assert (task.end_of_text, task.spec.input.size) == (-1, task.tokenizer.size)
  assert task.prompt('fox').tolist() == task.encode('fox').tolist()
  assert next(iter(task.dataset('train', 2))).reset is None
  with pytest.raises(InputError, match=r'documents was sha256 \w{12}… and is absent'):
    check_identity(json.loads(json.dumps(packed(folder).identity())), task)


def test_other_data_are_packed_with_the_vocabulary_of_training(folder, tmp_path):
  task = packed(folder)
  (tmp_path / 'other.md').write_text('fox\n\n' * 10)
  other = dataclasses.replace(task, corpus=str(tmp_path / 'other.md'), separator='blank_line')
  other = other.with_fitted(json.loads(json.dumps(task.fitted())))
  assert other.spec == task.spec
  assert other.text.ids['test'].tolist() == [*task.encode('fox\n'), task.end_of_text]


def test_a_prompt_begins_a_document_and_text_has_no_ends(folder):
  task = packed(folder)
  ids = task.prompt('fox')
  assert ids.tolist() == [task.end_of_text, *task.encode('fox')]
  assert task.prompt('').tolist() == [task.end_of_text]
  assert task.decode(ids) == 'fox'
  assert task.token_names(ids) == ['<|endoftext|>', 'f', 'o', 'x']
  assert task.units()['end_of_text'] == task.end_of_text == len(task.units()['vocabulary'])
  assert packed(folder, unit='byte').token_names(np.array([256, 65])) == ['<|endoftext|>', 'A']


def test_the_newest_document_of_each_row_is_a_prompt():
  reset = np.array([[0, 0, 1, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 0, 1, 0]], bool)
  inputs = np.tile(np.arange(5), (4, 1))
  prompts, there = newest_document(Batch(inputs, None, None, reset), 4)
  assert [row[known].tolist() for row, known in zip(prompts, there, strict=True)] == [
    [2, 3],
    [0, 1, 2, 3],
    [0, 1, 2, 3],
    [3],
  ]
  assert there.sum(axis=1).tolist() == [2, 4, 4, 1]
  assert newest_document(Batch(inputs, None, None), 4)[1] is None
