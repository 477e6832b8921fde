"""Connectionist temporal classification and edit distances against sums over everything, and against jiwer."""

import itertools
from collections import defaultdict

import jax
import jax.numpy as jnp
import jiwer
import numpy as np
import pytest

from tasks import ctc
from tasks.edit_distance import edit_distance, edit_distances
from tasks.transcripts import OTHER, Labels, error_sums

T, N = 5, 4


def collapse(path):
  return tuple(label for label, _ in itertools.groupby(path) if label != ctc.BLANK)


def probabilities(logits):
  """The probability of every label sequence, by the sum over all paths."""
  rows = np.exp(logits.astype(np.float64))
  rows /= rows.sum(axis=1, keepdims=True)
  total = defaultdict(float)
  for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
    total[collapse(path)] += np.prod(rows[np.arange(len(path)), path])
  return total


def draw(seed, rows=4):
  random = np.random.default_rng(seed)
  steps = np.array([T, T, 3, 4][:rows])
  return 2 * random.normal(size=(rows, T, N)).astype(np.float32), np.arange(T)[None] < steps[:, None]


def test_the_loss_is_the_sum_over_all_alignments():
  logits, mask = draw(0)
  labels = np.array([[1, 1, 2], [3, 0, 0], [2, 3, 0], [0, 0, 0]], np.int32)
  has_label = labels > 0
  nats = jax.jit(ctc.nats)(logits, mask, labels, has_label)
  for row in range(4):
    expected = probabilities(logits[row][mask[row]])[tuple(labels[row][has_label[row]].tolist())]
    assert nats[row] == pytest.approx(-np.log(expected), rel=1e-4)


def test_padding_has_no_gradient():
  logits, mask = draw(1)
  labels = np.array([[1, 2], [3, 3], [2, 3], [1, 0]], np.int32)
  total = lambda x: jnp.sum(ctc.nats(x, mask, labels, labels > 0))
  gradient = np.asarray(jax.jit(jax.grad(total))(logits))
  assert np.isfinite(gradient).all()
  assert not gradient[~mask].any()
  assert gradient[mask].any(axis=1).all()


def test_greedy_decoding_collapses_the_best_path():
  logits, mask = draw(2)
  best, is_written = (np.asarray(x) for x in ctc.greedy(jnp.asarray(logits), jnp.asarray(mask)))
  for row in range(4):
    assert tuple(best[row][is_written[row]]) == collapse(logits[row][mask[row]].argmax(axis=1))


@pytest.mark.parametrize('seed', range(6))
def test_a_wide_search_finds_the_likeliest_labels(seed):
  """Not the labels of the likeliest path: those of greedy decoding, in some of these draws."""
  logits = np.random.default_rng(seed).normal(size=(T, N)).astype(np.float32)
  every = probabilities(logits)
  found = ctc.prefix_search(np.asarray(jax.nn.log_softmax(logits, axis=-1)), 50)
  assert tuple(found) == max(every, key=every.get)


def test_needed_steps_are_the_fewest_that_have_an_alignment():
  for length in range(5):
    for labels in itertools.product((1, 2), repeat=length):
      steps = next(n for n in range(10) if labels in {collapse(path) for path in itertools.product(range(3), repeat=n)})
      assert ctc.needed_steps(np.array(labels)) == steps


def draw_texts(random, count=60):
  words = ['a', 'bb', 'abc', 'ba', 'cab']
  text = lambda least: ' '.join(random.choice(words, random.integers(least, 7)))
  return [text(0) for _ in range(count)], [text(1) for _ in range(count)]


def test_error_rates_are_those_of_jiwer():
  written, references = draw_texts(np.random.default_rng(3))
  sums = error_sums(written, references)
  rates = {name: total.sum() / weight.sum() for name, (total, weight) in sums.items()}
  assert rates['wer'] == pytest.approx(jiwer.wer(references, written))
  assert rates['cer'] == pytest.approx(jiwer.cer(references, written))
  assert rates['exact_match'] == np.mean([a == b for a, b in zip(written, references, strict=True)])
  for i in range(10):
    assert sums['wer'][0][i] / sums['wer'][1][i] == pytest.approx(jiwer.wer(references[i], written[i]))


def test_edit_distances_in_jax_are_those_in_numpy():
  random = np.random.default_rng(4)
  written, is_written = random.integers(0, 3, (20, 9)), random.random((20, 9)) < 0.6
  reference, lengths = random.integers(0, 3, (20, 6)), random.integers(0, 7, 20)
  found = jax.jit(edit_distances)(written, is_written, reference, lengths)
  for row in range(20):
    assert found[row] == edit_distance(written[row][is_written[row]].tolist(), reference[row, : lengths[row]].tolist())


def test_labels_are_words_or_characters_and_unknown_ones_are_always_wrong():
  words = Labels.of(['one two', 'two'], 'word')
  assert words.vocabulary == ('', '<unk>', 'one', 'two')
  assert words.encode('two three one').tolist() == [3, 1, 2]
  assert words.decode([3, 1, 2]) == 'two <unk> one'
  characters = Labels.of(['ab', 'a c'], 'character')
  assert characters.decode(characters.encode('a b')) == 'a b'
  reference = characters.decode(characters.encode('axb'), OTHER)
  assert error_sums([characters.decode([characters.encode('a')[0], 1, characters.encode('b')[0]])], [reference])[
    'exact_match'
  ][0].tolist() == [0.0]
