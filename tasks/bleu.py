"""Compute sacreBLEU (Post 2018) from statistics of single sentences, so that parts of a corpus can be added up."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqmodels.errors import InputError
from tasks.base import HostSums

ORDERS = 4  # of n-grams
LENGTH = 'bleu_length'
PRECISIONS = tuple(f'bleu_precision_{n}' for n in range(1, ORDERS + 1))


def sentence_sums(
  written: Sequence[str], references: Sequence[str], language: str, lowercase: bool
) -> dict[str, HostSums]:
  """Return the statistics of each sentence, as (sum, weight).

  They are the n-grams that match and all that are written, and the words that are written and those of the reference.
  """
  metric = _metric(language, lowercase)
  scores = [metric.sentence_score(one, [other]) for one, other in zip(written, references, strict=True)]
  counts, totals = (np.array([getattr(s, name) for s in scores], np.float64) for name in ('counts', 'totals'))
  lengths = [np.array([getattr(s, name) for s in scores], np.float64) for name in ('sys_len', 'ref_len')]
  precisions = {name: (counts[:, n], totals[:, n]) for n, name in enumerate(PRECISIONS)}
  return precisions | {LENGTH: (lengths[0], lengths[1])}


def corpus_score(totals: dict[str, tuple[float, float]]) -> dict[str, float]:
  """Return `bleu`, in percent, and `length_ratio`, written words over the reference's, of added-up `sentence_sums`."""
  counts, possible = ([round(totals[name][i]) for name in PRECISIONS] for i in (0, 1))
  written, reference = map(round, totals[LENGTH])
  found = _package().BLEU.compute_bleu(counts, possible, written, reference, smooth_method='exp')
  return {'bleu': float(found.score), 'length_ratio': written / reference}


def signature(language: str, lowercase: bool) -> str:
  """Return what scores depend on, in the form in which sacreBLEU prints it."""
  metric = _package().BLEU(lowercase=lowercase, tokenize=_tokenizer(language))
  metric.corpus_score(['a'], [['a']])  # for the number of references
  return str(metric.get_signature())


@functools.lru_cache(maxsize=4)
def _metric(language: str, lowercase: bool) -> Any:
  # Without effective_order it warns at each sentence; the statistics are the same.
  return _package().BLEU(lowercase=lowercase, tokenize=_tokenizer(language), effective_order=True)


def _tokenizer(language: str) -> str:
  return 'zh' if language == 'zh' else '13a'


def _package() -> Any:
  try:
    from sacrebleu import metrics
  except ImportError as error:
    raise InputError('BLEU needs the package sacrebleu: pip install sacrebleu') from error
  return metrics
