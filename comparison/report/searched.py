"""The search behind trained models: how many trials of which settings each of them had."""

from collections.abc import Sequence

from comparison.claims import base
from comparison.claims.base import Claim
from comparison.claims.tables import Table
from comparison.records import Row

TITLE = 'Search behind the scores'
NOTE = (
  'Every trial of every point, whether it was chosen or not. Where the better of several models is a side, their '
  'trials count together. Heads of 0: by the width. Hours of the device, with compilation and evaluation.'
)
FORMS = {'depth': 'layers', 'heads': 'heads', 'position': 'positions', 'dropout': 'dropout'}  # column → in words


def tables(claim: Claim, records: Sequence[Row]) -> tuple[Table, ...]:
  """Return one table for each experiment of a claim that tries learning rates."""
  names = [name for name in claim.experiments if base.levels(base.where(records, name, 'diverged'), 'learning_rate')]
  title = lambda name: f'{TITLE}: {name.replace("_", " ")}' if len(names) > 1 else TITLE
  return tuple(table(title(name), NOTE, 'forms', base.where(records, name, 'diverged')) for name in names)


def table(title: str, note: str, second: str, rows: Sequence[Row]) -> Table:
  """Return trials, learning rates, seeds, updates and device hours of every model.

  rows: `diverged`, one of each trial. second: a column, whose number of values is counted; or `forms`, those of FORMS
  that vary.
  """
  varied = [name for name in FORMS if len(base.levels(rows, name)) > 1]
  groups: dict[str, list[Row]] = {}
  for row in rows:
    if row.get('architecture') and row.get('learning_rate'):
      groups.setdefault(', '.join(filter(None, (row['architecture'], row.get('block', '')))), []).append(row)
  lines = []
  for name, group in sorted(groups.items()):
    rates, updates = (base.levels(group, column) for column in ('learning_rate', 'updates'))
    cells = {row.get('cell'): row.get('seconds') or 0.0 for row in group}
    lines.append(
      (
        name,
        forms(group, varied) if second == 'forms' else str(len(base.levels(group, second))),
        str(len(group)),
        str(sum(bool(row['value']) for row in group)),
        f'{len(rates)}, {rates[0]:g} … {rates[-1]:g}',
        str(len(base.levels(group, 'seed'))),
        ' … '.join(f'{n:,}' for n in dict.fromkeys((updates[0], updates[-1]))) if updates else '',
        f'{sum(cells.values()) / 3600:.3g}',
      )
    )
  label = second if second == 'forms' else f'{second}s'
  columns = ('model', label, 'trials', 'diverged', 'learning rates', 'seeds', 'updates a trial', 'hours')
  return Table(title, note, columns, tuple(lines))


def forms(rows: Sequence[Row], columns: Sequence[str]) -> str:
  """Return the values of some columns: `layers 2, 4; positions alibi, rotary`."""
  found = {FORMS[column]: base.levels(rows, column) for column in columns}
  return '; '.join(f'{name} {", ".join(map(str, values))}' for name, values in found.items() if values)
