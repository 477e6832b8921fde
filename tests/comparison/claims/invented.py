"""Invented records, from which every judge can be shown each of its verdicts."""

import itertools

import numpy as np

NOISE = (0.99, 1.0, 1.01, 0.995, 1.005)


def timed(value, noise=NOISE):
  return {'value': value, 'samples': [value * n for n in noise]}


def rows(experiment, metric, **columns):
  """The product of all list-valued columns; `value` may be a function of the others."""
  value = columns.pop('value')
  names = list(columns)
  grids = [v if isinstance(v, list) else [v] for v in columns.values()]
  made = []
  for combination in itertools.product(*grids):
    row = dict(zip(names, combination, strict=True))
    number = value(**row) if callable(value) else value
    made.append(
      {'experiment': experiment, 'metric': metric, **(number if isinstance(number, dict) else {'value': number}), **row}
    )
  return made


def training(rnn, transformer, steps=(1.0, 0.0), lengths=(32, 64, 256, 1024)):
  """Step times as functions of T for both sides, and exponents of the dependent steps."""
  common = {'length': list(lengths), 'size': 1e5, 'batch': 1}
  found = []
  for side, backend, time, power in (
    ('lstm', 'xla', rnn, steps[0]),
    ('transformer', 'xla', transformer, steps[1]),
  ):
    who = {'architecture': side, 'backend': backend, **common}
    found += rows('training_time', 'step_seconds', value=lambda length, t=time, **_: timed(t(length)), **who)
    found += rows('training_time', 'sequential_steps', value=lambda length, p=power, **_: length**p, **who)
  return found


def latency(rnn, transformer, memory=(1.0, 2.0), lengths=(8, 96, 128, 512, 1000, 2048, 4096, 8192), flops=(1.0, 2.0)):
  found = []
  for side, backend, time, power in (
    ('lstm', 'xla', rnn, memory[0]),
    ('transformer', 'reference', transformer, memory[1]),
  ):
    who = {'architecture': side, 'backend': backend, 'length': list(lengths), 'size': 1e5}
    found += rows('forward_latency', 'forward_seconds', value=lambda length, t=time, **_: timed(t(length)), **who)
    found += rows('forward_latency', 'temporary_bytes', value=lambda length, p=power, **_: 1e3 * length**p, **who)
    power = flops[side == 'transformer']
    found += rows('forward_latency', 'flops', value=lambda length, p=power, **_: length**p, **who)
  return found


def recall(lstm, transformer, bytes_=(1e3, 1e4), easy=0.97):
  at, found = {1: 0.97, 4: easy}, []
  for side, block, accuracy, size in (
    ('lstm', 'plain', lstm, bytes_[0]),
    ('transformer', 'residual', transformer, bytes_[1]),
  ):
    found += rows(
      'recall_capacity', 'accuracy', architecture=side, block=block, size=1e5, pairs=[1, 4, 32],
      seed=[0, 1, 2], state_bytes=size, value=lambda seed, pairs, a=accuracy, **_: at.get(pairs, a) + 1e-4 * seed,
    )  # fmt: skip
  return found


def capacity(*needed, attention=1.0, pairs=(4, 8, 16)):
  """Three mixers that recall `pairs` with so many bytes of state; infinity: with none of the widths."""
  found = rows(
    'recall_capacity', 'accuracy', architecture='transformer', block='residual', pairs=list(pairs), seed=[0, 1, 2],
    state_bytes=16384, value=lambda seed, **_: attention - 0.3 * (seed == 1),
  )  # fmt: skip
  for name, states in zip(('gated_deltanet', 'linear_transformer', 'mamba2'), needed, strict=True):
    need = dict(zip(pairs, states, strict=True))
    found += rows(
      'recall_capacity', 'accuracy', architecture=name, block='residual', pairs=list(pairs), seed=[0, 1, 2],
      state_bytes=[1024, 2048, 4096, 8192], updates=4000,
      value=lambda pairs, seed, state_bytes, n=need, **_: 0.99 if seed == 2 and state_bytes >= n[pairs] else 0.6,
    )  # fmt: skip
  return found


def reach(lstm, transformer, within, beyond, recurrent=0.4, near=0.95):
  """Decades of gradient and accuracies of both sides; near: that of the RNN within its training length."""
  found = []
  for side, decades in (('lstm', lstm), ('transformer', transformer)):
    who = {'architecture': side, 'seed': [0, 1, 2]}
    found += rows(
      'reach',
      'gradient_decades',
      lag=[1, 200],
      value=lambda lag, seed, d=decades, **_: d * lag / 200 + 0.01 * seed,
      **who,
    )
    found += rows(
      'reach', 'accuracy', length=[64, 128], train_length=64, size=1e5,
      value=lambda length, seed, t=side == 'transformer', **_: (
        (within if length == 64 else beyond) if t else (near if length == 64 else recurrent)
      ) - 1e-4 * seed, **who,
    )  # fmt: skip
  return found


def encodings(*beyond):
  """The Transformer with encodings that fail beyond the training length or do not: name, accuracy, validation score."""
  found = [r for r in reach(-9.0, -0.2, 1.0, 1.0) if r['architecture'] == 'lstm']
  for name, accuracy, selection in beyond:
    own = [r for r in reach(-9.0, -0.2 if accuracy > 0.9 else -3.0, 1.0, accuracy) if r['architecture'] != 'lstm']
    found += [{**r, 'position': name, 'selection': selection} for r in own]
  return found


def order(encoder, decoder):
  who = {'architecture': 'transformer', 'position': 'none', 'depth': [1, 2]}
  return rows(
    'order', 'reordering', kind=['encoder', 'causal decoder'],
    value=lambda kind, **_: encoder if kind == 'encoder' else decoder, **who,
  ) + rows('order', 'sentence_pair', kind='encoder', value=encoder, **who)  # fmt: skip


def gradients(plain, gated, lag=200):
  value = lambda architecture, seed, **_: (plain if architecture == 'rnn' else gated) - 0.01 * seed
  return rows(
    'gradient_flow', 'decades', architecture=['rnn', 'lstm'], lag=lag, update=[0, 200], seed=[0, 1, 2], value=value
  )


def decoding(lstm, cached, uncached):
  found = []
  for side, backend, time in (
    ('lstm', 'xla', lstm),
    ('transformer', 'cached', cached),
    ('transformer', 'uncached', uncached),
  ):
    found += rows(
      'decoding', 'token_seconds', architecture=side, backend=backend, position=[1, 100, 1000], batch=1, size=1e5,
      value=lambda position, t=time, **_: timed(t(position)),
    )  # fmt: skip
  return found


def state(share, cache=1.0):
  common = {'length': [10, 1000], 'batch': 1, 'size': 1e5}
  attention = [
    {**row, 'formula': 512 * row['length']}
    for row in rows(
      'state_bytes', 'state_bytes', architecture='transformer', backend='multi-head',
      value=lambda length, **_: 512 * length * cache, **common,
    )
  ]  # fmt: skip
  return attention + rows('state_bytes', 'state_bytes', architecture='lstm', backend='', value=512e3 * share, **common)


def index(early, late, first=3.0):
  """Loss of the LSTM minus that of the Transformer at the first token, and at early and late indices."""
  found = []
  for side, block in (('lstm', 'plain'), ('transformer', 'residual')):
    gap = {1: first, 5: early, 200: late} if side == 'lstm' else {1: 0.0, 5: 0.0, 200: 0.0}
    found += rows(
      'token_index', 'loss', architecture=side, block=block, size=1e5, index=[1, 5, 200], seed=[0, 1, 2],
      value=lambda index, seed, g=gap, **_: 2.0 + g[index] + 1e-3 * (seed % 2),
    )  # fmt: skip
  return found


def trend(of_size, of_tokens, spread=0.002, noise=0.0, budgets=(2e6, 6e6)):
  """Gaps at long contexts that grow so much with each decade; spread: of the seeds; noise: of the parts of the test."""
  found = []
  for side, block, sign in (('lstm', 'plain', 1), ('gru', 'plain', 1), ('transformer', 'residual', 0)):
    gap = lambda size, budget, sign=sign: sign * (of_size * np.log10(size / 1e5) + of_tokens * np.log10(budget / 2e6))
    level = lambda size, budget, seed, sign=sign, gap=gap: (
      1.5 + gap(size, budget) + sign * spread * (seed - 1) * (size / 3e4)
    )
    parts = lambda size, budget, seed, level=level, sign=sign: [
      level(size, budget, seed) + sign * noise * wave * np.log10(size / 1e5) for wave in (-1, 1, -1, 1)
    ]
    found += [
      {**row, 'parts': parts(row['size'], row['budget'], row['seed'])}
      for row in rows(
        'token_index', 'loss', architecture=side, block=block, size=[3e4, 1e5], budget=list(budgets), seed=[0, 1, 2],
        index=[16, 256, 1024], selection=-1.0 if side != 'gru' else -1.1,
        value=lambda size, budget, seed, level=level, **_: level(size, budget, seed),
      )
    ]  # fmt: skip
  return found


def scores(reference, xla, power=2.0):
  found = []
  for length in (512, 2048):  # the claim is about the longer: each length has scores of its own
    formula = 4.0 * length**2
    shares = {'reference': reference * (length / 2048) ** (power - 2), 'xla': xla}
    value = lambda backend, f=formula, s=shares, **_: f * s[backend]
    found += rows(
      'attention_scores', 'temporary_bytes', backend=['reference', 'xla'], formula=formula, length=length,
      heads=32, value=value, **{'pass': ['forward', 'training']},
    )  # fmt: skip
  return found


def adam(*copies):
  return [
    row
    for architecture, value in zip(('lstm', 'transformer'), copies, strict=True)
    for row in rows('optimizer_bytes', 'moment_copies', architecture=architecture, value=value)
  ]


def truncation(power):
  value = lambda length, method, **_: 1e6 * length ** (power if method == 'truncated' else 1.0)
  return rows('truncation', 'temporary_bytes', method=['truncated', 'full'], length=[256, 4096], value=value)


def generation(rnn, transformer, lengths=(64, 1024, 4096), **columns):
  found = []
  for side, backend, time in (('gru', 'auto', rnn), ('transformer', 'cached', transformer)):
    found += rows(
      'decoding', 'generation_seconds', architecture=side, backend=backend, length=list(lengths), size=1e5,
      value=lambda length, t=time, **_: timed(t(length)), **{'batch': 1, **columns},
    )  # fmt: skip
  return found


def by_band(short, medium, long):
  """A time of the Transformer that is so many times `linear` in the three bands."""
  return lambda t: 1e-4 * t * (short if t < 100 else medium if t <= 1000 else long)


def regimes(rnn, transformer):
  return latency(rnn, transformer) + generation(rnn, transformer, lengths=(64, 256, 1024, 4096), batch=[1, 32])


def kernels(gain, attention=lambda t: 1e-4 * t):
  """Materialised attention that takes `gain` times as long as the fused kernel; and linear attention."""
  common = {'length': [128, 1000, 2048, 4096], 'size': 1e5}
  found = []
  for name, backend, time in (
    ('transformer', 'reference', lambda t: gain * 1e-7 * t * t),
    ('transformer', 'xla', lambda t: 1e-7 * t * t),
    ('linear_transformer', 'xla', attention),
  ):
    found += rows(
      'forward_latency', 'forward_seconds', architecture=name, backend=backend,
      value=lambda length, t=time, **_: timed(t(length)), **common,
    )  # fmt: skip
  return found


WHOLE_RANGE = (1024, 4096, 16384, 131_072)


def training_bytes(materialised, fused, size=1e8, lengths=(2048, 4096, 8192), full=None, truncated=2):
  """GB at 4,096 tokens; they grow with the length (squared, where materialised), but for an LSTM that is truncated."""
  found = []
  for form, architecture, needed, power in (
    ('reference', 'transformer', materialised, 2), ('xla', 'transformer', fused, 1), ('full', 'lstm', full, 1),
    ('truncated', 'lstm', truncated, 0),
  ):  # fmt: skip
    if needed is None:
      continue
    who = {'form': form, 'architecture': architecture, 'size': size, 'length': list(lengths)}
    for metric, share in (('training_bytes', 1.0), ('parameter_bytes', 0.1), ('moment_bytes', 0.2)):
      value = lambda length, n=needed, p=power, s=share, **_: 1e9 * s * n * (length / 4096) ** p
      found += rows('training_bytes', metric, value=value, **who)
  return found


def batches(transformer, rnn):
  """Times of 1 and 32 sequences: so much of what each sequence more costs is not free."""
  found = rows('batching', 'peak_flops', value=1e13, size=1e5)
  for name, backend, costs in (('transformer', 'xla', transformer), ('lstm', 'xla', rnn)):
    found += rows(
      'batching', 'batch_seconds', architecture=name, backend=backend, batch=[1, 32], size=1e5, length=256, flops=1e9,
      value=lambda batch, c=costs, **_: timed(1e-3 * (1 - c + c * batch)),
    )  # fmt: skip
  return [{**row, 'flops': 1e9 * row['batch']} if 'batch' in row else row for row in found]


def serving(rnn, transformer):
  found = []
  for name, backend, seconds in (('gru', 'auto', rnn), ('transformer', 'multi-head', transformer)):
    who = {'architecture': name, 'backend': backend, 'batch': 64, 'size': 1e5, 'memory': 1e8}
    found += rows('serving', 'served_token_seconds', value=lambda s=seconds, **_: timed(s), **who)
  return found


def jitter(row):
  """The Transformer's samples in another order, so that the ratios go both ways."""
  other = row.get('architecture') == 'transformer' and 'samples' in row
  return {**row, **timed(row['value'], NOISE[::-1])} if other and row.get('batch') != 1 else row


def positions(without, with_them):
  value = lambda position, seed, **_: (without if position == 'none' else with_them) - 1e-4 * seed
  return rows(
    'positions_of_recurrence', 'accuracy', architecture=['lstm', 'gru', 'transformer'], position=['none', 'sinusoidal'],
    seed=[0, 1, 2], value=value,
  )  # fmt: skip


def clipping(rnn, transformer, adamw=None):
  """Make losses of which clipping gains so many nats; adamw: gained by the LSTM with this optimizer."""
  gained = lambda architecture, optimizer: (
    transformer if architecture == 'transformer' else rnn if adamw is None or optimizer == 'sgd' else adamw
  )
  value = lambda architecture, optimizer, clip, seed, **_: (
    2.0
    + 0.003 * seed * (clip + 1) * (-1 if architecture == 'transformer' else 1)
    + (0.0 if clip else gained(architecture, optimizer))
  )
  who = {'architecture': ['lstm', 'transformer'], 'optimizer': ['sgd', 'adamw'], 'clip': [0.0, 1.0], 'seed': [0, 1, 2]}
  who |= {'selection': -1.0}
  return rows('clipping', 'loss', value=value, **who) + rows('clipping', 'diverged', value=0, **who)


def lost_without_clipping(architecture):
  """Make one model diverge in every trial without clipping, which gains nothing elsewhere."""
  found = rows('clipping', 'baseline', baseline='unigram', value=3.0)
  for row in clipping(0.0, 0.0):
    if (row['architecture'], row['clip']) != (architecture, 0.0):
      found.append(row)
    elif row['metric'] == 'diverged':
      found.append({**row, 'value': 1, 'selection': None})
  return found


def learning_rates(transformer, lstm, diverges=False):
  """Losses that rise sharply beyond a rate of either side; the seeds differ where the sides do not.

  diverges: whether trials diverge there instead.
  """
  found = rows('learning_rates', 'baseline', baseline='unigram', value=3.0)
  for name, block, limit in (('transformer', 'residual', transformer), ('lstm', 'plain', lstm)):
    value = lambda learning_rate, seed, limit=limit, name=name, **_: (
      1.0 if learning_rate <= limit * (3.2 if (seed, name) in {(0, 'lstm'), (1, 'transformer')} else 1) else 2.5
    )
    who = {'architecture': name, 'block': block, 'warmup': [0.0, 0.1], 'seed': [0, 1, 2, 3]}
    who |= {'learning_rate': [1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 1e-1]}
    losses = rows('learning_rates', 'loss', value=value, **who)
    lost = [{**row, 'metric': 'diverged', 'value': int(diverges and row['value'] > 1)} for row in losses]
    found += [*(row for row in losses if not (diverges and row['value'] > 1)), *lost]
  return found


def samples(transformer, rnn, overfit=(0.0, 0.0), fitted=0.5):
  """Losses that fall with the number of examples over the number that a side needs; three learning rates.

  overfit: how much higher the test loss of a side is; fitted: the training loss of the largest rate, at the end.
  """
  found = []
  sides = {'transformer': (transformer, overfit[0]), 'lstm': (rnn, overfit[1]), 'gru': (rnn, overfit[1])}
  for name, (needed, more) in sides.items():
    for place, rate in enumerate((1e-3, 3e-3, 1e-2)):
      who = {'architecture': name, 'examples': [30, 300, 3000], 'dropout': [0.0, 0.2], 'seed': [0, 1, 2]}
      who |= {'learning_rate': rate, 'selection': -place}
      loss = lambda examples, seed, needed=needed, name=name, more=more + place, **_: (
        3 - 0.4 * np.log10(examples / needed) + more + 0.02 * (seed - 1) * (-1 if name == 'transformer' else 1)
      )
      course = lambda loss=loss, **row: {'value': loss(**row), 'checkpoints': [3.5, loss(**row), loss(**row) + 1]}
      found += rows('sample_efficiency', 'loss', value=course, **who)
      learned = fitted + 1 - place / 2
      found += rows('sample_efficiency', 'train_loss', value={'value': learned, 'curve': [3.0, 2.2, 1.4]}, **who)
  return found


def everything(cost, gap):
  """Cost of the Transformer over that of the RNN, and how much better its trained models are."""
  time = lambda t: 1e-4 * t * cost
  return (
    regimes(linear, time) + training(linear, time) + [r for r in recall(0.7 - gap, 0.7) if r['pairs'] == 32]
    + reach(-9.0, -0.2, 0.4 + gap, 0.4 + gap, near=0.4) + index(gap, gap, first=gap)
  )  # fmt: skip


def loose(row):
  """Samples whose ratio is above 1 most of the time, but not surely so in any one of several regimes."""
  noise = (0.9, 1.0, 1.2, 0.95, 1.1) if row.get('architecture') == 'transformer' else (1.1, 1.0, 0.9, 1.05, 0.95)
  return {**row, **timed(row['value'], noise)} if row['metric'] == 'forward_seconds' else row


def noisier(row):
  """The Transformer's samples in another order, so that the ratios go both ways."""
  other = row['architecture'] == 'transformer' and row['metric'] == 'step_seconds'
  return {**row, **timed(row['value'], NOISE[::-1])} if other else row


def jumpy(row):
  """Samples so noisy that any growth is possible."""
  noise, turn = (0.2, 3.0, 0.5, 2.0, 1.0), row['position'] % 7  # another order at each position
  return {**row, 'samples': [row['value'] * noise[(i + turn) % 5] for i in range(5)]}


flat, linear, square = (lambda t: 1e-2), (lambda t: 1e-4 * t), (lambda t: 1e-7 * t * t)
late = lambda t: 1e-4 * t * (t / 1400) ** 1.5  # crosses `linear` at 1,400
