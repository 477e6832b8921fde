"""Check the article's tables and the headline: sizes are shown, and no winner is named that the records contradict."""

import re

import pytest

from comparison.articles.transformer_vs_rnn import tables as article
from comparison.claims import ratios
from comparison.claims.ratios import DECODING, LATENCY, TRAINING
from comparison.report import canvas, headline
from tests.comparison.claims.invented import decoding, gradients, latency, reach, recall, state, training


def at(rows, size):
  return [{**row, 'size': size, 'cell': f'{size}'} for row in rows]


def faster_and_slower(size):
  """LSTM at half the time of the Transformer in a small model, at twice the time in a large one."""
  factor = 0.5 if size < 1e6 else 2.0
  rows = training(lambda t: factor * 2e-3, lambda t: 2e-3) + latency(lambda t: factor * 2e-4 * t, lambda t: 2e-4 * t)
  return at(rows, size)


def lines(table):
  return [' | '.join(row) for row in table.rows]


def test_a_winner_that_changes_with_the_size_depends_on_size():
  rows = faster_and_slower(2e5) + faster_and_slower(4e6)
  for table in article.tables(rows):
    timed = [row for row in table.rows if row[-4].endswith(('ms (transformer xla)', 'ms (transformer reference)'))]
    assert timed
    assert {row[-1] for row in timed} == {ratios.BY_SIZE}
    assert {row[-3] for row in timed} == {'0.5', '2'}
  alone = article.by_length(faster_and_slower(2e5))
  assert {row[-1] for row in alone.rows if 'training' in row[2]} == {'RNN (one size)'}


def test_every_row_has_its_size_and_a_winner_of_all_sizes_is_named():
  rows = [row for size in (2e5, 4e6) for row in at(training(lambda t: 1e-3, lambda t: 2e-3) + state(0.01), size)]
  shown = '1 ms (lstm xla) | 2 ms (transformer xla) | 0.5 | 0.5 | RNN'
  assert lines(article.by_length(rows))[:2] == [
    f'short, < 100 tokens | RNN | training step, T = 64 | 200k | {shown}',
    f' |  | training step, T = 64 | 4M | {shown}',
  ]
  sizes = [row[2] for row in article.trade_offs(rows).rows if 'state' in row[0] or not row[0]]
  assert sizes == ['200k', '4M']
  assert [len(table.rows) for table in article.tables([])] == [0, 0]


def test_lengths_are_those_that_every_size_has():
  small, large = (at(latency(lambda t: 1e-4 * t, lambda t: 2e-4 * t, lengths=ls), size) for ls, size in (
    ((8, 96, 512, 1000), 2e5), ((8, 512), 4e6),
  ))  # fmt: skip
  spots = [row[2] for row in article.by_length(small + large).rows if 'latency' in row[2]]
  assert spots == ['latency of one sequence, T = 8'] * 2 + ['latency of one sequence, T = 512'] * 2


def test_the_elman_network_is_a_note_and_never_a_side():
  ladder = training(lambda t: 2e-3, lambda t: 1e-3)
  elman = [{**row, 'architecture': 'rnn', 'value': row['value'] / 8, 'samples': [x / 8 for x in row['samples']]}
           for row in ladder if row['architecture'] == 'lstm' and 'samples' in row]  # fmt: skip
  table = article.by_length(ladder + elman)
  assert not [row for row in table.rows if '(rnn' in row[4]]
  assert {row[-1] for row in table.rows} == {'Transformer (one size)'}
  assert 'Elman' in table.note
  assert '0.12 to 0.12' in table.note
  assert 'Elman' not in article.by_length(ladder).note


def test_one_backend_a_side_stands_in_a_column_and_a_better_one_may_reverse_it():
  rows = latency(lambda t: 4e-4 * t, lambda t: 2e-4 * t)
  short = [{**row, 'backend': 'cpu', 'value': 1e-5 * row['length'], 'samples': [1e-5 * row['length']] * 5}
           for row in rows if row['architecture'] == 'lstm' and row['metric'] == 'forward_seconds'
           and row['length'] < 99]  # fmt: skip
  table = article.by_length(rows + short)
  assert {row[4].split('(')[1] for row in table.rows} == {'lstm xla)'}
  assert {row[5].split('(')[1] for row in table.rows} == {'transformer reference)'}
  timed = {row[2]: row[-1] for row in table.rows if 'latency' in row[2]}
  assert timed['latency of one sequence, T = 96'] == ratios.BY_BACKEND
  assert timed['latency of one sequence, T = 1,000'] == 'Transformer (one size)'


def test_memory_is_that_of_the_backends_whose_time_is_best_and_whose_memory_is_known():
  rows = latency(lambda t: 1e-4 * t, lambda t: 2e-4 * t)
  lean = [{**row, 'backend': 'reference', 'value': row['value'] * (3 if row['metric'] == 'forward_seconds' else 0.1)}
          for row in rows if row['architecture'] == 'lstm']  # fmt: skip
  unknown = [{**row, 'backend': 'cpu', 'value': row['value'] / 9} for row in rows
             if row['architecture'] == 'lstm' and row['metric'] == 'forward_seconds']  # fmt: skip
  found = ratios.pairs(rows + lean + unknown, ratios.MEMORY)[1e5][1000]
  assert found.rnn['backend'] == 'xla'
  assert found.ratio.value == pytest.approx(1e-3)
  assert found.best.value == pytest.approx(1e-4)


def test_scores_win_where_intervals_do_not_touch():
  table = article.trade_offs(recall(0.4, 0.999) + reach(0.5, 0.9, 0.9, 0.9) + gradients(-30.0, -12.0))
  (row,) = [row for row in table.rows if 'recall of 32 pairs' in row[0]]
  assert row[2] == '100k'
  assert row[-1] == 'Transformer (one size)'
  (tied,) = [row for row in article.trade_offs(recall(0.999, 0.999)).rows if 'recall of 32' in row[0]]
  assert tied[-1] == 'tie (one size)'


def test_the_headline_is_the_ratio_of_the_best_backends_by_size_and_length():
  rows = (
    faster_and_slower(2e5) + faster_and_slower(4e6) + at(decoding(lambda p: 1e-5, lambda p: 1e-5 * p, lambda p: 1), 2e5)
  )
  found = {measure: ratios.best_by_length(rows, measure) for measure in (TRAINING, LATENCY, DECODING)}
  assert {size: {ratio.value for ratio in at.values()} for size, at in found[TRAINING].items()} == {
    2e5: {0.5},
    4e6: {2.0},
  }
  assert found[DECODING][2e5][1000].value == pytest.approx(1e-3)
  table = headline.table(rows)
  assert [row[1:] for row in table.rows[:2]] == [
    ('200k', '0.5 at T = 32 → 0.5 at T = 1,024', 'RNN, everywhere'),
    ('4M', '2 at T = 32 → 2 at T = 1,024', 'Transformer, everywhere'),
  ]
  assert table.rows[-1][-1] == 'tie at 1, RNN at 100 … 1,000'


def test_the_sentence_names_a_side_only_where_it_is_faster_at_every_size():
  small, large = faster_and_slower(2e5), faster_and_slower(4e6)
  both = 'Training step: depends on the size. Latency of one sequence: depends on the size.'
  assert headline.sentence(small + large) == both
  assert headline.sentence(large).startswith('Training step: Transformer faster at every size and length. ')
  crossing = training(lambda t: 1e-3, lambda t: 1e-5 * t)
  assert headline.sentence(crossing) == 'Training step: depends on the length.'
  assert headline.sentence(training(lambda t: 1.0, lambda t: 1.0)) == 'Training step: a tie at every size and length.'


def test_the_picture_has_a_panel_for_each_measure_a_line_for_each_size_and_words_on_both_sides():
  rows = faster_and_slower(2e5) + faster_and_slower(4e6)
  drawn = headline.draw(rows).svg()
  for words in ('training step', 'latency of one sequence', '200k parameters', '4M parameters', 'RNN faster', '1/2 ×'):
    assert words in drawn
  assert 'decoded' not in drawn
  assert drawn == headline.draw(rows).svg()
  assert headline.draw([]) is None
  assert '#ffffff' in canvas.on_paper(drawn)


def test_colours_of_the_picture_have_a_contrast_of_three_to_white():
  def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

  assert all(1.05 / (luminance(colour) + 0.05) >= 3 for colour, _ in headline.LOOKS)
  assert all(re.fullmatch('#[0-9a-fA-F]{6}', colour) for colour, _ in headline.LOOKS)


def test_models_and_blocks_are_chosen_on_validation():
  """By test accuracy, the LSTM in the residual block and the GRU would be shown."""
  scores = {('lstm', 'plain'): (0.6, -1.0), ('lstm', 'residual'): (0.7, -2.0), ('gru', 'plain'): (0.8, -3.0),
            ('transformer', 'residual'): (0.99, -0.5)}  # fmt: skip
  rows = [
    {'architecture': architecture, 'block': block, 'seed': seed, 'value': value, 'selection': selection, 'size': 1e5}
    for (architecture, block), (value, selection) in scores.items() for seed in (0, 1)
  ]  # fmt: skip
  (shown,) = article.scored(rows)
  assert shown[2] == '0.6 (lstm, plain)'
  assert shown[-2] == 'lstm, plain 0.6'
  (shown,) = article.scored([{name: x for name, x in row.items() if name != 'selection'} for row in rows])
  assert shown[2] == '0.7 (lstm, residual)'
  assert shown[-2] == 'gru, plain 0.8'
