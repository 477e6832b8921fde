"""Unigram and bigram against counting by hand."""

import math

import numpy as np
import pytest

import tasks
from tasks.ngrams import Ngrams


def test_probabilities_are_counts_and_sum_to_one():
  text, size = np.array([0, 1, 0, 1, 0, 2, 0, 1]), 4
  models = Ngrams(text, size)
  every = np.arange(size)
  np.testing.assert_allclose(np.exp(-models.unigram(every)), np.array([5, 4, 2, 1]) / 12)
  # After 0: three times 1, once 2, and the unigram distribution as one count more.
  after = np.exp(-models.bigram(np.zeros(size, int), every))
  np.testing.assert_allclose(after, (np.array([0, 3, 1, 0]) + np.array([5, 4, 2, 1]) / 12) / 5)
  for first in every:
    assert np.exp(-models.bigram(np.full(size, first), every)).sum() == pytest.approx(1)
  # What was never followed by anything leaves the unigram.
  np.testing.assert_allclose(models.bigram(np.full(size, 3), every), models.unigram(every))


def test_accuracy_is_that_of_the_likeliest_token():
  found = Ngrams(np.array([0, 1, 0, 1, 0, 2, 0, 1]), 4).metrics(np.array([0, 1, 0, 3]), np.array([1, 0, 2, 0]))
  assert found['unigram']['accuracy'] == 0.5  # 0 is the likeliest of all
  assert found['bigram']['accuracy'] == 0.75  # after 0 it is 1, after 1 it is 0, after 3, never seen, it is 0


def test_a_bigram_of_the_text_is_better_than_a_unigram_and_bits_are_nats_of_base_two():
  found = tasks.make('language', {}).baselines()
  assert found['bigram']['loss'] < found['unigram']['loss'] < math.log(tasks.make('language', {}).spec.output.size)
  assert found['bigram']['accuracy'] > found['unigram']['accuracy']
  assert found['bigram']['bits'] == pytest.approx(found['bigram']['loss'] / math.log(2))
  assert set(tasks.make('language', {'objective': 'masked'}).baselines()) == {'unigram'}
