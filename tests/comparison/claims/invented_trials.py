"""Invented trials of trained models, and the verdict that each must lead to."""

from tests.comparison.claims.invented import rows
from tests.comparison.claims.invented_real import noisy

SEEDS = [0, 1, 2, 3, 4]


def spread(value, seed):
  """Let seeds differ by little."""
  return value * (1 + 1e-3 * seed) + 1e-5 * seed


def trials(experiment, metric, value, **columns):
  """Rows at one learning rate; value: a number, or a function of the columns."""
  number = value if callable(value) else lambda **_: value
  selection = {'selection': -1.0, 'learning_rate': 1e-3}
  return rows(
    experiment, metric, seed=SEEDS, value=lambda seed, **other: spread(number(**other), seed), **selection, **columns
  )


def lags(lstm, transformer, gru=None, lengths=(50, 600), shortest=1e-4, falls=0.0):
  """Errors at the greatest length; that of the LSTM at the shortest; by which share its training loss still falls."""
  error = {'lstm': lstm, 'gru': lstm if gru is None else gru, 'transformer': transformer}
  who = {'architecture': list(error), 'length': list(lengths)}
  at = lambda architecture, length, **_: (
    error[architecture] if length > 500 else shortest if architecture == 'lstm' else 1e-4
  )
  curve = lambda architecture, **_: {'value': 0.1, 'curve': [0.2, 0.1, 0.1 * (1 - falls * (architecture == 'lstm'))]}
  return trials('long_lags', 'loss', at, **who) + rows(
    'long_lags', 'train_loss', seed=SEEDS, value=curve, selection=-1.0, learning_rate=1e-3, **who
  )


def encodings(before=None, **scores):
  """Encoding → loss of language, accuracy of recall, at twice the length; before: those of seeds that choose."""
  found = []
  for place, (metric, task) in enumerate([('loss', 'language'), ('accuracy', 'recall'), ('accuracy_longer', 'recall')]):
    found += trials(
      'position_encodings', metric, lambda position, i=place, **_: scores[position][i], task=task, position=list(scores)
    )
    for row in found:
      if before and row['seed'] < 2 and (row['metric'], row['task']) == (metric, task):
        row['value'] = spread(before[row['position']][place], row['seed'])
  return found


def approximations(loss, accuracy, attention=0.99):
  """Give a Performer and Linformer more loss, and the Performer less accuracy of recall than attention has."""
  found = []
  for metric, task, lost, reference in (('loss', 'language', loss, 1.5), ('accuracy', 'recall', -accuracy, attention)):
    who = {'task': task, 'architecture': ['transformer', 'performer']}
    found += trials(
      'approximations',
      metric,
      lambda architecture, add=lost, whole=reference, **_: whole + add * (architecture == 'performer'),
      **who,
    )
  for name, lost in (('encoder', 0.0), ('linformer_encoder', loss)):
    found += trials('approximations', 'loss', 1.5 + lost, task='masked', architecture=name)
  return found


def shares(loss, accuracy, state=0.3, attention=0.99):
  """One mixture, beside pure models of which one is good at language and the other at recall."""
  models = {('none', 4): (1.5, attention, 1.0), ('lstm', 0): (1.45, 0.5, 0.05), ('lstm', 1): (loss, accuracy, state)}
  found = []
  for (kind, layers), values in models.items():
    who = {'recurrence': kind, 'attention_layers': layers, 'state_bytes': round(1e5 * values[2])}
    found += trials('attention_shares', 'loss', values[0], task='language', **who)
    found += trials('attention_shares', 'accuracy', values[1], task='recall', **who)
  return found


def draws(rnn, transformer, count=24, unigram=4.0, best=(1.5, 1.5)):
  """Random settings, of which the first is the best: the others are `rnn` and `transformer` nats worse on average.

  best: the lowest losses of both sides.
  """
  found = rows('random_settings', 'baseline', value=unigram, scored='loss', baseline='unigram')
  for name, worse in (('lstm', rnn), ('gru', rnn), ('transformer', transformer)):
    for draw in range(count):
      loss = best[name == 'transformer'] + worse * 2 * draw / max(1, count - 1)
      who = {'architecture': name, 'draw': draw, 'seed': draw, 'learning_rate': 1e-3, 'selection': -loss}
      found += rows('random_settings', 'loss', value=loss, **who)
      found += rows('random_settings', 'diverged', value=0, **who)
  return found


def plateaus(rnn, transformer, fall=0.001):
  loss = {'lstm': rnn, 'gru': rnn, 'transformer': transformer}
  who = {'architecture': list(loss)}
  return trials('plateaus', 'train_loss', lambda architecture, **_: loss[architecture], **who) + trials(
    'plateaus', 'fall', fall, **who
  )


def skips(transformer, lstm):
  """Add to the loss without skips."""
  worse = {'transformer': transformer, 'lstm': lstm}
  return trials(
    'skips',
    'loss',
    lambda architecture, skips, **_: 1.5 + (0 if skips else worse[architecture]),
    architecture=list(worse),
    skips=[0, 1],
    block=['residual'],
    depth=[2, 6],
  )


def states(linear, mamba, noise=1e-4):
  """Test losses that grow by so much with each doubling of the state; two rates that reach the same training losses.

  The first rate is the better one on validation.
  """
  found = []
  for family, growth in (('linear attention', linear), ('Mamba-2', mamba)):
    for doublings in range(3):
      for place, (rate, train) in enumerate(((1e-3, 1.0), (1e-2, 0.5))):
        for metric, value in (('train_loss', train), ('loss', 3.0 - train + growth * doublings)):
          found += rows(
            'state_sizes', metric, family=family, state_bytes=1024 * 2**doublings, learning_rate=rate, seed=SEEDS,
            selection=-place,
            value=lambda seed, v=value, m=metric, d=doublings, **_: v + noise * (seed - 2) * d * (m == 'loss'),
          )  # fmt: skip
  return found


def of_few_examples(records, noise):
  """Add scores on parts of the test examples, which differ for the largest state alone."""
  return noisy(records, noise, alone=lambda row: row['state_bytes'] == 4096)


def memories(first, second, steps=1, longer=1, train=(1.4, 1.4, 1.4)):
  """Lower the loss with a memory of 64 and of 256 tokens; dependent steps for 32 tokens and, times so many, for 64.

  train: the training losses without memory and with these.
  """
  lower, ends = {0: 0.0, 64: first, 256: second}, dict(zip((0, 64, 256), train, strict=True))
  who = {'architecture': 'transformer_xl', 'memory': list(lower), 'length': 64}
  found = trials('segment_memory', 'loss', lambda memory, **_: 1.8 - lower[memory], **who)
  found += trials('segment_memory', 'train_loss', lambda memory, **_: ends[memory], **who)
  return found + rows(
    'segment_memory',
    'dependent_steps',
    architecture='transformer_xl',
    memory=64,
    segment=[32, 64],
    value=lambda segment, **_: steps * (longer if segment == 64 else 1),
  )


ROTARY, ALIBI, NONE, T5 = (1.5, 0.99, 0.4), (1.55, 0.99, 0.99), (1.9, 0.5, 0.3), (1.45, 0.99, 1.0)
EQUAL = (1.5, 0.99, 0.99)
CASES = [
  (8, 'supported', lags(0.15, 0.002)),
  (8, 'contradicted', lags(0.002, 0.002)),
  (8, 'mixed', lags(0.15, 0.002, gru=0.002)),
  (8, 'undecided', lags(0.15, 0.15)),  # the Transformer has not solved it either
  (8, 'undecided', lags(0.05, 0.002)),
  (8, 'undecided', lags(0.15, 0.002, shortest=0.15)),  # not even the shortest length is solved
  (8, 'undecided', lags(0.15, 0.002, falls=0.1)),  # it still learns
  (8, 'supported', lags(0.15, 0.002, falls=0.01)),
  (8, 'contradicted', lags(0.002, 0.002, falls=0.1)),  # what is solved may fall
  (8, 'undecided', [row for row in lags(0.15, 0.002) if row['metric'] == 'loss']),  # whether it falls is not known
  (13, 'supported', encodings(rotary=ROTARY, alibi=ALIBI, none=NONE)),
  (13, 'contradicted', encodings(rotary=(1.5, 0.99, 0.99), none=NONE)),
  (13, 'contradicted', encodings(rotary=ROTARY, alibi=ALIBI, t5=T5)),  # two beat each other, and a third beats both
  (13, 'undecided', encodings(rotary=(1.5, 0.95, 0.9), alibi=(1.51996, 0.97, 0.93))),  # by about the margin
  (13, 'undecided', encodings(rotary=(1.5, 0.9, 0.4), alibi=(1.55, 0.9, 0.9))),  # none has learned recall
  (13, 'undecided', encodings({'rotary': ALIBI, 'alibi': ROTARY}, rotary=ROTARY, alibi=ALIBI)),  # the other way round
  (13, 'contradicted', encodings({'rotary': ROTARY, 'alibi': ALIBI}, rotary=EQUAL, alibi=EQUAL)),  # by luck
  (17, 'supported', draws(1.0, 0.1)),
  (17, 'contradicted', draws(0.1, 1.0)),
  (17, 'undecided', draws(1.0, 0.1, count=20)),
  (17, 'contradicted', draws(0.1, 0.05, best=(1.5, 1.6))),  # more to gain, and ahead all the same
  (17, 'undecided', draws(0.5, 0.5, best=(1.7, 1.5))),  # behind, and no nearer after more trials
  (17, 'undecided', draws(0.2, 0.12)),
  (17, 'contradicted', draws(9.0, 1.0, unigram=1.5)),  # nothing beats the unigram: losses beyond it are the same
  (17, 'undecided', [row for row in draws(1.0, 0.1) if row['metric'] != 'baseline']),
  (18, 'supported', plateaus(0.5, 0.1)),
  (18, 'contradicted', plateaus(0.1, 0.5)),
  (18, 'undecided', plateaus(0.5, 0.1, fall=0.1)),
  (19, 'supported', skips(0.2, 0.2)),
  (19, 'contradicted', skips(0.0, 0.0)),
  (19, 'mixed', skips(0.2, 0.0)),
  (22, 'supported', states(0.05, 0.0)),
  (22, 'contradicted', states(-0.05, -0.05)),
  (22, 'contradicted', states(0.008, 0.008)),  # by less than the margin over the whole range
  (22, 'undecided', states(0.04, 0.0, noise=0.017)),  # significant alone, and not of two
  (22, 'supported', of_few_examples(states(0.05, 0.0), 0.001)),
  (22, 'undecided', of_few_examples(states(0.05, 0.0), 0.1)),
  (56, 'supported', memories(0.05, 0.1)),
  (56, 'supported', memories(0.0, 0.1, steps=3)),  # the same loops at both lengths
  (56, 'contradicted', memories(0.0, 0.0, steps=32, longer=2)),
  (56, 'mixed', memories(0.05, 0.05)),  # one segment helps, and more do not
  (56, 'mixed', memories(0.05, 0.1, longer=2)),
  (56, 'undecided', memories(0.0, 0.0, steps=32, longer=2, train=(1.4, 1.45, 1.5))),  # memory was trained too little
  (56, 'undecided', memories(0.05, 0.1, train=(1.4, 1.4, 1.45))),
  (56, 'supported', memories(0.05, 0.1, train=(1.4, 1.41, 1.3))),
  (56, 'undecided', [row for row in memories(0.05, 0.1) if row['metric'] != 'train_loss']),
  (56, 'supported', noisy(memories(0.05, 0.1), 0.001, alone=lambda row: row['memory'] == 256)),
  (56, 'undecided', noisy(memories(0.05, 0.1), 0.1, alone=lambda row: row['memory'] == 256)),
  (58, 'supported', approximations(0.0, 0.0)),
  (58, 'contradicted', approximations(0.5, 0.5)),
  (58, 'mixed', approximations(0.01, 0.5)),
  (58, 'undecided', approximations(0.05, 0.05)),
  (58, 'undecided', approximations(0.0, 0.0, attention=0.5)),
  (59, 'supported', shares(1.45, 0.99)),
  (59, 'contradicted', shares(1.6, 0.6)),
  (59, 'contradicted', shares(1.45, 0.99, state=0.8)),
  (59, 'undecided', shares(1.46995, 0.99)),
  (59, 'undecided', shares(1.45, 0.9, attention=0.9)),
]  # fmt: skip
# Of rules that were replaced: claim, version, status, records.
EARLIER = [
  (56, 1, 'supported', memories(0.05, 0.1)),
  (56, 1, 'contradicted', memories(0.0, 0.0, steps=32, longer=2, train=(1.4, 1.45, 1.5))),
  (56, 1, 'supported', noisy(memories(0.05, 0.1), 0.1, alone=lambda row: row['memory'] == 256)),
  (17, 1, 'supported', draws(1.0, 0.1)),
  (17, 1, 'supported', draws(1.0, 0.1, count=20)),
  (17, 1, 'contradicted', draws(0.1, 1.0)),
  (17, 1, 'contradicted', draws(0.5, 0.5, best=(1.7, 1.5))),
  (17, 1, 'undecided', draws(1.0, 0.1, count=8)),
  (22, 1, 'supported', states(0.05, 0.0)),
  (22, 1, 'contradicted', states(0.008, 0.008)),
  (22, 1, 'undecided', states(0.04, 0.0, noise=0.017)),
]  # fmt: skip
