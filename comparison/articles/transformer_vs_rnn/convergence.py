"""Claims about how training goes: tuning, plateaus, skip connections."""

from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn.trained_grids import MARGIN
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Verdict, levels, tuned, where
from comparison.claims.pairs import by_seed, gain
from comparison.claims.points import Point, above, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

SKIPS, WRITTEN = '2026-11-29 08:50', '2026-11-29 11:15'
FEW = 4  # trials that a tuned model is allowed
FEWEST_DRAWS = 12
RESAMPLES = 2000


def need_more_tuning(records: Sequence[Row]) -> Verdict:
  """Compare what is missing to the best after few random trials."""
  unigram = where(records, 'random_settings', 'baseline', scored='loss', baseline='unigram')
  cap = unigram[0]['value'] if unigram else float('inf')
  losses = _losses_by_draw(records, cap)
  if TRANSFORMER not in losses or not any(name in losses for name in GATED):
    return not_measured('random_settings')
  if not unigram:
    return undecided('the loss of the unigram is missing')
  draws = sorted(set.intersection(*(set(of_model) for of_model in losses.values())))
  if len(draws) < FEWEST_DRAWS:
    return undecided(f'{len(draws)} random settings were measured for all models; {FEWEST_DRAWS} are needed')
  table = {name: np.array([of_model[draw] for draw in draws]) for name, of_model in losses.items()}
  points = []
  for name in (name for name in GATED if name in table):
    more = _bootstrap(table[name], table[TRANSFORMER])
    points.append(Point(f'{name} − Transformer, loss above the best after {FEW} trials', more, more.low > MARGIN,
                        more.high < MARGIN, 'nats'))  # fmt: skip
  spread = ', '.join(
    f'{name}: best {values.min():.3g}, after {FEW} trials {expected(values):.3g}, after one {values.mean():.3g}'
    for name, values in table.items()
  )
  failed = where(records, 'random_settings', 'diverged')
  lost = ', '.join(
    f'{name} {int(sum(r["value"] for r in failed if r["architecture"] == name))}'
    for name in levels(failed, 'architecture')
  )
  settings = f'{len(draws)} random settings, the same for all; losses up to that of the unigram, {cap:.3g}'
  text = f'{"; ".join(map(str, points))}. {settings}. {spread}. Diverged: {lost}.'
  return combine(points, text)


def expected(losses: np.ndarray) -> float:
  """Return the expected lowest loss of FEW of the trials."""
  return statistics.expected_best(losses.tolist(), FEW)


def _losses_by_draw(records: Sequence[Row], cap: float) -> dict[str, dict[int, float]]:
  """Return model → draw → validation loss, at most `cap`; that is also the loss of a trial that diverged."""
  found: dict[str, dict[int, float]] = {}
  for row in where(records, 'random_settings', 'loss'):
    if row.get('selection') is not None:
      found.setdefault(row['architecture'], {})[row['draw']] = min(cap, -row['selection'])
  for row in where(records, 'random_settings', 'diverged'):
    if row['value']:
      found.setdefault(row['architecture'], {})[row['draw']] = cap
  return found


def _bootstrap(rnn: np.ndarray, transformer: np.ndarray) -> Interval:
  """Return how much further the RNN is from its best after FEW trials; the draws are resampled for both together.

  The best is that of all draws, in every resample: that of a resample is worse, and nearer to its expectation.
  """
  draw = np.random.default_rng(0)
  missing = lambda chosen: (expected(rnn[chosen]) - rnn.min()) - (expected(transformer[chosen]) - transformer.min())
  resampled = [missing(draw.integers(len(rnn), size=len(rnn))) for _ in range(RESAMPLES)]
  low, high = np.quantile(resampled, [0.025, 0.975])
  return Interval(missing(np.arange(len(rnn))), float(low), float(high))


def worse_optima(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'plateaus', 'train_loss'), 'architecture')
  loss = {name: by_seed(rows, architecture=name) for name in levels(rows, 'architecture')}
  if TRANSFORMER not in loss or len(loss) < 2:
    return not_measured('plateaus')
  falls = tuned(where(records, 'plateaus', 'fall'), 'architecture')
  fall = {name: max(by_seed(falls, architecture=name).values()) for name in levels(falls, 'architecture')}
  moving = [f'{name} {most:.2g}' for name, most in fall.items() if most > MARGIN]
  if moving:
    return undecided(f'the training loss still fell in the last tenth of the updates, by {", ".join(moving)} nats')
  points = [
    above(f'{name} − Transformer, training loss at its plateau', more, MARGIN, MARGIN, 'nats')
    for name in GATED
    if name in loss and (more := gain(loss[name], loss[TRANSFORMER])) is not None
  ]
  if not points:
    return undecided('fewer than two seeds were measured for both sides')
  levels_ = ', '.join(f'{name} {statistics.mean(list(of.values())).value:.3g}' for name, of in loss.items())
  return combine(points, f'{"; ".join(map(str, points))}. Training loss: {levels_} nats.')


def skips_are_why(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'skips', 'loss'), 'architecture', 'block', 'skips', 'depth')
  if not rows:
    return not_measured('skips')
  deepest = max(levels(rows, 'depth'))
  of = lambda name, depth, skips: by_seed(
    [r for r in rows if r['block'] != 'plain'], architecture=name, skips=skips, depth=depth
  )
  points = []
  for name in (TRANSFORMER, 'lstm'):
    worse = gain(of(name, deepest, 0), of(name, deepest, 1))
    if worse is not None:
      points.append(above(f'{name} of {deepest} layers, loss without skips − with', worse, MARGIN, MARGIN, 'nats'))
  if len(points) < 2:
    return undecided('fewer than two seeds were measured with skips and without')
  shallow = min(levels(rows, 'depth'))
  beside = ', '.join(
    f'{name} {difference.value:.3g}'
    for name in (TRANSFORMER, 'lstm')
    if (difference := gain(of(name, shallow, 0), of(name, shallow, 1))) is not None
  )
  return combine(points, f'{"; ".join(map(str, points))}. The same at {shallow} layers: {beside} nats.')


CLAIMS = (
  Claim(
    17,
    'Tuning',
    'RNNs need more tuning of hyperparameters than Transformers.',
    'Random settings, the same for every model: learning rate from 1e-4 to 1e-1 (times 100 for SGD), optimizer, '
    'clipping, warm-up, dropout, depth; characters of the embedded text. How far the expected best validation loss of '
    f'{FEW} trials is above the best of all; the settings are resampled for both sides together. Losses above that of '
    'the unigram, and trials that diverged, count as the unigram.',
    f'it is further above for the LSTM and for the GRU than for the Transformer, by more than {MARGIN} nats',
    f'it is further above by less than {MARGIN} nats, or nearer, for both',
    ('random_settings',),
    need_more_tuning,
    (
      Plot(
        'Loss of each setting',
        'random_settings',
        'loss',
        'draw',
        x_label='random setting',
        y_label='nats',
        series=('architecture',),
      ),
    ),
    words='"requires extensive hyperparameter tuning"; "Transformers are more forgiving"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    18,
    'Optima',
    'RNNs often converge to worse optima than Transformers.',
    'A short part of the embedded text, trained on at a constant learning rate, the same updates for all; the rate '
    'with the lowest training loss over the last updates, which also extends the grid; differences seed by seed. '
    f'Undecided if the training loss still falls by more than {MARGIN} nats in the last tenth of the updates.',
    f'the training loss of the LSTM and of the GRU is higher than that of the Transformer, by {MARGIN} nats or more',
    f'it is higher by less than {MARGIN} nats, or lower, for both',
    ('plateaus',),
    worse_optima,
    (
      Plot(
        'Training loss at the end',
        'plateaus',
        'train_loss',
        'learning_rate',
        x_label='learning rate',
        y_label='nats',
        series=('architecture',),
        log_x=True,
      ),
    ),
    words='"often converges to suboptimal solutions"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    19,
    'Skip connections',
    'Skip connections and short paths of the gradient are why Transformers train well.',
    'The same blocks with skip connections and without them, norms and feed-forward kept, of a Transformer and of an '
    'LSTM; characters of the embedded text, each at its best learning rate on validation; differences seed by seed, at '
    'the greatest depth.',
    f'without them both have a higher loss, by {MARGIN} nats or more',
    f'neither has a loss that is higher by {MARGIN} nats',
    ('skips',),
    skips_are_why,
    (
      Plot(
        'Loss with skips (1) and without (0)',
        'skips',
        'loss',
        'skips',
        x_label='skips',
        y_label='nats',
        series=('architecture', 'block', 'depth'),
      ),
    ),
    words='"Skip connections in attention blocks provide direct gradient paths"; "the parallel structure reduces '
    'gradient path lengths"',
    since=SKIPS,
    from_scale='overnight',
  ),
)
