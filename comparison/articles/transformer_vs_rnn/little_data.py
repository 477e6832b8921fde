"""Claims about little data: few sequences, long series, and small models of text."""

import itertools
import math
from collections.abc import Sequence

from comparison import statistics
from comparison.claims import pairs
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Verdict, levels, samples, selection, tuned, where
from comparison.claims.pairs import TIE
from comparison.claims.points import Point, above, combine, not_measured, undecided
from comparison.records import Row

WRITTEN, WRITTEN_LATER = '2026-11-29 08:32', '2026-11-29 08:43'
MOST = 10_000  # training sequences
LONG, VERY_LONG = 300, 10_000  # steps of a series
WORSE, COST = 0.05, 0.5  # of the perplexity; of the FLOPs and the time


def few_sequences(records: Sequence[Row]) -> Verdict:
  rows = [row for row in where(records, 'few_sequences', 'loss') if row['examples'] < MOST]
  rows = tuned(rows, 'architecture', 'domain', 'examples')
  points = _advantages(rows, ('domain', 'examples'), 1 - TIE)
  if not points:
    return _nothing(rows, 'few_sequences')
  return combine(points, '; '.join(map(str, points)) + '.', kind='can')


def _advantages(rows: Sequence[Row], columns: Sequence[str], threshold: float) -> list[Point]:
  """Return the ratio of the Transformer's error to that of the RNN that is best on validation, for each regime."""
  points = []
  for values in itertools.product(*(levels(rows, column) for column in columns)):
    here = [row for row in rows if all(row.get(c) == v for c, v in zip(columns, values, strict=True))]
    rival = pairs.best_on_validation(here, GATED)
    found = pairs.ratios(pairs.paired(here, TRANSFORMER, rival)) if rival else []
    if len(found) >= pairs.FEWEST:
      where_ = ', '.join(f'{column} {value}' for column, value in zip(columns, values, strict=True))
      label = f'Transformer ÷ {rival}, test loss, {where_}'
      points.append(above(label, pairs.geometric(found), threshold, unit='×', samples=found))
  return points


def _nothing(rows: Sequence[Row], experiment: str) -> Verdict:
  if not rows:
    return not_measured(experiment)
  return undecided('fewer than two seeds were measured for both sides')


def long_series(records: Sequence[Row]) -> Verdict:
  return _of_series(records, 'long_series', LONG)


def ten_thousand_steps(records: Sequence[Row]) -> Verdict:
  return _of_series(records, 'ten_thousand_steps', VERY_LONG)


def _of_series(records: Sequence[Row], experiment: str, shortest: int) -> Verdict:
  every = where(records, experiment, 'loss')
  rows = tuned([r for r in every if r['lookback'] >= shortest], 'architecture', 'lookback', 'examples')
  points = _advantages(rows, ('lookback', 'examples'), 1 + TIE)
  if not points:
    if every and not rows:
      return undecided(f'no window of {shortest:,} steps or more was measured')
    return _nothing(rows, experiment)
  beside = [r for r in where(records, experiment, 'baseline') if r.get('lookback', 0) >= shortest]
  text = '; '.join(map(str, points)) + '.' + pairs.baselines(beside, 'loss')
  return combine(points, text, kind='often')


def growing_series(records: Sequence[Row]) -> Verdict:
  every = where(records, 'growing_series', 'loss')
  rows = tuned([r for r in every if r['examples'] >= MOST], 'architecture', 'family', 'examples')
  most = max(levels(rows, 'examples'), default=0)
  points = []
  for family in levels(rows, 'family'):
    here = [r for r in rows if (r['family'], r['examples']) == (family, most)]
    rival = pairs.best_on_validation(here, GATED)
    found = pairs.ratios(pairs.paired(here, rival, TRANSFORMER)) if rival else []
    if len(found) >= pairs.FEWEST:
      label = f'{rival} ÷ Transformer, test loss, {family}, {most:,} windows'
      points.append(above(label, pairs.geometric(found), 1 + TIE, unit='×', samples=found))
  if not points:
    if every and not rows:
      return undecided(f'fewer than {MOST:,} windows were measured')
    return _nothing(rows, 'growing_series')
  fewest = min(levels(every, 'examples'))
  few = tuned([r for r in every if r['examples'] == fewest], 'architecture', 'family', 'examples')
  shown = '; '.join(f'{f}: {pairs.means([r for r in few if r["family"] == f])}' for f in levels(few, 'family'))
  return combine(points, f'{"; ".join(map(str, points))}. With {fewest:,} windows: {shown}.', kind='can')


def cheap_lstm(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'small_language_models', 'loss'), 'architecture', 'size')
  costs = {
    metric: {(r['architecture'], r['size']): r for r in where(records, 'generation_cost', metric)}
    for metric in ('token_flops', 'token_seconds')
  }
  attention = pairs.of(rows, TRANSFORMER)
  if not rows or not costs['token_seconds']:
    return not_measured('small_language_models' if not rows else 'generation_cost')
  if not attention:
    return undecided('no Transformer was measured')
  reference = max(attention, key=selection)['size']  # the best on validation
  dear = (TRANSFORMER, reference)
  points, text = [], []
  for size in levels(pairs.of(rows, 'lstm'), 'size'):
    cheap = ('lstm', size)
    if not all(model in cost for cost in costs.values() for model in (cheap, dear)):
      continue
    flops = costs['token_flops'][cheap]['value'] / costs['token_flops'][dear]['value']
    seconds = statistics.ratio(*(samples(costs['token_seconds'][model]) for model in (cheap, dear)))
    text.append(f'an LSTM of {size:,.0f} takes {flops:.2f} of the FLOPs and {seconds.value:.2f} of the time')
    pair = [r for r in rows if (r['architecture'], r['size']) in (cheap, dear)]
    found = [math.exp(-gap) for gap in pairs.differences(pairs.paired(pair, TRANSFORMER, 'lstm'))]
    if flops <= COST and seconds.high <= COST and len(found) >= pairs.FEWEST:
      label = f'perplexity of the best Transformer ({reference:,.0f}) ÷ that of an LSTM of {size:,.0f}'
      points.append(above(label, pairs.geometric(found), 1 / (1 + WORSE), unit='×', samples=found))
  if not points:
    return undecided(f'no LSTM takes {COST:.0%} or less of both costs: {"; ".join(text)}')
  beside = where(records, 'small_language_models', 'baseline')
  whole = f'{"; ".join(map(str, points))}. A generated token: {"; ".join(text)}.{pairs.baselines(beside, "loss")}'
  return combine(points, whole, kind='can')


def _plot(title: str, experiment: str, x: str, x_label: str, *series: str, log_x: bool = True) -> Plot:
  names = ('architecture', *series)
  return Plot(title, experiment, 'loss', x, series=names, log_x=log_x, x_label=x_label, y_label='test loss')


LOSS_BY_SIZE = _plot('Test loss by size', 'small_language_models', 'size', 'parameters')
CONTROLS = 'Parameters matched within 2 %, as many updates and learning rates for all, chosen on validation'
CLAIMS = (
  Claim(
    23,
    'Few training sequences',
    'With fewer than 10,000 training sequences, well-regularised RNNs sometimes match or exceed Transformers.',
    'Text (characters of Shakespeare), spoken digits (one of ten, causally) and series (an electricity transformer), '
    'hundreds and thousands of training sequences each; dropout and learning rate that are best on validation. '
    f'{CONTROLS}; ratio of the test loss of the Transformer to that of the better of LSTM and GRU on '
    'validation, by seeds.',
    f'in one domain and number of sequences or more, the RNN is at most {TIE:.0%} worse, after Holm (1979)',
    f'in all of them it is more than {TIE:.0%} worse',
    ('few_sequences',),
    few_sequences,
    (_plot('Test loss over the data', 'few_sequences', 'examples', 'training sequences', 'domain', 'dropout'),),
    words='"For tasks with fewer than 10,000 training sequences, well-regularized RNNs sometimes match or exceed '
    'transformer performance"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    38,
    'A cheap LSTM',
    'A well-tuned LSTM gives respectable performance at a fraction of the computational cost.',
    'Characters of the Penn Treebank, LSTMs and Transformers of three sizes. The Transformer that is best on '
    'validation is the reference; FLOPs and time of a generated token behind a full context, batch 1, interleaved. '
    f'{CONTROLS}.',
    f'an LSTM that takes at most {COST:.0%} of the FLOPs and of the time has at most {WORSE:.0%} more perplexity',
    f'every LSTM that takes at most {COST:.0%} of both has more than {WORSE:.0%} more perplexity',
    ('small_language_models', 'generation_cost'),
    cheap_lstm,
    (LOSS_BY_SIZE,),
    words='"well-tuned LSTM models can still provide respectable performance at a fraction of the computational cost"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    39,
    'Long series, little data',
    'For long time series with hundreds or thousands of training sequences, RNNs are often better in practice.',
    'ETTh1, each variable by itself, a horizon of 96 hours from windows of different lengths, step by step; 400 to '
    f'6,400 training windows. {CONTROLS}; ratio of the squared error of the Transformer to that of the better of LSTM '
    f'and GRU on validation, for windows of {LONG} steps or more. The linear map is a note.',
    f'in most lengths and numbers of windows, the error of the Transformer is more than {TIE:.0%} larger',
    'in most of them it is not',
    ('long_series',),
    long_series,
    (_plot('Squared error over the data', 'long_series', 'examples', 'training windows', 'lookback'),),
    words='"very long (thousands of time steps) but have limited training data (hundreds or thousands of sequences). '
    'This plays to RNN strengths"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    40,
    'Ten thousand steps',
    'For series of 10,000 steps and more, RNNs often forecast better in practice.',
    'ETTm1, each variable by itself, a horizon of a day from 10,080 steps (105 days), read in the same patches by all. '
    f'{CONTROLS}; ratio of the squared error of the Transformer to that of the better of LSTM and GRU on validation.',
    f'the error of the Transformer is more than {TIE:.0%} larger',
    'it is not',
    ('ten_thousand_steps',),
    ten_thousand_steps,
    (_plot('Squared error by length', 'ten_thousand_steps', 'lookback', 'steps read'),),
    words='"with sequences of 10,000+ steps, RNNs often provide better practical performance"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    41,
    'Forecasting with abundant data',
    'With rich patterns and abundant data, Transformers can forecast better than RNNs.',
    'Three families of generated series: seasons of drifting strength, an autoregression that changes its regime, and '
    'stretches that return once; 24 steps from 96, from 200 windows of the history to 20,000 (on an accelerator a '
    f'million). {CONTROLS}; ratio of the squared error of the better of LSTM and GRU on validation to that of the '
    f'Transformer with the most windows, {MOST:,} or more.',
    f'in one family or more the error of the RNN is more than {TIE:.0%} larger, after Holm (1979)',
    'in none it is',
    ('growing_series',),
    growing_series,
    (_plot('Squared error over the data', 'growing_series', 'examples', 'training windows', 'family'),),
    words='"time series with rich patterns and abundant data", "transformers can outperform RNNs"',
    since=WRITTEN_LATER,
    from_scale='overnight',
  ),
)
