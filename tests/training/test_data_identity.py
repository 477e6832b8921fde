"""A trained model is read with the data that it was trained on, or not at all: resume, evaluation and generation."""

import json
import shutil

import pytest

import eval as evaluation
import train
from commands import export, generate
from configs.language import get_config
from seqmodels.errors import InputError
from tasks import subwords
from tasks.datasets import corpora
from training import workdir as workdirs

TEXT = 'The quick brown fox jumps over the lazy dog.\n' * 60
# ml_collections loads config files the old way; TensorBoard's protobufs.
pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')


def config_of(text, steps=2, unit='character'):
  small = f'lstm,width=8,depth=1,length=16,batch_size=4,steps={steps},schedule=constant,eval_every=2,checkpoint_every=2'
  config = get_config(f'{small},unit={unit}')
  config.task.dataset = str(text)
  return config


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A run of two steps and the text that it was trained on."""
  folder = tmp_path_factory.mktemp('run')
  (folder / 'text.txt').write_text(TEXT)
  train.train(config_of(folder / 'text.txt'), folder / 'workdir')
  return folder


@pytest.fixture
def run(trained, tmp_path):
  """A copy of the run, with the text at the place that its config names."""
  (trained / 'text.txt').write_text(TEXT)
  shutil.copytree(trained / 'workdir', tmp_path / 'workdir')
  yield trained / 'text.txt', tmp_path / 'workdir'
  (trained / 'text.txt').write_text(TEXT)


def everything(text, workdir):
  """Resume, evaluate, generate; each as a function to call."""
  return {
    'train': lambda: train.train(config_of(text, steps=4), workdir),
    'eval': lambda: evaluation.main(str(workdir)),
    'generate': lambda: generate.main(str(workdir), prompt=['The'], length=3),
  }


@pytest.mark.parametrize('mode', ['train', 'eval', 'generate'])
@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda text: text.replace('dog', 'god'), r'run: content\.full was sha256 \w{12}… and is sha256 \w{12}…$'),
    (lambda text: text + 'Ω\n', r'content\.full was .*; vocabulary was sha256'),
  ],
  ids=['other text', 'other vocabulary'],
)
def test_other_data_are_refused_in_one_line(run, mode, change, message):
  text, workdir = run
  text.write_text(change(TEXT))
  before = sorted(path.name for path in (workdir / 'checkpoints').iterdir())
  with pytest.raises(InputError, match=message) as caught:
    everything(text, workdir)[mode]()
  assert str(caught.value).startswith(f'--workdir={workdir}: the data are not those of the run: ')
  assert '\n' not in str(caught.value)
  assert sorted(path.name for path in (workdir / 'checkpoints').iterdir()) == before


@pytest.mark.parametrize('mode', ['train', 'eval', 'generate'])
def test_the_same_data_are_accepted(run, mode, capsys):
  text, workdir = run
  text.unlink()
  text.write_text(TEXT)  # another file with another time, and the same content
  everything(text, workdir)[mode]()
  assert capsys.readouterr().out or mode == 'train'


def test_a_run_of_before_identities_is_read(run):
  text, workdir = run
  starts = json.loads((workdir / 'provenance.json').read_text())
  for start in starts:
    del start['data']
  (workdir / 'provenance.json').write_text(json.dumps(starts))
  text.write_text(TEXT.replace('dog', 'god'))
  assert workdirs.load(workdir).step == 2


def test_the_embedded_text_of_another_python_is_refused(run):
  """A run that recorded another text under the same name, as the running Python's own text once was."""
  _, workdir = run
  starts = json.loads((workdir / 'provenance.json').read_text())
  starts[-1]['data']['content']['full'] = 64 * 'f'
  (workdir / 'provenance.json').write_text(json.dumps(starts))
  with pytest.raises(InputError, match=r'content\.full was sha256 ffffffffffff… and is sha256'):
    workdirs.load(workdir)


def subword_config(text, steps=2):
  config = config_of(text, steps, unit='subword')
  config.task.vocabulary = 300
  return config


def use(text, workdir):
  """Resume, evaluate and generate with sub-words."""
  train.train(subword_config(text, steps=4), workdir)
  evaluation.main(str(workdir))
  generate.main(str(workdir), prompt=['The quick'], length=3)


@pytest.fixture(scope='module')
def cut(tmp_path_factory):
  """A run of two steps on sub-words."""
  folder = tmp_path_factory.mktemp('subwords')
  (folder / 'text.txt').write_text(TEXT)
  train.train(subword_config(folder / 'text.txt'), folder / 'workdir')
  return folder


@pytest.fixture
def subword_run(cut, tmp_path):
  corpora.load.cache_clear()
  shutil.copytree(cut / 'workdir', tmp_path / 'workdir')
  return cut / 'text.txt', tmp_path / 'workdir'


def test_a_run_reads_the_tokenizer_that_it_has_kept(subword_run, monkeypatch):
  text, workdir = subword_run
  kept = (workdir / 'tokenizer.model').read_bytes()

  def refuse(*_):
    raise AssertionError('a tokenizer is trained again')

  monkeypatch.setattr(subwords, 'train', refuse)
  use(text, workdir)
  assert (workdir / 'tokenizer.model').read_bytes() == kept
  assert workdirs.load(workdir).task.tokenizer.model == kept


def test_a_tokenizer_that_was_lost_is_made_again(subword_run):
  text, workdir = subword_run
  kept = (workdir / 'tokenizer.model').read_bytes()
  (workdir / 'tokenizer.model').unlink()
  use(text, workdir)
  assert (workdir / 'tokenizer.model').read_bytes() == kept


@pytest.mark.parametrize('mode', ['train', 'eval', 'generate'])
def test_another_tokenizer_is_refused_in_one_line(subword_run, mode):
  text, workdir = subword_run
  other = subwords.train(TEXT, 310).model
  (workdir / 'tokenizer.model').write_bytes(other)
  calls = everything(text, workdir) | {'train': lambda: train.train(subword_config(text, steps=4), workdir)}
  with pytest.raises(InputError, match=r'run: vocabulary was sha256 \w{12}… and is sha256 \w{12}…$') as caught:
    calls[mode]()
  assert '\n' not in str(caught.value)
  assert (workdir / 'tokenizer.model').read_bytes() == other


def test_a_damaged_tokenizer_is_refused_in_one_line(subword_run):
  _, workdir = subword_run
  content = (workdir / 'tokenizer.model').read_bytes()
  (workdir / 'tokenizer.model').write_bytes(content[: len(content) // 2])
  with pytest.raises(InputError, match=r'tokenizer\.model is no SentencePiece model') as caught:
    evaluation.main(str(workdir))
  assert '\n' not in str(caught.value)


def test_another_tokenizer_by_its_option_is_refused(subword_run, tmp_path):
  text, workdir = subword_run
  (tmp_path / 'own.model').write_bytes(subwords.train(TEXT, 310).model)
  config = subword_config(text, steps=4)
  config.task.tokenizer = str(tmp_path / 'own.model')
  with pytest.raises(
    InputError, match=r'task\.tokenizer=.*own\.model is not the tokenizer of the run, .*tokenizer\.model'
  ):
    train.train(config, workdir)


def test_the_tokenizer_of_a_run_without_a_checkpoint_is_not_read(subword_run):
  text, workdir = subword_run
  shutil.rmtree(workdir / 'checkpoints')
  (workdir / 'tokenizer.model').write_bytes(subwords.train(TEXT, 310).model)
  train.train(subword_config(text), workdir)
  assert workdirs.load(workdir).task.tokenizer.size == 300


def test_an_export_has_the_tokenizer_beside_it(subword_run, tmp_path):
  _, workdir = subword_run
  export.main(str(workdir), output=str(tmp_path / 'small.safetensors'))
  content = (tmp_path / 'small.tokenizer.model').read_bytes()
  assert content == (workdir / 'tokenizer.model').read_bytes()
  description = json.loads((tmp_path / 'small.json').read_text())
  assert description['files'] == ['tokenizer.model']
  assert description['units']['vocabulary'] == list(subwords.Subwords(content).vocabulary)
