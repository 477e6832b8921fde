"""Claims about speech, translation and video."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from comparison import statistics
from comparison.articles.transformer_vs_rnn.earlier_trained import NOISE, of_seeds_alone
from comparison.articles.transformer_vs_rnn.little_data import CONTROLS
from comparison.claims import pairs
from comparison.claims.base import GATED, TRANSFORMER, Claim, Plot, Rule, Verdict, levels, samples, seeds, tuned, where
from comparison.claims.pairs import TIE
from comparison.claims.points import Point, above, below, combine, combine_conditions, not_measured, undecided
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN, NOISY = '2026-11-29 11:15', '2026-11-29 17:17'
RATE = 16_000  # samples a second
BITS = 0.05  # a sample: a smaller difference is none
AHEAD = 2.0  # BLEU
WITH_ATTENTION = ('rnn_attention', 'lstm_attention')
NAMED, PURE = 'transformer_to_lstm', ('encoder_decoder', 'lstm_attention')
LITTLE, MUCH = 0.5, 0.8  # of the memory of exact attention to everything
SPARSE = ('factorised', 'hierarchical', 'recurrent_patches')


def recognition(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'recognition', 'label_error_rate'), 'architecture', 'examples', 'speaker')
  if not rows:
    return not_measured('recognition')
  counts = levels(rows, 'examples')
  rival = pairs.best_on_validation([r for r in rows if r['examples'] == counts[-1]], GATED)
  gaps = {}
  for count in counts if rival else ():
    here = [r for r in rows if r['examples'] == count]
    gaps[count] = {name: b - a for name, (a, b) in pairs.paired(here, TRANSFORMER, rival or '', 'speaker').items()}
  everyone = sorted(set.intersection(*map(set, gaps.values()))) if gaps else []
  if len(everyone) < pairs.FEWEST or len(gaps) < 2:
    return undecided('fewer than two speakers or amounts of data were measured for both sides')
  x = np.log2(sorted(gaps))
  x = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
  slopes = [float(x @ [gaps[count][name] for count in sorted(gaps)]) for name in everyone]
  most = max(gaps)
  points = [
    above(f'word error rate, {rival} − Transformer, {most:,} recordings', _mean(gaps[most]), 1e-9, 0.0),
    above('growth of that difference with each doubling of the recordings', statistics.mean(slopes), 1e-9, 0.0),
  ]
  shown = '; '.join(f'{n:,}: {pairs.means([r for r in rows if r["examples"] == n])}' for n in counts)
  beside = pairs.baselines(where(records, 'recognition', 'baseline'), 'wer')
  text = (
    f'{"; ".join(map(str, points))}. By recordings: {shown}.{beside} The article speaks of thousands of hours; all '
    'recordings of this data set are a third of an hour.'
  )
  return combine(points, text)


def _mean(values: dict[str, float]) -> Interval:
  return statistics.mean(list(values.values()))


def streaming(records: Sequence[Row]) -> Verdict:
  rows = where(records, 'decoding', 'token_seconds', batch=1)
  bits = tuned(where(records, 'sample_models', 'bits'), 'architecture')
  rival = pairs.best_on_validation(bits, GATED)
  worse = pairs.differences(pairs.paired(bits, TRANSFORMER, rival)) if rival else []
  if not rows or not bits:
    return not_measured('sample_models' if rows else 'decoding')
  points: list[Point] = []
  for size in levels(rows, 'size'):
    here = [r for r in rows if r['size'] == size]
    recurrent = {name: pairs.of(here, name) for name in GATED if pairs.of(here, name)}
    cached = [r for r in pairs.of(here, TRANSFORMER) if r['backend'] == 'cached']
    if recurrent and cached:
      slowest = {name: max((_real_time(r) for r in own), key=lambda i: i.value) for name, own in recurrent.items()}
      fastest = min(slowest, key=lambda name: slowest[name].value)
      last = max(cached, key=lambda r: r['position'])
      label = f'seconds of computing for a second of sound, {size:,.0f} parameters'
      points.append(below(f'{fastest}, {label}', slowest[fastest], 1.0))
      points.append(
        above(f'Transformer with its cache after {last["position"]:,} samples, {label}', _real_time(last), 1.0)
      )
  if not points or len(worse) < pairs.FEWEST:
    return undecided('the times or the bits of one of the sides are missing')
  noise = pairs.noise_of_difference(bits, TRANSFORMER, rival or '')
  points.append(below(f'bits a sample, {rival} − Transformer', statistics.mean(worse, noise), BITS))
  beside = pairs.baselines(where(records, 'sample_models', 'baseline'), 'bits')
  named = lambda some: ' and '.join(f'{size:,.0f}' for size in levels(some, 'size')) or 'other'
  sizes = f'Times are of models of {named(rows)} parameters, bits of models of {named(bits)}.'
  return combine(points, f'{"; ".join(map(str, points))}. {sizes} Bits a sample: {pairs.means(bits)}.{beside}')


def _real_time(row: Row) -> Interval:
  return statistics.median([RATE * seconds for seconds in samples(row)])


def translation(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'translations', 'bleu'), 'architecture')
  if not rows:
    return not_measured('translations')
  rival = pairs.best_on_validation(rows, WITH_ATTENTION)
  found = bleu_difference(rows, rival) if rival else None
  if found is None:
    return undecided('fewer than two seeds were measured for attention alone and for an RNN with attention')
  points = [above(f'BLEU of attention alone − {rival}', found, AHEAD, unit='BLEU')]
  beside = pairs.baselines(where(records, 'translations', 'baseline'), 'bleu')
  return combine(points, f'{points[0]}. BLEU: {pairs.means(rows)}.{beside}')


def bleu_difference(rows: Sequence[Row], rival: str) -> Interval | None:
  """Return the mean difference over the seeds with an interval for seeds and test sentences; None without two seeds.

  The variance of the sentences is that of the mean over the seeds on resamples, which are the same for all models.
  """
  sides = [{r['seed']: r for r in pairs.of(rows, name)} for name in ('encoder_decoder', rival)]
  both = sorted(sides[0].keys() & sides[1].keys())
  if len(both) < pairs.FEWEST:
    return None
  by_seed = statistics.mean([sides[0][seed]['value'] - sides[1][seed]['value'] for seed in both])
  resampled = [np.subtract(sides[0][s].get('resampled', [0.0]), sides[1][s].get('resampled', [0.0])) for s in both]
  half = math.hypot(by_seed.high - by_seed.value, 1.96 * float(np.std(np.mean(resampled, axis=0))))
  return Interval(by_seed.value, by_seed.value - half, by_seed.value + half)


def acoustic_split(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'acoustic_split', 'mse'), 'architecture')
  if not rows:
    return not_measured('acoustic_split')
  rival = pairs.best_on_validation(rows, PURE)
  found = pairs.ratios(pairs.paired(rows, NAMED, rival)) if rival else []
  if len(found) < pairs.FEWEST:
    return undecided('fewer than two seeds were measured for the split and for a pure model')
  ratio = pairs.geometric(found, pairs.noise_of_ratio(rows, NAMED, rival or ''))
  points = [below(f'squared error of {NAMED} ÷ {rival}', ratio, 1 - 1e-9, 1.0, unit='×')]
  written = tuned(where(records, 'acoustic_split', 'dtw_mse'), 'architecture')
  text = f'{points[0]}. Squared error: {pairs.means(rows)}. Of frames that a model writes by itself, aligned: '
  beside = pairs.baselines(where(records, 'acoustic_split', 'baseline'), 'mse')
  return combine(points, f'{text}{pairs.means(written)}.{beside}')


def video_forms(records: Sequence[Row]) -> Verdict:
  rows = tuned(where(records, 'video_forms', 'mse'), 'form')
  if not rows:
    return not_measured('video_forms')
  needed = where(records, 'video_forms', 'training_bytes')
  frames = max(levels(needed, 'frames'), default=0)
  memory = {r['form']: r['value'] for r in needed if r['frames'] == frames}
  stored = [row['value'] for row in where(records, 'video_forms', 'stored_training_bytes', frames=frames)]
  errors = {form: pairs.by_seed(rows, form=form) for form in levels(rows, 'form')}
  forms = []
  for form in SPARSE:
    joint, own = errors.get('joint', pairs.BySeed()), errors.get(form, pairs.BySeed())
    both = sorted(joint.keys() & own.keys())
    if len(both) < pairs.FEWEST or not {'joint', form} <= memory.keys():
      continue
    share = memory[form] / memory['joint']
    of_stored = f' ({memory[form] / stored[0]:.2g} of that with stored scores)' if stored else ''
    judged = [r for r in rows if r['form'] in (form, 'joint') and r['seed'] in both]
    noise = pairs.noise_of(judged, functools.partial(_log_ratio, form=form))
    ratios = pairs.geometric([own[seed] / joint[seed] for seed in both], noise)
    error = below(f'squared error, {form} ÷ joint', ratios, 1 + TIE, unit='×')
    label = f'memory, {form} ÷ joint, {frames} frames{of_stored}'
    forms.append((error, below(label, Interval.exact(share), LITTLE, MUCH, '×')))
  if not forms:
    return undecided('fewer than two seeds or no memory were measured for joint attention and for another form')
  shown = ', '.join(f'{form} {seeds(r for r in rows if r["form"] == form).value:.4g}' for form in errors)
  beside = pairs.baselines(where(records, 'video_forms', 'baseline'), 'mse')
  found = '; '.join(str(condition) for conditions in forms for condition in conditions)
  return combine_conditions(forms, f'{found}. Squared error a frame: {shown}.{beside}', kind='often')


def _log_ratio(rows: Sequence[Row], form: str) -> float:
  mean = lambda name: np.mean([r['value'] for r in rows if r['form'] == name])
  return float(np.log(mean(form) / mean('joint')))


CLAIMS = (
  Claim(
    36,
    'Translation',
    'Transformers dominate machine translation.',
    'Multi30k, German into English, sub-words of both languages together; the test sentences are written greedily and '
    'scored by sacreBLEU (lower case). The rival is the GRU or LSTM with attention to the source that is better on '
    f'validation. {CONTROLS}; interval of seeds and, by a paired bootstrap, of the sentences.',
    f'attention alone is {AHEAD:g} BLEU ahead, or more',
    f'it is less than {AHEAD:g} BLEU ahead',
    ('translations',),
    translation,
    (Plot('Test BLEU', 'translations', 'bleu', 'architecture', series=('dataset',), y_label='BLEU'),),
    words='"Transformers dominate these tasks in modern benchmarks"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    42,
    'Speech recognition',
    'With enough training data, Transformers are better at recognising speech.',
    'Spoken digits of a speaker who is in no training split, each of the six in turn; connectionist temporal '
    f'classification of log-mel frames, read both ways; 150 to 2,250 recordings of the others. {CONTROLS}; difference '
    'of word error rates, speaker by speaker, to the LSTM or the GRU, whichever is better on validation with the most '
    'recordings, and its slope over the logarithm of the number of recordings.',
    'the Transformer is better with the most data, and the difference grows with the data',
    'the RNN is, and the difference to it does not shrink',
    ('recognition',),
    recognition,
    (
      Plot(
        'Word error rate of unknown speakers',
        'recognition',
        'label_error_rate',
        'examples',
        series=('architecture',),
        log_x=True,
        x_label='training recordings',
        y_label='word error rate',
      ),
    ),
    words='"training data availability (thousands of hours)"; "long-range linguistic understanding favor transformers"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    43,
    'Streaming synthesis',
    'Generating audio samples one at a time fits RNNs.',
    f'Time of a decoded token × {RATE:,} samples a second, batch 1, of the faster of LSTM and GRU at every position '
    'and of a Transformer with its whole cache at the last one; bits a sample of models of spoken digits (µ-law). '
    f'{CONTROLS}. {NOISE}.',
    'at every size the RNN is faster than the sound, and the Transformer is not; and the RNN needs at most '
    f'{BITS} bits more',
    'the RNN is not faster, the Transformer is, and the RNN needs more bits than that',
    ('decoding', 'sample_models'),
    streaming,
    (
      Plot(
        'Seconds a token',
        'decoding',
        'token_seconds',
        'position',
        where={'batch': (1,)},
        log_x=True,
        log_y=True,
        x_label='position',
        y_label='seconds',
      ),
      Plot('Bits a sample', 'sample_models', 'bits', 'architecture', series=('dataset',), y_label='bits'),
    ),
    revised='version 2 counts the noise of the test examples',
    words='"The streaming nature of synthesis—generating audio samples one at a time—fits RNNs’ sequential processing"',
    since=NOISY,
    from_scale='overnight',
    earlier=(
      Rule(
        1,
        WRITTEN,
        'at every size the RNN is faster than the sound, and the Transformer is not; and the RNN needs at most '
        f'{BITS} bits more',
        'the RNN is not faster, the Transformer is, and the RNN needs more bits than that',
        of_seeds_alone(streaming),
      ),
    ),
  ),
  Claim(
    44,
    'Attention for language, an RNN for sound',
    'A Transformer for linguistic processing with an RNN for acoustic generation uses the strengths of both.',
    'Letters of spoken digits into log-mel frames; attention or an LSTM as encoder × attention or an LSTM as decoder, '
    f'all in residual blocks with attention to the source, of equal size. {CONTROLS}; ratio of the squared errors of '
    'frames, given the true ones before, of attention with an LSTM to the better pure model on validation.',
    'the error of an attention encoder with an LSTM decoder is smaller than that of both pure models',
    'it is larger than that of the better one',
    ('acoustic_split',),
    acoustic_split,
    (Plot('Squared error of frames', 'acoustic_split', 'mse', 'architecture', series=('dataset',), y_label='error'),),
    words='"Some systems use transformers for linguistic processing and RNNs for acoustic generation, leveraging '
    'each architecture’s strengths"',
    since=WRITTEN,
    from_scale='overnight',
  ),
  Claim(
    46,
    'Sparse and hierarchical video models',
    'For video, sparse and hierarchical models do better than attention to everything.',
    'The next frame of moving digits, read in patches: attention to all patches so far; factorised within a frame '
    f'and over time; within a frame below and to all above; an LSTM below and attention above. {CONTROLS}; ratio of '
    'squared errors, and bytes of a training step on a longer video by the compiler, joint attention by blocks; '
    'beside it, with stored scores.',
    f'most of the three forms need at most {LITTLE:.0%} of the memory of joint attention that stores no scores, at an '
    f'error that is at most {TIE:.0%} larger',
    f'most need more than {MUCH:.0%} of that memory, or have a larger error than that',
    ('video_forms',),
    video_forms,
    (
      Plot('Squared error of the next frame', 'video_forms', 'mse', 'form', series=('dataset',), y_label='error'),
      Plot(
        'Bytes of a training step',
        'video_forms',
        'training_bytes',
        'frames',
        series=('form',),
        log_x=True,
        log_y=True,
        x_label='frames',
        y_label='bytes',
      ),
    ),
    words='"sparse transformers that attend to sampled frames, or hierarchical models"; "Pure transformer approaches '
    'remain challenging"',
    since=WRITTEN,
    from_scale='overnight',
  ),
)
