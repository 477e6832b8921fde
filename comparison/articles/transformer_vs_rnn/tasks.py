"""Claims about tasks: what long contexts are worth to a language model."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn import earlier_capability
from comparison.articles.transformer_vs_rnn.earlier_capability import TIE
from comparison.claims.base import (
  FIRST,
  GATED,
  TRANSFORMER,
  Claim,
  Plot,
  Quality,
  Rule,
  Verdict,
  levels,
  selection,
  show,
  tuned,
  where,
)
from comparison.claims.points import above, combine, not_measured, undecided
from comparison.claims.quality import TEACHER_FORCED
from comparison.records import Row

LONG = 256  # tokens of context, from which on the gap is judged


def context_trend(records: Sequence[Row]) -> Verdict:
  """Judge how the gap at long contexts grows with the parameters and with the tokens of training."""
  rows = where(records, 'token_index', 'loss')
  if not rows:
    return not_measured('token_index')
  rows = [row for row in rows if row.get('budget') and row['index'] >= LONG]
  cells = _gaps_of_cells(tuned(rows, 'architecture', 'block', 'size', 'budget'))
  places = sorted(cells)
  if any(len(set(column)) < 2 for column in zip(*places, strict=True)) or len(places) < 4:
    return undecided(f'contexts of {LONG} tokens or more were not measured at two sizes and two budgets of tokens')
  seeds = sorted(set.intersection(*(set(cells[place].by_seed) for place in places)))
  if len(seeds) < 2:
    return undecided('fewer than two seeds were measured for both sides')
  axes = np.log10(np.array(places, np.float64))
  of_size, of_tokens = np.linalg.pinv(np.column_stack([np.ones(len(places)), axes]))[1:]
  parts = [cells[place].parts for place in places]
  table = np.column_stack(parts) if len({len(part) for part in parts}) == 1 else np.zeros((0, len(places)))
  points = []
  for label, weights in (('parameters', of_size), ('tokens of training', of_tokens)):
    slopes = [float(weights @ [cells[place].by_seed[seed] for place in places]) for seed in seeds]
    noise = statistics.jackknife(table, lambda means, w=weights: float(w @ means))  # type: ignore[misc]
    interval = statistics.mean(slopes, noise)
    points.append(above(f'growth of RNN − Transformer loss with each decade of {label}', interval, 1e-9, unit='nats'))
  largest = cells[places[-1]]
  level = statistics.mean([largest.by_seed[seed] for seed in seeds])
  size, budget = places[-1]
  note = f'At {size:,.0f} parameters and {budget:,.0f} tokens, {largest.rival} − Transformer: {show(level)} nats'
  return combine(points, f'{"; ".join(map(str, points))}. {note}.', notes=(note,))


class Gaps(NamedTuple):
  """Loss of the RNN that is best on validation − loss of the Transformer, mean over the contexts.

  parts: on the parts of the test, means over the seeds; none where rows have no parts.
  """

  rival: str
  by_seed: Mapping[int, float]
  parts: np.ndarray


def _gaps_of_cells(rows: Sequence[Row]) -> dict[tuple[float, float], Gaps]:
  """Return (parameters, tokens) → the gaps where both sides were measured at all contexts."""
  found = {}
  contexts = levels(rows, 'index')
  for place in sorted({(row['size'], row['budget']) for row in rows}):
    here = [row for row in rows if (row['size'], row['budget']) == place]
    recurrent = [r for r in here if r['architecture'] in GATED and r.get('block') == 'plain']
    rival = max(recurrent, key=selection, default={'architecture': ''})['architecture']
    sides = [
      {(row['seed'], row['index']): row for row in rows_}
      for rows_ in (
        [row for row in recurrent if row['architecture'] == rival],
        [row for row in here if row['architecture'] == TRANSFORMER],
      )
    ]
    seeds = [s for s in levels(here, 'seed') if all((s, x) in side for side in sides for x in contexts)]
    if seeds:
      pairs = {seed: [(sides[0][seed, x], sides[1][seed, x]) for x in contexts] for seed in seeds}
      by_seed = {seed: float(np.mean([a['value'] - b['value'] for a, b in own])) for seed, own in pairs.items()}
      parts = [(a.get('parts') or [], b.get('parts') or []) for own in pairs.values() for a, b in own]
      is_whole = len({len(side) for pair in parts for side in pair}) == 1
      mean = np.mean([np.subtract(a, b) for a, b in parts], axis=0) if is_whole else np.zeros(0)
      found[place] = Gaps(rival, by_seed, np.asarray(mean, np.float64))
  return found


CLAIMS = (
  Claim(
    35,
    'Language modelling by token index',
    'Transformers dominate language modelling because they use long context.',
    'Bytes of enwik8, in windows of 1,024; parameters matched within 2 %, the same tokens, learning rates (compared at '
    'the fewest tokens of each size) and seeds. Test loss of the same tokens under contexts of 16 to 1,024 tokens; gap '
    f'between the RNN that is best on validation and the Transformer, mean over contexts of {LONG} tokens and more, at '
    'several sizes and budgets of tokens; its slopes over the logarithms of both. RNNs also with the state carried on '
    'from window to window, beside.',
    'the gap grows with the parameters and with the tokens of training, each in the whole interval',
    'it grows with neither; with one of them: mixed. How large it is at the largest size is a note',
    ('token_index',),
    context_trend,
    (
      Plot(
        'Loss of the same tokens by length of the context',
        'token_index',
        'loss',
        'index',
        series=('architecture', 'block', 'size', 'budget'),
        baselines=True,
        log_x=True,
        x_label='tokens of context',
        y_label='nats a token',
      ),
    ),
    ('baselines',),
    Quality('token_index', 'loss', 'index', '{} tokens read', False, TEACHER_FORCED),
    revised='in version 2 the gap grows by its slope over all bands, in place of the last band less the first; the RNN '
    'is the best on validation, in place of that with the lowest loss at the end; and an RNN that ties or wins at the '
    'end contradicts by itself. In version 3 the trend of the gap over parameters and tokens is judged, on the same '
    'tokens under every context; before, the index of a token was confounded with what the text says there, and the '
    'level at 100,000 parameters stood for language models',
    words='"Transformers dominate these tasks in modern benchmarks"; "ability to capture long-range dependencies '
    'proves crucial"',
    since='2026-11-29 21:02',
    from_scale='overnight',
    earlier=(
      Rule(
        1,
        FIRST,
        'the Transformer is better at the last indices, and the gap has grown since the first',
        f'the RNN ties (within {TIE} nats) or wins at the last indices, and the gap has not grown',
        earlier_capability.long_context_first,
      ),
      Rule(
        2,
        '2026-11-25 17:36',
        'the Transformer is better at the last indices, and the gap grows with the index',
        f'the RNN ties (within {TIE} nats) or wins at the last indices',
        earlier_capability.long_context,
      ),
    ),
  ),
)
