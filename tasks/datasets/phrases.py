"""Make up German sentences and their translations: no download, and word order, gender and case to be learned.

  Heute sucht die alte Frau den kleinen Hund .          Today the old woman seeks the small dog .
  Der Mann singt , weil das Kind einen Vogel hört .     The man sings , because the child hears a bird .

A German verb comes second, also behind an adverb, and last in a clause with a conjunction.
"""

import functools
from collections.abc import Iterator

import numpy as np

from tasks import draws

COUNTS = {'train': 4000, 'validation': 300, 'test': 300}
LANGUAGES = ('de', 'en')

NOUNS = (
  ('m', 'Mann', 'man'),
  ('m', 'Hund', 'dog'),
  ('m', 'Vogel', 'bird'),
  ('m', 'Ball', 'ball'),
  ('m', 'Lehrer', 'teacher'),
  ('f', 'Frau', 'woman'),
  ('f', 'Katze', 'cat'),
  ('f', 'Blume', 'flower'),
  ('f', 'Lehrerin', 'teacher'),
  ('n', 'Kind', 'child'),
  ('n', 'Pferd', 'horse'),
  ('n', 'Buch', 'book'),
)
ADJECTIVES = (
  ('alt', 'old'),
  ('klein', 'small'),
  ('groß', 'big'),
  ('jung', 'young'),
  ('rot', 'red'),
  ('müd', 'tired'),
  ('schnell', 'fast'),
  ('schön', 'beautiful'),
)
VERBS = (
  ('sieht', 'sees'),
  ('sucht', 'seeks'),
  ('findet', 'finds'),
  ('hört', 'hears'),
  ('malt', 'paints'),
  ('mag', 'likes'),
  ('holt', 'fetches'),
  ('ruft', 'calls'),
)
ALONE = (('singt', 'sings'), ('schläft', 'sleeps'), ('lacht', 'laughs'), ('wartet', 'waits'))  # verbs without an object
ADVERBS = (('heute', 'today'), ('oft', 'often'), ('manchmal', 'sometimes'), ('dann', 'then'))
CONJUNCTIONS = (('weil', 'because'), ('wenn', 'when'), ('während', 'while'), ('bis', 'until'))
# Gender → the definite and the indefinite article, as a subject and as an object.
ARTICLES = {
  'm': (('der', 'den'), ('ein', 'einen')),
  'f': (('die', 'die'), ('eine', 'eine')),
  'n': (('das', 'das'), ('ein', 'ein')),
}
# Gender → the ending of an adjective behind them.
ENDINGS = {'m': (('e', 'en'), ('er', 'en')), 'f': (('e', 'e'), ('e', 'e')), 'n': (('e', 'e'), ('es', 'es'))}
WORDS = 32  # random numbers a sentence


def read(language: str) -> dict[str, str]:
  """Return the text of each split in one language, a sentence a line."""
  side = LANGUAGES.index(language)
  return {split: ''.join(f'{pair[side]}\n' for pair in _pairs(split)) for split in COUNTS}


@functools.lru_cache(maxsize=4)
def _pairs(split: str) -> tuple[tuple[str, str], ...]:
  numbers = draws.integers(draws.words(draws.key('phrases', split), np.arange(COUNTS[split]), WORDS), 1 << 20)
  return tuple(_sentence(iter(row.tolist())) for row in numbers)


def _sentence(draw: Iterator[int]) -> tuple[str, str]:
  german, english = _clause(draw, ADVERBS[next(draw) % 4] if next(draw) % 3 == 0 else None, is_last=False)
  if next(draw) % 2:
    conjunction = CONJUNCTIONS[next(draw) % 4]
    clause = _clause(draw, None, is_last=True)
    german, english = [*german, ',', conjunction[0], *clause[0]], [*english, ',', conjunction[1], *clause[1]]
  return _written(german), _written(english)


def _clause(draw: Iterator[int], adverb: tuple[str, str] | None, is_last: bool) -> tuple[list[str], list[str]]:
  """Return a clause in both languages. is_last: whether the German verb comes last."""
  doer, has_object = _noun(draw, 0), next(draw) % 3 > 0
  verbs = VERBS if has_object else ALONE
  verb, other = verbs[next(draw) % len(verbs)], _noun(draw, 1) if has_object else ([], [])
  english = [*doer[1], verb[1], *other[1]]
  if is_last:
    return [*doer[0], *other[0], verb[0]], english
  if adverb is None:
    return [*doer[0], verb[0], *other[0]], english
  return [adverb[0], verb[0], *doer[0], *other[0]], [adverb[1], *english]


def _noun(draw: Iterator[int], case: int) -> tuple[list[str], list[str]]:
  """Return article, adjective or none, and noun, as a subject (case 0) or an object (1)."""
  gender, german, english = NOUNS[next(draw) % len(NOUNS)]
  article, choice = next(draw) % 2, next(draw) % (2 * len(ADJECTIVES))
  adjective = ADJECTIVES[choice] if choice < len(ADJECTIVES) else None
  middle = [] if adjective is None else [adjective[0] + ENDINGS[gender][article][case]]
  after = [english] if adjective is None else [adjective[1], english]
  indefinite = 'an' if after[0][0] in 'aeiou' else 'a'
  return [ARTICLES[gender][article][case], *middle, german], [indefinite if article else 'the', *after]


def _written(words: list[str]) -> str:
  text = ' '.join([*words, '.'])
  return text[0].upper() + text[1:]
