"""The pages: complete, without another file, and the same numbers as the verdicts."""

import dataclasses

from comparison import report
from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.claims.base import Plot
from comparison.report import figures, markdown, quality, tables
from comparison.report.page import header
from tests.comparison.claims.invented import recall, training
from tests.comparison.claims.test_quality import records as second_budget

IDENTITY = {
  'version': 1, 'scale': 'laptop', 'device': 'cpu', 'device_kind': 'a <device>', 'devices': 1, 'dtype': 'float32',
  'versions': {'jax': '0.0'}, 'commit': 'abc', 'time': 1.0, 'seconds': 30.0, 'cell': 'k', 'content': 'c',
}  # fmt: skip


def test_architectures_stand_side_by_side_at_the_farthest_point():
  rows = training(lambda t: 4e-3, lambda t: 1e-3) + recall(0.4, 0.999)
  other = [row for row in training(lambda t: t / 512e3, lambda t: 1.0) if row['architecture'] == 'lstm']
  table = tables.side_by_side(rows + [{**row, 'architecture': 'mine'} for row in other])
  size = '100k parameters'
  assert table.columns[2:] == (f'training step, T = 1,024, {size}', f'recall of 32 pairs, {size}')
  shown = {row[0]: row[2:] for row in table.rows if row[0] == 'mine' or any(row[3:])}
  assert shown['mine'] == ('2 ms', '')
  assert shown['transformer'][1].startswith('0.999')


def test_a_page_of_no_records_says_so(tmp_path):
  page = report.assemble([], [1, 12])
  assert report.write(page, tmp_path).html.exists()
  assert {s.verdict.status for s in page.sections} == {'not measured here'}
  assert 'not measured here' in report.verdict_table(page)


def test_plots_average_seeds_keep_sizes_apart_and_draw_names_as_bars():
  plot = Plot('t', 'e', 'm', 'x', series=('architecture',))
  rows = [
    {
      'experiment': 'e',
      'metric': 'm',
      'architecture': 'lstm',
      'x': x,
      'size': size,
      'seed': seed,
      'value': x + size + seed,
    }
    for x in (1, 2)
    for size in (10, 20)
    for seed in (0, 1, 2)
  ]
  found = figures.gather(plot, rows)
  assert sorted(len(points) for points in found.values()) == [2, 2]
  assert sorted(points[0][1].value for points in found.values()) == [12.0, 22.0]
  dots = figures.of_seeds(plot, rows)
  assert sorted(value for points in dots.values() for x, value in points if x == 1) == [11, 12, 13, 21, 22, 23]
  assert figures.of_seeds(plot, [row for row in rows if row['seed'] == 0]) == {}
  named = [{**row, 'x': f'part {row["x"]}'} for row in rows]
  assert figures.draw(plot, named).svg().startswith('<svg')
  assert figures.draw(plot, []) is None


def test_a_size_that_explains_the_batch_is_the_only_one_that_names_a_line():
  plot = Plot('t', 'e', 'm', 'x', series=('architecture',))
  rows = [
    {'experiment': 'e', 'metric': 'm', 'architecture': 'lstm', 'x': x, 'size': size, 'batch': tokens // x, 'value': 1.0}
    for size, tokens in ((1e6, 64), (1e7, 16))
    for x in (2, 4, 8)
  ]
  found = figures.gather(plot, rows)
  assert sorted((label, len(points)) for label, points in found.items()) == [
    ('10M parameters', 3),
    ('1M parameters', 3),
  ]


def panels(plot, rows):
  """Titles and series of the panels."""
  return [(title, figures.gather(plot, part)) for title, part in figures.divide(plot, rows)]


def test_many_series_get_a_panel_for_each_size_and_look_alike_in_all():
  plot = Plot('t', 'e', 'm', 'x', series=('architecture', 'backend', 'size'))
  rows = [
    {'experiment': 'e', 'metric': 'm', 'architecture': a, 'backend': b, 'x': x, 'size': size, 'value': 1.0}
    for a in ('lstm', 'gru')
    for b in ('xla', 'cpu')
    for size in (1e6, 1e7)
    for x in (2, 4, 8)
  ]
  parts = panels(plot, rows)
  assert [title for title, _ in parts] == ['1M parameters', '10M parameters']
  assert [list(series) for _, series in parts] == [['gru, cpu', 'gru, xla', 'lstm, cpu', 'lstm, xla']] * 2
  assert figures.draw(plot, rows).svg().count('M parameters') == 2
  assert {style for _, style, _ in figures.looks(['gru, cpu', 'lstm, cpu']).values()} == {'-'}
  few = [row for row in rows if row['architecture'] == 'lstm']
  assert [title for title, _ in panels(plot, few)] == ['']
  again = figures.looks(list(panels(plot, few)[0][1]))
  assert len({style for _, style, _ in again.values()}) == 4


def test_baselines_are_drawn_beside_the_models_and_printed_below_them():
  found = second_budget(value=lambda index, **_: 2.0 - index / 1e3)
  drawn = figures.gather(CLAIMS[35].plots[0], found)
  assert [interval.value for _, interval in drawn['bigram, no model']] == [2.5, 2.5, 2.5]
  assert 'bigram, no model' not in figures.gather(dataclasses.replace(CLAIMS[35].plots[0], baselines=False), found)
  first, second = quality.tables(CLAIMS[35], found)
  assert first.columns == (
    'model',
    'parameters',
    'updates',
    'learning rate',
    'trials',
    'training FLOPs',
    '1 tokens read',
    '5 tokens read',
    '200 tokens read',
  )
  assert [row[0] for row in first.rows] == [
    'lstm, plain', 'transformer, residual', 'no model: unigram', 'no model: bigram',
  ]  # fmt: skip
  lstm, transformer, _, bigram = first.rows
  assert lstm[3:6] == ('0.006 (highest tried)', '6', '6.1e+10, 1.00 ×')
  assert lstm[-1] == '1.8 [1.799, 1.802]; best 1.8'
  assert transformer[5].endswith('1.30 ×')
  assert bigram[-1] == '2.5'
  assert second.title == 'Scores, at equal parameters and training FLOPs'
  assert [(row[0], row[2], row[5]) for row in second.rows[:2]] == [
    ('transformer, residual', '77', '6.2e+10, 1.00 ×'), ('lstm, plain', '100', '6.1e+10, 1.00 ×'),
  ]  # fmt: skip
  assert len(quality.tables(CLAIMS[35], second_budget())) == 1
  beside = tables.side_by_side(found).rows
  assert beside[-1][0] == 'no model: unigram'
  page = report.assemble([{**IDENTITY, **row} for row in found], [35])
  text, html = markdown.render(page, {}), report.html.render(page, {})
  for words in ('Edge of the grid', 'no model: bigram', 'At equal training FLOPs', 'teacher-forced', 'best 1.8'):
    assert words in text
    assert words in html


def test_no_more_columns_than_a_page_has_room_for():
  assert quality.spread([1, 2, 3], 5) == [1, 2, 3]
  assert quality.spread(list(range(9)), 5) == [0, 2, 4, 6, 8]


def test_only_an_architecture_has_its_colour_not_one_whose_name_holds_its_name():
  colours = [
    figures.look(label, 0, {})[0] for label in ('gru, xla', 'min_gru, reference', 'lstm, plain, 1M parameters')
  ]
  assert colours == [figures.COLOURS['gru'], figures.OTHERS[0], figures.COLOURS['lstm']]


def test_rows_of_no_architecture_are_named_by_their_figure():
  rows = [{'experiment': 'e', 'metric': 'm', 'x': x, 'value': 1.0} for x in (1, 2)]
  plot = Plot('All of them', 'e', 'm', 'x', series=('architecture',))
  assert list(figures.gather(plot, rows)) == ['All of them']
  assert figures.draw(plot, rows).svg().startswith('<svg')


def test_legends_are_in_words():
  assert figures.in_words('lstm, xla, 1M parameters') == 'LSTM, xla, 1M parameters'
  assert figures.in_words('sliding_window') == 'sliding window'
  assert figures.in_words('bigram, no model') == 'bigram, no model'


def test_bars_begin_at_zero():
  assert not [plot for claim in CLAIMS.values() for plot in claim.plots if plot.log_y and plot.x == 'part']


def test_cells_of_other_kernels_are_counted():
  cell = lambda name, time, **versions: {
    **IDENTITY, 'experiment': 'timing', 'metric': 'm', 'value': 1.0, 'cell': name, 'time': time, 'versions': versions,
  }  # fmt: skip
  new = [cell(f'new {i}', 2.0, jax='1', **{'C++ kernels': 'bbb'}) for i in range(3)]
  old = [cell(f'old {i}', 1.0, jax='1', **{'C++ kernels': 'aaa'}) for i in range(2)]
  first = [cell('first', 0.0, jax='1')]
  shown = dict(header([*new, *old, *first]))
  assert shown['versions'] == 'jax 1, C++ kernels bbb'
  assert shown['cells of other versions'] == 'of 6: 2 with C++ kernels aaa; 1 with C++ kernels not recorded'
  assert 'cells of other versions' not in dict(header(new))
