"""Claims about how training goes: plateaus, skip connections."""

from collections.abc import Sequence

from comparison import statistics
from comparison.articles.transformer_vs_rnn.trained_grids import MARGIN
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Verdict, levels, tuned, where
from comparison.claims.pairs import by_seed, gain
from comparison.claims.points import above, combine, not_measured, undecided
from comparison.records import Row

SKIPS, WRITTEN = '2026-11-29 08:50', '2026-11-29 11:15'


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
