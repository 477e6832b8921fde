"""Tables of the scores of trained models, with both budgets and the trivial baselines."""

from collections.abc import Sequence

from comparison.claims import quality as scores
from comparison.claims.base import Claim, Quality, figure, show, where
from comparison.claims.quality import Model
from comparison.claims.tables import Table
from comparison.records import AT_EQUAL_FLOPS, Row
from comparison.report import trained

COLUMNS = ('model', 'parameters', 'updates', 'learning rate', 'trials', 'training FLOPs')
LEAD = len(COLUMNS)  # before those of scores
POINTS = 5  # columns of scores that a page has room for


def tables(claim: Claim, records: Sequence[Row]) -> tuple[Table, ...]:
  """Return the scores at equal parameters and updates and, where models were trained for it, at equal FLOPs."""
  quality = claim.quality
  if quality is None or not where(records, quality.experiment, quality.metric):
    return ()
  found = [table(quality, records, 'Scores, at equal parameters and updates')]
  if where(records, quality.experiment, quality.metric + AT_EQUAL_FLOPS):
    others, missing = scores.at_equal_flops(quality, records)
    found.append(table(quality, others, 'Scores, at equal parameters and training FLOPs', missing))
  return tuple(found)


def table(quality: Quality, records: Sequence[Row], title: str, missing: Sequence[str] = ()) -> Table:
  models = scores.models(quality, records)
  every = sorted({x for model in models for x in model.scores})
  shown = spread(every, POINTS)
  digits = 3 if quality.higher else 4  # losses differ in the second decimal
  rows = [(*about(model), *(cell(model, x, digits) for x in shown)) for model in models]
  rows += [(name, *([''] * (LEAD - 1)), *('not measured' for _ in shown)) for name in missing]
  for name, values in scores.baselines(records, quality.experiment, quality.metric, quality.coordinate).items():
    reached = [scores.at(values, x) for x in shown]
    rows.append((f'no model: {name}', *([''] * (LEAD - 1)), *('' if v is None else figure(v, digits) for v in reached)))
  better = 'More is better' if quality.higher else 'Less is better'
  tokens = scores.tokens(quality, records)
  budget = trained.of({model.updates for model in models if model.updates}, () if tokens is None else (tokens,))
  counts = sorted({score.seeds for model in models for score in model.scores.values()})
  return Table(
    title,
    f'{better}. Mean over {" to ".join(map(str, counts))} seeds with its 95 % interval, and the best of them. Learning '
    'rate: the best on validation of those that every model was trained with; trials: all trainings, over rates, '
    'seeds and forms. FLOPs: of one whole training, and as a multiple of those of the LSTM.',
    (*COLUMNS, *(quality.point.format(x) for x in shown)),
    tuple(rows),
    best_of(models, shown, quality.higher, LEAD),
    f'{trained.SEEDS}: {trained.between(counts)}; {trained.BUDGET}: {budget}' if models else '',
  )


def best_of(models: Sequence[Model], shown: Sequence[float], higher: bool, first: int) -> frozenset[tuple[int, int]]:
  """Return row and column of the best mean at each of the points shown, whose columns begin at `first`."""
  found = set()
  for column, x in enumerate(shown):
    means = {row: model.scores[x].mean.value for row, model in enumerate(models) if x in model.scores}
    if len(means) > 1:
      found.add(((max if higher else min)(means, key=lambda row: means[row]), first + column))
  return frozenset(found)


def about(model: Model) -> tuple[str, ...]:
  rate = '' if model.rate is None else f'{model.rate:g}'
  edge = {'': '', 'only': ' (the only one)'}.get(model.edge, f' ({model.edge} tried)')
  flops = '' if model.flops is None else f'{model.flops:.2g}'
  share = '' if model.share is None else f'{model.share:.2f} ×'
  parameters = '' if model.parameters is None else f'{model.parameters:,}'
  updates = '' if model.updates is None else f'{model.updates:,}'
  spent = ', '.join(part for part in (flops, share) if part)
  return model.name, parameters, updates, rate + edge, str(model.trials), spent


def cell(model: Model, x: float, digits: int) -> str:
  score = model.scores.get(x)
  return '' if score is None else f'{show(score.mean, digits)}; best {figure(score.best, digits)}'


def spread(xs: Sequence[float], count: int) -> list[float]:
  """Return at most `count` of the values, with the first and the last."""
  if len(xs) <= count:
    return list(xs)
  return [xs[round(i * (len(xs) - 1) / (count - 1))] for i in range(count)]
