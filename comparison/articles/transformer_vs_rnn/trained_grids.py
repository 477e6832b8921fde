"""Claims about how models are trained: amounts of data, order without positions."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from comparison import statistics
from comparison.claims import pairs
from comparison.claims.base import (
  GATED,
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
from comparison.claims.points import above, below, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN, REWRITTEN, REVIEWED = '2026-11-29 03:20', '2026-11-29 06:30', '2026-11-29 11:05'
STOPPED = '2026-11-29 20:39'
MARGIN = 0.02  # nats: a smaller difference is none
FITTED = 1.0  # nats: a training loss that a model must reach on the fewest examples, to be said to have learned them
FIT = 2.0  # nats: a training loss that is reached long before examples are learned by heart
SEEN = 'Outcomes of an unpublished run of minutes had been seen when it was written'
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
    if len(ratios := _ratios(attention, recurrent)) > 1:
      models = TRANSFORMER, architecture
      rows = tuned(where(records, 'sample_efficiency', 'loss', architecture=models), 'architecture', 'examples')
      noise = pairs.noise_of(rows, functools.partial(_mean_log_ratio, architecture=architecture))
      ratio = pairs.geometric(ratios, noise)
      label = f'examples that the Transformer needs ÷ those of the {architecture}, at equal loss'
      points.append(above(label, ratio, 1.0, unit='×'))
  if not points:
    if not attention:
      return not_measured('sample_efficiency')
    return undecided('no loss was reached by both sides with two seeds or more')
  return combine(
    points, '; '.join(map(str, points)) + '. Interpolated between the numbers measured, never beyond them.'
  )


Curves = Mapping[int, Mapping[float, float]]  # seed → number of examples → test loss


def _ratios(transformer: Curves, rnn: Curves) -> list[float]:
  """Return the examples that the Transformer needs ÷ those of an RNN, for the seeds that reach some loss with both."""
  both = sorted(transformer.keys() & rnn.keys())
  return [ratio for seed in both if (ratio := examples_needed(transformer[seed], rnn[seed])) is not None]


def _mean_log_ratio(rows: Sequence[Row], architecture: str) -> float:
  return float(np.mean(np.log(_ratios(_curves(rows, TRANSFORMER), _curves(rows, architecture)))))


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


def _on_fewest(records: Sequence[Row], metric: str) -> list[Row]:
  """Return the rows of the fewest examples, without dropout."""
  rows = where(records, 'sample_efficiency', metric, dropout=0.0)
  fewest = min(levels(rows, 'examples'), default=None)
  return [row for row in rows if row['examples'] == fewest]


def _unfitted(records: Sequence[Row]) -> str:
  """Return why the updates were too few to speak of data: a model that has not learned the fewest examples."""
  least: dict[str, dict[int, float]] = {}
  for row in _on_fewest(records, 'train_loss'):
    own = least.setdefault(row['architecture'], {})
    own[row['seed']] = min(row['value'], own.get(row['seed'], math.inf))
  worst = {model: max(own.values()) for model, own in least.items()}
  slow = [f'{model} {loss:.3g}' for model, loss in worst.items() if loss > FITTED]
  if not slow:
    return ''
  return f'the updates are too few to fit the fewest examples: training loss {", ".join(slow)} nats, above {FITTED}'


def overfits_more(records: Sequence[Row]) -> Verdict:
  """Compare the test losses at the updates with the best validation loss, on the fewest examples."""
  rows = tuned(_on_fewest(records, 'loss'), 'architecture')
  models = levels(rows, 'architecture')
  if TRANSFORMER not in models or len(models) < 2:
    return not_measured('sample_efficiency')
  unfitted = _unfitted(records)
  if unfitted:
    return undecided(unfitted)
  at_fit = losses_at_fit(_on_fewest(records, 'train_loss'), rows, 'architecture')
  points, beside = [], []
  for name in (name for name in GATED if name in models):
    more = pairs.differences(pairs.paired(rows, name, TRANSFORMER))
    if len(more) >= pairs.FEWEST:
      label = f'test loss at the best update on validation, Transformer − {name}'
      interval = statistics.mean(more, pairs.noise_of_difference(rows, name, TRANSFORMER))
      points.append(above(label, interval, MARGIN, unit='nats'))
    seeds_ = [seed for seed in levels(rows, 'seed') if (name, seed) in at_fit and (TRANSFORMER, seed) in at_fit]
    if seeds_:
      beside.append(f'{name} {np.mean([at_fit[TRANSFORMER, seed] - at_fit[name, seed] for seed in seeds_]):.3g}')
  if not points:
    return undecided('fewer than two seeds were measured for both sides')
  text = f'{"; ".join(map(str, points))}. On the fewest examples, without dropout: {pairs.means(rows)}.'
  if beside:
    text += f' Where the training loss falls through {FIT:g} nats, Transformer less {", ".join(beside)}.'
  trivial = [row for row in where(records, 'sample_efficiency', 'baseline') if row['examples'] == rows[0]['examples']]
  return combine(points, text + pairs.baselines(trivial, 'loss'))


def losses_at_fit(train: Sequence[Row], test: Sequence[Row], column: str) -> dict[tuple[Any, int], float]:
  """Return value of a column, seed → test loss where the training loss falls through FIT, of the trials of `test`.

  The training loss after a part of the updates is taken to be the mean of those over this part and the next.
  """
  key = lambda row: (row[column], row['seed'], row['learning_rate'])
  curves = {key(row): row['curve'] for row in train if row.get('curve')}
  found = {}
  for row in test:
    curve, losses = np.array(curves.get(key(row), ())), row.get('checkpoints') or ()
    if len(curve) != len(losses) or len(curve) < 2:
      continue
    curve[:-1] = (curve[:-1] + curve[1:]) / 2
    after = next((place for place, loss in enumerate(curve) if loss <= FIT), 0)
    if after:
      share = (curve[after - 1] - FIT) / (curve[after - 1] - curve[after])
      found[row[column], row['seed']] = float(losses[after - 1] + share * (losses[after] - losses[after - 1]))
  return found


def plot(title: str, experiment: str, metric: str, x: str, x_label: str, y_label: str, *series: str) -> Plot:
  return Plot(
    title, experiment, metric, x, series=('architecture', *series), log_x=x in ('examples', 'learning_rate'),
    x_label=x_label, y_label=y_label,
  )  # fmt: skip


SAMPLES = plot('Test loss over the data', 'sample_efficiency', 'loss', 'examples', 'windows of text', 'nats', 'dropout')
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
    (plot('Accuracy by positions', 'positions_of_recurrence', 'accuracy', 'position', 'positions', 'accuracy'),),
    words='"RNNs inherently encode position through their sequential processing"',
    since=WRITTEN,
  ),
  Claim(
    20,
    'Data for the same result',
    'Transformers often need more training data than RNNs for the same result.',
    'Windows of characters of the embedded text, as many updates for every number of them; dropout, learning rate and '
    'update to stop at that are best on validation at each; ratio of the numbers at losses that both reach; no verdict '
    f'unless every model reaches {FITTED:g} nats in training on the fewest.',
    'every model has learned the fewest windows, and the Transformer needs more than the LSTM and than the GRU',
    'every model has, and it needs fewer than both',
    ('sample_efficiency',),
    data_for_equal_loss,
    (SAMPLES,),
    revised='version 2 asks for enough updates: else the numbers say how fast models learn, not what data they need',
    words='"transformers often require more training data than RNNs to reach comparable performance"',
    since=REWRITTEN,
    from_scale='overnight',
    earlier=(
      Rule(1, WRITTEN, 'the Transformer needs more than the LSTM and than the GRU', 'it needs fewer than both'),
    ),
  ),
  Claim(
    21,
    'Overfitting of small data',
    'Transformers can overfit small data more easily than RNNs.',
    'The fewest windows of text, without dropout: test loss at the update with the best validation loss (early '
    'stopping), each at its best learning rate on validation, seed by seed; no verdict unless every model reaches '
    f'{FITTED:g} nats in training. Beside it, the difference where the training loss falls through {FIT:g} nats.',
    f'stopped early, the Transformer has a test loss that is higher by {MARGIN} nats or more than those of the LSTM '
    'and of the GRU',
    f'it is higher by less than {MARGIN} nats, or lower',
    ('sample_efficiency',),
    overfits_more,
    (SAMPLES,),
    revised='version 2 compares at equal training loss: a model that has learned less of its data has a smaller gap; '
    f'version 3 lets no difference between 0 and the margin count on both sides. {SEEN}. Version 4 compares models '
    'that were stopped early: where all reach a training loss, the data are learned by heart, and the test loss is '
    'above that of the unigram',
    words='"they can also overfit more easily on small datasets"',
    since=STOPPED,
    from_scale='overnight',
    earlier=(
      Rule(
        1,
        WRITTEN,
        'the gap of the Transformer is larger than that of the LSTM and of the GRU',
        f'it is larger by less than {MARGIN} nats, or smaller',
      ),
      Rule(
        2,
        REWRITTEN,
        'the test loss of the Transformer is higher than that of the LSTM and of the GRU',
        f'it is higher by less than {MARGIN} nats, or lower',
      ),
      Rule(
        3,
        REVIEWED,
        f'the test loss of the Transformer is higher by {MARGIN} nats or more than that of the LSTM and that of the '
        'GRU',
        f'it is higher by less than {MARGIN} nats, or lower',
      ),
    ),
  ),
)
