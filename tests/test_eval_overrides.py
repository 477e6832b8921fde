"""A trained model is evaluated on other data and lengths, and generates without the data of its training."""

import hashlib
import json
import shutil

import jax
import numpy as np
import pytest

import eval as evaluation
import main
from commands import config_file, generate
from configs import base
from seqmodels.errors import InputError
from training import rebuilding
from training import workdir as workdirs
from training.checkpoint import Checkpoints
from training.evaluate import say_left_out

TEXT, OTHER = 'the quick brown fox jumps over the lazy dog\n' * 40, 'a dog jumps over the brown fox\n' * 40
RANDOM = np.random.default_rng(0)
# ml_collections loads config files the old way.
pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')


@pytest.fixture
def make(tmp_path):
  """Write a workdir with a checkpoint of a small model that no step has trained."""

  def made(task, *, architecture='gru', position='none', **options):
    config = workdirs.plain(base.make(task, f'{architecture},width=8,depth=1,position={position}'))
    config['task'] |= options
    folder, built = tmp_path / f'run of {task}', workdirs.make_task(config)
    model = workdirs.make_model(config, built)
    workdirs.write_config(folder, config)
    workdirs.write_kept(folder, built)
    workdirs.write_provenance(folder, model, built, 0)
    checkpoints = Checkpoints(folder / 'checkpoints')
    checkpoints.save(3, {'params': model.init(jax.random.key(0))}, {})
    checkpoints.close()
    return folder

  return made


def rebuilt(folder, **overrides):
  """The run with other options of its task."""
  fields = {f'task.{option}': str(value) for option, value in overrides.items()}
  return rebuilding.with_overrides(folder, *config_file.overridden(workdirs.read_config(folder), fields))


def rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def without_kept(folder):
  """Make a workdir what older versions wrote."""
  (folder / 'vocabulary.json').unlink(missing_ok=True)
  starts = json.loads((folder / 'provenance.json').read_text())
  for start in starts:
    del start['model']['spec']
  (folder / 'provenance.json').write_text(json.dumps(starts))


@pytest.mark.parametrize(
  ('task', 'options', 'longer'),
  [
    ('recall', {'length': 16, 'vocabulary': 32, 'pairs': 2}, {'length': 40}),
    ('copying', {'items': 5, 'lag': 10}, {'lag': 30}),
    ('adding', {'length': 16}, {'length': 64}),
    ('formal_languages', {'length': 8, 'longest': 16}, {'length': 30, 'longest': 60}),
  ],
)
def test_longer_sequences_than_in_training(make, capsys, task, options, longer):
  folder = make(task, evaluation_examples=8, **options)
  evaluation.main(str(folder), overrides={f'task.{name}': str(value) for name, value in longer.items()})
  found = rows(folder / 'eval_overrides.jsonl')
  assert all(row['overrides'] == {f'task.{name}': value for name, value in longer.items()} for row in found)
  assert {row['split'] for row in found} >= {'validation', 'test'}
  assert found[0]['data']['options'].items() >= longer.items()
  assert all(np.isfinite(row['loss']) for row in found)
  assert not (folder / 'eval.jsonl').exists()
  assert capsys.readouterr().out.startswith(f'step 3, task.{next(iter(longer))}=')


@pytest.mark.parametrize('unit', ['character', 'word', 'byte'])
def test_another_text_is_read_with_the_vocabulary_of_training(make, tmp_path, unit):
  (tmp_path / 'a.txt').write_text(TEXT)
  (tmp_path / 'b.txt').write_text(OTHER)
  folder = make('language', dataset=str(tmp_path / 'a.txt'), unit=unit, length=16)
  before = workdirs.load(folder).task.tokenizer
  (tmp_path / 'a.txt').unlink()  # the text of training is not needed
  task = rebuilt(folder, dataset=tmp_path / 'b.txt').task
  assert task.tokenizer.vocabulary == before.vocabulary
  ids = task.tokens('validation')
  if unit == 'word':
    assert '<unk>' in task.decode(task.text.ids['train'])  # "a" stands in the other text alone
  else:
    assert task.decode(ids) == OTHER[int(0.9 * len(OTHER)) : int(0.95 * len(OTHER))]
  evaluation.main(str(folder), overrides={'task.dataset': str(tmp_path / 'b.txt'), 'eval.batch_size': '4'})
  for row in rows(folder / 'eval_overrides.jsonl'):
    assert row['data']['content'] == {'full': hashlib.sha256(OTHER.encode()).hexdigest()}
    assert row['overrides'] == {'task.dataset': str(tmp_path / 'b.txt'), 'eval.batch_size': 4}


def test_the_words_of_a_prepared_text_are_cut_as_in_training(make, tmp_path):
  (tmp_path / 'a.txt').write_text(TEXT)
  (tmp_path / 'b.txt').write_text(OTHER)
  folder = make('language', dataset=str(tmp_path / 'a.txt'), unit='whitespace', length=16)
  task = rebuilt(folder, dataset=tmp_path / 'b.txt').task
  assert '<eos>' in task.tokenizer.vocabulary
  assert task.text.unit == 'whitespace'


def test_subwords_of_another_text_are_those_of_training(make, tmp_path):
  (tmp_path / 'a.txt').write_text(TEXT)
  (tmp_path / 'b.txt').write_text(OTHER)
  folder = make('language', dataset=str(tmp_path / 'a.txt'), unit='subword', vocabulary=300, length=16)
  (tmp_path / 'a.txt').unlink()
  task = rebuilt(folder, dataset=tmp_path / 'b.txt').task
  assert task.tokenizer.model == (folder / 'tokenizer.model').read_bytes()
  assert ''.join(task.decode(task.text.ids[split]) for split in task.splits) == OTHER
  (folder / 'tokenizer.model').unlink()
  with pytest.raises(InputError, match=r'^tokenizer\.model of the workdir is missing'):
    rebuilt(folder, dataset=tmp_path / 'b.txt')


def test_unknown_characters_are_one_line(make, tmp_path):
  (tmp_path / 'a.txt').write_text(TEXT)
  (tmp_path / 'b.txt').write_text(OTHER + 'Ω')
  folder = make('language', dataset=str(tmp_path / 'a.txt'), length=16)
  with pytest.raises(InputError, match=r"has characters outside the vocabulary: 'Ω'; the model was trained with"):
    evaluation.main(str(folder), overrides={'task.dataset': str(tmp_path / 'b.txt')})
  assert not (folder / 'eval_overrides.jsonl').exists()


def write_table(path, header='date,load,price', shift=0.0):
  values = RANDOM.normal(size=(120, 2)).round(4) + shift
  lines = [f'2020-01-{1 + i // 24:02} {i % 24:02}:00:00,{a},{b}' for i, (a, b) in enumerate(values)]
  path.write_text('\n'.join([header, *lines]) + '\n')
  return values


def test_another_table_is_scaled_as_in_training(make, tmp_path):
  first = write_table(tmp_path / 'a.csv')[:84]
  second = write_table(tmp_path / 'b.csv', shift=5.0)
  folder = make('forecasting', dataset=str(tmp_path / 'a.csv'), lookback=8, horizon=2)
  (tmp_path / 'a.csv').unlink()
  task = rebuilt(folder, dataset=tmp_path / 'b.csv').task
  batch = task.arrays('train', np.arange(1))
  np.testing.assert_allclose(batch.inputs[0], (second[:8] - first.mean(0)) / first.std(0), rtol=1e-4)
  np.testing.assert_allclose(batch.extras['scale'][0], first.std(0), rtol=1e-6)
  write_table(tmp_path / 'c.csv', header='date,load,demand')
  with pytest.raises(InputError, match=r'has the columns load, demand; the model was trained on the columns load, pri'):
    rebuilt(folder, dataset=tmp_path / 'c.csv')
  evaluation.main(str(folder), overrides={'task.dataset': str(tmp_path / 'b.csv')})
  assert {row['split'] for row in rows(folder / 'eval_overrides.jsonl')} == {'validation', 'test'}


def write_recordings(folder, texts, loudness):
  import scipy.io.wavfile

  folder.mkdir()
  lines = []
  for i in range(20):
    values = (loudness * RANDOM.normal(size=800 + 80 * i)).astype(np.int16)
    scipy.io.wavfile.write(folder / f'{i}.wav', 8000, values)
    lines.append(f'{i}.wav\t{texts[i % len(texts)]}\tann')
  (folder / 'transcripts.tsv').write_text('\n'.join(lines) + '\n')
  return folder


def test_other_recordings_have_the_labels_and_the_scale_of_training(make, tmp_path):
  a, b = write_recordings(tmp_path / 'a', ['yes', 'no'], 3000), write_recordings(tmp_path / 'b', ['yo'], 300)
  folder = make('speech_recognition', architecture='bilstm', dataset=f'{a}/', mels=20)
  before = workdirs.load(folder).task.prepared
  shutil.rmtree(a)
  after = rebuilt(folder, dataset=f'{b}/').task.prepared
  assert after.labels.vocabulary == before.labels.vocabulary
  np.testing.assert_array_equal(after.mean, before.mean)
  np.testing.assert_array_equal(after.deviation, before.deviation)
  evaluation.main(str(folder), overrides={'task.dataset': f'{b}/', 'eval.free_running': '2', 'eval.beams': '2'})
  assert all(np.isfinite(row['wer']) for row in rows(folder / 'eval_overrides.jsonl'))


@pytest.mark.parametrize('task', ['speech_frames', 'speech_synthesis'])
def test_a_speaker_or_a_text_that_was_not_trained_is_refused(make, tmp_path, task):
  a, b = write_recordings(tmp_path / 'a', ['yes', 'no'], 3000), write_recordings(tmp_path / 'b', ['no'], 3000)
  architecture = 'lstm_attention' if task == 'speech_frames' else 'gru'
  folder = make(task, architecture=architecture, dataset=f'{a}/')
  shutil.rmtree(a)
  assert rebuilt(folder, dataset=f'{b}/').task.encode('no ann').size
  table = b / 'transcripts.tsv'
  table.write_text(table.read_text().replace('ann', 'bob'))
  with pytest.raises(InputError, match=r"the speaker 'bob' of the train split is in no training recording"):
    rebuilt(folder, dataset=f'{b}/')


def test_other_labelled_texts_have_the_classes_of_training(make, tmp_path):
  (tmp_path / 'a.tsv').write_text('good\tI liked it\nbad\tdull and long\nugly\tno\n' * 20)
  (tmp_path / 'b.tsv').write_text('ugly\tno, no\ngood\tyes\n' * 20)
  folder = make('text_classification', dataset=str(tmp_path / 'a.tsv'), unit='word', length=8)
  before = workdirs.load(folder).task
  (tmp_path / 'a.tsv').unlink()
  task = rebuilt(folder, dataset=tmp_path / 'b.tsv').task
  assert task.data.classes == ('bad', 'good', 'ugly')
  assert set(task.data.labels['train']) == {1, 2}
  assert task.tokenizer.vocabulary == before.tokenizer.vocabulary
  (tmp_path / 'b.tsv').write_text('fine\tno, no\ngood\tyes\n' * 20)
  with pytest.raises(InputError, match=r"the class 'fine' of the \w+ split is not in the model"):
    rebuilt(folder, dataset=tmp_path / 'b.tsv')


def test_other_series_have_the_classes_and_the_scale_of_training(make, tmp_path):
  for name, classes, lines in (('a', 'up down', ['1,2:up', '2,1:down'] * 4), ('b', 'down', ['9,8:down'] * 4)):
    (tmp_path / name).mkdir()
    for part in ('TRAIN', 'TEST'):
      head = f'@problemName T\n@timeStamps false\n@classLabel true {classes}\n@data\n'
      (tmp_path / name / f'T_{part}.ts').write_text(head + '\n'.join(lines) + '\n')
  folder = make('classification', dataset=f'{tmp_path}/a/')
  shutil.rmtree(tmp_path / 'a')
  task = rebuilt(folder, dataset=f'{tmp_path}/b/').task
  batch = task.arrays('test', np.arange(1))
  assert task.data.classes == ('up', 'down')
  assert batch.targets.tolist() == [1]
  np.testing.assert_allclose(batch.inputs[0, :, 0], [(9 - 1.5) / 0.5, (8 - 1.5) / 0.5])


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'vocabulary': 64},
      r'^--config\.task\.vocabulary=64 needs another model: its input is 64 tokens, that of the tra',
    ),
    ({'length': 5}, r'^task\.length=5 must be at least'),
    ({'lenght': 5}, r"^--config\.task field='lenght' is not known; nearest: length"),
    ({'length': 'x'}, r"^task\.length='x' must be a whole number"),
  ],
)
def test_fields_that_change_the_model_are_refused(make, options, message):
  folder = make('recall', length=16, vocabulary=32, pairs=2)
  with pytest.raises(InputError, match=message) as caught:
    rebuilt(folder, **options)
  assert '\n' not in str(caught.value)


def test_options_that_give_tokens_another_meaning_are_refused(make):
  folder = make('state_tracking', group='A5')
  with pytest.raises(
    InputError, match=r"^--config\.task\.group=Z60 needs another model; this one was trained with 'A5'"
  ):
    rebuilt(folder, group='Z60')


@pytest.mark.parametrize('field', ['model.width=3', 'train.steps=3', 'task.name=adding', 'mesh.data=2'])
def test_other_sections_have_no_effect(field):
  message = rf'--config\.{field.partition("=")[0]} has no effect with --mode=eval, which evaluates the model of the'
  with pytest.raises(InputError, match=message):
    main.parse(['main.py', '--mode=eval', '--workdir=W', f'--config.{field}'])


def test_overrides_are_arguments_of_the_evaluation():
  _, arguments = main.parse(['main.py', '--mode=eval', '--workdir=W', '--config.task.length=64'])
  assert arguments['overrides'] == {'task.length': '64'}
  with pytest.raises(InputError, match=r'--config\.task\.length has no effect with --mode=export'):
    main.parse(['main.py', '--mode=export', '--workdir=W', '--output=a.safetensors', '--config.task.length=64'])


def test_values_of_the_run_itself_are_no_overrides(make):
  folder = make('adding', length=16, evaluation_examples=4)
  evaluation.main(str(folder), overrides={'task.length': '16'})
  assert {row['split'] for row in rows(folder / 'eval.jsonl')} >= {'validation', 'test'}
  assert not (folder / 'eval_overrides.jsonl').exists()


def test_rows_of_other_overrides_stay(tmp_path):
  path = tmp_path / 'eval_overrides.jsonl'
  for length, loss in ((16, 1.0), (32, 2.0), (16, 3.0)):
    about = {'overrides': {'task.length': length}, 'data': {'content': 'x'}}
    evaluation.keep(path, 3, {'test': {'loss': loss}}, about)
  assert [(row['overrides']['task.length'], row['loss']) for row in rows(path)] == [(32, 2.0), (16, 3.0)]


def test_learned_positions_end_at_their_table(make):
  folder = make('adding', architecture='transformer', position='learned', length=16)
  with pytest.raises(InputError, match=r'length=64 needs 64 positions; the table of model.position=learned has 16$'):
    rebuilt(folder, length=64)
  assert rebuilt(folder, length=8).task.spec.length == 8


def test_evaluations_beyond_the_table_are_named_in_a_line(make, caplog):
  caplog.set_level('INFO', 'seqmodels')
  loaded = workdirs.load(make('recall', position='learned', architecture='transformer', length=16, pairs=2))
  say_left_out(loaded.model, loaded.task)
  assert [line for line in caplog.messages if 'not evaluated' in line] == [
    'not evaluated: longer: longer than the table of model.position=learned, which has 16 positions'
  ]
  caplog.clear()
  say_left_out(loaded.model, workdirs.rebuild(make('adding', length=16)).task)
  assert not [line for line in caplog.messages if 'not evaluated' in line]


def test_edited_data_stay_refused(make, tmp_path):
  (tmp_path / 'a.txt').write_text(TEXT)
  folder = make('language', dataset=str(tmp_path / 'a.txt'), length=16)
  (tmp_path / 'a.txt').write_text(TEXT.replace('dog', 'god'))
  with pytest.raises(InputError, match=r'the data are not those of the run: content\.full'):
    rebuilt(folder, length=8)
  with pytest.raises(InputError, match=r'the data are not those of the run: content\.full'):
    generate.main(str(folder), prompt=['the'], length=2)


def test_a_workdir_of_an_older_version_needs_the_data_of_training(make, tmp_path):
  (tmp_path / 'a.txt').write_text(TEXT)
  (tmp_path / 'b.txt').write_text(OTHER)
  folder = make('language', dataset=str(tmp_path / 'a.txt'), length=16)
  vocabulary = workdirs.load(folder).task.tokenizer.vocabulary
  without_kept(folder)
  assert rebuilt(folder, dataset=tmp_path / 'b.txt').task.tokenizer.vocabulary == vocabulary
  (tmp_path / 'a.txt').unlink()
  for use in (lambda: rebuilt(folder, dataset=tmp_path / 'b.txt'), lambda: generate.main(str(folder), prompt=['the'])):
    with pytest.raises(InputError, match='is no file, folder or pattern that matches a file'):
      use()


@pytest.mark.parametrize('unit', ['character', 'word', 'byte', 'subword'])
def test_text_is_generated_without_the_data_of_training(make, tmp_path, capsys, unit):
  (tmp_path / 'a.txt').write_text(TEXT)
  sizes = {'vocabulary': 300} if unit == 'subword' else {}
  folder = make('language', dataset=str(tmp_path / 'a.txt'), unit=unit, length=16, **sizes)
  generate.main(str(folder), prompt=['the quick'], length=4, seed=1)
  with_data = capsys.readouterr().out
  (tmp_path / 'a.txt').unlink()
  generate.main(str(folder), prompt=['the quick'], length=4, seed=1)
  assert capsys.readouterr().out == with_data
  (folder / 'vocabulary.json').write_text('{"unit": ')
  with pytest.raises(InputError, match=r'vocabulary\.json is damaged'):
    generate.main(str(folder), prompt=['the quick'])


def test_sentences_are_translated_without_the_data_of_training(make, tmp_path, capsys):
  (tmp_path / 'pairs.tsv').write_text('ein Hund\ta dog\nder Fuchs\tthe fox\nkein Fuchs\tno fox\n' * 20)
  options = {'dataset': str(tmp_path / 'pairs.tsv'), 'vocabulary': 280, 'length': 20}
  folder = make('translation', architecture='lstm_attention', **options)
  generate.main(str(folder), prompt=['ein Hund'], length=4, seed=1)
  with_data = capsys.readouterr().out
  (tmp_path / 'pairs.tsv').unlink()
  generate.main(str(folder), prompt=['ein Hund'], length=4, seed=1)
  assert capsys.readouterr().out == with_data
