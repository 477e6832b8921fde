"""Language: every token counted once, streams that carry on, text in and out. On the embedded text."""

import collections
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.base import Shard
from tasks.datasets import corpora, embedded, encoding, words

TEXT = embedded.read().decode()
CUT = (0, int(0.9 * len(TEXT)), int(0.95 * len(TEXT)), len(TEXT))


def counted(batches, array):
  return np.concatenate([getattr(batch, array)[batch.weights > 0] for batch in batches])


@pytest.mark.parametrize('batch_size', [1, 7])
def test_evaluation_predicts_every_token_once_and_in_order(batch_size):
  task = tasks.make('language', {'length': 100})
  for split, start, end in (('validation', *CUT[1:3]), ('test', *CUT[2:4])):
    batches = list(task.dataset(split, batch_size))
    assert task.decode(counted(batches, 'targets')) == TEXT[start:end]
    assert task.decode(counted(batches, 'inputs')) == TEXT[start - 1 : end - 1]


def test_training_windows_are_pieces_of_the_training_text():
  task = tasks.make('language', {'length': 40})
  batch = next(iter(task.dataset('train', 16, seed=1)))
  for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
    assert task.decode(inputs) + task.decode(targets[-1:]) in TEXT[: CUT[1]]
    np.testing.assert_array_equal(inputs[1:], targets[:-1])
  ends = task.arrays('train', np.array([0, task.count('train') - 1]))
  assert task.decode(ends.inputs[0]) == TEXT[:40]
  assert task.decode(ends.targets[1]) == TEXT[CUT[1] - 40 : CUT[1]]


def test_streams_are_the_text_side_by_side():
  """A run over three epochs of a short text: rows go on from batch to batch, and start anew only where `reset` says."""
  task = tasks.make('language', {'length': 8})
  tokens, rows, segment = CUT[1], 64, 1000
  pieces = tokens // rows // segment
  batches = list(itertools.islice(iter(task.dataset('train', rows, seed=1, segment=segment)), 3 * pieces))
  index = {task.decode(batch.inputs[i, :60]): None for batch in batches for i in range(2)}
  assert all(piece in TEXT + TEXT for piece in index)
  for epoch in range(3):
    part = batches[epoch * pieces : (epoch + 1) * pieces]
    inputs, targets, reset, weights = (
      np.concatenate([getattr(batch, name) for batch in part], axis=1)
      for name in ('inputs', 'targets', 'reset', 'weights')
    )
    assert reset[:, 0].all()
    # Only the text's own beginning is a new sequence inside a stream, and what stands before it predicts nothing.
    inside = np.argwhere(reset[:, 1:])
    assert len(inside) <= 1
    assert (weights == 0).sum() == len(inside)
    assert all(weights[row, step] == 0 for row, step in inside)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    for row in (0, 17):
      if weights[row].all():
        assert task.decode(inputs[row]) in TEXT[:tokens]


def test_streams_cover_the_text_from_another_start_each_epoch():
  task = tasks.make('language', {'length': 8})
  pieces = CUT[1] // 64 // 1000
  batches = list(itertools.islice(iter(task.dataset('train', 64, seed=1, segment=1000)), 2 * pieces))
  for part in (batches[:pieces], batches[pieces:]):
    assert sum(batch.weights.sum() for batch in part) >= CUT[1] - 64 * 1000
  assert not np.array_equal(batches[0].inputs, batches[pieces].inputs)


def test_the_texts_beginning_resets_a_stream():
  task = tasks.make('language', {'length': 8})
  pieces = CUT[1] // 4 // 50_000
  batches = list(itertools.islice(iter(task.dataset('train', 4, seed=1, segment=50_000)), pieces))
  reset = np.concatenate([batch.reset for batch in batches], axis=1)
  inputs = np.concatenate([batch.inputs for batch in batches], axis=1)
  ((row, step),) = np.argwhere(reset[:, 1:])
  assert task.decode(inputs[row, step + 1 : step + 41]) == TEXT[:40]
  assert task.decode(inputs[row, : step + 1]) == TEXT[CUT[1] - step - 1 : CUT[1]]


@pytest.mark.parametrize('segment', [64, 10_000])
def test_evaluation_by_streams_predicts_every_token_once(segment):
  task = tasks.make('language', {})
  batches = list(task.dataset('test', 7, segment=segment))
  rows = [np.concatenate([batch.targets[i][batch.weights[i] > 0] for batch in batches]) for i in range(7)]
  assert task.decode(np.concatenate(rows)) == TEXT[CUT[2] :]
  assert [batch.reset.sum() for batch in batches] == [7] + [0] * (len(batches) - 1)


def test_shards_of_streams_are_the_streams_of_one_process():
  task = tasks.make('language', {})
  whole = next(iter(task.dataset('train', 6, seed=1, segment=16)))
  shards = [next(iter(task.dataset('train', 2, seed=1, segment=16, shard=Shard(i, 3)))) for i in range(3)]
  for parts, array in zip(zip(*shards, strict=True), whole, strict=True):
    if array is not None:
      np.testing.assert_array_equal(np.concatenate(parts), array)


def test_the_last_tenth_can_be_the_validation_split():
  task = tasks.make('language', {'split': '90/10'})
  assert task.splits == ('train', 'validation')
  assert set(task.evaluations()) == {'validation'}
  assert len(counted(task.dataset('validation', 64), 'targets')) == len(TEXT) - CUT[1]
  with pytest.raises(InputError, match="split='test'"):
    task.dataset('test', 1)


def test_text_goes_in_and_out():
  task = tasks.make('language', {})
  assert task.decode(task.encode('The "with" statement\n')) == 'The "with" statement\n'
  with pytest.raises(InputError, match=r"characters outside the vocabulary: 'λ' '樹'"):
    task.encode('a 樹 λ λ')
  task = tasks.make('language', {'unit': 'byte'})
  assert task.spec.input.size == 256
  assert task.decode(task.encode('樹 λ')) == '樹 λ'
  assert bytes(counted(task.dataset('test', 64), 'targets').tolist()).decode() in TEXT


def test_metrics_of_a_uniform_model_are_those_of_the_uniform_distribution():
  task = tasks.make('language', {'length': 10})
  batch = next(iter(task.dataset('test', 2)))
  logits = jnp.zeros((2, 10, task.spec.output.size))
  metrics, by_position = jax.jit(lambda logits: (task.metrics(logits, batch), task.loss_by_position(logits, batch)))(
    logits
  )
  size = task.spec.output.size
  for name, value in (('loss', math.log(size)), ('bits', math.log2(size))):
    total, weight = metrics[name]
    assert total.sum() / weight.sum() == pytest.approx(value, rel=1e-6)
  np.testing.assert_allclose(by_position, math.log(size) * batch.weights, rtol=1e-6)


def test_the_unigram_baseline_is_a_count():
  baseline = tasks.make('language', {}).baselines()['unigram']
  train, test = TEXT[: CUT[1]], TEXT[CUT[2] :]
  kinds = set(TEXT)
  counts = {c: train.count(c) + 1 for c in kinds}
  total = sum(counts.values())
  assert baseline['loss'] == pytest.approx(-sum(test.count(c) * math.log(counts[c] / total) for c in kinds) / len(test))
  assert baseline['accuracy'] == pytest.approx(test.count(' ') / len(test))


def test_words_are_numbered_by_frequency_and_lines_end_sentences():
  texts = {'train': [' b a a <unk> \n a c \n'], 'validation': [' z a \n']}
  corpus = encoding.of_words(texts, words.PREPARED, 10)
  assert corpus.tokenizer.vocabulary == ('a', '<eos>', '<unk>', 'b', 'c')
  assert [ids.tolist() for (ids,) in corpus.ids.values()] == [[3, 0, 0, 2, 1, 0, 4, 1], [2, 0, 1]]
  assert corpora._before({name: ids for name, (ids,) in corpus.ids.items()}) == {'train': 1, 'validation': 1}
  assert corpus.tokenizer.encode('a new c\n').tolist() == [0, 2, 4, 1]
  assert ''.join(corpus.tokenizer.decode(np.array([i])) for i in (0, 2, 4, 1)) == corpus.tokenizer.decode(
    np.array([0, 2, 4, 1])
  )
  small = encoding.of_words(texts, words.PREPARED, 3)
  assert small.tokenizer.vocabulary == ('a', '<eos>', '<unk>')
  assert small.ids['train'][0].tolist() == [2, 0, 0, 2, 1, 0, 2, 1]


def test_plain_text_is_cut_into_words_and_punctuation_that_join_to_it():
  text = "  if x:\n\tDon't stop--the __init__ (of `A`)...  \n"
  pieces = list(words.PLAIN.split(text))
  assert pieces[:6] == [' ', ' if', ' x', ':', '\n', '\t']
  assert pieces[6:] == [
    "Don't",
    ' stop',
    '--',
    'the',
    ' __init__',
    ' (',
    'of',
    ' `',
    'A',
    '`',
    ')',
    '...',
    ' ',
    ' ',
    '\n',
  ]
  assert ''.join(words.PLAIN.split(TEXT)) == TEXT


def test_words_of_a_text_come_from_its_training_split_and_read_as_it():
  task = tasks.make('language', {'unit': 'word', 'vocabulary': 1000})
  assert task.spec.output.size == 1000
  train = task.decode(task.text.ids['train'])
  assert len(task.text.ids['train']) < CUT[1] / 3
  counts = collections.Counter(words.PLAIN.split(TEXT[: CUT[1]]))
  assert set(task.tokenizer.vocabulary) - {'<unk>', ' <unk>'} <= counts.keys()
  rarest = min(counts[word] for word in task.tokenizer.vocabulary if 'unk' not in word)
  assert sum(count > rarest for count in counts.values()) <= 998
  for number, word in zip(task.text.ids['train'].tolist(), words.PLAIN.split(TEXT[: CUT[1]]), strict=True):
    assert task.tokenizer.vocabulary[number] in (word, '<unk>', ' <unk>')
    assert task.tokenizer.vocabulary[number].startswith(' ') == word.startswith(' ')
  whole = tasks.make('language', {'unit': 'word'})
  assert whole.decode(whole.text.ids['train']) == TEXT[: CUT[1]] != train
  assert '<unk>' in whole.decode(whole.text.ids['validation'])
  assert whole.decode(whole.encode('The class statement')) == 'The class statement'
  assert whole.decode(whole.encode('The qwertz statement')) == 'The <unk> statement'
  assert 'bits' not in whole.baselines()['unigram']


def test_a_prompt_of_words_may_begin_inside_a_sentence():
  corpus = encoding.of_words({'train': ['We read on'], 'validation': ['on']}, words.PLAIN, 10)
  assert corpus.tokenizer.decode(corpus.tokenizer.encode('read on')) == ' read on'
  assert corpus.tokenizer.decode(corpus.tokenizer.encode('We on')) == 'We on'


def test_masked_tokens_are_hidden_as_bert_hides_them():
  """15 % are predicted: 80 % of them shown as the mask, 10 % at random, 10 % as they are (Devlin et al. 2019)."""
  task = tasks.make('language', {'length': 50, 'objective': 'masked'})
  mask = task.text.size
  assert (task.spec.kind, task.spec.input.size) == ('encode', mask + 1)
  batch = task.arrays('train', np.arange(4000), seed=1)
  hidden = batch.weights > 0
  assert hidden.mean() == pytest.approx(0.15, abs=0.003)
  np.testing.assert_array_equal(batch.inputs[~hidden], batch.targets[~hidden])
  shown, hidden_tokens = batch.inputs[hidden], batch.targets[hidden]
  changed = shown[(shown != mask) & (shown != hidden_tokens)]
  assert (shown == mask).mean() == pytest.approx(0.8, abs=0.01)
  assert len(changed) / len(shown) == pytest.approx(0.1 * (1 - 1 / mask), abs=0.01)
  assert len(set(changed.tolist())) == mask
  again, other = (task.arrays('train', np.arange(4000), seed=seed) for seed in (1, 2))
  np.testing.assert_array_equal(batch.inputs, again.inputs)
  assert not np.array_equal(batch.inputs, other.inputs)


def test_masked_evaluation_hides_the_same_tokens_at_any_batch_size():
  task = tasks.make('language', {'length': 100, 'objective': 'masked'})
  one, other = (list(task.dataset('validation', size, seed=size)) for size in (3, 8))
  for array in ('inputs', 'targets'):
    np.testing.assert_array_equal(counted(one, array), counted(other, array))
  whole = np.concatenate([batch.targets[batch.mask] for batch in one])
  assert task.decode(whole).startswith(TEXT[CUT[1] : CUT[2]])


def test_few_training_examples_are_the_first_windows_of_the_text():
  task = tasks.make('language', {'length': 40, 'train_examples': 25})
  ends = task.arrays('train', np.array([0, task.count('train') - 1]))
  assert task.decode(ends.inputs[0]) == TEXT[:40]
  assert task.decode(ends.targets[1]) == TEXT[24 * 40 + 1 : 1001]
  assert task.tokenizer == tasks.make('language', {}).tokenizer
  streams = list(itertools.islice(iter(task.dataset('train', 4, seed=1, segment=25)), 10))
  assert all(task.decode(row) in TEXT[:1001] + TEXT[:1001] for batch in streams for row in batch.targets)
  assert task.ngrams.counts.sum() == 1001 + task.spec.output.size


def test_losses_by_index_are_those_of_the_places_in_the_windows():
  task = tasks.make('language', {'length': 11, 'by_index': True})
  size, split = task.spec.output.size, 'validation'
  tokens = len(task.text.ids[split])
  for batch_size in (7, 64):
    totals: dict[str, np.ndarray] = {}
    for batch in task.dataset(split, batch_size):
      # At place i (from 0) the target has the probability 1 / (i + 2).
      place = np.arange(11)[None, :, None] + 2.0
      is_target = batch.targets[..., None] == np.arange(size)
      logits = np.where(is_target, np.log(1 / place), np.log((1 - 1 / place) / (size - 1)))
      for name, pair in task.metrics(jnp.asarray(logits, jnp.float32), batch).items():
        totals[name] = totals.get(name, 0) + np.asarray(pair, np.float64).sum(axis=1)
    counts = [sum(1 for token in range(tokens) if token % 11 == place) for place in range(11)]
    for start, places in ((1, [0]), (2, [1, 2]), (4, [3, 4, 5, 6]), (8, [7, 8, 9, 10])):
      total, weight = totals[f'loss_{start}']
      assert weight == sum(counts[place] for place in places)
      expected = sum(counts[place] * math.log(place + 2) for place in places)
      assert total == pytest.approx(expected, rel=1e-5)
    assert 'loss_16' not in totals
    assert sum(totals[f'loss_{start}'][0] for start in (1, 2, 4, 8)) == pytest.approx(totals['loss'][0], rel=1e-6)
