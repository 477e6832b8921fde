"""Search spaces: every form, what is drawn depends on the index alone, and one line for each bad text."""

import itertools
import math

import numpy as np
import pytest

from commands.config_file import ROOT, Source
from configs import space
from seqmodels.errors import InputError

SOURCE = Source(f'{ROOT}/configs/copying.py:lstm,scale=smoke', {})
CONFIG = SOURCE.load()
SEEDS = 'seed=0..2'


def values(text):
  (axis,) = space.parse(CONFIG, [text, SEEDS]).axes
  return axis.values


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('learning_rate=1e-3,3e-3', (1e-3, 3e-3)),
    ('train.learning_rate=log:1e-4:1e-1:4', (1e-4, 1e-3, 1e-2, 1e-1)),
    ('weight_decay=linear:0:0.4:5', (0.0, 0.1, 0.2, 0.3, 0.4)),
    ('model.width=64,128', (64, 128)),
    ('model.width=log:8:64:4', (8, 16, 32, 64)),
    ('depth=1..3', (1, 2, 3)),
    ('dropout=0..1', (0.0, 1.0)),
    ('optimizer=adamw,sgd', ('adamw', 'sgd')),
    ('model.pattern=lstm,lstm+attention', ('lstm', 'lstm+attention')),
    ('tie_embeddings=true,false', (True, False)),
    ('model.params=1e4,2e4', (1e4, 2e4)),
  ],
)
def test_every_form_has_its_values(text, expected):
  found = values(text)
  assert found == expected
  assert [type(value) for value in found] == [type(value) for value in expected]


def test_a_grid_is_evenly_spaced_and_keeps_its_ends():
  found = values('learning_rate=log:1e-4:1e-2:8')
  assert (found[0], found[-1]) == (1e-4, 1e-2)
  assert np.diff(np.log(found)) == pytest.approx(math.log(100) / 7, rel=1e-4)


def test_the_product_has_every_setting_with_every_seed_once():
  made = space.parse(CONFIG, ['learning_rate=1e-3,1e-2', SEEDS, 'model.width=8,16'])
  found = [(*trial.values.values(), trial.seed) for trial in made.trials()]
  assert found == list(itertools.product((1e-3, 1e-2), (8, 16), (0, 1, 2)))
  config = SOURCE.load(made.trials()[-1].overrides)
  assert (config.train.learning_rate, config.model.width, config.train.seed) == (1e-2, 16, 2)


def test_a_budget_takes_a_part_that_a_larger_one_keeps():
  made = space.parse(CONFIG, ['learning_rate=log:1e-4:1e-2:8', SEEDS])
  part = {n: {(*t.values.values(), t.seed) for t in made.trials(n)} for n in (1, 7, 20, 24, 99)}
  assert [len(part[n]) for n in part] == [1, 7, 20, 24, 24]
  assert part[1] < part[7] < part[20] < part[24] == part[99]
  assert made.trials(7) == made.trials(7) != made.trials(7, seed=1)


def test_draws_depend_on_field_index_and_seed_alone():
  rate, width = 'learning_rate=loguniform:1e-4:1e-2', 'model.width=uniform:8:11'
  alone = space.parse(CONFIG, [rate, 'seed=0']).trials(40)
  both = space.parse(CONFIG, [width, rate, 'model.block=plain,residual', SEEDS]).trials(60)
  first = [t for t in both if t.seed == 0]
  assert [t.values['train.learning_rate'] for t in first[:40]] == [t.values['train.learning_rate'] for t in alone]
  assert len(both) == 3 * len(first) == 180
  assert {t.values['model.width'] for t in both} == {8, 9, 10, 11}
  assert {t.values['model.block'] for t in both} == {'plain', 'residual'}
  logs = np.log10([t.values['train.learning_rate'] for t in first])
  assert -4 <= logs.min() < -3.8 < -2.2 < logs.max() <= -2
  assert abs(logs.mean() + 3) < 3 * 2 / math.sqrt(12 * 60)
  assert space.parse(CONFIG, [rate, 'seed=0']).trials(40, seed=1) != alone


def test_a_setting_that_is_drawn_twice_is_tried_once():
  assert len(space.parse(CONFIG, ['depth=uniform:1:2', 'seed=0..1']).trials(50)) == 4


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('learning_rate=log:1e-3:1e-1:3', (1e-4, 1.0)),
    ('learning_rate=1e-3,1e-2', (1e-4, 1e-1)),
    ('weight_decay=0.1,0.2,0.3', (0.0, 0.4)),
    ('model.width=64,128', (32, 256)),
    ('depth=1..4', (0, 5)),
    ('learning_rate=loguniform:1e-3:1e-1', (3.16e-4, 0.316)),
    ('dropout=uniform:0:0.4', (-0.2, 0.6)),
  ],
)
def test_an_axis_goes_on_as_it_is_spaced(text, expected):
  (axis,) = space.parse(CONFIG, [text, SEEDS]).axes
  assert axis.beyond() == pytest.approx(expected)


def test_texts_and_single_values_have_no_direction():
  for text in ('optimizer=adamw,sgd', 'tie_embeddings=true,false', 'depth=2'):
    assert space.parse(CONFIG, [text, SEEDS]).axes[0].beyond() is None


@pytest.mark.parametrize(
  ('texts', 'expected'),
  [
    (['learning_rate=1e-3'], '--set=seed=… is missing'),
    (['lr=1e-3', SEEDS], "--set field='lr' is not known; nearest: learning_rate"),
    (['train.lr=1e-3', SEEDS], "--set.train field='lr' is not known; nearest: learning_rate"),
    (['modle.width=8', SEEDS], "--set field='modle' is not known; nearest: model"),
    (['model.mixer=8', SEEDS], '--set.model.mixer is a section'),
    (
      ['batch_size=8', SEEDS],
      '--set=batch_size is a field of several sections; allowed: eval.batch_size, train.batch_size',
    ),
    (['learning_rate', SEEDS], "--set='learning_rate' must be field=values"),
    (['learning_rate=', SEEDS], "--set='learning_rate=' must be field=values"),
    (['=3', SEEDS], "--set='=3' must be field=values"),
    (['learning_rate=fast', SEEDS], "--set=train.learning_rate='fast' must be a finite number"),
    (['learning_rate=1e-3,,1e-2', SEEDS], "--set=train.learning_rate='1e-3,,1e-2' has an empty value"),
    (['learning_rate=1e-3,0.001', SEEDS], '--set=train.learning_rate=1e-3,0.001 gives 0.001 twice'),
    (['model.width=8,8.5', SEEDS], 'model.width=8.5 must be a whole number'),
    (['tie_embeddings=0,maybe', SEEDS], "model.tie_embeddings='maybe' must be true or false"),
    (['seed=4..0'], '--set=train.seed=4..0 is empty: 4 is above 0'),
    (['seed=0..20000'], '--set=train.seed=0..20000 has 20,001 values; at most 10,000'),
    (['seed=uniform:0:9'], '--set=seed=uniform:0:9 must be a list or a range'),
    (['seed=0', 'train.seed=1'], '--set=train.seed: train.seed is given twice'),
    (['learning_rate=log:1e-2:1e-4:8', SEEDS], '--set=train.learning_rate=log:1e-2:1e-4:8 is empty: lo=1e-2 must be'),
    (['learning_rate=log:0:1e-4:8', SEEDS], 'lo=0 must be greater than 0 in logarithms'),
    (['learning_rate=loguniform:-1:1', SEEDS], 'lo=-1 must be greater than 0 in logarithms'),
    (['learning_rate=log:1e-4:1e-2', SEEDS], 'must be log:lo:hi:n'),
    (['learning_rate=uniform:1e-4:1e-2:8', SEEDS], 'must be uniform:lo:hi'),
    (['learning_rate=log:1e-4:1e-2:1', SEEDS], 'n=1 must be from 2 to 10,000'),
    (['learning_rate=log:1e-4:1e-2:x', SEEDS], "n='x' must be a whole number"),
    (['learning_rate=log:a:1e-2:3', SEEDS], "--set=train.learning_rate='a' must be a finite number"),
    (
      ['learning_rate=lin:1:2:3', SEEDS],
      "--set=train.learning_rate=lin:1:2:3: the form 'lin' is not known; nearest: linear; allowed: a,b,c; 0..4; log:",
    ),
    (['model.width=1:8', SEEDS], "--set=model.width=1:8: the form '1' is not known; allowed: a,b,c; 0..4; log:lo:hi:n"),
    (['model.width=linear:1:3:8', SEEDS], 'gives a value twice; ask for fewer than n=8'),
    (['optimizer=log:1:2:3', SEEDS], '--set=train.optimizer=log:1:2:3 must be values with commas between'),
    (['learning_rate=uniform:0:1', SEEDS], '--set=train.learning_rate=uniform:0:1 is drawn and needs --budget=N'),
    (['steps=1..1000', 'warmup_steps=1..1000', 'seed=1..9'], '--set gives 9,000,000 trials; at most 1,000,000'),
    (['steps=1..1000', 'seed=0..99'], '--set and --budget give 100,000 trials; at most 10,000'),
  ],
)
def test_a_bad_text_is_one_line(texts, expected):
  with pytest.raises(InputError) as caught:
    space.parse(CONFIG, texts).trials()
  assert expected in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_budget_below_one_is_refused():
  with pytest.raises(InputError, match='--budget=0 must be at least 1'):
    space.parse(CONFIG, [SEEDS]).trials(0)


def test_a_field_is_set_by_one_flag_alone():
  source = Source(SOURCE.flag, {'train.seed': '3'})
  with pytest.raises(InputError, match=r'--config\.train\.seed and --set=train\.seed exclude each other'):
    source.load({'train.seed': '0'})
