"""Losses per word: the same words are counted whatever the unit, as published perplexities count them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from tasks.datasets import embedded

UNITS = ('character', 'byte', 'word', 'whitespace')


def words_of(text: str) -> int:
  """Count the words between spaces, and one end of sentence a line."""
  return len(text.split()) + text.count('\n')


def targets_and_before(task, split):
  targets = task.text.ids[split]
  return np.concatenate([[task.text.before[split]], targets[:-1]]), targets


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_every_unit_counts_the_words_of_the_text(unit, split):
  task = tasks.make('language', {'unit': unit})
  text = embedded.read() if unit == 'byte' else embedded.read().decode()
  cut = [0, int(0.9 * len(text)), int(0.95 * len(text)), len(text)]
  place = task.splits.index(split)
  part = text[cut[place] : cut[place + 1]]
  part = part.decode(errors='replace') if isinstance(part, bytes) else part
  counted = np.asarray(task.text.word_counts.words_in(*targets_and_before(task, split)), np.float64).sum()
  # A word that a cut splits belongs to the part where it begins. A run of spaces that training does not have is
  # `<unk>`, which counts as a word: there is one each in the other splits.
  spaces = int(unit == 'word' and split != 'train')
  assert words_of(part) - 1 <= counted - spaces <= words_of(part)


@pytest.mark.parametrize('unit', UNITS)
def test_perplexity_is_of_the_total_loss_over_the_number_of_words(unit):
  task = tasks.make('language', {'unit': unit, 'length': 50})
  size, total, words = task.spec.output.size, 0.0, 0.0
  metrics = jax.jit(task.metrics)  # outputs that XLA knows to be zero would be folded, for a minute
  for batch in task.dataset('test', 64):
    nats, weight = metrics(jnp.zeros((*batch.targets.shape, size)), batch)['nats_per_word']
    total, words = total + float(nats.sum()), words + float(weight.sum())
  tokens = len(task.text.ids['test'])
  assert total == pytest.approx(tokens * math.log(size), rel=1e-5)
  expected = size ** (tokens / words)
  assert task.derived({'nats_per_word': total / words}) == {'perplexity': pytest.approx(expected, rel=1e-3)}
  if unit == 'whitespace':
    assert words == tokens


@pytest.mark.parametrize('unit', UNITS)
def test_baselines_give_perplexities_too(unit):
  task = tasks.make('language', {'unit': unit})
  for values in task.baselines().values():
    assert values['perplexity'] == pytest.approx(math.exp(values['nats_per_word']))
    assert values['nats_per_word'] >= values['loss']
  found = task.baselines()['unigram']
  assert ('bits' in found) == (unit in ('character', 'byte'))


def test_masked_tokens_have_no_perplexity():
  task = tasks.make('language', {'objective': 'masked', 'length': 20})
  batch = next(iter(task.dataset('test', 2)))
  assert set(task.metrics(jnp.zeros((2, 20, task.spec.output.size)), batch)) == {'loss', 'accuracy', 'bits'}
  assert task.derived({'loss': 1.0}) == {}
  assert set(task.baselines()) == {'unigram'}


def test_a_hopeless_model_has_an_infinite_perplexity():
  assert tasks.make('language', {}).derived({'nats_per_word': 1e4}) == {'perplexity': math.inf}
  assert math.isnan(tasks.make('language', {}).derived({'nats_per_word': math.nan})['perplexity'])
