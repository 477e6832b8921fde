"""Claims about how models are trained: clipping, learning rates, amounts of data, order without positions."""

from collections.abc import Mapping, Sequence

import numpy as np

from comparison import statistics
from comparison.claims import pairs
from comparison.claims.base import (
  GATED,
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Rule,
  Verdict,
  levels,
  seeds,
  tuned,
  where,
)
from comparison.claims.points import Point, above, below, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN, REWRITTEN = '2026-11-29 03:20', '2026-11-29 06:30'
MARGIN = 0.02  # nats: a smaller difference is none
BAND = 0.05  # of the distance from the unigram to the best loss, within which a learning rate is a good one
FITTED = 1.0  # nats: a training loss that a model must reach on the fewest examples, to be said to have learned them
ORDER_BLIND = 0.75  # accuracy of a classifier of two marks that knows no order


def order_by_itself(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'positions_of_recurrence', 'accuracy'), 'architecture', 'position')
  points = []
  for architecture in (a for a in levels(rows, 'architecture') if a in GATED):
    by_position = {
      position: [r for r in rows if (r['architecture'], r['position']) == (architecture, position)]
      for position in ('none', 'sinusoidal')
    }
    if not all(by_position.values()):
      continue
    without, with_them = seeds(by_position['none']), seeds(by_position['sinusoidal'])
    points.append(above(f'{architecture} without positions, accuracy', without, 0.99, 0.9))
    gained = Interval(with_them.value - without.value, with_them.low - without.high, with_them.high - without.low)
    points.append(below(f'{architecture}, what positions add to its accuracy', gained, 0.01, 0.05))
  if not points:
    return not_measured('positions_of_recurrence')
  beside = [r for r in rows if r['architecture'] == TRANSFORMER]
  shown = ', '.join(
    f'{position}: {seeds(r for r in beside if r["position"] == position).value:.3g}'
    for position in levels(beside, 'position')
  )
  text = f'{"; ".join(map(str, points))}. Knowing no order: {ORDER_BLIND}. Transformer by positions: {shown}.'
  return combine(points, text)


def clipping_matters(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'clipping', 'loss'), 'architecture', 'optimizer', 'clip')
  if not rows:
    return not_measured('clipping')
  points = []
  for optimizer in levels(rows, 'optimizer'):
    for architecture in levels(rows, 'architecture'):
      here = [r for r in rows if (r['optimizer'], r['architecture']) == (optimizer, architecture)]
      lost = pairs.gain(pairs.by_seed(here, clip=0.0), pairs.by_seed(here, clip=1.0))
      label = f'{architecture} by {optimizer}: loss without clipping − with'
      if lost is not None and architecture in RECURRENT:
        points.append(above(label, lost, MARGIN, unit='nats'))
      elif lost is not None and architecture == TRANSFORMER:
        points.append(below(label, lost, MARGIN, unit='nats'))
  if not points:
    return undecided('fewer than two seeds were measured with clipping and without')
  failures = where(records, 'clipping', 'diverged')
  shares = ', '.join(
    f'{a} {100 * np.mean([r["value"] for r in failures if (r["architecture"], r["clip"]) == (a, 0.0)]):.0f} %'
    for a in levels(failures, 'architecture')
  )
  return combine(points, f'{"; ".join(map(str, points))}. Diverged without clipping, of all learning rates: {shares}.')


def larger_rates(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'learning_rates', 'loss')
  unigram = [r['value'] for r in where(records, 'learning_rates', 'baseline', baseline='unigram')]
  warm = [r for r in rows if r['warmup']]
  sides = [_good_rates(warm, *model, unigram) for model in ((TRANSFORMER, 'residual'), ('lstm', 'plain'))]
  if not all(sides):
    return not_measured('learning_rates')
  both = sorted(sides[0].keys() & sides[1].keys())
  if len(both) < 2:
    return undecided('fewer than two seeds were measured for both sides')
  logs = np.log10([[side[seed] for seed in both] for side in sides])  # [side, seed, smallest and largest]
  largest, width = logs[..., 1], logs[..., 1] - logs[..., 0]
  points = [
    above(f'{label}, Transformer − LSTM', statistics.mean((of[0] - of[1]).tolist()), 1e-9, 0.0, 'decades')
    for label, of in (('largest good learning rate', largest), ('width of the good rates', width))
  ]
  text = '; '.join(map(str, points)) + f'. A good rate: within {BAND:.0%} of the way from the best loss to the unigram.'
  cold = [r for r in rows if not r['warmup']]
  for title, some, model in (
    ('LSTM in the residual block', warm, ('lstm', 'residual')),
    ('Transformer without warm-up', cold, (TRANSFORMER, 'residual')),
  ):
    found = _good_rates(some, *model, unigram)
    if found:
      low, high = np.median(list(found.values()), axis=0)
      text += f' {title}: {low:.2g} to {high:.2g}.'
  return combine(points, text)


def _good_rates(
  rows: Sequence[Row], architecture: str, block: str, unigram: Sequence[float]
) -> dict[int, tuple[float, float]]:
  """Return seed → the smallest and the largest learning rate whose loss is within BAND of the best."""
  found = {}
  mine = [r for r in rows if (r['architecture'], r['block']) == (architecture, block)]
  for seed in levels(mine, 'seed') if unigram else ():
    loss = {r['learning_rate']: r['value'] for r in mine if r['seed'] == seed}
    best = min(loss.values())
    good = [rate for rate, value in loss.items() if value <= best + BAND * max(0.0, unigram[0] - best)]
    found[seed] = min(good), max(good)
  return found


def _curves(records: Sequence[Row], architecture: str) -> dict[int, dict[float, float]]:
  """Return seed → number of examples → test loss, with the dropout and learning rate that are best on validation."""
  rows = where(records, 'sample_efficiency', 'loss', architecture=architecture)
  found: dict[int, dict[float, float]] = {}
  for row in tuned(rows, 'examples'):
    found.setdefault(row['seed'], {})[row['examples']] = row['value']
  return found


def data_for_equal_loss(records: Sequence[Row]) -> Verdict:
  attention = _curves(records, TRANSFORMER)
  unfitted = _unfitted(records)
  if unfitted:
    return undecided(unfitted)
  points = []
  for architecture in GATED:
    recurrent = _curves(records, architecture)
    both = sorted(attention.keys() & recurrent.keys())
    ratios = [r for seed in both if (r := examples_needed(attention[seed], recurrent[seed])) is not None]
    if len(ratios) > 1:
      logs = statistics.mean(np.log(ratios).tolist())
      ratio = Interval(*(float(np.exp(x)) for x in logs))
      label = f'examples that the Transformer needs ÷ those of the {architecture}, at equal loss'
      points.append(above(label, ratio, 1.0, unit='×'))
  if not points:
    if not attention:
      return not_measured('sample_efficiency')
    return undecided('no loss was reached by both sides with two seeds or more')
  return combine(
    points, '; '.join(map(str, points)) + '. Interpolated between the numbers measured, never beyond them.'
  )


def examples_needed(transformer: Mapping[float, float], rnn: Mapping[float, float]) -> float | None:
  """Return the geometric mean over losses that both reach of N of the Transformer ÷ N of the RNN; None without any.

  Losses are made monotone: more examples are at least as good. Of equal losses, the fewest examples count.
  """
  curves = []
  for curve in (transformer, rnn):
    counts = np.array(sorted(curve), np.float64)
    losses = np.minimum.accumulate([curve[n] for n in counts])
    curves.append((np.log(counts), losses))
  low, high = max(c[1][-1] for c in curves), min(c[1][0] for c in curves)
  if not low < high:
    return None
  grid = np.linspace(low, high, 9)
  needed = [np.interp(grid, losses[::-1], counts[::-1]) for counts, losses in curves]
  return float(np.exp(np.mean(needed[0] - needed[1])))


def _fits(records: Sequence[Row]) -> dict[str, dict[int, list[tuple[float, float]]]]:
  """Return model → seed → (training loss, test loss) on the fewest examples without dropout, of every learning rate."""
  rows = where(records, 'sample_efficiency', 'train_loss', dropout=0.0)
  tests = {_trial(row): row['value'] for row in where(records, 'sample_efficiency', 'loss', dropout=0.0)}
  fewest = min(levels(rows, 'examples'), default=None)
  found: dict[str, dict[int, list[tuple[float, float]]]] = {}
  for row in rows:
    if row['examples'] == fewest and _trial(row) in tests:
      own = found.setdefault(row['architecture'], {}).setdefault(row['seed'], [])
      own.append((row['value'], tests[_trial(row)]))
  return found


def _trial(row: Row) -> tuple[object, ...]:
  return tuple(row.get(name) for name in ('architecture', 'examples', 'learning_rate', 'seed'))


def _unfitted(records: Sequence[Row]) -> str:
  """Return why the updates were too few to speak of data: a model that has not learned the fewest examples."""
  least = {
    model: max(min(train for train, _ in own) for own in of_model.values())
    for model, of_model in _fits(records).items()
  }
  slow = [f'{model} {loss:.3g}' for model, loss in least.items() if loss > FITTED]
  if not slow:
    return ''
  return f'the updates are too few to fit the fewest examples: training loss {", ".join(slow)} nats, above {FITTED}'


def overfits_more(records: Sequence[Row]) -> Verdict:
  fits = _fits(records)
  if TRANSFORMER not in fits or len(fits) < 2:
    return not_measured('sample_efficiency')
  unfitted = _unfitted(records)
  if unfitted:
    return undecided(unfitted)
  points = []
  for architecture in (name for name in GATED if name in fits):
    both = sorted(fits[TRANSFORMER].keys() & fits[architecture].keys())
    if len(both) > 1:
      more = statistics.mean([gap_at_equal_fit(fits[TRANSFORMER][s], fits[architecture][s]) for s in both])
      label = f'test loss at equal training loss, Transformer − {architecture}'
      points.append(Point(label, more, more.low > 0, more.high < MARGIN, 'nats'))
  if not points:
    return undecided('fewer than two seeds were measured for both sides')
  return combine(points, '; '.join(map(str, points)) + '. On the fewest examples, without dropout.')


def gap_at_equal_fit(transformer: Sequence[tuple[float, float]], rnn: Sequence[tuple[float, float]]) -> float:
  """Return the test loss of the Transformer less that of the RNN at the lowest training loss that both reach.

  Both: (training loss, test loss) of each learning rate, interpolated.
  """
  equal = max(min(train for train, _ in own) for own in (transformer, rnn))
  curves = [np.array(sorted(own)).T for own in (transformer, rnn)]
  losses = [float(np.interp(equal, train, test)) for train, test in curves]
  return losses[0] - losses[1]


def _plot(title: str, experiment: str, metric: str, x: str, x_label: str, y_label: str, *series: str) -> Plot:
  return Plot(
    title, experiment, metric, x, series=('architecture', *series), log_x=x in ('examples', 'learning_rate'),
    x_label=x_label, y_label=y_label,
  )  # fmt: skip


SAMPLES = _plot(
  'Test loss over the data', 'sample_efficiency', 'loss', 'examples', 'windows of text', 'nats', 'dropout'
)
CLAIMS = (
  Claim(
    11,
    'Order in an RNN',
    'An RNN encodes the order of its input by itself.',
    'Which of two symbols came first, among others (Hochreiter & Schmidhuber 1997); a classifier that knows no order '
    f'is right in {ORDER_BLIND:.0%}. LSTM and GRU without positions and with sinusoidal ones, each at its best '
    'learning rate on validation.',
    'without positions they are right in 99 % or more, and positions add no more than 1 point',
    'without positions they are right in less than 90 %, and positions add more than 5 points',
    ('positions_of_recurrence',),
    order_by_itself,
    (_plot('Accuracy by positions', 'positions_of_recurrence', 'accuracy', 'position', 'positions', 'accuracy'),),
    words='"inherently encode position"',
    since=WRITTEN,
  ),
  Claim(
    15,
    'Gradient clipping',
    'RNNs need their gradients clipped to train, Transformers do not.',
    'Characters of the embedded text, clipping at a norm of 1 and none, by SGD with momentum and by AdamW, each at its '
    'best learning rate on validation; difference of the test losses, seed by seed.',
    f'clipping gains {MARGIN} nats or more for every RNN and no more for the Transformer, with both optimizers',
    'the other way round',
    ('clipping',),
    clipping_matters,
    (_plot('Test loss with and without clipping', 'clipping', 'loss', 'clip', 'clip (0: none)', 'nats', 'optimizer'),),
    words='"requires careful gradient clipping"',
    since=WRITTEN,
  ),
  Claim(
    16,
    'Learning rates',
    'Transformers take larger learning rates, and a wider range of them.',
    'Characters of the embedded text at half-decades of learning rates with a warm-up of a tenth of the updates; a '
    f'rate is good whose test loss is within {BAND:.0%} of the way from the best to the unigram; difference in '
    'decades, seed by seed. Beside it, without warm-up, and the LSTM in the residual block.',
    'the largest good rate and the width of the range are larger for the Transformer than for the LSTM',
    'both are smaller',
    ('learning_rates',),
    larger_rates,
    (_plot('Test loss over the rate', 'learning_rates', 'loss', 'learning_rate', 'rate', 'nats', 'block', 'warmup'),),
    words='"more aggressive learning rates"; "a wider range of hyperparameters"',
    since=WRITTEN,
  ),
  Claim(
    20,
    'Data for the same result',
    'Transformers often need more training data than RNNs for the same result.',
    'Windows of characters of the embedded text, as many updates for every number of them; dropout and learning rate '
    'that are best on validation at each; ratio of the numbers at losses that both reach; no verdict unless every '
    f'model reaches {FITTED:g} nats in training on the fewest.',
    'every model has learned the fewest windows, and the Transformer needs more than the LSTM and than the GRU',
    'every model has, and it needs fewer than both',
    ('sample_efficiency',),
    data_for_equal_loss,
    (SAMPLES,),
    revised='version 2 asks for enough updates: else the numbers say how fast models learn, not what data they need',
    words='"often require more training data"',
    since=REWRITTEN,
    earlier=(
      Rule(1, WRITTEN, 'the Transformer needs more than the LSTM and than the GRU', 'it needs fewer than both'),
    ),
  ),
  Claim(
    21,
    'Overfitting of small data',
    'Transformers overfit small data more than RNNs.',
    'The fewest windows of text, without dropout, all learning rates: test loss at the lowest training loss that both '
    f'sides reach, seed by seed; no verdict unless every model reaches {FITTED:g} nats in training.',
    'the test loss of the Transformer is higher than that of the LSTM and of the GRU',
    f'it is higher by less than {MARGIN} nats, or lower',
    ('sample_efficiency',),
    overfits_more,
    (SAMPLES,),
    revised='version 2 compares at equal training loss: a model that has learned less of its data has a smaller gap',
    words='"overfit more easily on small datasets"',
    since=REWRITTEN,
    earlier=(
      Rule(
        1,
        WRITTEN,
        'the gap of the Transformer is larger than that of the LSTM and of the GRU',
        f'it is larger by less than {MARGIN} nats, or smaller',
      ),
    ),
  ),
)
