"""Invented records of real data, from which the judges of the article can be shown each verdict."""

from tests.comparison.claims.invented import rows, timed

SEEDS = [0, 1, 2, 3, 4]
wobble = lambda seed, by=0.001: 1 + by * (seed - 2)


def errors(experiment, transformer, rnn, metric='loss', **columns):
  """Values of both sides that differ a little between seeds; the LSTM is no better than the GRU."""
  found = []
  for name, value, better in (('transformer', transformer, 0), ('lstm', 1.05 * rnn, -2), ('gru', rnn, -1)):
    level = lambda seed, value=value, name=name, **_: value * wobble(seed if name == 'transformer' else 4 - seed)
    found += rows(
      experiment, metric, architecture=name, seed=SEEDS, learning_rate=0.01, selection=better, value=level, **columns
    )
  return found


def few(transformer, rnn, others=None):
  """Losses of both sides in one domain, and in two others."""
  count = {'examples': [500, 2000], 'dropout': 0.2}
  found = errors('few_sequences', transformer, rnn, domain='text', **count)
  return found + errors('few_sequences', *(others or (transformer, rnn)), domain=['digits', 'series'], **count)


def forms(transformer, other, is_chosen):
  """Losses of `few`, and those of a deeper form of the Transformer, which validation chooses or does not."""
  of_two_layers = [{**row, 'depth': 2} for row in few(transformer, 1.0)]
  attention = [row for row in few(other, 1.0) if row['architecture'] == 'transformer']
  flat, deep = {'heads': 0, 'position': 'rotary'}, {'depth': 4, 'heads': 4, 'position': 'alibi'}
  found = [row | (flat if row['architecture'] == 'transformer' else {}) for row in of_two_layers]
  return found + [{**row, **deep, 'selection': 1 if is_chosen else -9} for row in attention]


def series(experiment, transformer, rnn, lookback=720, short=None):
  points = {'examples': [400, 1600]} if experiment == 'long_series' else {'horizon': [24, 96], 'examples': 0}
  found = errors(experiment, transformer, rnn, lookback=lookback, **points)
  if short:
    found += errors(experiment, *short, lookback=lookback + 1, **points)
  return found + rows(
    experiment, 'baseline', scored='loss', baseline='linear', lookback=lookback, examples=400, value=0.3
  )


def growing(transformer, rnn, others, most=20_000, trivial=2.0):
  """Errors of both sides with the most windows in one family and in two others; ties with few.

  trivial: the error of a forecast without a model in the one family; 2 in the others.
  """
  found = errors('growing_series', 1.0, 1.0, family=['returns', 'regimes', 'seasons'], examples=200)
  found += errors('growing_series', transformer, rnn, family='returns', examples=most)
  found += rows(
    'growing_series', 'baseline', scored='loss', baseline='linear', family=['returns', 'regimes', 'seasons'],
    examples=most, value=lambda family, **_: trivial if family == 'returns' else 2.0,
  )  # fmt: skip
  return found + errors('growing_series', *others, family=['regimes', 'seasons'], examples=most)


def small_models(loss_of_lstm, loss_of_transformer, cost=0.4, time=0.4, control=None):
  """An LSTM of a small size and of a large one, and the Transformer of the large size; its costs are 1.

  control: the loss of a Transformer of the small size that is as cheap as the LSTM.
  """
  found = []
  for name, size, loss in (
    ('lstm', 5e4, loss_of_lstm), ('lstm', 2e5, loss_of_lstm), ('transformer', 5e4, control or loss_of_transformer + 1),
    ('transformer', 2e5, loss_of_transformer),
  ):  # fmt: skip
    found += rows(
      'small_language_models', 'loss', architecture=name, size=size, seed=SEEDS, selection=-loss,
      value=lambda seed, loss=loss, **_: loss * wobble(seed),
    )  # fmt: skip
    is_cheap = size == 5e4 and (name == 'lstm' or control is not None)
    share = cost if is_cheap else 1.0
    who = {'architecture': name, 'size': size}
    found += rows('generation_cost', 'token_flops', value=1e6 * share, **who)
    taken = time if is_cheap else 1.0
    found += rows('generation_cost', 'token_seconds', value=lambda t=taken, **_: timed(1e-4 * t), **who)
  return found


def recognised(few_, many):
  """Word error rates of the Transformer less those of the RNN, with few recordings and with many."""
  found = []
  for name in ('transformer', 'gru'):
    level = lambda examples, speaker, name=name, **_: (
      0.4
      - (0.0 if name == 'transformer' else few_ if examples == 150 else many)
      + 0.01 * len(speaker)
      + (0.001 * (len(speaker) % 3) if name == 'gru' else 0.0)
    )
    found += rows(
      'recognition', 'label_error_rate', architecture=name, examples=[150, 2250], seed=0, selection=0.0, value=level,
      speaker=['theo', 'lucas', 'nicolas', 'george', 'jackson', 'yweweler'],
    )  # fmt: skip
  return found


def synthesis(rnn, transformer, more_bits):
  """Seconds of computing for a second of sound, and how many bits more the RNN needs."""
  found = errors('sample_models', 4.0, 4.0 + more_bits, metric='bits')
  for name, backend, share in (('gru', 'auto', rnn), ('transformer', 'cached', transformer)):
    found += rows(
      'decoding', 'token_seconds', architecture=name, backend=backend, position=[1, 1000], batch=1, size=1e5,
      value=lambda share=share, **_: timed(share / 16_000),
    )  # fmt: skip
  return found


def translated(transformer, rnn, noise=0.1):
  """BLEU by seed, and on four resamples whose noise the two sides share but for `noise`."""
  found = []
  for name, bleu in (('encoder_decoder', transformer), ('rnn_attention', rnn), ('lstm_attention', rnn - 1)):
    for row in rows('translations', 'bleu', architecture=name, seed=[0, 1, 2], selection=bleu, value=bleu):
      own = noise if name == 'encoder_decoder' else 0.0
      value = row['value'] + 0.05 * row['seed'] * (own > 0)
      found.append({**row, 'value': value, 'resampled': [value + 3 * s + own * s for s in (-1, 1, -0.5, 0.5)]})
  return found


def split(named, pure):
  found = []
  for name, error in (('transformer_to_lstm', named), ('encoder_decoder', pure), ('lstm_attention', pure + 0.1)):
    level = lambda seed, error=error, name=name, **_: (
      error * wobble(seed if name == 'transformer_to_lstm' else 4 - seed)
    )
    for metric in ('mse', 'dtw_mse'):
      found += rows('acoustic_split', metric, architecture=name, seed=SEEDS, selection=-error, value=level)
  return found


def videos(sparse, memory):
  """Errors of the sparse forms ÷ that of joint attention, and their memory."""
  found = []
  for form in ('joint', 'factorised', 'hierarchical', 'recurrent_patches', 'frames'):
    ratio, share = (1.0, 1.0) if form == 'joint' else (sparse, memory)
    found += rows(
      'video_forms', 'mse', architecture='transformer', form=form, seed=SEEDS, selection=-ratio,
      value=lambda seed, ratio=ratio, form=form, **_: 20 * ratio * wobble(seed if form == 'joint' else 4 - seed),
    )  # fmt: skip
    found += rows('video_forms', 'training_bytes', form=form, frames=[12, 256], value=1e9 * share)
  return found + rows('video_forms', 'stored_training_bytes', form='joint', frames=256, value=4e9)


def noisy(records, noise, metric='loss', shared=0.1, alone=lambda row: row['architecture'] == 'transformer'):
  """Return records with the scores on four parts of the test examples, their means unchanged.

  What both sides share of the parts' differences (`shared`) cancels; `noise` is that of one side alone.
  """
  spread = lambda own: [1 + shared * s + own * t for s, t in ((-1, 1), (1, -1), (2, 1), (-2, -1))]
  found = []
  for row in records:
    if row['metric'] == metric and 'seed' in row:
      parts = spread(noise if alone(row) else 0.0)
      row = {**row, 'parts': [row['value'] * part for part in parts]}
    found.append(row)
  return found


def beside(records):
  """Return records with another LSTM in the residual block, which has no error at all."""
  others = [{**r, 'block': 'residual', 'value': 1e-9} for r in records if r.get('architecture') == 'lstm']
  return records + [{**r, 'selection': 1.0} for r in others if 'selection' in r]


CASES = [
  (23, 'supported', few(1.0, 1.0)),
  (23, 'supported', few(1.0, 0.9, others=(1.0, 1.2))),  # in one of three domains
  (23, 'contradicted', few(1.0, 1.1)),
  (23, 'undecided', few(1.0, 1.0098)),
  (23, 'supported', noisy(few(1.0, 1.0), 0.001)),
  (23, 'undecided', noisy(few(1.0, 1.0), 0.02)),  # of so few test examples
  (23, 'contradicted', beside(few(1.0, 1.1))),
  (23, 'contradicted', forms(1.0, 0.9, is_chosen=True)),
  (23, 'supported', forms(1.0, 0.9, is_chosen=False)),  # a better form that validation did not choose
  (23, 'supported', forms(0.9, 1.0, is_chosen=True)),
  (36, 'supported', translated(35.0, 30.0)),
  (36, 'contradicted', translated(30.0, 30.0)),
  (36, 'undecided', translated(32.5, 30.0, noise=1.0)),  # so few sentences
  (38, 'supported', small_models(1.03, 1.0)),
  (38, 'supported', small_models(1.03, 1.0, control=1.1)),
  (38, 'undecided', small_models(1.03, 1.0, control=1.01)),  # as cheap, and better
  (38, 'contradicted', small_models(1.2, 1.0)),
  (38, 'contradicted', beside(small_models(1.2, 1.0))),
  (38, 'supported', noisy(small_models(1.03, 1.0, control=1.1), 0.001)),
  (38, 'undecided', noisy(small_models(1.03, 1.0), 0.03)),
  (38, 'undecided', small_models(1.03, 1.0, cost=0.6)),
  (38, 'undecided', small_models(1.03, 1.0, time=0.6)),
  (39, 'supported', series('long_series', 1.1, 1.0)),
  (39, 'contradicted', series('long_series', 0.9, 1.0)),
  (39, 'contradicted', series('long_series', 1.0, 1.0)),  # a tie is no advantage
  (39, 'supported', noisy(series('long_series', 1.1, 1.0), 0.01)),
  (39, 'undecided', noisy(series('long_series', 1.1, 1.0), 0.1)),
  (39, 'undecided', series('long_series', 1.1, 1.0, lookback=96)),  # which is not long
  (39, 'mixed', series('long_series', 1.1, 1.0, short=(0.9, 1.0))),
  (39, 'contradicted', beside(series('long_series', 0.9, 1.0))),
  (40, 'supported', series('ten_thousand_steps', 1.1, 1.0, lookback=10_080)),
  (40, 'contradicted', series('ten_thousand_steps', 0.9, 1.0, lookback=10_080)),
  (40, 'undecided', noisy(series('ten_thousand_steps', 1.1, 1.0, lookback=10_080), 0.1)),
  (40, 'undecided', series('ten_thousand_steps', 1.1, 1.0, lookback=960)),
  (41, 'supported', growing(0.8, 1.0, (1.0, 0.9))),  # in one of three families
  (41, 'contradicted', growing(1.0, 1.0, (1.0, 0.9))),
  (41, 'undecided', growing(1.0, 1.01, (1.0, 0.9))),
  (41, 'supported', noisy(growing(0.8, 1.0, (1.0, 0.9)), 0.01)),
  (41, 'undecided', noisy(growing(0.8, 1.0, (1.0, 0.9)), 0.3)),
  (41, 'undecided', growing(0.8, 1.0, (1.0, 0.9), most=2000)),  # which is not abundant
  (41, 'contradicted', growing(0.8, 1.0, (1.0, 0.9), trivial=0.83)),  # which no model has learned
  (41, 'supported', growing(0.8, 1.0, (1.0, 0.9), trivial=0.85)),
  (42, 'supported', recognised(0.1, -0.1)),
  (42, 'contradicted', recognised(0.05, 0.2)),
  (42, 'mixed', recognised(0.2, 0.05)),  # the RNN is ahead, by less and less
  (43, 'supported', synthesis(0.2, 3.0, 0.0)),
  (43, 'contradicted', synthesis(3.0, 0.2, 0.5)),
  (43, 'mixed', synthesis(0.2, 0.5, 0.0)),
  (43, 'supported', noisy(synthesis(0.2, 3.0, 0.0), 0.001, 'bits')),
  (43, 'undecided', noisy(synthesis(0.2, 3.0, 0.0), 0.1, 'bits')),
  (44, 'supported', split(0.9, 1.0)),
  (44, 'contradicted', split(1.1, 1.0)),
  (44, 'undecided', split(1.0, 1.0)),
  (46, 'supported', videos(1.0, 0.5)),
  (46, 'contradicted', videos(1.1, 0.5)),
  (46, 'contradicted', videos(0.9, 1.5)),
  (46, 'contradicted', videos(0.9, 0.85)),
  (46, 'undecided', videos(0.9, 0.7)),
  (46, 'undecided', videos(1.01, 0.5)),
]  # fmt: skip
# Of rules that were replaced: claim, version, status, records.
EARLIER = [
  (43, 1, 'supported', synthesis(0.2, 3.0, 0.0)),
  (43, 1, 'contradicted', synthesis(3.0, 0.2, 0.5)),
  (43, 1, 'supported', noisy(synthesis(0.2, 3.0, 0.0), 0.1, 'bits')),  # whatever the noise
]  # fmt: skip
