"""Seeds and budgets of the trained models behind a page."""

from collections.abc import Iterable, Sequence
from typing import Any

from comparison.records import AT_EQUAL_FLOPS, Row

SEEDS, BUDGET = 'seeds of trained models', 'budget of trained models'  # in the header of a page
NONE = '–'


def header(records: Sequence[Row]) -> tuple[tuple[str, str], ...]:
  """Return seeds and budget as lines of a header."""
  return (SEEDS, seeds(records)), (BUDGET, budget(records))


def seeds(records: Iterable[Row]) -> str:
  """Return how many seeds the experiments have: `3 to 5 an experiment`.

  An experiment that draws the settings of each trial has draws, whose seeds are their numbers: they are no repetitions.
  """
  found: dict[str, set[Any]] = {}
  draws: dict[str, set[Any]] = {}
  for row in records:
    if row.get('draw') is not None:
      draws.setdefault(row['experiment'], set()).add(row['draw'])
    elif row.get('seed') is not None:
      found.setdefault(row['experiment'], set()).add(row['seed'])
  parts = [f'{between(map(len, found.values()))} an experiment'] if found else []
  parts += [f'{len(draws[name])} draws of settings with a seed each in {name}' for name in sorted(draws)]
  return '; '.join(parts) or NONE


def budget(records: Iterable[Row]) -> str:
  """Return the updates of a training and the tokens of an update: `600 to 8,000 updates of 2,048 tokens`.

  The second budget of equal training FLOPs, whose updates follow from it, is left out.
  """
  updates, tokens = set(), set()
  for row in records:
    is_shared = row['metric'] == 'trials'  # what all models of an older experiment were given
    if not is_shared and (row.get('seed') is None or row['metric'].endswith(AT_EQUAL_FLOPS)):
      continue
    updates |= {row['updates']} if row.get('updates') else set()
    length = row.get('train_length', row.get('length'))
    of_update = row.get('tokens') if is_shared else (row.get('batch') or 0) * (length or 0)
    tokens |= {of_update} if of_update and (is_shared or row.get('updates')) else set()
  return of(updates, tokens)


def of(updates: Iterable[int], tokens: Iterable[int]) -> str:
  """Return a budget in words."""
  updates, tokens = list(updates), list(tokens)
  if not updates:
    return NONE
  return f'{between(updates)} updates' + (f' of {between(tokens)} tokens' if tokens else '')


def between(counts: Iterable[int]) -> str:
  """`600 to 8,000`; `5` where all are equal."""
  ends = sorted(counts)
  return ' to '.join(f'{end:,.0f}' for end in dict.fromkeys((ends[0], ends[-1])))
