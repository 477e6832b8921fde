"""Pictures of predictions: files of every kind, named by step and split, and one line where there is nothing to see."""

import logging

import matplotlib.image
import numpy as np
import pytest

import eval as evaluation
import train
from commands import pictures
from configs import adding, copying, forecasting
from seqmodels.errors import InputError
from tasks.shown import Attention, Classes, Film, Forecast, Spectrograms, Text

RNG = np.random.default_rng(0)
FORECAST = Forecast(RNG.normal(size=(30, 6)), *(RNG.normal(size=(8, 6)) for _ in range(4)))
FILM = Film(*(RNG.random((n, 16, 16)) for n in (12, 30, 30)))
SOUND = Spectrograms((('recorded: one', RNG.normal(size=(40, 16))), ('written', RNG.normal(size=(25, 16)))))


CLASSES = Classes(RNG.normal(size=(30, 2)), tuple('abcdefghijklmn'), RNG.dirichlet(np.ones(14)), 3)
SEEN = [
  *(FORECAST, FORECAST._replace(low=None, high=None), FILM, SOUND, CLASSES, CLASSES._replace(given='[MAX 1 $ ' * 300)),
  CLASSES._replace(given=RNG.random((16, 96)), is_image=True),
]


@pytest.mark.parametrize('one', SEEN, ids=type)
def test_every_kind_is_drawn_the_same_each_time(one, tmp_path):
  (path,) = pictures.write(tmp_path, 7, 'test', [one])
  assert path == tmp_path / 'pictures' / 'step-7' / 'test-1.png'
  image = matplotlib.image.imread(path)
  assert image.shape[1] > 600
  assert np.ptp(image) > 0.5
  before = path.read_bytes()
  pictures.write(tmp_path, 7, 'test', [one])
  assert path.read_bytes() == before


def test_the_true_class_is_drawn_though_it_is_the_least_likely():
  one = CLASSES._replace(probabilities=np.linspace(1, 0, 14) / 7, truth=13)
  bars = pictures.classes(one).axes[1]
  assert len(bars.patches) == pictures.MOST_CLASSES
  assert [label.get_text() for label in bars.get_yticklabels()] == [*'abcdefghi', 'n']
  assert bars.patches[-1].get_width() == 0


def test_a_film_shows_its_given_frames_above_and_the_predicted_ones_below_the_true_ones():
  figure = pictures.film(FILM)
  shown = [[axes.images[0].get_array() for axes in row if axes.images] for row in np.reshape(figure.axes, (2, 20))]
  np.testing.assert_array_equal(shown[0][:10], FILM.given[-10:])
  after = pictures.spread(30, 10)
  assert after[0] == 0
  assert after[-1] == 29
  np.testing.assert_array_equal(shown[0][10:], FILM.truth[after])
  np.testing.assert_array_equal(shown[1], FILM.predicted[after])


def maps(t, s, heads=6, named=True):
  name = lambda n: tuple(f'token{i} $' for i in range(n)) if named else None
  weights = RNG.random((heads, t, s))
  return [
    Attention('encoder/block_00/mixer', RNG.random((heads, s, s)), name(s), name(s)),
    Attention('decoder/block_11/cross', weights, name(t), name(s)),
  ]


def test_attention_has_a_row_for_each_layer_the_mean_of_its_heads_first(tmp_path):
  (path,) = pictures.write(tmp_path, 7, 'test', [], [maps(5, 7)])
  assert path == tmp_path / 'pictures' / 'step-7' / 'test-1-attention.png'
  found = maps(5, 7)
  figure = pictures.attended(found)
  panels = np.reshape(figure.axes, (2, 1 + pictures.MOST_HEADS))
  for row, one in zip(panels, found, strict=True):
    np.testing.assert_allclose(row[0].images[0].get_array(), one.weights.mean(axis=0))
    np.testing.assert_array_equal(row[3].images[0].get_array(), one.weights[2])
  assert panels[1, 0].get_title(loc='left') == 'decoder, layer 12, to the source\nmean of 6 heads'
  assert panels[1, 1].get_title(loc='left') == 'head 1'
  assert [label.get_text() for label in panels[1, 0].get_yticklabels()] == [rf'token{i} \$' for i in range(5)]
  assert [label.get_text() for label in panels[1, 2].get_xticklabels()] == [rf'token{i} \$' for i in range(7)]


@pytest.mark.parametrize('found', [maps(5, 7, heads=1), maps(90, 70), maps(3, 4, named=False), maps(2, 3) * 9])
def test_attention_of_any_size_is_drawn(found):
  figure = pictures.attended(found)
  assert figure.png()
  shown = [axes for axes in figure.axes if axes.images]
  layers, heads = min(len(found), pictures.MOST_LAYERS), len(found[0].weights)
  assert len(shown) == layers * (1 + pictures.MOST_HEADS if heads > 1 else 1)


@pytest.mark.parametrize(('token', 'seen'), [('▁Frau', 'Frau'), ('▁', '␣'), ('\n', '⏎'), ('$', r'\$'), ('#0', '#0')])
def test_tokens_are_seen(token, seen):
  assert pictures.visible(token) == seen


def test_texts_of_a_split_are_one_file(tmp_path):
  (path,) = pictures.write(tmp_path, 3, 'test', [Text('a b', 'c', 'd'), Text('', 'λ', '')])
  assert path.name == 'test.txt'
  assert path.read_text('utf-8') == 'given:\na b\ntrue:\nc\nwritten:\nd\n\ntrue:\nλ\nwritten:\n\n'


def test_where_nothing_can_be_written_that_is_said(tmp_path, logged):
  (tmp_path / 'pictures').write_text('')
  assert pictures.write(tmp_path, 3, 'test', [SOUND]) == []
  assert 'cannot be written' in logged.text
  assert logged.records[0].levelno == logging.WARNING


def test_evaluation_writes_them_into_the_workdir(tmp_path, capsys):
  train.train(forecasting.get_config('gru,scale=smoke,steps=2,eval_every=0'), tmp_path)
  evaluation.main(str(tmp_path), pictures=2)
  folder = tmp_path / 'pictures' / 'step-2'
  assert sorted(path.name for path in folder.iterdir()) == [
    'test-1.png', 'test-2.png', 'validation-1.png', 'validation-2.png',
  ]  # fmt: skip
  assert str(folder / 'test-2.png') in capsys.readouterr().out.splitlines()


def test_tokens_are_written_for_every_evaluation(tmp_path):
  train.train(copying.get_config('gru,scale=smoke,steps=2,eval_every=0'), tmp_path)
  evaluation.main(str(tmp_path), pictures=1)
  found = {path.stem for path in (tmp_path / 'pictures' / 'step-2').iterdir()}
  assert found == set(evaluation.workdirs.load(tmp_path).task.evaluations())


def test_what_is_attended_to_is_written_beside_texts(tmp_path, capsys):
  train.train(adding.get_config('transformer,scale=smoke,steps=2,eval_every=0'), tmp_path)
  evaluation.main(str(tmp_path), pictures=2)
  path = tmp_path / 'pictures' / 'step-2' / 'test-2-attention.png'
  assert path.exists()
  assert str(path) in capsys.readouterr().out.splitlines()


def test_a_task_without_anything_to_see_is_one_line_before_it_is_evaluated(tmp_path, monkeypatch):
  monkeypatch.setattr(evaluation, 'can_show', lambda _: False)
  train.train(adding.get_config('gru,scale=smoke,steps=2,eval_every=0'), tmp_path)
  (tmp_path / 'eval.jsonl').unlink(missing_ok=True)
  with pytest.raises(InputError, match=r'nothing to see of Adding, and the model has no attention$'):
    evaluation.main(str(tmp_path), pictures=2)
  assert not (tmp_path / 'eval.jsonl').exists()
  assert not (tmp_path / 'pictures').exists()
