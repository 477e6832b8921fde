"""Recognise and transform strings of formal languages at lengths beyond those of training (Delétang et al. 2023).

An example is a string, then as many `?` as its answer has symbols; only these count. With `language=reverse`:

  input    a b b ? ? ?
  target   . . . b b a

Regular languages: parity, even_pairs, cycle_navigation, modular_arithmetic. Beyond them: reverse, duplicate,
missing_duplicate. Models are trained on strings up to `length` and evaluated from there to `longest`, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int64

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.spec import Spec, Tokens
from tasks import draws, losses
from tasks.base import Batch, Evaluation, Sums
from tasks.procedural import Procedural
from tasks.token_task import TokenTask

MODULUS, CYCLE = 5, 5
ADD, SUBTRACT, MULTIPLY = MODULUS, MODULUS + 1, MODULUS + 2

Strings = Int64[np.ndarray, 'b t']
Lengths = Int64[np.ndarray, 'b']


class Rule(NamedTuple):
  """Describe a language.

  symbols, answers: the numbers of different symbols in strings and in answers.
  answer_length: the answer's length over the string's; 0: one symbol.
  remainder: of valid lengths modulo 2; None: all lengths are valid.
  make: a function from random words [b t] and lengths to strings and answers; symbols beyond a length are ignored.
  """

  symbols: int
  answers: int
  answer_length: int
  remainder: int | None
  make: Callable[[np.ndarray, Lengths], tuple[Strings, Strings]]


def _parity(words: np.ndarray, lengths: Lengths) -> tuple[Strings, Strings]:
  """Answer whether the number of ones is odd."""
  strings = draws.integers(words, 2)
  return strings, (_inside(strings, lengths) * strings).sum(axis=1, keepdims=True) % 2


def _even_pairs(words: np.ndarray, lengths: Lengths) -> tuple[Strings, Strings]:
  """Answer 1 if the pairs 01 and 10 are even in number, which is so if first and last symbol are equal."""
  strings = draws.integers(words, 2)
  last = np.take_along_axis(strings, lengths[:, None] - 1, axis=1)
  return strings, (strings[:, :1] == last).astype(np.int64)


def _cycle_navigation(words: np.ndarray, lengths: Lengths) -> tuple[Strings, Strings]:
  """Answer where steps of −1, 0 and 1 (symbols 0, 1, 2) on a cycle of five places lead to."""
  strings = draws.integers(words, 3)
  return strings, (_inside(strings, lengths) * (strings - 1)).sum(axis=1, keepdims=True) % CYCLE


def _modular_arithmetic(words: np.ndarray, lengths: Lengths) -> tuple[Strings, Strings]:
  """Answer the value modulo 5 of numbers joined by + − ×, products first."""
  strings = draws.integers(words, MODULUS)
  strings[:, 1::2] = ADD + draws.integers(words[:, 1::2], 3)
  total, term = np.zeros(len(strings), np.int64), strings[:, 0].copy()
  for place in range(1, strings.shape[1] - 1, 2):
    operator, number = strings[:, place], strings[:, place + 1]
    counted = place + 1 < lengths
    is_product = operator == MULTIPLY
    total = np.where(counted & ~is_product, (total + term) % MODULUS, total)
    following = np.where(is_product, term * number, np.where(operator == SUBTRACT, -number, number))
    term = np.where(counted, following % MODULUS, term)
  return strings, ((total + term) % MODULUS)[:, None]


def _reverse(words: np.ndarray, lengths: Lengths) -> tuple[Strings, Strings]:
  """Answer the string from its end to its beginning."""
  strings = draws.integers(words, 2)
  places = lengths[:, None] - 1 - np.arange(strings.shape[1])[None, :]
  return strings, np.take_along_axis(strings, np.maximum(places, 0), axis=1)


def _duplicate(words: np.ndarray, lengths: Lengths) -> tuple[Strings, Strings]:
  """Answer the string twice."""
  strings = draws.integers(words, 2)
  places = np.arange(2 * strings.shape[1])[None, :] % lengths[:, None]
  return strings, np.take_along_axis(strings, places, axis=1)


def _missing_duplicate(words: np.ndarray, lengths: Lengths) -> tuple[Strings, Strings]:
  """Answer the symbol that is missing (symbol 2 stands in its place) from a string and its copy."""
  half = lengths[:, None] // 2
  strings = draws.integers(words, 2)
  strings = np.take_along_axis(strings, np.arange(strings.shape[1])[None, :] % half, axis=1)
  # The last word of a row draws no symbol: half of the words do.
  gap = (words[:, -1:] >> np.uint64(1)).astype(np.int64) % lengths[:, None]
  answers = np.take_along_axis(strings, gap, axis=1)
  np.put_along_axis(strings, gap, 2, axis=1)
  return strings, answers


def _inside(strings: Strings, lengths: Lengths) -> Strings:
  return (np.arange(strings.shape[1])[None, :] < lengths[:, None]).astype(np.int64)


LANGUAGES = {
  'parity': Rule(2, 2, 0, None, _parity),
  'even_pairs': Rule(2, 2, 0, None, _even_pairs),
  'cycle_navigation': Rule(3, CYCLE, 0, None, _cycle_navigation),
  'modular_arithmetic': Rule(MODULUS + 3, MODULUS, 0, 1, _modular_arithmetic),
  'reverse': Rule(2, 2, 1, None, _reverse),
  'duplicate': Rule(2, 2, 2, None, _duplicate),
  'missing_duplicate': Rule(3, 2, 0, 0, _missing_duplicate),
}


@dataclass(frozen=True)
class FormalLanguages(TokenTask, Procedural):
  """Answer strings of `shortest` to `length` symbols, all lengths equally likely; to `longest` in evaluation."""

  fixed_options = ('language',)
  language: str = 'parity'
  shortest: int = 1
  length: int = 40
  longest: int = 500

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.language not in LANGUAGES:
      raise unknown('task.language', self.language, LANGUAGES)
    check_positive(**{'task.shortest': self.shortest})
    if self.length < max(2, self.shortest):
      raise InputError(f'task.length={self.length} must be at least 2 and task.shortest={self.shortest}')
    if self.longest <= self.length:
      raise InputError(f'task.longest={self.longest} must be greater than task.length={self.length}')

    if not len(self._lengths):
      raise InputError(
        f'task.shortest={self.shortest} and task.length={self.length} leave no length of {self.language}'
      )

  @property
  def _rule(self) -> Rule:
    return LANGUAGES[self.language]

  @property
  def _lengths(self) -> Lengths:
    """Return the lengths that strings may have."""
    lengths = np.arange(self.shortest, self.length + 1)
    return lengths if self._rule.remainder is None else lengths[lengths % 2 == self._rule.remainder]

  @property
  def _query(self) -> int:
    """Return the token that asks for a symbol of the answer."""
    return max(self._rule.symbols, self._rule.answers)

  @property
  def spec(self) -> Spec:
    tokens = Tokens(self._query + 1)
    return Spec('causal', tokens, tokens, length=self.length + max(1, self._rule.answer_length * self.length))

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    words = draws.words(self.key(split, seed), indices, self.length + 2)
    lengths = self._lengths[draws.integers(words[:, 0], len(self._lengths))]
    strings, answers = self._rule.make(words[:, 1:], lengths)
    asked = np.maximum(1, self._rule.answer_length * lengths)[:, None]
    places, lengths = np.arange(self.spec.length)[None, :], lengths[:, None]
    is_string, is_answer = places < lengths, (places >= lengths) & (places < lengths + asked)
    inputs = np.where(is_string, _at(strings, places), np.where(is_answer, self._query, 0))
    targets = np.where(is_answer, _at(answers, places - lengths), 0)
    return Batch(
      inputs.astype(np.int32), targets.astype(np.int32), is_answer.astype(np.float32), mask=places < lengths + asked
    )

  def metrics(self, outputs: Float[Array, 'b t n'], batch: Batch) -> dict[str, Sums]:
    """Return loss and accuracy of the answers' symbols, and the share of answers that are right as a whole."""
    wrong = losses.weighted(1 - losses.correct(outputs, batch.targets), batch.weights).sum(axis=1)
    counted = (batch.weights.sum(axis=1) > 0).astype(jnp.float32)
    return super().metrics(outputs, batch) | {'solved': losses.summed((wrong == 0).astype(jnp.float32), counted)}

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation and test at the lengths of training, and `longer`: all lengths beyond them to `longest`."""
    longer = {'shortest': self.length + 1, 'length': self.longest, 'longest': self.longest + 1}
    return super().evaluations() | {'longer': Evaluation('test', longer)}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of a random answer."""
    answers = self._rule.answers
    return {'any answer': {'loss': float(np.log(answers)), 'accuracy': 1 / answers}}


def _at(array: Strings, places: Int64[np.ndarray, 'b t']) -> Strings:
  """Return each row's symbols at `places`, the nearest one where a place is outside."""
  places = np.clip(np.broadcast_to(places, (len(array), places.shape[1])), 0, array.shape[1] - 1)
  return np.take_along_axis(array, places, axis=1)
