"""A claim about how much tuning models need."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn.trained_grids import MARGIN
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Rule, Verdict, levels, where
from comparison.claims.points import Point, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN, ONE_TARGET = '2026-11-29 11:15', '2026-11-29 21:06'
FEW = 4  # trials that a tuned model is allowed
FEWEST, FEWEST_FIRST = 24, 12  # settings that are needed, and those of the first rule
Table = Mapping[str, np.ndarray]  # model → loss of each setting that all models were trained with
ToPoint = Callable[[str, Table], Point]


def need_more_tuning(records: Sequence[Row]) -> Verdict:
  """Compare the expected best losses after few random trials: what is missing to one target differs by as much."""

  def to_point(name: str, table: Table) -> Point:
    count, rnn, transformer = len(table[name]), table[name], table[TRANSFORMER]
    gap = lambda k, chosen: (
      statistics.expected_least(rnn[chosen], k) - statistics.expected_least(transformer[chosen], k)
    )
    more = statistics.bca(count, lambda chosen: gap(FEW, chosen))
    shrinks = statistics.bca(count, lambda chosen: gap(FEW, chosen) - gap(count // 2, chosen))
    later = f'{gap(count // 2, np.arange(count)):.3g} after {count // 2}'
    label = f'{name} − Transformer, expected loss after {FEW} trials ({later})'
    supports = more.low > MARGIN and shrinks.low > 1e-9
    return Point(label, more, supports, more.high < MARGIN, 'nats')

  return _judge(records, FEWEST, to_point)


def need_more_tuning_to_own_best(records: Sequence[Row]) -> Verdict:
  """Apply the first rule: what is missing after few random trials to the best of all trials of the same model."""

  def to_point(name: str, table: Table) -> Point:
    more = _bootstrap(table[name], table[TRANSFORMER])
    label = f'{name} − Transformer, loss above the best after {FEW} trials'
    return Point(label, more, more.low > MARGIN, more.high < MARGIN, 'nats')

  return _judge(records, FEWEST_FIRST, to_point)


def _judge(records: Sequence[Row], fewest: int, to_point: ToPoint) -> Verdict:
  """Return the verdict of a point for each gated RNN, where there are so many settings that all models have."""
  unigram = where(records, 'random_settings', 'baseline', scored='loss', baseline='unigram')
  cap = unigram[0]['value'] if unigram else float('inf')
  losses = _losses_by_draw(records, cap)
  if TRANSFORMER not in losses or not any(name in losses for name in GATED):
    return not_measured('random_settings')
  if not unigram:
    return undecided('the loss of the unigram is missing')
  draws = sorted(set.intersection(*(set(of_model) for of_model in losses.values())))
  if len(draws) < fewest:
    return undecided(f'{len(draws)} random settings were measured for all models; {fewest} are needed')
  table = {name: np.array([of_model[draw] for draw in draws]) for name, of_model in losses.items()}
  points = [to_point(name, table) for name in GATED if name in table]
  after = lambda values: statistics.expected_least(values, FEW)
  spread = ', '.join(
    f'{name}: best {values.min():.3g}, after {FEW} trials {after(values):.3g}, after one {values.mean():.3g}'
    for name, values in table.items()
  )
  failed = where(records, 'random_settings', 'diverged')
  lost = ', '.join(
    f'{name} {int(sum(r["value"] for r in failed if r["architecture"] == name))}'
    for name in levels(failed, 'architecture')
  )
  settings = f'{len(draws)} random settings; losses up to that of the unigram, {cap:.3g}'
  return combine(points, f'{"; ".join(map(str, points))}. {settings}. {spread}. Diverged: {lost}.')


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
  best = rnn.min() - transformer.min()
  after = lambda losses, chosen: statistics.expected_least(losses[chosen], FEW)
  missing = lambda chosen: after(rnn, chosen) - after(transformer, chosen) - best
  resampled = missing(np.random.default_rng(0).integers(len(rnn), size=(statistics.RESAMPLES, len(rnn))))
  low, high = np.quantile(resampled, [0.025, 0.975])
  return Interval(float(missing(np.arange(len(rnn)))), float(low), float(high))


CLAIMS = (
  Claim(
    17,
    'Tuning',
    'RNNs need more tuning of hyperparameters than Transformers.',
    'Random settings, drawn as multiples of published defaults of each architecture, the same multiples for all: '
    'learning rate over three decades (times 100 for SGD), clipping, dropout; and from one list for all: optimizer, '
    f'warm-up, depth; characters of the embedded text. The expected best validation loss of {FEW} trials, without '
    'replacement (Dodge et al. 2019, Tang et al. 2020): what both sides miss to one target differs by as much. BCa '
    'intervals (Efron 1987); the settings are resampled for both sides together. Losses above that of the unigram, and '
    f'trials that diverged, count as the unigram. Undecided with fewer than {FEWEST} settings.',
    f'after {FEW} trials the loss expected is higher for the LSTM and for the GRU than for the Transformer, by more '
    f'than {MARGIN} nats, and by less after half of all trials',
    f'after {FEW} trials it is higher by less than {MARGIN} nats, or lower, for both',
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
    revised='version 2 has one target for both sides, in place of the best of each, by which a model whose best is '
    'worse needs less tuning; it needs 24 settings, and draws them around the defaults of each architecture',
    words='"requires extensive hyperparameter tuning"; "Transformers are more forgiving"',
    since=ONE_TARGET,
    from_scale='overnight',
    earlier=(
      Rule(
        1,
        WRITTEN,
        f'it is further above for the LSTM and for the GRU than for the Transformer, by more than {MARGIN} nats',
        f'it is further above by less than {MARGIN} nats, or nearer, for both',
        need_more_tuning_to_own_best,
      ),
    ),
  ),
)
