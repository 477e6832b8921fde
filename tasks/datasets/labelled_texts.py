"""Read texts that have a class each: passages of the embedded text, the user's own tables, or a data set of TFDS."""

import functools
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from seqmodels.errors import InputError
from tasks import draws
from tasks.datasets import LABELLED, corpora, embedded, files, tables, tfds_cases, tfds_prepared

log = logging.getLogger('seqmodels')

NEEDED = 'labels and texts'
HEADERS = ('label', 'class', 'category', 'target')  # of a column of labels, in any case
PASSAGE, FEWEST = 128, 40  # characters of a passage of a help topic; passages that a topic must have
EVERY = 10  # of ten passages that follow one another, the last tests and the one before validates
TITLE = re.compile(r'^(?P<title>[^\n]+)\n\*{3,}$', re.MULTILINE)

Rows = tuple[list[str], list[str]]  # labels and texts


@dataclass(frozen=True, eq=False)
class Labelled:
  """Hold the texts of each split with the numbers of their classes. content: the sha256 of each split."""

  texts: dict[str, list[str]]
  labels: dict[str, Int[np.ndarray, ' n']]
  classes: tuple[str, ...]

  @functools.cached_property
  def content(self) -> dict[str, str]:
    found = {}
    for split, texts in self.texts.items():
      digest = hashlib.sha256('\0'.join(texts).encode(errors='surrogatepass'))
      digest.update(self.labels[split].astype('<i4').tobytes())
      found[split] = digest.hexdigest()
    return found


def check_options(dataset: str, split: str, columns: str) -> None:
  """Raise InputError for a data set that does not exist, and for options that it does not have."""
  if dataset not in LABELLED:
    corpora.check_own(dataset, LABELLED, 'reviews.tsv, or a folder or pattern of tables such as reviews/*.tsv')
  corpora.parse_split(split)
  tables.numbers('task.columns', columns)
  is_own = dataset not in LABELLED and not tfds_prepared.is_name(dataset)
  if columns != 'auto' and not is_own:
    raise InputError(f'task.columns={columns!r} has no meaning with task.dataset={dataset}: it is for a table')
  if dataset in LABELLED and split != corpora.SPLIT:
    raise InputError(f'task.split={split!r} is not offered for {dataset}, which has its own; leave it {corpora.SPLIT}')


@functools.lru_cache(maxsize=4)
def load(dataset: str, split: str, columns: str, stamp: tuple = (), classes: tuple[str, ...] = ()) -> Labelled:
  """Return the texts of a data set or of the user's tables; rows without a label or a text are left out and counted.

  Args:
    dataset: a name of LABELLED, `tfds:NAME`, or .tsv files (see files.find), whose names may say their splits.
    split: percentages of rows, drawn at random, for tables without splits of their own.
    columns: the places of label and text in a table, as 1-2 (auto), or their names in its header.
    stamp: of the files, so that a changed file is read anew.
    classes: those of a model that was trained on other texts; empty: those of the training texts.

  Raises:
    InputError: files that cannot be read, classes that training lacks, or fewer than two classes.
  """
  del stamp
  if dataset in LABELLED:
    found = topics()
  elif tfds_prepared.is_name(dataset):
    found = tfds_cases.texts(dataset)
  else:
    found = _own(dataset, columns, classes)
  found = {name: _without_empty(name, *rows) for name, rows in found.items()}
  where = 'the model'
  found = _cut(found, split, dataset, is_trained=bool(classes))
  if not classes:
    where, classes = 'training', tuple(sorted(set(found['train'][0])))
  if len(classes) < 2:
    raise InputError(f'task.dataset={dataset!r} has one class in training, {classes[0]!r}; two or more are needed')
  number = {name: i for i, name in enumerate(classes)}
  for name, (labels, _) in found.items():
    if strange := sorted(set(labels) - number.keys()):
      raise InputError(f'task.dataset={dataset!r}: the class {strange[0]!r} of the {name} split is not in {where}')
  numbers = {name: np.array([number[label] for label in labels], np.int32) for name, (labels, _) in found.items()}
  return Labelled({name: texts for name, (_, texts) in found.items()}, numbers, classes)


def topics() -> dict[str, Rows]:
  """Return passages of the embedded text, each with the title of the help topic that it is from.

  Some topics are parts of others: of these the longest are kept, and passages that stand in one topic alone.
  """
  kept: dict[str, str] = {}
  for title, body in sorted(_sections(), key=lambda section: -len(section[1])):
    repeated = sum(any(passage in other for other in kept.values()) for passage in _passages(body))
    if len(body) >= FEWEST * PASSAGE and 2 * repeated <= len(_passages(body)):
      kept[title] = body
  found: dict[str, Rows] = {name: ([], []) for name in ('train', 'validation', 'test')}
  for title, body in kept.items():
    others = [other for name, other in kept.items() if name != title]
    own = [passage for passage in _passages(body) if not any(passage in other for other in others)]
    for number, passage in enumerate(dict.fromkeys(own)):
      split = {EVERY - 1: 'test', EVERY - 2: 'validation'}.get(number % EVERY, 'train')
      found[split][0].append(title)
      found[split][1].append(passage)
  return found


def _sections() -> Iterator[tuple[str, str]]:
  """Yield title and text of each help topic."""
  text = embedded.read().decode()
  titles = list(TITLE.finditer(text))
  ends = [title.start() for title in titles[1:]] + [len(text)]
  for title, end in zip(titles, ends, strict=True):
    yield title['title'], text[title.end() : end].strip('\n')


def _passages(body: str) -> list[str]:
  return [body[start : start + PASSAGE] for start in range(0, len(body) - PASSAGE + 1, PASSAGE)]


def _own(dataset: str, columns: str, classes: tuple[str, ...]) -> dict[str, Rows]:
  paths = files.find(dataset)
  if others := [path for path in paths if path.suffix not in tables.SUFFIXES]:
    raise InputError(f'task.dataset={dataset!r}: {files.listed(others)} must be tables, of the suffix .tsv or .tab')
  splits = files.by_split(paths)
  found = {path: tables.columns(path, 'task.columns', columns, NEEDED) for path in paths}
  if tables.numbers('task.columns', columns):  # else the header has been read already
    name = _header([labels for labels, _ in found.values()], classes)
    for path, rows in found.items():
      first = rows[0][0].strip() if rows[0] else ''
      if first and (first == name or first.lower() in HEADERS):
        found[path] = tables.without_header(path, rows)
  return {split: tables.joined([found[path] for path in own]) for split, own in splits.items()}


def _header(columns: Sequence[Sequence[str]], classes: Collection[str]) -> str:
  """Return what names the labels in the first line of every table; '' where that line is a row like the others.

  A name is the label of no row, while labels are those of several.
  """
  firsts = {labels[0].strip() for labels in columns if labels}
  others = Counter(label.strip() for labels in columns for label in labels[1:] if label.strip())
  first = firsts.pop() if len(firsts) == 1 else ''
  is_name = first not in others and first not in classes and max(others.values(), default=0) > 1
  return first if is_name else ''


def _without_empty(split: str, labels: Sequence[str], texts: Sequence[str]) -> Rows:
  rows = [(label.strip(), text.strip()) for label, text in zip(labels, texts, strict=True)]
  full = [row for row in rows if all(row)]
  if len(full) < len(rows):
    first = next(number for number, row in enumerate(rows, 1) if not all(row))
    what = 'rows' if split == 'full' else f'{split} rows'
    left_out = len(rows) - len(full)
    log.warning(
      '%d of %d %s have no label or no text and are left out, the first is number %d', left_out, len(rows), what, first
    )
  if not full:
    raise InputError(f'the {split} split has no row with a label and a text')
  return [label for label, _ in full], [text for _, text in full]


def _cut(found: dict[str, Rows], split: str, dataset: str, *, is_trained: bool) -> dict[str, Rows]:
  """Return the splits, drawn at random by percentages where there are none: rows are often in the order of classes.

  is_trained: nothing is to be trained, so that training may lack a class.
  """
  if 'full' not in found:
    if split != corpora.SPLIT:
      raise InputError(f'task.split={split!r} has no meaning: {dataset} has its own splits; leave it {corpora.SPLIT}')
    return found
  labels, texts = found['full']
  count = len(labels)
  order = draws.permuted(np.arange(count), count, draws.key('labelled texts'))
  train, validation = (int(share * count) for share in corpora.parse_split(split))
  borders = {'train': (0, train), 'validation': (train, validation), 'test': (validation, count)}
  if split.count('/') == 1:
    del borders['test']
  parts = {}
  for name, (start, stop) in borders.items():
    if start == stop:
      raise InputError(f'task.split={split!r} leaves nothing for {name}: {dataset} has {count} rows only')
    rows = sorted(order[start:stop])
    parts[name] = [labels[row] for row in rows], [texts[row] for row in rows]
  rare = [label for label, number in Counter(labels).items() if label not in parts['train'][0]]
  if rare and not is_trained:
    raise InputError(
      f'task.dataset={dataset!r}: the class {rare[0]!r} has no row in training; it has too few of {count}'
    )
  return parts
