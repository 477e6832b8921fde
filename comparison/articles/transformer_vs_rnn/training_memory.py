"""Claims about the memory of training: what does not fit, and what makes it fit."""

from collections.abc import Sequence

from comparison.claims.base import Claim, Plot, Verdict, figure, levels, where
from comparison.claims.points import Point, above, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN = '2026-11-29 03:10'
GB = 1e9
CARD = 24  # GB of a large consumer card
SMALL_CARD = 8
CENTRE = 80  # GB of a data-centre card
LARGE = 7e9  # parameters of a Transformer that is called large
TRANSFORMER_FORMS = ('reference', 'reference, remat', 'xla', 'xla, remat')
BYTES = Plot(
  'Bytes of training on one sequence',
  'training_bytes',
  'training_bytes',
  'length',
  series=('architecture', 'form', 'size'),
  log_x=True,
  log_y=True,
  x_label='tokens in the sequence',
  y_label='bytes',
)


def _needed(records: Sequence[Row], size: float | None = None) -> dict[float, dict[str, dict[float, float]]]:
  """Return size → form → length → GB of a training step."""
  found: dict[float, dict[str, dict[float, float]]] = {}
  for row in where(records, 'training_bytes', 'training_bytes'):
    if size in (None, row['size']):
      found.setdefault(row['size'], {}).setdefault(row['form'], {})[row['length']] = row['value'] / GB
  return found


def special_techniques(records: Sequence[Row]) -> Verdict:
  by_size = _needed(records)
  if not by_size:
    return not_measured('training_bytes')
  points, text = [], []
  for size, forms in by_size.items():
    for length in (x for x in forms.get('reference', {}) if 2000 <= x <= 4096):
      plain = Interval.exact(forms['reference'][length])
      label = f'GB of plain training on one sequence of {length:,} tokens, {size:,.0f} parameters'
      points.append(above(label, plain, CARD, SMALL_CARD, 'GB'))
      with_techniques = {name: forms[name][length] for name in TRANSFORMER_FORMS[1:] if length in forms.get(name, {})}
      shown = ', '.join(f'{name} {figure(needed)}' for name, needed in with_techniques.items())
      text.append(f'{points[-1]}; with techniques: {shown or "not measured"}')
  if not points:
    return undecided('materialised attention was not compiled at 2,000 to 4,096 tokens')
  points.sort(key=lambda point: -point.interval.value)
  return combine(points[:1], '; '.join(text) + f'. Against the {CARD} GB of a large consumer card.')


def large_models(records: Sequence[Row]) -> Verdict:
  forms = _needed(records, LARGE).get(LARGE)
  if not forms:
    return not_measured('training_bytes', f'a model of {LARGE:,.0f} parameters')
  points, text = [], []
  for name in (name for name in TRANSFORMER_FORMS if name in forms):
    length = max(forms[name])
    label = f'GB of training, {name}, one sequence of {length:,} tokens'
    points.append(above(label, Interval.exact(forms[name][length]), CENTRE, unit='GB'))
    text.append(str(points[-1]))
  kept = [where(records, 'training_bytes', m, size=LARGE) for m in ('parameter_bytes', 'moment_bytes')]
  if all(kept):
    text.append(f"parameters and Adam's moments alone {figure(sum(rows[0]['value'] for rows in kept) / GB)} GB")
  return combine(points, '; '.join(text) + f'. One device has {CENTRE} GB.')


def consumer_cards(records: Sequence[Row]) -> Verdict:
  by_size = _needed(records)
  if not by_size:
    return not_measured('training_bytes')
  points = []
  for size, forms in by_size.items():
    best = [name for name in TRANSFORMER_FORMS if name in forms]
    if 'truncated' not in forms or not best:
      continue
    for card in (SMALL_CARD, CARD):
      reach = {name: _longest(forms[name], card) for name in (*best, 'truncated')}
      attention = max(reach[name] for name in best)
      recurrent = reach['truncated']
      most = max(levels(where(records, 'training_bytes', 'training_bytes', size=size), 'length'))
      share = recurrent / attention if attention else float('inf') if recurrent else 1.0
      label = f'longest sequence in {card} GB, truncated LSTM ÷ best Transformer, {size:,.0f} parameters (to {most:,})'
      points.append(Point(label, Interval.exact(share), share >= 2, share < 2, '×'))
  if not points:
    return undecided('one of the sides was not compiled')
  return combine(points, '; '.join(map(str, points)) + '.')


def _longest(by_length: dict[float, float], card: float) -> float:
  return max((length for length, needed in by_length.items() if needed <= card), default=0)


CLAIMS = (
  Claim(
    5,
    'Techniques for long sequences',
    'Beyond 2,000 to 4,000 tokens a Transformer needs special techniques to be trained.',
    'Bytes of parameters, Adam, gradients and temporaries of one training step in float32 on a single sequence of '
    '2,000 to 4,096 tokens, compiled and not run: materialised attention without rematerialisation, 12 layers. Beside '
    'it what fused attention and rematerialisation need: they compute the same.',
    f'the largest of them is above {CARD} GB',
    f'it is below {SMALL_CARD} GB',
    ('training_bytes',),
    special_techniques,
    (BYTES,),
    words='"sequences beyond 2,000-4,000 tokens require specialized techniques"',
    since=WRITTEN,
  ),
  Claim(
    51,
    'Training large Transformers',
    'Large Transformers need accumulation, checkpointing and several devices.',
    f'Bytes of a training step of {LARGE:,.0f} parameters (32 layers, float32, Adam) on one sequence of 2,048 tokens, '
    'with fused attention, with rematerialisation and without.',
    f'more than {CENTRE} GB in every form',
    f'at most {CENTRE} GB in every form',
    ('training_bytes',),
    large_models,
    (BYTES,),
    words='"necessitates gradient accumulation, activation checkpointing, and multi-GPU distribution"',
    since=WRITTEN,
  ),
  Claim(
    53,
    'Consumer cards',
    'For many tasks RNNs train on consumer GPUs where Transformers of the same size do not.',
    f'Longest sequence, of those compiled, whose training fits {SMALL_CARD} and {CARD} GB: an LSTM with truncated '
    'back-propagation against the best of all forms of the Transformer, both in float32 with Adam, one sequence.',
    'the LSTM reaches at least twice the length on both cards',
    'it reaches less than twice the length on both',
    ('training_bytes',),
    consumer_cards,
    (BYTES,),
    words='"trainable on consumer GPUs for many tasks that require professional-grade hardware for transformer '
    'training"',
    since=WRITTEN,
  ),
)
