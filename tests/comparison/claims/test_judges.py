"""Every judge on invented records: what supports, what contradicts, what leaves open; and it never falls over."""

import itertools

import pytest

from comparison.claims import CLAIMS
from comparison.claims.base import STATUSES
from comparison.claims.ledger import SECTIONS, STATEMENTS

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


def reach(lstm, transformer, within, beyond, recurrent=0.4):
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
        (within if length == 64 else beyond) if t else recurrent
      ) - 1e-4 * seed, **who,
    )  # fmt: skip
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


def training_bytes(materialised, fused, size=1e8, lengths=(2048, 4096, 8192)):
  """GB at 4,096 tokens; attention's grow with the length (squared, where materialised), the LSTM's do not."""
  found = []
  for form, architecture, needed, power in (
    ('materialised', 'transformer', materialised, 2), ('fused', 'transformer', fused, 1), ('truncated', 'lstm', 2, 0),
  ):  # fmt: skip
    who = {'form': form, 'architecture': architecture, 'size': size, 'length': list(lengths)}
    for metric, share in (('training_bytes', 1.0), ('parameter_bytes', 0.1), ('moment_bytes', 0.2)):
      value = lambda length, n=needed, p=power, s=share, **_: 1e9 * s * n * (length / 4096) ** p
      found += rows('training_bytes', metric, value=value, **who)
  return found


def batches(transformer, rnn):
  """Times of 1 and 32 sequences: so much of what each sequence more costs is not free."""
  found = rows('batching', 'peak_flops', value=1e12, size=1e5)
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


def everything(cost, gap):
  """Cost of the Transformer over that of the RNN, and how much better its trained models are."""
  time = lambda t: 1e-4 * t * cost
  return (
    regimes(linear, time) + training(linear, time) + [r for r in recall(0.7 - gap, 0.7) if r['pairs'] == 32]
    + reach(-9.0, -0.2, 0.4 + gap, 0.4 + gap) + index(gap, gap, first=gap)
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

CASES = [
  (1, 'supported', training(linear, flat)),
  (1, 'contradicted', training(flat, linear, steps=(0.0, 1.0))),
  (1, 'supported', training(flat, flat)),  # the time of a step is no part of the statement
  (1, 'mixed', training(linear, flat, steps=(1.0, 1.0))),
  (3, 'supported', training(linear, lambda t: 0.4e-4 * t)),
  (3, 'undecided', training(linear, lambda t: 0.6e-4 * t)),  # faster, but not twice as fast
  (3, 'contradicted', training(lambda t: 1e-4 * t, lambda t: 2e-4 * t)),
  (3, 'contradicted', training(linear, flat)),
  (3, 'undecided', [noisier(row) for row in training(linear, linear)]),
  (7, 'undecided', recall(0.1, 0.995, easy=0.2)),
  (7, 'supported', recall(0.4, 0.998)),
  (7, 'contradicted', recall(0.998, 0.998)),
  (7, 'undecided', recall(0.998, 0.998, bytes_=(1e5, 1e4))),
  (7, 'undecided', recall(0.4, 0.7)),
  (9, 'supported', reach(-9.0, -0.2, 1.0, 0.999)),
  (9, 'mixed', reach(-9.0, -0.2, 1.0, 0.5)),
  (9, 'mixed', reach(-9.0, -0.2, 1.0, 0.999, recurrent=0.999)),
  (9, 'contradicted', reach(-0.2, -9.0, 0.5, 0.5, recurrent=0.999)),
  (10, 'supported', latency(linear, square)),
  (10, 'mixed', latency(linear, square, memory=(1.0, 1.0))),
  (10, 'contradicted', latency(square, linear, memory=(2.0, 1.0), flops=(2.0, 1.0))),
  (10, 'undecided', latency(linear, square, lengths=(128, 1000))),
  (12, 'supported', order(1e-7, 1e-7)),
  (12, 'mixed', order(1e-7, 0.1)),
  (12, 'contradicted', order(0.1, 0.1)),
  (12, 'undecided', order(5e-4, 5e-4)),
  (14, 'supported', gradients(-30.0, -12.0)),
  (14, 'mixed', gradients(-30.0, -0.2)),
  (14, 'contradicted', gradients(0.3, -0.2)),
  (14, 'undecided', gradients(-30.0, -12.0, lag=100)),
  (24, 'supported', latency(linear, flat)),
  (24, 'contradicted', latency(flat, linear)),
  (24, 'supported', latency(linear, lambda t: 2e-4 * t if t < 50 else 0.5e-4 * t)),  # at one length
  (24, 'undecided', [loose(row) for row in latency(linear, lambda t: 1.15e-4 * t)]),
  (25, 'supported', latency(linear, lambda t: 0.5e-4 * t)),
  (25, 'supported', latency(linear, lambda t: 2e-4 * t if t == 1000 else 0.5e-4 * t)),  # at two of three lengths
  (25, 'contradicted', latency(linear, lambda t: 0.5e-4 * t if t == 1000 else 2e-4 * t)),
  (25, 'mixed', latency(linear, lambda t: 0.5e-4 * t if t == 1000 else 2e-4 * t, lengths=(128, 1000))),
  (26, 'supported', latency(linear, square)),
  (26, 'contradicted', latency(square, linear)),
  (26, 'mixed', latency(linear, linear)),
  (26, 'undecided', latency(linear, square, lengths=(8, 128, 1000))),
  (27, 'supported', decoding(flat, linear, square)),
  (27, 'contradicted', decoding(linear, flat, flat)),
  (27, 'undecided', [jumpy(row) for row in decoding(flat, flat, flat)]),
  (28, 'supported', decoding(flat, linear, linear)),
  (28, 'contradicted', decoding(flat, flat, flat)),
  (28, 'mixed', decoding(flat, flat, linear)),
  (29, 'supported', state(1e-3) + decoding(flat, flat, linear)),
  (29, 'contradicted', state(1e-3, cache=2.0)),
  (29, 'mixed', state(1e-3) + decoding(flat, linear, flat)),
  (30, 'supported', generation(linear, lambda t: 2e-4 * t)),
  (30, 'contradicted', generation(lambda t: 2e-4 * t, linear)),
  (30, 'mixed', generation(linear, late)),
  (30, 'undecided', generation(linear, late, lengths=(64, 256))),
  (34, 'supported', regimes(linear, by_band(2.0, 0.5, 2.0))),
  (34, 'contradicted', regimes(linear, by_band(0.5, 2.0, 0.5))),
  (34, 'mixed', regimes(linear, by_band(2.0, 2.0, 2.0))),
  (34, 'undecided', latency(linear, flat, lengths=(8, 128))),
  (35, 'supported', index(0.01, 0.2)),
  (35, 'contradicted', index(0.01, -0.1)),
  (35, 'contradicted', index(-0.3, -0.1)),  # the gap grows, and the RNN is ahead at the end
  (35, 'mixed', index(0.3, 0.1)),
  (47, 'supported', state(1e-3)),
  (47, 'contradicted', state(0.1)),
  (48, 'mixed', scores(1.05, 0.01)),
  (48, 'supported', scores(2.1, 0.95)),
  (48, 'contradicted', scores(0.4, 0.01, power=1.0)),
  (48, 'undecided', scores(0.7, 0.6)),
  (50, 'supported', adam(2.0, 2.0001)),
  (50, 'contradicted', adam(1.0, 3.0)),
  (52, 'supported', truncation(0.0)),
  (52, 'contradicted', truncation(1.0)),
  (55, 'supported', kernels(2.0)),
  (55, 'contradicted', kernels(0.9)),
  (55, 'undecided', kernels(1.1)),
  (57, 'supported', kernels(2.0, linear)),
  (57, 'contradicted', kernels(2.0, square)),
  (57, 'undecided', kernels(2.0, lambda t: 1e-4 * t**1.3)),
  (5, 'supported', training_bytes(56, 8)),
  (5, 'contradicted', training_bytes(5, 4)),
  (5, 'undecided', training_bytes(12, 8)),
  (6, 'supported', training(linear, square, lengths=(1024, 16384))),
  (6, 'contradicted', training(square, linear, lengths=(1024, 16384))),
  (6, 'undecided', training(linear, linear, lengths=(1024, 16384))),
  (31, 'supported', batches(0.01, 1.0)),
  (31, 'contradicted', batches(0.9, 1.0)),
  (31, 'undecided', batches(0.05, 1.0)),
  (32, 'supported', batches(0.1, 1.0)),
  (32, 'contradicted', batches(1.0, 0.1)),
  (32, 'undecided', [jitter(row) for row in batches(1.0, 1.0)]),
  (33, 'supported', serving(2e-6, 1e-6)),
  (33, 'contradicted', serving(1e-6, 2e-6)),
  (33, 'undecided', [jitter(row) for row in serving(1e-6, 1e-6)]),
  (51, 'supported', training_bytes(900, 120, size=7e9, lengths=(4096,))),
  (51, 'mixed', training_bytes(900, 60, size=7e9, lengths=(4096,))),
  (51, 'contradicted', training_bytes(60, 50, size=7e9, lengths=(4096,))),
  (53, 'supported', training_bytes(56, 30)),
  (53, 'contradicted', training_bytes(20, 2)),
  (54, 'supported', batches(0.1, 1.0)),
  (54, 'contradicted', batches(1.0, 0.1)),
  (54, 'undecided', batches(0.9, 1.0)),
  (60, 'supported', everything(0.5, 0.2)),
  (60, 'contradicted', everything(2.0, -0.2)),
  (60, 'mixed', everything(2.0, 0.2)),
  (60, 'undecided', latency(linear, flat)),
]  # fmt: skip
# Of rules that were replaced: claim, version, status, records.
EARLIER = [
  (1, 2, 'supported', training(linear, flat)),
  (1, 2, 'mixed', training(flat, flat)),
  (1, 2, 'contradicted', training(flat, linear, steps=(0.0, 1.0))),
  (3, 1, 'supported', training(linear, lambda t: 0.9e-4 * t)),
  (3, 1, 'contradicted', training(linear, flat)),
  (3, 1, 'undecided', [noisier(row) for row in training(linear, linear)]),
  (7, 1, 'supported', recall(0.4, 0.998)),
  (10, 1, 'supported', latency(linear, square)),
  (10, 1, 'mixed', latency(linear, square, memory=(1.0, 1.0))),
  (24, 1, 'mixed', latency(linear, lambda t: 2e-4 * t if t < 50 else 0.5e-4 * t)),
  (25, 1, 'contradicted', latency(linear, lambda t: 2e-4 * t if t == 1000 else 0.5e-4 * t)),
  (26, 1, 'supported', latency(linear, late)),
  (26, 1, 'contradicted', latency(linear, flat)),
  (26, 1, 'mixed', latency(linear, lambda t: 2e-4 * t)),
  (35, 1, 'mixed', index(0.01, 0.2, first=0.205)),
  (35, 1, 'supported', index(0.1, 0.2, first=0.05)),
  (48, 1, 'mixed', scores(1.05, 0.01)),
  (48, 2, 'contradicted', scores(1.05, 0.01)),
]  # fmt: skip
ALL = [row for _, _, records in CASES for row in records]


@pytest.mark.parametrize(('number', 'version', 'status', 'records'), EARLIER)
def test_verdict_of_an_earlier_rule(number, version, status, records):
  rule = CLAIMS[number].rules[version - 1]
  assert rule.version == version
  assert rule.judge(records).status == status


@pytest.mark.parametrize(('number', 'status', 'records'), CASES, ids=[f'{n}-{s}' for n, s, _ in CASES])
def test_verdict(number, status, records):
  verdict = CLAIMS[number].judge(records)
  assert verdict.status == status, verdict
  if status in ('supported', 'contradicted', 'mixed'):
    assert verdict.low <= verdict.number <= verdict.high
    assert verdict.text
  if status in ('mixed', 'undecided'):
    assert verdict.reason


@pytest.mark.parametrize('number', list(CLAIMS))
def test_without_records_nothing_is_measured_here(number):
  assert CLAIMS[number].judge([]).status == 'not measured here'


@pytest.mark.parametrize('number', list(CLAIMS))
def test_no_judge_falls_over_partial_records(number):
  judge, mine = CLAIMS[number].judge, [r for r in ALL if r['experiment'] in CLAIMS[number].experiments]
  for architecture in ('lstm', 'transformer', 'rnn'):
    assert judge([r for r in mine if r.get('architecture') == architecture]).status in STATUSES
  for i in range(min(40, len(mine))):
    assert judge(mine[i : i + 1]).status in STATUSES
    assert judge(mine[i : i + 3]).status in STATUSES
  failed = [{'experiment': r['experiment'], 'metric': 'failed', 'value': None, 'error': 'x'} for r in mine[:1]]
  assert judge(failed).status == 'not measured here'


def test_every_claim_has_its_thresholds_its_plots_and_its_place_in_the_ledger():
  numbers = [1, 3, 5, 6, 7, 9, 10, 12, 14, *range(24, 36), 47, 48, *range(50, 56), 57, 60]
  assert list(CLAIMS) == numbers
  assert list(STATEMENTS) == list(range(1, 61))
  assert {s.section for s in STATEMENTS.values()} == set(SECTIONS)
  for claim in CLAIMS.values():
    assert claim.supported_if
    assert claim.contradicted_if
    assert claim.plots
    assert {plot.experiment for plot in claim.plots} <= set(claim.experiments)
  assert {n for n, s, _ in CASES if s == 'supported'} == set(CLAIMS)


def test_sizes_and_batches_are_judged_apart():
  """A short grid of large models must not bend the exponents of a long grid of small ones, nor a batch hide another."""
  small, large = latency(linear, square), [{**r, 'size': 4e6} for r in latency(linear, square) if r['length'] <= 4096]
  assert CLAIMS[10].judge(small + large).status == 'supported'
  growing, constant = decoding(linear, flat, flat), decoding(flat, linear, linear)
  mixed = [{**r, 'batch': 1} for r in growing] + [{**r, 'batch': 32} for r in constant]
  assert CLAIMS[27].judge(mixed).status == 'mixed'
  assert CLAIMS[28].judge(mixed).status == 'mixed'


def test_only_what_learned_to_recall_is_judged():
  """One model at 95 % on the easy setting, all others at chance: nothing is known of their capacity."""
  good, never = recall(0.4, 0.998), [{**r, 'architecture': 'rnn'} for r in recall(0.3, 0.998, easy=0.2)]
  verdict = CLAIMS[7].judge(good + [r for r in never if r['block'] == 'plain'])
  assert verdict.status == 'supported'
  assert 'rnn' not in verdict.about
  one = [r if r['seed'] or r['architecture'] != 'lstm' else {**r, 'value': 0.97} for r in recall(0.1, 0.998, easy=0.3)]
  assert CLAIMS[7].judge(one).status == 'undecided'


def test_seeds_that_vanish_and_explode_do_not_cancel_out():
  rows_ = [{**r, 'value': r['value'] * (-1) ** r['seed']} for r in gradients(-30.0, -12.0)]
  assert CLAIMS[14].judge(rows_).status == 'supported'


def test_loops_in_cpp_are_no_steps_of_the_program():
  records = training(lambda t: 1.0 * t, lambda t: 1.0)
  hidden = [{**row, 'backend': 'cpu', 'value': 1} for row in records if row['metric'] == 'sequential_steps']
  judge = CLAIMS[1].judge
  assert judge([*records, *hidden]).status == judge(records).status == 'supported'
