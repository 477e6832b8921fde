"""Claims about what a model keeps: the size of a recurrent state, the memory of segments."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn import earlier_trained
from comparison.articles.transformer_vs_rnn.earlier_trained import NOISE, growth_over_sizes
from comparison.articles.transformer_vs_rnn.trained_grids import FIT, MARGIN, STOPPED, losses_at_fit
from comparison.claims import pairs
from comparison.claims.base import Claim, Plot, Rule, Verdict, levels, seeds, tuned, where
from comparison.claims.pairs import BySeed, by_seed, gain
from comparison.claims.points import Point, above, combine, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN, GATED_SINCE = '2026-11-29 11:15', '2026-11-29 21:25'


def bottleneck_regularises(records: Sequence[Row]) -> Verdict:
  """Judge the growth of the test loss from the smallest state to the largest, of models that were stopped early."""
  every = tuned(where(records, 'state_sizes', 'loss'), 'family', 'state_bytes')
  points, beside = [], []
  for family in levels(every, 'family'):
    rows = [r for r in every if r['family'] == family]
    growths = _growths(rows)
    if len(growths) > 1:
      label = f'{family}, growth of the test loss at the best update on validation over the sizes of the state'
      noise = pairs.noise_of(rows, lambda some: float(np.mean(_growths(some))))
      point = above(label, statistics.mean(growths, noise), MARGIN, MARGIN, 'nats')
      # Student's t of the growths: of ratios it would be that of their logarithms.
      p_for = statistics.p_above(np.exp(growths).tolist(), float(np.exp(MARGIN)), noise)
      points.append(dataclasses.replace(point, p_for=p_for))
      beside.append(f'{family} {", ".join(_by_size(rows))}')
    train = where(records, 'state_sizes', 'train_loss', family=family)
    at_fit = [
      {'seed': seed, 'state_bytes': size, 'value': loss}
      for (size, seed), loss in losses_at_fit(train, rows, 'state_bytes').items()
    ]
    if growths_at_fit := _growths(at_fit):
      beside.append(f'{family}, growth where the training loss is {FIT:g} nats: {np.mean(growths_at_fit):.3g}')
  if not points:
    return not_measured('state_sizes')
  return combine(points, f'{"; ".join(map(str, points))}. {"; ".join(beside)}.', kind='can')


def _by_size(rows: Sequence[Row]) -> list[str]:
  sizes = levels(rows, 'state_bytes')
  return [f'{seeds(r for r in rows if r["state_bytes"] == size).value:.3g} with {size:,} bytes' for size in sizes]


def _growths(rows: Sequence[Row]) -> list[float]:
  """Return, for each seed, how much a straight line of the values over log₂(state bytes) grows over their range."""
  growths = []
  for seed in levels(rows, 'seed'):
    of_size = {r['state_bytes']: r['value'] for r in rows if r['seed'] == seed}
    if len(of_size) > 1:
      growths.append(growth_over_sizes(of_size))
  return growths


def memory_extends(records: Sequence[Row], *, is_gated: bool = True) -> Verdict:
  """Compare the longest memory with that of one segment, and the steps of training at two lengths of a segment.

  is_gated: whether a memory that raises the training loss leaves open what memory gains.
  """
  rows = tuned(where(records, 'segment_memory', 'loss'), 'architecture', 'length', 'memory')
  own = [r for r in rows if r['architecture'] == 'transformer_xl']
  memories = [memory for memory in levels(own, 'memory') if memory]
  if len(memories) < 2:
    return not_measured('segment_memory')
  shortest, longest = memories[0], memories[-1]
  by_memory = {memory: by_seed(own, memory=memory) for memory in levels(own, 'memory')}
  less = gain(by_memory[shortest], by_memory[longest])
  steps = {
    segment: max(r['value'] for r in where(records, 'segment_memory', 'dependent_steps', segment=segment))
    for segment in levels(where(records, 'segment_memory', 'dependent_steps'), 'segment')
  }
  if less is None or len(steps) < 2:
    return undecided('fewer than two seeds, or fewer than two lengths of a segment, were measured')
  label = f'loss with {shortest} tokens of memory − with {longest}'
  extends = above(label, less, MARGIN, MARGIN, 'nats')
  open_ = _untrained(records, memories) if is_gated else ''
  if open_:
    extends = dataclasses.replace(extends, label=f'{label} ({open_})', supports=False, contradicts=False)
  few, many = min(steps), max(steps)
  growth = steps[many] / steps[few]
  label = f'dependent steps of training, {steps[many]:.0f} at {many} tokens a segment ÷ {steps[few]:.0f} at {few}'
  parallel = Point(label, Interval.exact(growth), growth <= 1, growth > 1)
  text = [f'{extends}; {parallel}.', _of_one_segment(by_memory, shortest), _of_windows(rows, own, longest)]
  return combine([extends, parallel], ' '.join(filter(None, text)))


def _untrained(records: Sequence[Row], memories: Sequence[int]) -> str:
  """Return which memories leave the training loss above that without memory, or that it is not known."""
  rows = where(records, 'segment_memory', 'train_loss', architecture='transformer_xl')
  rows = tuned(rows, 'length', 'memory')
  losses = {memory: seeds(r for r in rows if r['memory'] == memory).value for memory in levels(rows, 'memory')}
  if not losses.keys() >= {0, *memories}:
    return 'the training losses are missing'
  higher = [f'{losses[memory]:.3g} with {memory}' for memory in memories if losses[memory] > losses[0] + MARGIN]
  return f'training loss {losses[0]:.3g} without memory, {", ".join(higher)}' if higher else ''


def _of_one_segment(by_memory: Mapping[int, BySeed], shortest: int) -> str:
  """Say what the first memory brings: most of it is that windows start without any context."""
  less = gain(by_memory.get(0, BySeed()), by_memory[shortest])
  return '' if less is None else f'Loss without memory − with {shortest} tokens: {less.value:.3g}.'


def _of_windows(rows: Sequence[Row], own: Sequence[Row], longest: int) -> str:
  others = [r for r in rows if r['architecture'] != 'transformer_xl']
  if not others:
    return ''
  value = lambda rows: statistics.mean([r['value'] for r in rows]).value
  carried = value([r for r in own if r['memory'] == longest])
  return (
    f'Loss with {longest} tokens of memory {carried:.3g}; of a Transformer on windows of {others[0]["length"]} tokens, '
    f'without memory, {value(others):.3g}.'
  )


CLAIMS = (
  Claim(
    22,
    'The bottleneck as a regulariser',
    'The fixed state of an RNN can help generalisation on limited data.',
    'Two models whose state is made larger and smaller at as many parameters (linear attention by its heads, Mamba-2 '
    'by its state width), on few windows of text, without dropout: test loss at the update with the best validation '
    'loss (early stopping), each at its best learning rate on validation, seed by seed; a straight line over the '
    'logarithm of the bytes of state, from the smallest to the largest. Beside it, the same where the training loss '
    f'falls through {FIT:g} nats.',
    f'for one of them, stopped early, the test loss grows by {MARGIN} nats or more from the smallest state to the '
    'largest, after Holm’s correction for looking at two',
    f'for both it grows by less than {MARGIN} nats, or falls',
    ('state_sizes',),
    bottleneck_regularises,
    (
      Plot(
        'Test loss over the state',
        'state_sizes',
        'loss',
        'state_bytes',
        x_label='bytes of state',
        y_label='nats',
        series=('family',),
        log_x=True,
      ),
    ),
    revised='version 2 compares models that were stopped early: at the training loss that all sizes reach, the data '
    'are learned by heart, and the test loss is above that of the unigram',
    words='"act as implicit regularization"; "can help generalization on limited data"',
    since=STOPPED,
    from_scale='overnight',
    earlier=(
      Rule(
        1,
        WRITTEN,
        f'for one of them the test loss grows by {MARGIN} nats or more from the smallest state to the largest, after '
        'Holm’s correction for looking at two',
        f'for both it grows by less than {MARGIN} nats, or falls',
        earlier_trained.bottleneck_at_equal_fit,
      ),
    ),
  ),
  Claim(
    56,
    'Transformer-XL',
    'Transformer-XL extends the context beyond a segment and stays parallel within it.',
    'Segments of characters of the embedded text with memories of one segment and of several, scored on every token of '
    'the test split, which a memory of one segment already reads without starting anew; each at its best learning rate '
    'on validation, seed by seed; all train on the same tokens in the same order. Dependent steps of the compiled '
    f'training step, for segments of two lengths. What memory gains is left open if a memory ends training with a loss '
    f'that is more than {MARGIN} nats above that without memory. {NOISE}.',
    f'the longest memory has a loss that is lower by {MARGIN} nats or more than that of a memory of one segment, the '
    'dependent steps do not grow with the segment, and no memory raises the training loss',
    f'it is lower by less than {MARGIN} nats, or higher, no memory raises the training loss, and the steps grow',
    ('segment_memory',),
    memory_extends,
    (
      Plot(
        'Loss over the memory',
        'segment_memory',
        'loss',
        'memory',
        x_label='tokens of memory',
        y_label='nats',
        series=('architecture',),
      ),
    ),
    revised='version 2 leaves open what memory gains where the models with memory have learned less of their training '
    'data, and counts the noise of the test examples',
    words='"captures transformers’ parallelism within segments while handling indefinitely long sequences"',
    since=GATED_SINCE,
    from_scale='overnight',
    earlier=(
      Rule(
        1,
        WRITTEN,
        f'the longest memory has a loss that is lower by {MARGIN} nats or more than that of a memory of one segment, '
        'and the dependent steps do not grow with the segment',
        f'it is lower by less than {MARGIN} nats, or higher, and the steps grow',
        earlier_trained.of_seeds_alone(functools.partial(memory_extends, is_gated=False)),
      ),
    ),
  ),
)
