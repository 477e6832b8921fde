"""Read pairs of sentences, source and target: of a data set or of the user's own files."""

import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from seqmodels.errors import InputError, unknown
from tasks.datasets import corpora, multi30k, own_pairs, phrases, tables, tfds_prepared
from tasks.datasets.own_pairs import Sides

log = logging.getLogger('seqmodels')

SPLIT = corpora.SPLIT
USUAL = 'de-en'  # pair=auto, of the data sets
READ = {'phrases': phrases.read, 'multi30k': multi30k.read}


@dataclass(frozen=True, eq=False)
class Pairs:
  """Hold the sentences of each split. content: the sha256 of each side of each split, as they are read."""

  sources: dict[str, list[str]]
  targets: dict[str, list[str]]

  @functools.cached_property
  def content(self) -> dict[str, dict[str, str]]:
    checksum = lambda lines: hashlib.sha256('\n'.join(lines).encode()).hexdigest()
    sides = {'source': self.sources, 'target': self.targets}
    return {side: {split: checksum(lines) for split, lines in splits.items()} for side, splits in sides.items()}


def check_options(dataset: str, pair: str, split: str) -> None:
  """Raise InputError for a data set or a pair of languages that does not exist, and for a split that is none."""
  if dataset not in READ:
    corpora.check_own(dataset, READ, 'pairs.tsv, or a folder or pattern such as corpus/*')
  corpora.parse_split(split)
  if dataset in READ and split != SPLIT:
    raise InputError(f'task.split={split!r} is not offered for {dataset}, which has its own splits; leave it {SPLIT}')
  languages = pair.split('-')
  if pair != 'auto' and (len(languages) != 2 or not all(languages) or languages[0] == languages[1]):
    raise InputError(f'task.pair={pair!r} must be source-target, as de-en (or 2-1 for the columns of a table), or auto')
  if dataset in READ and pair not in ('auto', 'de-en', 'en-de'):
    raise unknown(f'task.pair of {dataset}', pair, ('auto', 'de-en', 'en-de'))


@functools.lru_cache(maxsize=4)
def load(dataset: str, pair: str, split: str, lowercase: bool = False, stamp: tuple = ()) -> Pairs:
  """Return the pairs of a data set or of the user's files, without spaces around the sentences.

  Pairs with an empty side are left out and counted in the log. stamp: of the files, so that a changed file is read
  anew. Raises InputError.
  """
  del stamp
  if dataset in READ:
    both = [READ[dataset](language) for language in (USUAL if pair == 'auto' else pair).split('-')]
    found: dict[str, Sides] = {name: tuple(tables.lines(side[name]) for side in both) for name in both[0]}
  elif tfds_prepared.is_name(dataset):
    found = dict(tfds_prepared.pairs(dataset, pair))
  else:
    found = own_pairs.load(dataset, pair)
  found = _cut({name: _without_empty(name, *sides) for name, sides in found.items()}, split, dataset)
  change = str.lower if lowercase else str
  sources, targets = ({name: [change(s) for s in sides[i]] for name, sides in found.items()} for i in (0, 1))
  return Pairs(sources, targets)


def _without_empty(split: str, sources: Sequence[str], targets: Sequence[str]) -> Sides:
  pairs = [(source.strip(), target.strip()) for source, target in zip(sources, targets, strict=True)]
  full = [pair for pair in pairs if all(pair)]
  if len(full) < len(pairs):
    first = next(number for number, pair in enumerate(pairs, 1) if not all(pair))
    what = 'pairs' if split == 'full' else f'{split} pairs'
    left_out = len(pairs) - len(full)
    log.warning(
      '%d of %d %s have an empty side and are left out, the first is number %d', left_out, len(pairs), what, first
    )
  if not full:
    raise InputError(f'the {split} split has no pair of sentences')
  sources, targets = zip(*full, strict=True)
  return sources, targets


def _cut(found: dict[str, Sides], split: str, dataset: str) -> dict[str, Sides]:
  """Return the splits, cut by percentages of the pairs, in their order, where there are none."""
  if 'full' not in found:
    if split != SPLIT:
      raise InputError(f'task.split={split!r} has no meaning: {dataset} has files for each split; leave it {SPLIT}')
    return found
  sides = found['full']
  count = len(sides[0])
  train, validation = (int(share * count) for share in corpora.parse_split(split))
  borders = {'train': (0, train), 'validation': (train, validation), 'test': (validation, count)}
  if split.count('/') == 1:
    del borders['test']
  for name, (start, stop) in borders.items():
    if start == stop:
      raise InputError(f'task.split={split!r} leaves nothing for {name}: {dataset} has {count} pairs only')
  return {name: tuple(side[start:stop] for side in sides) for name, (start, stop) in borders.items()}
