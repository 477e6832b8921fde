"""Where the better of two RNNs is judged, the Transformer has as many forms and as many trials."""

import pytest

from comparison.claims import pairs
from comparison.experiments import EXPERIMENTS
from comparison.experiments.sides import OfSides
from comparison.experiments.variants import Variant

RNNS = ('lstm', 'gru')
NAMES = sorted(name for name, experiment in EXPERIMENTS.items() if isinstance(experiment, OfSides))


def trials(cells):
  """How many models are trained, but for rates that are added at an edge: all cells have the same rule for these."""
  rates = lambda cell: len(cell['rates'])
  return sum(rates(c) * len(c['tuning_seeds']) + len(c['seeds']) - len(c['tuning_seeds']) for c in cells)


def sides(name, scale):
  cells = [cell for cell in EXPERIMENTS[name].cells(scale) if not (cell['block'] or 'matched' in cell)]
  return [[c for c in cells if c['architecture'] in side] for side in (('transformer',), RNNS)]


def test_the_experiments_whose_judges_take_the_better_of_lstm_and_gru():
  assert NAMES == [
    'few_sequences', 'growing_series', 'long_series', 'recognition', 'sample_models', 'ten_thousand_steps',
    'token_index',
  ]  # fmt: skip


@pytest.mark.parametrize('scale', ['overnight', 'accelerator'])
@pytest.mark.parametrize('name', NAMES)
def test_both_sides_have_as_many_trials(name, scale):
  attention, recurrent = sides(name, scale)
  assert attention
  assert len(attention) == len(recurrent)
  with_seeds = lambda cells: [{'tuning_seeds': cell['seeds'], **cell} for cell in cells]
  assert trials(with_seeds(attention)) == trials(with_seeds(recurrent))


@pytest.mark.parametrize('scale', ['overnight', 'accelerator'])
def test_translation_has_as_many_forms_of_attention_alone_as_of_rnns_with_attention(scale):
  cells = EXPERIMENTS['translations'].cells(scale)
  count = lambda *names: sum(cell['architecture'] in names for cell in cells)
  assert count('encoder_decoder') == count('rnn_attention', 'lstm_attention') == 2


@pytest.mark.parametrize('scale', ['overnight', 'accelerator'])
@pytest.mark.parametrize('name', NAMES)
def test_forms_differ_in_depth_heads_and_positions(name, scale):
  attention, recurrent = sides(name, scale)
  of = lambda cells, column: {cell.get(column) for cell in cells}
  for column in ('depth', 'heads', 'position'):
    assert len(of(attention, column)) > 1
  assert len({(c['architecture'], c['depth']) for c in recurrent}) == EXPERIMENTS[name].forms
  assert len({(c['depth'], c['heads'], c['position']) for c in attention}) == EXPERIMENTS[name].forms


def test_a_form_is_built_with_its_layers_heads_and_positions():
  experiment = EXPERIMENTS['growing_series']
  for cell in experiment.cells('overnight')[:4]:
    variant = Variant(cell['architecture'], '', cell['block'], fields=dict(experiment.fields(cell)))
    config = experiment.build(variant, experiment.task(cell), cell).config
    assert (config.depth, config.heads, config.position) == (cell['depth'], cell['heads'], cell['position'])


def test_a_named_architecture_is_searched_over_as_many_depths_beside_the_references():
  cells = EXPERIMENTS['few_sequences'].cells_of('overnight', ['mamba2', 'griffin', 'gru'])
  depths = {}
  for cell in cells:
    depths.setdefault(cell['architecture'], set()).add(cell['depth'])
  assert depths == {'transformer': {2, 4}, 'lstm': {1, 2}, 'gru': {1, 2}, 'mamba2': {1, 2, 3, 4}, 'griffin': {3, 6}}
  assert not any('heads' in cell for cell in cells if cell['architecture'] != 'transformer')
  own = EXPERIMENTS['few_sequences'].cells('overnight')
  assert [cell for cell in cells if cell['architecture'] in ('transformer', 'lstm', 'gru')] == sorted(
    (cell for cell in own if not cell['block']), key=cells.index
  )  # the same cells as in the grid without names


def test_the_form_that_validation_chose_is_told():
  row = {'depth': 4, 'heads': 4, 'position': 'alibi', 'dropout': 0.2, 'domain': 'text', 'architecture': 'transformer'}
  lstm = {'depth': 1, 'dropout': 0.0, 'domain': 'text', 'architecture': 'lstm'}
  assert pairs.chosen_forms([lstm, row], ('transformer', 'lstm'), 'domain') == (
    ' Chosen on validation: text: transformer: 4 layers, 4 heads, alibi positions, dropout 0.2; '
    'lstm: 1 layer, dropout 0.'
  )
  assert pairs.chosen_forms([lstm], ('transformer', 'lstm'), 'domain') == ''
  assert 'heads by the width' in pairs.form_of(row | {'heads': 0})
