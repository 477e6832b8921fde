"""Claims about how training goes: tuning, plateaus, skip connections, sizes of the state, memory of segments."""

from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn.capability import by_seed, gain
from comparison.articles.transformer_vs_rnn.trained_grids import MARGIN
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Verdict, levels, tuned, where
from comparison.claims.points import Point, above, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN = '2026-11-29 08:50'
FEW = 4  # trials that a tuned model is allowed
FEWEST_DRAWS = 12
RESAMPLES = 2000


def need_more_tuning(records: Sequence[Row]) -> Verdict:
  """Compare what is missing to the best after few random trials."""
  losses = _losses_by_draw(records)
  if TRANSFORMER not in losses or not any(name in losses for name in GATED):
    return not_measured('random_settings')
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
  text = f'{"; ".join(map(str, points))}. {len(draws)} random settings, the same for all. {spread}. Diverged: {lost}.'
  return combine(points, text)


def expected(losses: np.ndarray) -> float:
  """Return the expected lowest loss of FEW of the trials."""
  return statistics.expected_best(losses.tolist(), FEW)


def _losses_by_draw(records: Sequence[Row]) -> dict[str, dict[int, float]]:
  """Return model → draw → validation loss; a trial that diverged has the worst loss that any trial reached."""
  found: dict[str, dict[int, float]] = {}
  for row in where(records, 'random_settings', 'loss'):
    if row.get('selection') is not None:
      found.setdefault(row['architecture'], {})[row['draw']] = -row['selection']
  worst = max((loss for of_model in found.values() for loss in of_model.values()), default=0.0)
  for row in where(records, 'random_settings', 'diverged'):
    if row['value'] and row['architecture'] in found:
      found[row['architecture']][row['draw']] = worst
  return found


def _bootstrap(rnn: np.ndarray, transformer: np.ndarray) -> Interval:
  """Return how much further the RNN is from its best after FEW trials; the draws are resampled for both together."""
  draw = np.random.default_rng(0)
  missing = lambda values: expected(values) - values.min()
  resampled = []
  for _ in range(RESAMPLES):
    chosen = draw.integers(len(rnn), size=len(rnn))
    resampled.append(missing(rnn[chosen]) - missing(transformer[chosen]))
  low, high = np.quantile(resampled, [0.025, 0.975])
  return Interval(missing(rnn) - missing(transformer), float(low), float(high))


def worse_optima(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'plateaus', 'train_loss')
  best = {name: _lowest([r for r in rows if r['architecture'] == name]) for name in levels(rows, 'architecture')}
  if TRANSFORMER not in best or len(best) < 2:
    return not_measured('plateaus')
  falls = where(records, 'plateaus', 'fall')
  moving = []
  for name, trials in best.items():
    rate = next(iter(trials.values()))['learning_rate']
    fall = [r['value'] for r in falls if (r['architecture'], r['learning_rate']) == (name, rate)]
    if fall and max(fall) > MARGIN:
      moving.append(f'{name} {max(fall):.2g}')
  if moving:
    return undecided(f'the training loss still fell in the last tenth of the updates, by {", ".join(moving)} nats')
  loss = {name: {seed: row['value'] for seed, row in trials.items()} for name, trials in best.items()}
  points = [
    above(f'{name} − Transformer, training loss at its plateau', more, MARGIN, MARGIN, 'nats')
    for name in GATED
    if name in loss and (more := gain(loss[name], loss[TRANSFORMER])) is not None
  ]
  if not points:
    return undecided('fewer than two seeds were measured for both sides')
  levels_ = ', '.join(f'{name} {statistics.mean(list(of.values())).value:.3g}' for name, of in loss.items())
  return combine(points, f'{"; ".join(map(str, points))}. Training loss: {levels_} nats.')


def _lowest(rows: Sequence[Row]) -> dict[int, Row]:
  """Return seed → the row at the learning rate whose mean over the seeds is the lowest."""
  by_rate: dict[float, list[Row]] = {}
  for row in rows:
    by_rate.setdefault(row['learning_rate'], []).append(row)
  most = max(map(len, by_rate.values()), default=0)
  whole = [of_rate for of_rate in by_rate.values() if len(of_rate) == most]
  best = min(whole, key=lambda of_rate: float(np.mean([r['value'] for r in of_rate])))
  return {row['seed']: row for row in best}


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


def bottleneck_regularises(records: Sequence[Row]) -> Verdict:
  """Judge the growth of the test loss at equal training loss with every doubling of the state, seed by seed."""
  train, test = (where(records, 'state_sizes', metric) for metric in ('train_loss', 'loss'))
  points = []
  for family in levels(test, 'family'):
    slopes = _slopes([r for r in train if r['family'] == family], [r for r in test if r['family'] == family])
    if len(slopes) > 1:
      label = f'{family}, test loss at equal training loss, for each doubling of the state'
      points.append(above(label, statistics.mean(slopes), 1e-9, MARGIN, 'nats'))
  if not points:
    return not_measured('state_sizes')
  return combine(points, '; '.join(map(str, points)) + '.', kind='can')


def _slopes(train: Sequence[Row], test: Sequence[Row]) -> list[float]:
  """Return, for each seed, the slope over log₂(state bytes) of the test loss at a training loss that all reach."""
  of_trial = {(r['seed'], r['state_bytes'], r['learning_rate']): r['value'] for r in test}
  slopes = []
  for seed in levels(train, 'seed'):
    curves: dict[int, list[tuple[float, float]]] = {}
    for row in train:
      key = seed, row['state_bytes'], row['learning_rate']
      if row['seed'] == seed and key in of_trial:
        curves.setdefault(row['state_bytes'], []).append((row['value'], of_trial[key]))
    if len(curves) < 2:
      continue
    equal = max(min(loss for loss, _ in curve) for curve in curves.values())
    at_equal = [float(np.interp(equal, *np.array(sorted(curve)).T)) for curve in curves.values()]
    slopes.append(float(np.polyfit(np.log2(list(curves)), at_equal, 1)[0]))
  return slopes


def memory_extends(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'segment_memory', 'loss'), 'architecture', 'length', 'memory')
  own = [r for r in rows if r['architecture'] == 'transformer_xl']
  memories = levels(own, 'memory')
  if len(memories) < 2:
    return not_measured('segment_memory')
  points = []
  for memory in memories[1:]:
    less = gain(by_seed(own, memory=0), by_seed(own, memory=memory))
    if less is not None:
      points.append(above(f'loss without memory − with {memory} tokens', less, MARGIN, MARGIN, 'nats'))
  steps = where(records, 'segment_memory', 'dependent_steps')
  if not points or not steps:
    return undecided('fewer than two seeds were measured with a memory and without')
  most = max(r['value'] for r in steps)
  parallel = Point('dependent steps over the tokens of a segment', Interval(most, most, most), most <= 1, most > 1)
  others = [r for r in rows if r['architecture'] != 'transformer_xl']
  beside = _beside(own, others)
  return combine([*points, parallel], f'{"; ".join(map(str, [*points, parallel]))}. {beside}'.rstrip())


def _beside(own: Sequence[Row], others: Sequence[Row]) -> str:
  if not others:
    return ''
  value = lambda rows: statistics.mean([r['value'] for r in rows]).value
  last = max(levels(own, 'memory'))
  return (
    f'Loss with {last} tokens of memory {value([r for r in own if r["memory"] == last]):.3g}; of a Transformer on '
    f'windows of {others[0]["length"]} tokens, without memory, {value(others):.3g}.'
  )


def _plot(title: str, experiment: str, metric: str, x: str, x_label: str, **options: object) -> Plot:
  return Plot(title, experiment, metric, x, x_label=x_label, y_label='nats', **options)  # type: ignore[arg-type]


CLAIMS = (
  Claim(
    17,
    'Tuning',
    'RNNs need more tuning of hyperparameters than Transformers.',
    'Random settings, the same for every model: learning rate from 1e-4 to 1e-1 (times 100 for SGD), optimizer, '
    'clipping, warm-up, dropout, depth; characters of the embedded text. How far the expected best validation loss of '
    f'{FEW} trials is above the best of all; the settings are resampled for both sides together.',
    f'it is further above for the LSTM and for the GRU than for the Transformer, by more than {MARGIN} nats',
    f'it is further above by less than {MARGIN} nats, or nearer, for both',
    ('random_settings',),
    need_more_tuning,
    (_plot('Loss of each setting', 'random_settings', 'loss', 'draw', 'random setting', series=('architecture',)),),
    words='"extensive hyperparameter tuning"; "transformers are more forgiving"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    18,
    'Optima',
    'RNNs often converge to worse optima than Transformers.',
    'A short part of the embedded text, trained on until the training loss falls by no more than '
    f'{MARGIN} nats in the last tenth of the updates; the learning rate with the lowest training loss; differences '
    'seed by seed.',
    f'the training loss of the LSTM and of the GRU is higher than that of the Transformer, by {MARGIN} nats or more',
    f'it is higher by less than {MARGIN} nats, or lower, for both',
    ('plateaus',),
    worse_optima,
    (
      _plot(
        'Training loss at the end',
        'plateaus',
        'train_loss',
        'learning_rate',
        'learning rate',
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
      _plot(
        'Loss with skips (1) and without (0)',
        'skips',
        'loss',
        'skips',
        'skips',
        series=('architecture', 'block', 'depth'),
      ),
    ),
    words='"skip connections in attention blocks provide direct gradient paths"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    22,
    'The bottleneck as a regulariser',
    'The fixed state of an RNN can help generalisation on limited data.',
    'Two models whose state is made larger and smaller at as many parameters (linear attention by its heads, Mamba-2 '
    'by its state width), on few windows of text, without dropout: test loss at the lowest training loss that all '
    'sizes reach, by the logarithm of the bytes of state, seed by seed.',
    'for one of them the test loss grows with the state',
    f'for both it grows by less than {MARGIN} nats for each doubling of the state, or falls',
    ('state_sizes',),
    bottleneck_regularises,
    (
      _plot(
        'Test loss over the state',
        'state_sizes',
        'loss',
        'state_bytes',
        'bytes of state',
        series=('family',),
        log_x=True,
      ),
    ),
    words='"can help generalization on limited data"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    56,
    'Transformer-XL',
    'Transformer-XL extends the context beyond a segment and stays parallel within it.',
    'Segments of characters of the embedded text with no memory and with memories of several lengths, scored on every '
    'token of the test split; each at its best learning rate on validation; dependent steps of the compiled training '
    'step.',
    f'every memory lowers the loss by {MARGIN} nats or more, and the steps do not grow with the segment',
    f'no memory lowers the loss by {MARGIN} nats, and the steps grow',
    ('segment_memory',),
    memory_extends,
    (_plot('Loss over the memory', 'segment_memory', 'loss', 'memory', 'tokens of memory', series=('architecture',)),),
    words='"captures transformers’ parallelism within segments while handling indefinitely long sequences"',
    since=WRITTEN,
    from_scale='overnight',
  ),
)
