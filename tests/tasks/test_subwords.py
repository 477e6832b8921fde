"""Sub-words: text in and out, pieces of the training split alone, and scores that compare with those of other units."""

import io
import itertools
import logging
import math

import jax.numpy as jnp
import numpy as np
import pytest
import sentencepiece

import tasks
from seqmodels.errors import InputError
from tasks import subwords
from tasks.datasets import embedded

TEXT = embedded.read().decode()
TRAIN = TEXT[: int(0.9 * len(TEXT))]
AWKWARD = 'a\n\n  b\tλ 樹 \r\n\x00 ���x  '


@pytest.fixture(scope='module')
def trained():
  return subwords.train(TRAIN, 600)


@pytest.mark.parametrize('text', [TEXT, AWKWARD, '', '\n', ' ', '\n\n\n'])
def test_text_goes_in_and_out(trained, text):
  ids = trained.encode(text)
  assert trained.decode(ids) == text
  assert b''.join(trained.pieces[i] for i in ids) == text.encode()


def test_a_text_is_cut_the_same_in_parts(trained, monkeypatch):
  whole = trained.encode(TEXT)
  monkeypatch.setattr(subwords, 'CHUNK', 1000)
  np.testing.assert_array_equal(trained.encode(TEXT), whole)


def test_pieces_are_shorter_than_characters_and_stay_inside_words(trained):
  ids = trained.encode(TRAIN)
  assert len(ids) < 0.55 * len(TRAIN)
  assert trained.size == len(trained.vocabulary) == 600
  for text in trained.texts:
    assert '\n' not in text or text == '\n'
    assert text.rstrip(' ') == text or not text.strip(' '), 'a space begins a piece, or all of it is spaces'


def merged(words, number):
  """Byte-pair encoding by the definition of Sennrich et al. 2016: the most frequent pair is joined, again and again."""
  found = []
  pieces = {word: list(word) for word in words}
  for _ in range(number):
    pairs: dict[tuple[str, str], int] = {}
    for word, count in words.items():
      for pair in itertools.pairwise(pieces[word]):
        pairs[pair] = pairs.get(pair, 0) + count
    best = max(pairs.values())
    (pair,) = [pair for pair, count in pairs.items() if count == best]
    found.append(''.join(pair))
    for own in pieces.values():
      i = 0
      while i < len(own) - 1:
        if (own[i], own[i + 1]) == pair:
          own[i : i + 2] = [''.join(pair)]
        i += 1
  return found


def test_the_pieces_are_those_of_byte_pair_encoding():
  words = {'abab': 50, 'abc': 31, 'cab': 17, 'ccab': 5}
  text = ''.join(f'{word}\n' * count for word, count in words.items())
  found = subwords.train(text, 257 + 1 + 3 + 4)  # bytes and <unk>, the line end, three characters, four merges
  pieces = [text for text in found.texts if len(text) > 1 and text != '<unk>']
  assert pieces == merged(words, 4)


def test_the_same_text_gives_the_same_tokenizer_and_another_another(trained):
  assert subwords.train(TRAIN, 600).model == trained.model
  assert subwords.train(TEXT, 600).checksum != trained.checksum


def test_a_tokenizer_knows_the_training_split_alone():
  text = tasks.make('language', {'unit': 'subword', 'vocabulary': 600}).text
  assert text.tokenizer.model == subwords.train(TRAIN, 600).model
  joined = [text.tokenizer.decode(text.ids[split]) for split in ('train', 'validation', 'test')]
  assert ''.join(joined) == TEXT
  assert joined[0] == TRAIN


def score(task, outputs, batch):
  sums = {name: np.asarray(pair).sum(axis=1) for name, pair in task.metrics(outputs, batch).items()}
  return {name: float(total / weight) for name, (total, weight) in sums.items()}


def test_bits_and_words_are_those_of_the_text_in_every_unit():
  """A model that gives every sub-word 3 nats: its bits are 3 · tokens over characters, bytes or words of the text."""
  task = tasks.make('language', {'unit': 'subword', 'vocabulary': 600, 'length': 50})
  words = tasks.make('language', {'unit': 'character', 'length': 50})
  held = TEXT[int(0.95 * len(TEXT)) :]
  tokens = len(task.text.ids['test'])
  totals: dict[str, np.ndarray] = {}
  for batch in task.dataset('test', 64):
    other = np.where(batch.targets[..., None] == np.arange(600), 0.0, math.log((math.exp(3) - 1) / 599))
    for name, pair in task.metrics(jnp.asarray(other, jnp.float32), batch).items():
      totals[name] = totals.get(name, 0) + np.asarray(pair, np.float64).sum(axis=1)
  found = {name: total / weight for name, (total, weight) in totals.items()}
  assert found['loss'] == pytest.approx(3, rel=1e-5)
  assert found['bits'] == pytest.approx(3 / math.log(2) * tokens / len(held), rel=1e-5)
  assert found['bits_per_byte'] == pytest.approx(3 / math.log(2) * tokens / len(held.encode()), rel=1e-5)
  # Words are counted as for characters: between spaces, and one for each line end.
  counted = 0.0
  for batch in words.dataset('test', 64):
    metrics = words.metrics(jnp.zeros((*batch.inputs.shape, words.spec.output.size)), batch)
    counted += float(np.asarray(metrics['nats_per_word'][1], np.float64).sum())
  assert totals['nats_per_word'][1] == counted
  assert found['nats_per_word'] == pytest.approx(3 * tokens / counted, rel=1e-5)


def test_characters_in_bytes_are_counted_once(trained):
  ids = trained.encode('樹λa')
  characters, lengths = trained.lengths
  assert characters[ids].sum() == 3
  assert lengths[ids].sum() == len('樹λa'.encode())


def test_baselines_have_the_bits_of_a_character():
  task = tasks.make('language', {'unit': 'subword', 'vocabulary': 600})
  held = TEXT[int(0.95 * len(TEXT)) :]
  found = task.baselines()['unigram']
  assert found['bits'] == pytest.approx(found['loss'] / math.log(2) * len(task.text.ids['test']) / len(held))
  # A unigram of sub-words knows more of a text than one of characters.
  assert found['bits'] < tasks.make('language', {}).baselines()['unigram']['bits']


def test_a_tokenizer_from_a_file_is_used_as_it_is(tmp_path, trained):
  path = tmp_path / 'own.model'
  path.write_bytes(trained.model)
  task = tasks.make('language', {'unit': 'subword', 'tokenizer': str(path)})
  assert task.tokenizer.model == trained.model
  assert task.spec.output.size == 600
  assert task.identity() == tasks.make('language', {'unit': 'subword', 'vocabulary': 600}).identity()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'vocabulary': 100}, r'task\.vocabulary=100 does not fit the training text; allowed: at least \d+$'),
    ({'vocabulary': 1_000_000}, r'task\.vocabulary=1000000 does not fit the training text; allowed: at most \d+$'),
    ({'tokenizer': '/no/such.model'}, r"task\.tokenizer='/no/such.model' is no file"),
    (
      {'tokenizer': '/no/such.model', 'unit': 'word'},
      r'task\.tokenizer=/no/such.model has no meaning with task.unit=word',
    ),
  ],
)
def test_bad_options_are_one_line(options, message):
  with pytest.raises(InputError, match=message) as caught:
    tasks.make('language', {'unit': 'subword'} | options).count('train')
  assert '\n' not in str(caught.value)


def test_pieces_that_lose_characters_are_refused(tmp_path):
  """Each `<unk>` would count as five characters; bits would be those of another text."""
  letters = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(['abc acb', 'bca', 'cab abc']),
    model_writer=letters,
    vocab_size=8,
    model_type='char',
    minloglevel=2,
  )
  path = tmp_path / 'letters.model'
  path.write_bytes(letters.getvalue())
  with pytest.raises(
    InputError, match=r'letters\.model makes [\d,]+ characters of the [\d,]+ of the train split; make it'
  ):
    tasks.make('language', {'unit': 'subword', 'tokenizer': str(path)}).count('train')


def test_a_file_that_is_no_tokenizer_is_one_line(tmp_path, trained):
  for content in (b'', b'no model', trained.model[:1000]):
    path = tmp_path / 'bad.model'
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'bad\.model is no SentencePiece model') as caught:
      tasks.make('language', {'unit': 'subword', 'tokenizer': str(path)}).count('train')
    assert '\n' not in str(caught.value)


def test_the_sign_for_a_space_is_said_to_be_read_as_one(caplog):
  log = logging.getLogger('seqmodels')
  log.addHandler(caplog.handler)
  try:
    found = subwords.train('a ▁ b\n' * 3, 262)
  finally:
    log.removeHandler(caplog.handler)
  assert '3 characters ▁ (U+2581) of the training text are read as spaces' in caplog.text
  assert found.decode(found.encode('a▁b')) == 'a b'


def test_more_pieces_than_a_text_can_have_are_refused_before_it_is_read():
  with pytest.raises(InputError, match=r'vocabulary=2000000000 does not fit the training text; allowed: at most 264$'):
    subwords.train('abc', 2_000_000_000)
