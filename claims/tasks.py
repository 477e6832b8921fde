"""Claims about tasks: where the loss of a language model falls."""

from collections.abc import Sequence

from claims import statistics
from claims.base import (
  RECURRENT,
  TRANSFORMER,
  Claim,
  Plot,
  Verdict,
  above,
  combine,
  levels,
  not_measured,
  tuned,
  undecided,
  where,
)
from records import Row

TIE = 0.01  # nats: a difference below it is a tie


def long_context(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'token_index', 'loss'), 'architecture', 'block', 'size')
  if not rows:
    return not_measured('token_index')
  indices = levels(rows, 'index')
  early, late = indices[0], indices[-1]
  recurrent = [r for r in rows if r['architecture'] in RECURRENT and r.get('block') == 'plain']
  if not recurrent or not any(r['architecture'] == TRANSFORMER for r in rows):
    return undecided('the loss of one of the sides is missing')
  rival = min(recurrent, key=lambda r: r['value'] if r['index'] == late else float('inf'))['architecture']
  gaps = {index: _gaps(rows, rival, index) for index in (early, late)}
  both = sorted(gaps[early].keys() & gaps[late].keys())
  if len(both) < 2:
    return undecided('fewer than two seeds were measured for both sides')
  at_end = statistics.mean([gaps[late][seed] for seed in both])
  widening = statistics.mean([gaps[late][seed] - gaps[early][seed] for seed in both])
  points = [
    above(f'{rival} − Transformer loss around token {late}', at_end, 1e-9, TIE, 'nats'),
    above(f'growth of that gap since around token {early}', widening, 1e-9, TIE, 'nats'),
  ]
  return combine(points, '; '.join(map(str, points)) + '.')


def _gaps(rows: Sequence[Row], rival: str, index: float) -> dict[int, float]:
  """Seed → loss of the rival minus loss of the Transformer, around one token index."""
  here = [
    r
    for r in rows
    if r['index'] == index and r['block'] == ('residual' if r['architecture'] == TRANSFORMER else 'plain')
  ]
  loss = {(r['architecture'], r['seed']): r['value'] for r in here}
  return {
    seed: loss[rival, seed] - loss[TRANSFORMER, seed]
    for seed in levels(here, 'seed')
    if (rival, seed) in loss and (TRANSFORMER, seed) in loss
  }


CLAIMS = (
  Claim(
    35,
    'Language modelling by token index',
    'Transformers dominate language modelling because they use long context.',
    'Characters of the embedded text; parameters matched within 2 %, the same tokens, learning rates and seeds; test '
    'loss by the index of the token in its window: the gap between the best classical RNN and the Transformer, and '
    'its growth from the first tokens to the last.',
    'the Transformer is better at the last indices, and the gap has grown since the first',
    f'the RNN ties (within {TIE} nats) or wins at the last indices, and the gap has not grown',
    ('token_index',),
    long_context,
    (
      Plot(
        'Test loss by token index',
        'token_index',
        'loss',
        'index',
        series=('architecture', 'block'),
        log_x=True,
        x_label='token index',
        y_label='nats a character',
      ),
    ),
  ),
)
