"""Claims about what models can do: long lags, approximations of attention, mixtures of attention and recurrence."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Verdict, levels, seeds, tuned, where
from comparison.claims.pairs import BySeed, by_seed, gain
from comparison.claims.points import Point, above, below, combine, not_measured, undecided
from comparison.records import Row

WRITTEN = '2026-11-29 11:15'
SOLVED, LOST = 0.01, 0.1  # mean squared errors of the adding problem; the constant answer has 1/6
HUNDREDS = 500  # steps, the least length that the statement about long lags is judged at
FALLING = 0.95  # of the training loss before: one that falls below it in the last sixteenth of the updates still falls
NATS, SHARE = 0.02, 0.02  # margins: a smaller difference is none
COLLAPSED = 0.1  # of accuracy
LEARNED = 0.95  # accuracy of recall, without which attention has not learned it
UNLEARNED = 'attention has not learned recall: the updates are too few'


def loses_long_lags(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'long_lags', 'loss'), 'architecture', 'length')
  lengths = levels(rows, 'length')
  if not rows or lengths[-1] < HUNDREDS:
    return not_measured('long_lags', f'no lengths from {HUNDREDS}')
  shortest, longest = lengths[0], lengths[-1]
  at = lambda name, length: [r for r in rows if (r['architecture'], r['length']) == (name, length)]
  if not at(TRANSFORMER, longest):
    return undecided(f'the Transformer is missing at {longest} steps')
  reference = by_seed(at(TRANSFORMER, longest)).mean
  table = '; '.join(
    f'{name}: ' + ', '.join(f'{length}: {seeds(at(name, length)).value:.2g}' for length in lengths if at(name, length))
    for name in levels(rows, 'architecture')
  )
  text = f'Squared error by length, constant answer 0.167: {table}.'
  judged = [name for name in GATED if at(name, longest)]
  unsolved = [name for name in judged if not at(name, shortest) or by_seed(at(name, shortest)).mean.high >= SOLVED]
  if unsolved:
    return undecided(f'{" and ".join(unsolved)} did not solve {shortest} steps either: the updates are too few', text)
  points, falling = [], []
  for name in judged:
    error = by_seed(at(name, longest)).mean
    lost = error.low > LOST and reference.high < SOLVED
    if lost and _still_falls(records, name, longest):
      falling.append(name)
    label = f'{name} at {longest} steps, squared error'
    points.append(Point(label, error, lost and name not in falling, error.high < SOLVED))
  text = f'{"; ".join(map(str, points))}. {text}'
  verdict = combine(points, text)
  if verdict.status == 'undecided' and reference.low > SOLVED:
    return undecided(f'at {longest} steps the Transformer has not solved it either: the updates are too few', text)
  if verdict.status == 'undecided' and falling:
    return undecided(f'the training loss of {" and ".join(falling)} still falls at {longest} steps', text)
  return verdict


def _still_falls(records: Sequence[Row], name: str, length: int) -> bool:
  """Return whether the mean training loss of the seeds fell between the last two bins of its curve, or is not known."""
  losses = tuned(where(records, 'long_lags', 'train_loss', architecture=name, length=length))
  curves = [row['curve'][-2:] for row in losses if len(row.get('curve') or ()) > 1]
  if not curves:
    return True
  before, last = np.mean(curves, axis=0)
  return bool(last < FALLING * before)


def has_learned(accuracy: BySeed) -> bool:
  return bool(accuracy) and statistics.mean(list(accuracy.values())).value >= LEARNED


def approximations_keep_quality(records: Sequence[Row]) -> Verdict:
  rows = {
    task: tuned(where(records, 'approximations', metric, task=task), 'architecture', 'features')
    for task, metric in (('language', 'loss'), ('recall', 'accuracy'), ('masked', 'loss'))
  }
  points = []
  for task, of_task in rows.items():
    reference = by_seed(of_task, architecture='encoder' if task == 'masked' else TRANSFORMER)
    models = {(r['architecture'], r.get('features')) for r in of_task}
    for name, features in sorted(models, key=lambda m: (m[0], m[1] or 0)):
      if name in (TRANSFORMER, 'encoder'):
        continue
      own = by_seed(of_task, architecture=name, features=features)
      label = f'{name}{f" with {features} features" if features else ""}'
      if task == 'recall' and (difference := gain(own, reference)) is not None:
        points.append(above(f'{label}, accuracy of recall − that of attention', difference, -SHARE, -COLLAPSED))
      elif task != 'recall' and (difference := gain(own, reference)) is not None:
        points.append(below(f'{label}, {task} loss − that of attention', difference, NATS, COLLAPSED, 'nats'))
  if not points:
    return not_measured('approximations')
  text = '; '.join(map(str, points)) + '.'
  if not has_learned(by_seed(rows['recall'], architecture=TRANSFORMER)):
    return undecided(UNLEARNED, text)
  return combine(points, text)


def hybrids_combine(records: Sequence[Row]) -> Verdict:
  """Judge each mixture beside the better of the two pure models, on both measures."""
  coordinates = ('recurrence', 'attention_layers')
  loss = tuned(where(records, 'attention_shares', 'loss', task='language'), *coordinates)
  recall = tuned(where(records, 'attention_shares', 'accuracy', task='recall'), *coordinates)
  whole = {'recurrence': 'none', 'attention_layers': 4}
  size = {(r['recurrence'], r['attention_layers']): r['state_bytes'] for r in loss}
  if ('none', 4) not in size:
    return not_measured('attention_shares')
  if not has_learned(by_seed(recall, **whole)):
    return undecided(UNLEARNED)
  points, incomplete = [], []
  for kind, layers in sorted(key for key in size if 0 < key[1] < 4):
    mixed = {'recurrence': kind, 'attention_layers': layers}
    pure = ({'recurrence': kind, 'attention_layers': 0}, whole)
    losses, accuracies = by_seed(loss, **mixed), by_seed(recall, **mixed)
    costs = [(cost, p) for p in pure if (cost := gain(losses, by_seed(loss, **p))) is not None]
    wins = [(win, p) for p in pure if (win := gain(accuracies, by_seed(recall, **p))) is not None]
    if len(costs) < 2 or len(wins) < 2:
      incomplete.append(f'{kind} with {layers} of 4')
      continue
    cost, cheapest = max(costs, key=lambda found: found[0].value)
    win, best = min(wins, key=lambda found: found[0].value)
    share = size[kind, layers] / size['none', 4]
    label = (
      f'{kind} with {layers} of 4 layers attention, {share:.2f} of the state bytes of attention: accuracy of recall − '
      f'the better pure model {win.value:.3g}; loss − the better pure model'
    )
    keeps = win.low >= -SHARE and cost.high <= NATS and share <= 0.5
    fails = win.high < -SHARE or cost.low > NATS or share > 0.5
    # Both must hold, so that the larger of the p-values counts.
    p_for = max(p_above(by_seed(loss, **cheapest), losses, -NATS), p_above(accuracies, by_seed(recall, **best), -SHARE))
    points.append(dataclasses.replace(Point(label, cost, keeps, fails, 'nats'), p_for=p_for))
  if not points:
    return undecided('fewer than two seeds were measured for the mixtures or the pure models')
  notes = (f'Not judged, since not measured on both tasks: {", ".join(incomplete)}.',) if incomplete else ()
  return combine(points, '; '.join(map(str, points)) + '.', kind='can', notes=notes)


def p_above(first: BySeed, second: BySeed, threshold: float) -> float:
  """Return the p-value of "`first` − `second` is at most `threshold`", by Student's t over the seeds of both."""
  more = first - second
  return statistics.p_above(np.exp(list(more.values())).tolist(), math.exp(threshold), more.noise)


CLAIMS = (
  Claim(
    8,
    'Long lags',
    'RNNs struggle with dependencies that span hundreds of steps.',
    'The adding problem (Hochreiter & Schmidhuber 1997): two marked numbers, one in each half of the sequence, are '
    'added at its end. The same updates for all, more of them at greater lengths, each at its best learning rate on '
    'validation; the bias of the forget gate of the LSTM starts at 1. Judged at the greatest length, which is '
    f'{HUNDREDS} steps or more; the constant answer has a squared error of 0.167. A training loss still falls if it '
    'falls by more than 5 % between the last two sixteenths of the updates.',
    f'the LSTM and the GRU solve the shortest length, with an error below {SOLVED}, and at the greatest their error is '
    f'above {LOST} and their training loss falls no more, while the error of the Transformer is below {SOLVED}',
    f'the error of the LSTM and of the GRU is below {SOLVED} at the shortest length and at the greatest',
    ('long_lags',),
    loses_long_lags,
    (
      Plot(
        'Squared error over the length',
        'long_lags',
        'loss',
        'length',
        x_label='steps',
        y_label='squared error',
        series=('architecture',),
        log_x=True,
        log_y=True,
        baselines=True,
      ),
    ),
    words='"information degrades over long sequences"; "struggle with dependencies spanning hundreds of time steps"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    58,
    'Approximations of attention',
    'Performer, Linformer and linear attention keep the quality of attention.',
    'Characters of the embedded text and recall by keys: a Performer with several numbers of features and linear '
    'attention beside a causal Transformer, all with sinusoidal positions; masked characters: Linformer beside an '
    'encoder, both with learned positions and RMSNorm. Difference to attention, seed by seed, each at its best '
    'learning rate on validation.',
    f'the Transformer recalls at least {LEARNED:.0%}, and every one loses at most {NATS} nats of language and {SHARE} '
    'of the accuracy of recall',
    f'the Transformer recalls at least {LEARNED:.0%}, and every one loses more than {COLLAPSED} nats or {COLLAPSED} of '
    'the accuracy',
    ('approximations',),
    approximations_keep_quality,
    (
      Plot(
        'Recall',
        'approximations',
        'accuracy',
        'features',
        x_label='features',
        y_label='accuracy',
        where={'task': ('recall',)},
        series=('architecture',),
        log_x=True,
      ),
    ),
    words='"approximate attention efficiently for long sequences"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    59,
    'Hybrids',
    'Mixtures of attention and recurrence often combine the strengths of both.',
    'Four layers, of which attention has none, one, two or four, beside LSTM or gated delta layers, at as many '
    'parameters: loss on characters of the embedded text, accuracy of recall, bytes of state at the length of '
    'training. Difference to the better of the two pure models, seed by seed; Holm’s correction for the number of '
    'mixtures.',
    f'attention alone recalls at least {LEARNED:.0%}, and one mixture is within {NATS} nats and {SHARE} of the '
    'accuracy of the better pure model on both, with at most half of the bytes of attention alone',
    f'attention alone recalls at least {LEARNED:.0%}, and each mixture is worse than that on one of them, or keeps '
    'more than half of the bytes',
    ('attention_shares',),
    hybrids_combine,
    (
      Plot(
        'Recall by layers of attention',
        'attention_shares',
        'accuracy',
        'attention_layers',
        x_label='layers of attention',
        y_label='accuracy',
        where={'task': ('recall',)},
        series=('recurrence',),
      ),
      Plot(
        'Loss by layers of attention',
        'attention_shares',
        'loss',
        'attention_layers',
        x_label='layers of attention',
        y_label='nats',
        where={'task': ('language',)},
        series=('recurrence',),
      ),
    ),
    beside=('capacity_map',),
    words='"the best overall system often combines multiple architectural paradigms"',
    since=WRITTEN,
    from_scale='overnight',
  ),
)
