"""The scores of the experiment task_quality: every task, metric and architecture, with the search behind each."""

from collections.abc import Sequence

from comparison.claims import base
from comparison.claims.tables import Table, parameters
from comparison.records import Row

NAME = 'task_quality'
MEAN = 3  # the column of the means
HIDDEN = ('diverged', 'train_loss', 'baseline')
TITLE = 'Quality by task'
NOTE = (
  'Mean over the seeds with its 95 % interval at the learning rate that is best on validation; "edge" where it is the '
  'lowest or highest that was tried, which is extended while time allows. Trials: learning rates × seeds. Longer '
  'evaluations are named by their split. Baselines have no model.'
)


def table(records: Sequence[Row]) -> Table:
  """Return one row for each task, metric and model."""
  found = [row for row in records if row.get('experiment') == NAME and row['metric'] not in HIDDEN]
  rows: list[tuple[str, ...]] = []
  best: set[tuple[int, int]] = set()
  for task in base.levels(found, 'task'):
    here = [row for row in found if row['task'] == task]
    for metric in base.levels(here, 'metric'):
      scored = [row for row in here if row['metric'] == metric and row.get('value') is not None]
      lead = (task, metric)
      means = {}
      for names, group in _models(scored).items():
        means[len(rows)] = base.seeds(base.tuned(group)).value
        rows.append((*lead, *_line(names, group)))
        lead = ('', '')
      if len(means) > 1:
        best.add(((max if is_higher(metric) else min)(means, key=lambda row: means[row]), MEAN))
      for row in base.where(records, NAME, 'baseline', task=task, scored=metric):
        rows.append((*lead, f'no model: {row["baseline"]}', base.figure(row['value']), '', '', '', ''))
        lead = ('', '')
  columns = ('task', 'metric', 'model', 'mean', 'best seed', 'learning rate', 'trials', 'parameters')
  return Table(TITLE, NOTE, columns, tuple(rows), frozenset(best))


def is_higher(metric: str) -> bool:
  """Return whether more of a metric is better."""
  return any(word in metric for word in ('accuracy', 'match', 'ssim', 'bleu', 'skill', 'state_bits'))


def _models(rows: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
  """Return architecture and block → all rates and seeds of it."""
  groups: dict[tuple[str, ...], list[Row]] = {}
  for row in rows:
    if row.get('architecture') and row.get('selection') is not None:
      groups.setdefault((row['architecture'], row.get('block', '')), []).append(row)
  return groups


def _line(names: tuple[str, ...], group: Sequence[Row]) -> tuple[str, ...]:
  kept = base.tuned(group)
  rate, rates = kept[0]['learning_rate'], kept[0].get('rates') or [kept[0]['learning_rate']]
  edge = ' (the only one)' if len(rates) == 1 else ' (edge)' if rate in (min(rates), max(rates)) else ''
  mean = base.seeds(kept)
  values = [row['value'] for row in kept]
  higher = is_higher(kept[0]['metric'])
  return (
    ', '.join(filter(None, names)),
    base.show(mean),
    base.figure(max(values) if higher else min(values)),
    f'{rate:g}{edge}',
    str(len(group)),
    parameters(kept[0].get('size')),
  )
