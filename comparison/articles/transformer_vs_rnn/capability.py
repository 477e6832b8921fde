"""Claims about what models can do: long lags, position encodings, approximations of attention, mixtures."""

from collections.abc import Mapping, Sequence

from comparison import statistics
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Verdict, levels, seeds, tuned, where
from comparison.claims.pairs import BySeed as BySeed
from comparison.claims.pairs import by_seed as by_seed
from comparison.claims.pairs import gain as gain
from comparison.claims.points import Point, above, below, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN = '2026-11-29 08:40'
SOLVED, LOST = 0.01, 0.1  # mean squared errors of the adding problem; the constant answer has 1/6
HUNDREDS = 500  # steps, the least length that the statement about long lags is judged at
NATS, SHARE = 0.02, 0.02  # margins: a smaller difference is none
COLLAPSED = 0.1  # of accuracy


def loses_long_lags(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'long_lags', 'loss'), 'architecture', 'length')
  longest = max(levels(rows, 'length'), default=0)
  if not rows or longest < HUNDREDS:
    return not_measured('long_lags', f'no lengths from {HUNDREDS}')
  at = lambda name, length: [r for r in rows if (r['architecture'], r['length']) == (name, length)]
  if not at(TRANSFORMER, longest):
    return undecided(f'the Transformer is missing at {longest} steps')
  reference = seeds(at(TRANSFORMER, longest))
  points = []
  for name in GATED:
    if at(name, longest):
      error = seeds(at(name, longest))
      lost = error.low > LOST and reference.high < SOLVED
      points.append(Point(f'{name} at {longest} steps, squared error', error, lost, error.high < SOLVED))
  table = '; '.join(
    f'{name}: ' + ', '.join(f'{length}: {seeds(at(name, length)).value:.2g}' for length in lengths)
    for name in levels(rows, 'architecture')
    if (lengths := [length for length in levels(rows, 'length') if at(name, length)])
  )
  text = f'{"; ".join(map(str, points))}. Squared error by length, constant answer 0.167: {table}.'
  verdict = combine(points, text)
  if verdict.status == 'undecided' and reference.low > SOLVED:
    return undecided(f'at {longest} steps the Transformer has not solved it either: the updates are too few', text)
  return verdict


def encodings_differ(records: Sequence[Row]) -> Verdict:
  """Whether two encodings beat each other on two measures, or one of them is the best on all."""
  scores = _encoding_scores(records)
  if len(scores) < 2:
    return not_measured('position_encodings')
  names = sorted(set().union(*scores.values()))
  crossings: list[tuple[float, str, Interval]] = []
  for first in names:
    for second in names:
      pairs = [(m, gain(s[first], s[second])) for m, s in scores.items() if first in s and second in s]
      found = {m: interval for m, interval in pairs if interval is not None}
      wins = {m: i for m, i in found.items() if i.low > SHARE}
      losses = {m: i for m, i in found.items() if i.high < -SHARE}
      if wins and losses and first < second:
        won, lost = max(wins, key=lambda m: wins[m].low), min(losses, key=lambda m: losses[m].high)
        firm = min(wins[won].low, -losses[lost].high)
        crossings.append((firm, f'{first} is ahead of {second} in {won} and behind in {lost}', wins[won]))
  best = [name for name in names if _is_best_everywhere(name, scores)]
  text = _by_measure(scores)
  if crossings:
    firm, label, interval = max(crossings)
    return combine([Point(label, interval, True, False)], f'{label}. {text}')
  if best:
    measure = next(iter(scores))
    others = [gain(scores[measure][best[0]], s) for name, s in scores[measure].items() if name != best[0]]
    interval = min((i for i in others if i is not None), key=lambda i: i.low)
    return combine([Point(f'{best[0]} is no worse than any in any measure', interval, False, True)], text)
  return undecided('no two encodings beat each other, and none is the best in every measure', text)


def _encoding_scores(records: Sequence[Row]) -> dict[str, dict[str, BySeed]]:
  """Return measure → encoding → seed → score, more is better."""
  measures = {
    'language': ('loss', 'language', -1),
    'recall': ('accuracy', 'recall', 1),
    'recall at twice the length': ('accuracy_longer', 'recall', 1),
  }
  found: dict[str, dict[str, BySeed]] = {}
  for label, (metric, task, sign) in measures.items():
    rows = tuned(where(records, 'position_encodings', metric, task=task), 'position')
    scores: dict[str, BySeed] = {
      name: {seed: sign * value for seed, value in by_seed(rows, position=name).items()}
      for name in levels(rows, 'position')
    }
    if scores:
      found[label] = scores
  return found


def _is_best_everywhere(name: str, scores: Mapping[str, Mapping[str, BySeed]]) -> bool:
  """Whether an encoding is in every measure, and nowhere worse than another by the margin or more."""
  for of_measure in scores.values():
    if name not in of_measure:
      return False
    for other in of_measure:
      difference = gain(of_measure[name], of_measure[other])
      if other != name and (difference is None or difference.low < -SHARE):
        return False
  return True


def _by_measure(scores: Mapping[str, Mapping[str, BySeed]]) -> str:
  return ' '.join(
    f'{label}: '
    + ', '.join(f'{name} {abs(statistics.mean(list(s.values())).value):.3g}' for name, s in of_measure.items())
    + '.'
    for label, of_measure in scores.items()
  )


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
  return combine(points, '; '.join(map(str, points)) + '.')


def hybrids_combine(records: Sequence[Row]) -> Verdict:
  """Judge each mixture beside the better of the two pure models, on both measures."""
  coordinates = ('recurrence', 'attention_layers')
  loss = tuned(where(records, 'attention_shares', 'loss', task='language'), *coordinates)
  recall = tuned(where(records, 'attention_shares', 'accuracy', task='recall'), *coordinates)
  whole = {'recurrence': 'none', 'attention_layers': 4}
  size = {(r['recurrence'], r['attention_layers']): r['state_bytes'] for r in loss}
  if ('none', 4) not in size:
    return not_measured('attention_shares')
  points = []
  for kind, layers in sorted(key for key in size if 0 < key[1] < 4):
    mixed = {'recurrence': kind, 'attention_layers': layers}
    pure = ({'recurrence': kind, 'attention_layers': 0}, whole)
    costs = [gain(by_seed(loss, **mixed), by_seed(loss, **p)) for p in pure]
    wins = [gain(by_seed(recall, **mixed), by_seed(recall, **p)) for p in pure]
    if None in costs or None in wins:
      continue
    cost = max((c for c in costs if c is not None), key=lambda c: c.value)
    win = min((w for w in wins if w is not None), key=lambda w: w.value)
    share = size[kind, layers] / size['none', 4]
    label = (
      f'{kind} with {layers} of 4 layers attention, {share:.2f} of the state bytes of attention: accuracy of recall − '
      f'the better pure model {win.value:.3g}; loss − the better pure model'
    )
    keeps = win.low >= -SHARE and cost.high <= NATS and share <= 0.5
    fails = win.high < -SHARE or cost.low > NATS or share > 0.5
    points.append(Point(label, cost, keeps, fails, 'nats'))
  if not points:
    return undecided('fewer than two seeds were measured for the mixtures or the pure models')
  return combine(points, '; '.join(map(str, points)) + '.', kind='can')


def _plot(title: str, experiment: str, metric: str, x: str, x_label: str, y_label: str, **options: object) -> Plot:
  return Plot(title, experiment, metric, x, x_label=x_label, y_label=y_label, **options)  # type: ignore[arg-type]


CLAIMS = (
  Claim(
    8,
    'Long lags',
    'RNNs lose dependencies that span hundreds of steps.',
    'The adding problem (Hochreiter & Schmidhuber 1997): two marked numbers, one in each half of the sequence, are '
    'added at its end. The same updates for all, each at its best learning rate on validation. Judged at the greatest '
    f'length, which is {HUNDREDS} steps or more; the constant answer has a squared error of 0.167.',
    f'the error of the LSTM and of the GRU is above {LOST}, that of the Transformer below {SOLVED}',
    f'the error of the LSTM and of the GRU is below {SOLVED}',
    ('long_lags',),
    loses_long_lags,
    (
      _plot(
        'Squared error over the length',
        'long_lags',
        'loss',
        'length',
        'steps',
        'squared error',
        series=('architecture',),
        log_x=True,
        log_y=True,
        baselines=True,
      ),
    ),
    words='"information degrades over long sequences"; "hundreds of steps"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    13,
    'Choice of position encoding',
    'That a Transformer can use different position encodings for different tasks is worth something.',
    'A Transformer with each encoding on characters of the embedded text, on recall by keys, and on recall at twice '
    'the length of training; each at its best learning rate on validation. Differences seed by seed; one below '
    f'{NATS} nats or {SHARE} of accuracy is none.',
    'one encoding is better than another on one measure and worse on another measure, both by more than the margin',
    'there is no such pair, and one encoding is on no measure worse than any other by more than the margin',
    ('position_encodings',),
    encodings_differ,
    (
      _plot('Loss by encoding', 'position_encodings', 'loss', 'position', 'encoding', 'nats', series=('task',)),
      _plot(
        'Recall at twice the length',
        'position_encodings',
        'accuracy_longer',
        'position',
        'encoding',
        'accuracy',
        series=('task',),
      ),
    ),
    words='"various position representations optimized for different tasks"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    58,
    'Approximations of attention',
    'Performer, Linformer and linear attention keep the quality of attention.',
    'Characters of the embedded text and recall by keys: a Performer with several numbers of features and linear '
    'attention beside a causal Transformer; masked characters: Linformer beside an encoder. Difference to attention, '
    'seed by seed, each at its best learning rate on validation.',
    f'every one loses at most {NATS} nats of language and {SHARE} of the accuracy of recall',
    f'every one loses more than {COLLAPSED} nats or {COLLAPSED} of the accuracy',
    ('approximations',),
    approximations_keep_quality,
    (
      _plot(
        'Recall',
        'approximations',
        'accuracy',
        'features',
        'features',
        'accuracy',
        where={'task': ('recall',)},
        series=('architecture',),
        log_x=True,
      ),
    ),
    words='"approximate attention efficiently"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    59,
    'Hybrids',
    'Mixtures of attention and recurrence combine the strengths of both.',
    'Four layers, of which attention has none, one, two or four, beside LSTM or gated delta layers, at as many '
    'parameters: loss on characters of the embedded text, accuracy of recall, bytes of state at the length of '
    'training. Difference to the better of the two pure models, seed by seed.',
    f'one mixture is within {NATS} nats and {SHARE} of the accuracy of the better pure model on both, with at most '
    'half of the bytes of attention alone',
    'each mixture is worse than that on one of them, or keeps more than half of the bytes',
    ('attention_shares',),
    hybrids_combine,
    (
      _plot(
        'Recall by layers of attention',
        'attention_shares',
        'accuracy',
        'attention_layers',
        'layers of attention',
        'accuracy',
        where={'task': ('recall',)},
        series=('recurrence',),
      ),
      _plot(
        'Loss by layers of attention',
        'attention_shares',
        'loss',
        'attention_layers',
        'layers of attention',
        'nats',
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
