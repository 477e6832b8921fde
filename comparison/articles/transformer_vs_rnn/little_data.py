"""Claims about little data: few sequences, long series, and small models of text."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from comparison import statistics
from comparison.articles.transformer_vs_rnn.earlier_trained import NOISE
from comparison.claims import pairs
from comparison.claims.base import (
  GATED,
  TRANSFORMER,
  Claim,
  Plot,
  Verdict,
  levels,
  samples,
  seeds,
  selection,
  show,
  tuned,
  where,
)  # fmt: skip
from comparison.claims.pairs import TIE
from comparison.claims.points import Point, above, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN = '2026-11-29 17:15'
MOST = 10_000  # training sequences
LONG, THOUSANDS, VERY_LONG = 300, 2000, 10_000  # steps of a series
LEARNED = 0.05  # of the error of the best forecast without a model, which a model must be below to have learned
WORSE, COST = 0.05, 0.5  # of the perplexity; of the FLOPs and the time


def few_sequences(records: Sequence[Row]) -> Verdict:
  every = [row for row in where(records, 'few_sequences', 'loss') if row['examples'] < MOST]
  rows = tuned(pairs.own_blocks(every), 'architecture', 'domain', 'examples')
  points = _advantages(rows, ('domain', 'examples'), 1 - TIE)
  if not points:
    return _nothing(rows, 'few_sequences')
  forms = pairs.chosen_forms(rows, (TRANSFORMER, *GATED), 'domain', 'examples')
  text = f'{"; ".join(map(str, points))}.{forms}' + pairs.in_residual_block(every, 'domain', 'examples')
  return combine(points, text, kind='can')


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
      noise = pairs.noise_of_ratio(here, TRANSFORMER, rival or '')
      points.append(above(label, pairs.geometric(found, noise), threshold, unit='×', samples=found, noise=noise))
  return points


def _nothing(rows: Sequence[Row], experiment: str) -> Verdict:
  if not rows:
    return not_measured(experiment)
  return undecided('fewer than two seeds were measured for both sides')


def long_series(records: Sequence[Row]) -> Verdict:
  verdict = _of_series(records, 'long_series', LONG, 'lookback', 'examples')
  longest = max(levels(where(records, 'long_series', 'loss'), 'lookback'), default=0)
  if longest >= THOUSANDS or not verdict.points:
    return verdict
  note = f'The article speaks of thousands of time steps; the longest of these windows has {longest:,}'
  return dataclasses.replace(verdict, notes=(*verdict.notes, note))


def ten_thousand_steps(records: Sequence[Row]) -> Verdict:
  return _of_series(records, 'ten_thousand_steps', VERY_LONG, 'lookback', 'horizon')


def _of_series(records: Sequence[Row], experiment: str, shortest: int, *regime: str) -> Verdict:
  every = where(records, experiment, 'loss')
  long = [r for r in every if r['lookback'] >= shortest]
  rows = tuned(pairs.own_blocks(long), 'architecture', *regime)
  points = _advantages(rows, regime, 1 + TIE)
  if not points:
    if every and not rows:
      return undecided(f'no window of {shortest:,} steps or more was measured')
    return _nothing(rows, experiment)
  beside = [r for r in where(records, experiment, 'baseline') if r.get('lookback', 0) >= shortest]
  text = f'{"; ".join(map(str, points))}.{pairs.chosen_forms(rows, (TRANSFORMER, *GATED), *regime)}'
  text += pairs.baselines(beside, 'loss') + pairs.in_residual_block(long, *regime)
  return combine(points, text, kind='often')


def growing_series(records: Sequence[Row]) -> Verdict:
  every = where(records, 'growing_series', 'loss')
  rows = tuned([r for r in pairs.own_blocks(every) if r['examples'] >= MOST], 'architecture', 'family', 'examples')
  most = max(levels(rows, 'examples'), default=0)
  points, unlearned = [], []
  for family in levels(rows, 'family'):
    here = [r for r in rows if (r['family'], r['examples']) == (family, most)]
    rival = pairs.best_on_validation(here, GATED)
    found = pairs.ratios(pairs.paired(here, rival, TRANSFORMER)) if rival else []
    if rival is None or len(found) < pairs.FEWEST:
      continue
    trivial = where(records, 'growing_series', 'baseline', scored='loss', family=family, examples=most)
    least = min((row['value'] for row in trivial), default=math.inf)
    if min(seeds(pairs.of(here, name)).value for name in (rival, TRANSFORMER)) > (1 - LEARNED) * least:
      unlearned.append(family)
      continue
    label = f'{rival} ÷ Transformer, test loss, {family}, {most:,} windows'
    noise = pairs.noise_of_ratio(here, rival, TRANSFORMER)
    points.append(above(label, pairs.geometric(found, noise), 1 + TIE, unit='×', samples=found, noise=noise))
  if not points:
    if every and not rows:
      return undecided(f'fewer than {MOST:,} windows were measured')
    if unlearned:
      return undecided(f'no model is {LEARNED:.0%} below the best forecast without a model in {", ".join(unlearned)}')
    return _nothing(rows, 'growing_series')
  out = f' Left out, since no model is {LEARNED:.0%} below the best forecast without one: {", ".join(unlearned)}.'
  fewest = min(levels(every, 'examples'))
  few = tuned([r for r in pairs.own_blocks(every) if r['examples'] == fewest], 'architecture', 'family', 'examples')
  shown = '; '.join(f'{f}: {pairs.means([r for r in few if r["family"] == f])}' for f in levels(few, 'family'))
  text = f'{"; ".join(map(str, points))}. With {fewest:,} windows: {shown}.{out if unlearned else ""}'
  many = [r for r in every if r['examples'] == most]
  beside = pairs.baselines(where(records, 'growing_series', 'baseline', examples=most), 'loss')
  forms = pairs.chosen_forms([r for r in rows if r['examples'] == most], (TRANSFORMER, *GATED), 'family')
  return combine(points, f'{text}{forms}{beside}{pairs.in_residual_block(many, "family")}', kind='can')


def cheap_lstm(records: Sequence[Row]) -> Verdict:
  every = where(records, 'small_language_models', 'loss')
  rows = tuned(pairs.own_blocks(every), 'architecture', 'size')
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
  shares = {model: share for model in costs['token_seconds'] if (share := _shares(costs, model, dear)) is not None}
  is_cheap = lambda model: model in shares and shares[model][0] <= COST and shares[model][1].high <= COST
  equals = [size for size in levels(attention, 'size') if is_cheap((TRANSFORMER, size))]
  points, text = [], []
  for size in levels(pairs.of(rows, 'lstm'), 'size'):
    cheap = ('lstm', size)
    if cheap in shares:
      flops, seconds = shares[cheap]
      text.append(f'an LSTM of {size:,.0f} takes {flops:.2f} of the FLOPs and {seconds.value:.2f} of the time')
    found, noise = _perplexities(rows, cheap, dear)
    if is_cheap(cheap) and len(found) >= pairs.FEWEST:
      label = f'perplexity of the best Transformer ({reference:,.0f}) ÷ that of an LSTM of {size:,.0f}'
      ratio = pairs.geometric(found, noise)
      point = above(label, ratio, 1 / (1 + WORSE), unit='×', samples=found, noise=noise)
      points.append(_beside_a_cheap_transformer(point, rows, cheap, max(equals, default=None)))
  if not points:
    return undecided(f'no LSTM takes {COST:.0%} or less of both costs: {"; ".join(text)}')
  beside = where(records, 'small_language_models', 'baseline')
  whole = f'{"; ".join(map(str, points))}. A generated token: {"; ".join(text)}.{pairs.baselines(beside, "loss")}'
  return combine(points, whole + pairs.in_residual_block(every, 'size'), kind='can')


Model = tuple[str, float]  # architecture and size


def _shares(costs: Mapping[str, Mapping[Model, Row]], model: Model, dear: Model) -> tuple[float, Interval] | None:
  """Return the FLOPs and the time of a token over those of another model; None where they were not measured."""
  if not all(one in cost for cost in costs.values() for one in (model, dear)):
    return None
  flops = costs['token_flops'][model]['value'] / costs['token_flops'][dear]['value']
  return flops, statistics.ratio(*(samples(costs['token_seconds'][one]) for one in (model, dear)))


def _perplexities(rows: Sequence[Row], lstm: Model, transformer: Model) -> tuple[list[float], float]:
  """Return the perplexity of a Transformer over that of an LSTM, seed by seed, and the noise of its logarithm."""
  pair = [r for r in rows if (r['architecture'], r['size']) in (lstm, transformer)]
  ratios = [math.exp(-gap) for gap in pairs.differences(pairs.paired(pair, TRANSFORMER, 'lstm'))]
  return ratios, pairs.noise_of_difference(pair, TRANSFORMER, 'lstm')


def _beside_a_cheap_transformer(point: Point, rows: Sequence[Row], lstm: Model, size: float | None) -> Point:
  """Return the point, which supports only if the LSTM is no worse than the largest Transformer that is as cheap."""
  found, noise = ([], 0.0) if size is None else _perplexities(rows, lstm, (TRANSFORMER, size))
  if len(found) < pairs.FEWEST:
    return point
  control = above('', pairs.geometric(found, noise), 1 / (1 + TIE), samples=found, noise=noise)
  return dataclasses.replace(
    point,
    label=f'{point.label} (that of a Transformer of {size:,.0f}, which is as cheap: {show(control.interval)} ×)',
    supports=point.supports and control.supports,
    p_for=max(point.p_for or 0.0, control.p_for or 0.0),
  )


def _plot(title: str, experiment: str, x: str, x_label: str, *series: str, log_x: bool = True) -> Plot:
  names = ('architecture', 'block', *series)
  return Plot(title, experiment, 'loss', x, series=names, log_x=log_x, x_label=x_label, y_label='test loss')


LOSS_BY_SIZE = _plot('Test loss by size', 'small_language_models', 'size', 'parameters')
CONTROLS = 'Parameters matched within 2 %, as many updates and learning rates for all, chosen on validation'
CLAIMS = (
  Claim(
    23,
    'Few training sequences',
    'With fewer than 10,000 training sequences, well-regularised RNNs sometimes match or exceed Transformers.',
    'Text (characters of Shakespeare), spoken digits (one of ten, causally) and series (an electricity transformer, '
    'windows spread evenly over its training part), hundreds and thousands of training sequences each; dropout and '
    f'learning rate that are best on validation. {CONTROLS}; ratio of the test loss of the Transformer to that of the '
    f'better of LSTM and GRU on validation, by seeds. {NOISE}.',
    f'in one domain and number of sequences or more, the RNN is at most {TIE:.0%} worse, after Holm (1979)',
    f'in all of them it is more than {TIE:.0%} worse',
    ('few_sequences',),
    few_sequences,
    (_plot('Test loss over the data', 'few_sequences', 'examples', 'training sequences', 'domain'),),
    words='"For tasks with fewer than 10,000 training sequences, well-regularized RNNs sometimes match or exceed '
    'transformer performance"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    38,
    'A cheap LSTM',
    'A well-tuned LSTM can still give respectable performance at a fraction of the computational cost.',
    'Characters of the Penn Treebank, LSTMs and Transformers of three sizes. The Transformer that is best on '
    'validation is the reference; FLOPs and time of a generated token behind a full context, batch 1, interleaved. '
    f'{CONTROLS}. The control for size is the largest Transformer that takes as little as the LSTM may. {NOISE}.',
    f'an LSTM that takes at most {COST:.0%} of the FLOPs and of the time has at most {WORSE:.0%} more perplexity, and '
    f'at most {TIE:.0%} more than the largest Transformer that takes at most {COST:.0%} of both',
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
    f'6,400 training windows, spread evenly over the training part. {CONTROLS}; ratio of the squared error of the '
    f'Transformer to that of the better of LSTM and GRU on validation, for windows of {LONG} steps or more. The '
    f'linear map is a note. {NOISE}.',
    f'in most lengths and numbers of windows, the error of the Transformer is more than {TIE:.0%} larger',
    'in most of them it is not',
    ('long_series',),
    long_series,
    (_plot('Squared error over the data', 'long_series', 'examples', 'training windows', 'lookback'),),
    words='"very long (thousands of time steps) but have limited training data (hundreds or thousands of '
    'sequences)"; "This plays to RNN strengths"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    40,
    'Ten thousand steps',
    'For series of 10,000 steps and more, RNNs often forecast better in practice.',
    'ETTm1, each variable by itself, horizons of 24, 96 (a day) and 384 steps from 10,080 (105 days), read in the '
    f'same patches by all. {CONTROLS}; ratio of the squared error of the Transformer to that of the better of LSTM '
    f'and GRU on validation. {NOISE}.',
    f'the error of the Transformer is more than {TIE:.0%} larger at most horizons',
    'at most horizons it is not',
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
    'Three families of generated series: seasons of drifting strength, an autoregression that changes its regime, '
    'and stretches that return once; 24 steps from 96, each from the forecasts before it, from 200 windows of the '
    f'history to 20,000 (on an accelerator a million). {CONTROLS}; ratio of the squared error of the better of LSTM '
    f'and GRU on validation to that of the Transformer with the most windows, {MOST:,} or more. A family is left out '
    f'unless one of them is {LEARNED:.0%} below the best forecast without a model. {NOISE}.',
    f'in one family or more the error of the RNN is more than {TIE:.0%} larger, after Holm (1979)',
    'in none of the families that are learned it is',
    ('growing_series',),
    growing_series,
    (_plot('Squared error over the data', 'growing_series', 'examples', 'training windows', 'family'),),
    words='"time series with rich patterns and abundant data", "transformers can outperform RNNs"',
    since=WRITTEN,
    from_scale='overnight',
  ),
)
