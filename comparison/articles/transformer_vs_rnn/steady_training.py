"""Claims about steady training: clipping of gradients, and how large a learning rate may be."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn.trained_grids import MARGIN, REVIEWED, SEEN, WRITTEN, plot
from comparison.claims import pairs
from comparison.claims.base import RECURRENT, TRANSFORMER, Claim, Rule, Verdict, figure, levels, tuned, where
from comparison.claims.points import above, combine, not_measured, undecided
from comparison.records import Row

COMPARED = (TRANSFORMER, 'residual'), ('lstm', 'plain')
BAND = 0.05  # of the distance from the unigram to the best loss, within which a learning rate is a good one


def clipping_matters(records: Sequence[Row]) -> Verdict:
  """Judge what clipping gains more for each RNN than for the Transformer, by each optimizer."""
  points, shown = [], []
  for optimizer in levels(where(records, 'clipping', 'diverged'), 'optimizer'):
    gains = _gains_of_clipping(records, optimizer)
    shown += [f'{name} by {optimizer} {figure(statistics.mean(list(g.values())).value)}' for name, g in gains.items()]
    for name in (name for name in RECURRENT if name in gains):
      more = pairs.gain(gains[name], gains.get(TRANSFORMER, pairs.BySeed()))
      if more is not None:
        points.append(above(f'what clipping gains by {optimizer}, {name} − Transformer', more, MARGIN, unit='nats'))
  failures = where(records, 'clipping', 'diverged')
  if not failures:
    return not_measured('clipping')
  if not points:
    return undecided('fewer than two seeds of an RNN and of the Transformer were measured with clipping and without')
  shares = ', '.join(
    f'{a} {100 * np.mean([r["value"] for r in failures if (r["architecture"], r["clip"]) == (a, 0.0)]):.0f} %'
    for a in levels(failures, 'architecture')
  )
  return combine(
    points,
    f'{"; ".join(map(str, points))}. Each for itself, nats: {", ".join(shown)}. Diverged without clipping, of all '
    f'trials: {shares}.',
  )


def _gains_of_clipping(records: Sequence[Row], optimizer: str) -> dict[str, pairs.BySeed]:
  """Return model → seed → test loss without clipping less that with it. At the unigram: where every rate diverged."""
  rows = tuned(where(records, 'clipping', 'loss', optimizer=optimizer), 'architecture', 'clip')
  unigram = _unigram(records, 'clipping')
  every = where(records, 'clipping', 'diverged', optimizer=optimizer)
  found: dict[str, pairs.BySeed] = {}
  for name in levels(every, 'architecture'):
    loss = [pairs.by_seed(rows, architecture=name, clip=clip) for clip in (0.0, 1.0)]
    tried = [any((r['architecture'], r['clip']) == (name, clip) for r in every) for clip in (0.0, 1.0)]
    seeds_ = loss[0].keys() | loss[1].keys()
    off, on = (
      of_clip if of_clip or not is_tried or unigram is None else pairs.BySeed(dict.fromkeys(seeds_, unigram))
      for of_clip, is_tried in zip(loss, tried, strict=True)
    )
    if gained := off - on:
      found[name] = gained
  return found


def _unigram(records: Sequence[Row], experiment: str) -> float | None:
  rows = where(records, experiment, 'baseline', baseline='unigram')
  return rows[0]['value'] if rows else None


class Band(NamedTuple):
  """The learning rates between which a loss is good; whether the lowest and the highest that were tried are."""

  low: float
  high: float
  is_lowest: bool
  is_highest: bool


def larger_rates(records: Sequence[Row]) -> Verdict:
  unigram = _unigram(records, 'learning_rates')
  sides = [_good_rates(records, *model, 0.1, unigram) for model in COMPARED]
  if not all(sides):
    return not_measured('learning_rates')
  both = sorted(sides[0].keys() & sides[1].keys())
  if len(both) < pairs.FEWEST:
    return undecided('fewer than two seeds were measured for both sides')
  points = []
  for label, gaps in (('largest good learning rate', _of_largest), ('width of the good rates', _of_width)):
    noise = _noise(records, unigram, gaps)
    points.append(above(f'{label}, Transformer − LSTM', statistics.mean(gaps(sides), noise), 1e-9, 0.0, 'decades'))
  text = '; '.join(map(str, points)) + f'. A good rate: within {BAND:.0%} of the way from the best loss to the unigram.'
  notes = []
  for title, block, architecture, warmup in (
    ('Transformer', 'residual', TRANSFORMER, 0.1),
    ('LSTM', 'plain', 'lstm', 0.1),
    ('LSTM in the residual block', 'residual', 'lstm', 0.1),
    ('Transformer without warm-up', 'residual', TRANSFORMER, 0.0),
  ):
    found = _good_rates(records, architecture, block, warmup, unigram)
    if found:
      low, high = np.median([band[:2] for band in found.values()], axis=0)
      text += f' {title}: {low:.2g} to {high:.2g}.'
    for end, count in (
      ('smallest', sum(band.is_lowest for band in found.values())),
      ('largest', sum(band.is_highest for band in found.values())),
    ):
      if count:
        notes.append(f'{title}: the {end} learning rate tried is a good one for {count} of {len(found)} seeds')
  return combine(points, text, notes=tuple(notes))


Sides = Sequence[Mapping[int, Band]]  # of the Transformer and of the LSTM: seed → its good rates


def _of_largest(sides: Sides) -> list[float]:
  """Return the decades by which the largest good rate of the first side is larger, for each seed of both."""
  both = sorted(sides[0].keys() & sides[1].keys())
  return [float(np.log10(sides[0][seed].high / sides[1][seed].high)) for seed in both]


def _of_width(sides: Sides) -> list[float]:
  """Return the decades by which the first side's range is wider."""
  both = sorted(sides[0].keys() & sides[1].keys())
  widths = [np.log10([side[seed].high / side[seed].low for seed in both]) for side in sides]
  return (widths[0] - widths[1]).tolist()


def _noise(records: Sequence[Row], unigram: float | None, gaps: Callable[[Sides], list[float]]) -> float:
  """Return the standard error that the test examples give the mean of the gaps."""
  own = lambda metric: [
    row
    for name, block in COMPARED
    for row in where(records, 'learning_rates', metric, architecture=name, block=block, warmup=0.1)
  ]
  lost = own('diverged')

  def statistic(losses: Sequence[Row]) -> float:
    return float(np.mean(gaps([_good_rates([*losses, *lost], *model, 0.1, unigram) for model in COMPARED])))

  return pairs.noise_of(own('loss'), statistic)


def _good_rates(
  records: Sequence[Row], architecture: str, block: str, warmup: float, unigram: float | None
) -> dict[int, Band]:
  """Return seed → the learning rates whose loss is within BAND of the best, to where the loss leaves it.

  Between two rates the loss is a straight line over the logarithm of the rate; where a trial diverged, it is infinite.
  """
  model = {'architecture': architecture, 'block': block, 'warmup': warmup}
  rows = where(records, 'learning_rates', 'loss', **model)
  rates = levels([*rows, *where(records, 'learning_rates', 'diverged', **model)], 'learning_rate')
  found = {}
  for seed in levels(rows, 'seed') if unigram is not None else ():
    loss = {r['learning_rate']: r['value'] for r in rows if r['seed'] == seed}
    losses = [loss.get(rate, np.inf) for rate in rates]
    best = min(losses)
    limit = best + BAND * max(0.0, (unigram or 0.0) - best)
    good = [place for place, value in enumerate(losses) if value <= limit]
    ends = [_leaves(rates, losses, limit, place, step) for place, step in ((good[0], -1), (good[-1], 1))]
    found[seed] = Band(ends[0], ends[1], good[0] == 0, good[-1] == len(rates) - 1)
  return found


def _leaves(rates: Sequence[float], losses: Sequence[float], limit: float, place: int, step: int) -> float:
  """Return the rate at which the loss passes the limit on the way to the next rate; the last rate where none is."""
  beyond = place + step
  if not 0 <= beyond < len(rates) or not np.isfinite(losses[beyond]):
    return rates[place]
  share = (limit - losses[place]) / (losses[beyond] - losses[place])
  return float(rates[place] * (rates[beyond] / rates[place]) ** share)


CLAIMS = (
  Claim(
    15,
    'Gradient clipping',
    'RNNs need their gradients clipped to train, Transformers do not.',
    'Characters of the embedded text, clipping at a norm of 1 and none, by SGD with momentum and by AdamW, each at its '
    'best learning rate on validation; what the test loss gains by clipping, for each RNN more than for the '
    'Transformer, seed by seed. Without clipping, a model that diverged at every rate has the loss of the unigram.',
    f'clipping gains {MARGIN} nats or more beyond what it does for the Transformer, for every RNN by both optimizers',
    f'it gains less than {MARGIN} nats beyond that, or less than for the Transformer, for every RNN by both',
    ('clipping',),
    clipping_matters,
    (plot('Test loss with and without clipping', 'clipping', 'loss', 'clip', 'clip (0: none)', 'nats', 'optimizer'),),
    revised='version 2 compares the gains: by version 1 the statement could not fail where clipping helps no model, '
    f'and models that diverged did not count. {SEEN}',
    words='"requires careful gradient clipping"',
    since=REVIEWED,
    from_scale='overnight',
    earlier=(
      Rule(
        1,
        WRITTEN,
        f'clipping gains {MARGIN} nats or more for every RNN and no more for the Transformer, with both optimizers',
        'the other way round',
      ),
    ),
  ),
  Claim(
    16,
    'Learning rates',
    'Transformers take larger learning rates, and a wider range of them.',
    'Characters of the embedded text at half-decades of learning rates with a warm-up of a tenth of the updates; a '
    f'rate is good whose test loss is within {BAND:.0%} of the way from the best to the unigram, interpolated between '
    'the rates tried; difference in decades, seed by seed. Beside it, without warm-up, and the LSTM in the residual '
    'block.',
    'the largest good rate and the width of the range are larger for the Transformer than for the LSTM',
    'both are smaller',
    ('learning_rates',),
    larger_rates,
    (plot('Test loss over the rate', 'learning_rates', 'loss', 'learning_rate', 'rate', 'nats', 'block', 'warmup'),),
    revised=f'version 2 interpolates: differences of whole half-decades decide only where all seeds agree. {SEEN}',
    words='"more aggressive learning rates"; "a wider range of hyperparameters"',
    since=REVIEWED,
    from_scale='overnight',
    earlier=(
      Rule(
        1,
        WRITTEN,
        'the largest good rate and the width of the range are larger for the Transformer than for the LSTM',
        'both are smaller',
      ),
    ),
  ),
)
