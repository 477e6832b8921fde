"""The claim that it is worth something to choose a position encoding."""

from collections.abc import Mapping, Sequence

from comparison import statistics
from comparison.articles.transformer_vs_rnn.capability import LEARNED, NATS, SHARE, UNLEARNED, WRITTEN, has_learned
from comparison.claims.base import Claim, Plot, Verdict, levels, tuned, where
from comparison.claims.pairs import BySeed, by_seed, gain
from comparison.claims.points import Point, above, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

CHOOSING = (0, 1)  # seeds that say which encodings are compared, on the others
LANGUAGE, RECALL, LONGER = 'language', 'recall', 'recall at twice the length'

Scores = Mapping[str, Mapping[str, BySeed]]  # measure → encoding → seed → score, more is better


def encodings_differ(records: Sequence[Row]) -> Verdict:
  """Compare the best encoding at language with the best at recall; and the best in all with every other."""
  scores = _scores(records)
  if LANGUAGE not in scores or RECALL not in scores:
    return not_measured('position_encodings')
  text = _by_measure(scores)
  if not any(map(has_learned, scores[RECALL].values())):
    return undecided(UNLEARNED, text)
  chosen, others = _of_seeds(scores, chosen=True), _of_seeds(scores, chosen=False)
  points = _crossing(chosen, others)
  text = f'{"; ".join(map(str, points))}. {text}' if points else text
  if points and all(point.supports for point in points):
    return combine(points, text)
  best = _never_worse(chosen)
  leads = _leads(best, others) if best else []
  if leads and all(lead is not None and lead.low >= -SHARE for lead in leads):
    least = min((lead for lead in leads if lead is not None), key=lambda lead: lead.low)
    return combine([Point(f'{best} is no worse than any in any measure', least, False, True)], text)
  return undecided('no two encodings beat each other, and none is the best in every measure', text)


def _scores(records: Sequence[Row]) -> Scores:
  measures = {
    LANGUAGE: ('loss', 'language', -1),
    RECALL: ('accuracy', 'recall', 1),
    LONGER: ('accuracy_longer', 'recall', 1),
  }
  found: dict[str, dict[str, BySeed]] = {}
  for label, (metric, task, sign) in measures.items():
    rows = tuned(where(records, 'position_encodings', metric, task=task), 'position')
    by_name = {name: by_seed(rows, position=name) for name in levels(rows, 'position')}
    scores = {name: own if sign > 0 else -own for name, own in by_name.items()}
    if scores:
      found[label] = scores
  return found


def _of_seeds(scores: Scores, *, chosen: bool) -> Scores:
  """Return the scores of the seeds that choose, or of all others; encodings without any are left out."""
  found: dict[str, dict[str, BySeed]] = {}
  for measure, of_measure in scores.items():
    for name, by_name in of_measure.items():
      own = by_name.only(seed for seed in by_name if (seed in CHOOSING) == chosen)
      if own:
        found.setdefault(measure, {})[name] = own
  return found


def _crossing(chosen: Scores, others: Scores) -> list[Point]:
  """Return by how much the best at language is ahead of the best at recall in language, and behind in recall.

  Recall is that at the length of training or at twice the length, whichever has the larger differences on the seeds
  that choose. Empty if one encoding is the best at both.
  """
  pairs = []
  for measure in (RECALL, LONGER):
    both = sorted(chosen.get(LANGUAGE, {}).keys() & chosen.get(measure, {}).keys())
    if len(both) < 2:
      continue
    first = max(both, key=lambda name: _mean(chosen[LANGUAGE][name]))
    second = max(both, key=lambda name, m=measure: _mean(chosen[m][name]))  # type: ignore[misc]
    by_language = _mean(chosen[LANGUAGE][first]) - _mean(chosen[LANGUAGE][second])
    by_recall = _mean(chosen[measure][second]) - _mean(chosen[measure][first])
    if first != second:
      pairs.append((min(by_language, by_recall), measure, first, second))
  if not pairs:
    return []
  _, measure, first, second = max(pairs)
  of = lambda measure, name: others.get(measure, {}).get(name, BySeed())
  ahead, behind = gain(of(LANGUAGE, first), of(LANGUAGE, second)), gain(of(measure, second), of(measure, first))
  if ahead is None or behind is None:
    return []
  return [
    above(f'{first} ahead of {second} in {LANGUAGE}', ahead, NATS, NATS, 'nats'),
    above(f'{second} ahead of {first} in {measure}', behind, SHARE, SHARE),
  ]


def _mean(scores: BySeed) -> float:
  return statistics.mean(list(scores.values())).value


def _never_worse(chosen: Scores) -> str:
  """Return the encoding, of those with every measure, whose largest deficit to another is the least."""
  names = sorted(set.intersection(*(set(of_measure) for of_measure in chosen.values()))) if chosen else []
  deficit = lambda name: max(max(map(_mean, m.values())) - _mean(m[name]) for m in chosen.values())
  return min(names, key=deficit, default='')


def _leads(name: str, scores: Scores) -> list[Interval | None]:
  """Return by how much an encoding is ahead of every other in every measure; None where that was not measured."""
  return [
    gain(of_measure.get(name, BySeed()), own)
    for of_measure in scores.values()
    for other, own in of_measure.items()
    if other != name
  ]


def _by_measure(scores: Scores) -> str:
  return ' '.join(
    f'{label}: ' + ', '.join(f'{name} {abs(_mean(own)):.3g}' for name, own in of_measure.items()) + '.'
    for label, of_measure in scores.items()
  )


CLAIMS = (
  Claim(
    13,
    'Choice of position encoding',
    'That a Transformer can use different position encodings for different tasks is worth something.',
    'A Transformer with each encoding on characters of the embedded text, on recall by keys, and on recall at twice '
    'the length of training; each at its best learning rate on validation. The encodings that are best at language and '
    'at recall on seeds 0 and 1 are compared on the other seeds, seed by seed; so is the one that is nearest to the '
    f'best in all measures. A difference below {NATS} nats or {SHARE} of accuracy is none.',
    f'one encoding recalls at least {LEARNED:.0%}, and the one that is best at language is better there, and worse at '
    'recall or at recall at twice the length, than the one that is best at that, both by the margin or more',
    f'one encoding recalls at least {LEARNED:.0%}, there is no such pair, and one encoding is on no measure worse than '
    'any other by more than the margin',
    ('position_encodings',),
    encodings_differ,
    (
      Plot(
        'Loss by encoding',
        'position_encodings',
        'loss',
        'position',
        x_label='encoding',
        y_label='nats',
        where={'task': ('language',)},
        series=('task',),
      ),
      Plot(
        'Recall at twice the length',
        'position_encodings',
        'accuracy_longer',
        'position',
        x_label='encoding',
        y_label='accuracy',
        series=('task',),
      ),
    ),
    words='"various position representations optimized for different tasks"',
    since=WRITTEN,
    from_scale='overnight',
  ),
)
