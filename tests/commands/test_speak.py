"""--mode=generate of the tasks of speech: WAV files of prompts, and texts of WAV files."""

import jax
import numpy as np
import pytest

import tasks
from commands import generate as generation
from commands import speak
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models import build
from tasks.datasets import dial_tones, wav
from training.workdir import Loaded

GRU = ModelConfig(pattern=('gru',), width=16, depth=1, block='plain', feedforward=0.0)


def load(name, **options):
  task = tasks.make(name, options)
  model = build(GRU, task.spec)
  return Loaded({'eval': {}}, task, model, jax.tree.map(lambda p: 3 * p, model.init(jax.random.key(3))), 0)


@pytest.fixture(scope='module')
def speaker():
  loaded = load('speech_synthesis', seconds=0.02, block=40)
  loaded.params['output']['bias'] = loaded.params['output']['bias'].at[256].add(-20.0)  # it does not end by itself
  return loaded


@pytest.fixture(scope='module')
def recogniser():
  return load('speech_recognition', mels=16)


@pytest.fixture(scope='module')
def writer():
  return load('speech_frames', mels=16)


@pytest.fixture
def generate(speaker, recogniser, writer, monkeypatch, tmp_path, capsys):
  """Return what is printed; W is the workdir of a model of samples, F of frames, R of the recogniser."""
  models = {str(tmp_path / name): model for name, model in (('W', speaker), ('F', writer), ('R', recogniser))}
  monkeypatch.setattr(generation.rebuilding, 'without_data', lambda folder: None)
  monkeypatch.setattr(generation.workdirs, 'load', lambda workdir, step=None, rebuilt=None: models[str(workdir)])

  def run(workdir, *prompts, **flags):
    generation.main(str(tmp_path / workdir), prompt=prompts, **flags)
    return capsys.readouterr().out.splitlines()

  return run


def test_each_prompt_is_a_wav_file_in_the_workdir(generate, tmp_path):
  lines = generate('W', 'seven radio', 'two copper', 'seven radio', seed=4)
  names = ['seven_radio.wav', 'two_copper.wav', 'seven_radio_2.wav']
  sounds = [wav.decode((tmp_path / 'W' / 'samples' / name).read_bytes()) for name in names]
  assert [(sound.rate, len(sound.samples)) for sound in sounds] == [(8000, 160)] * 3
  assert not np.array_equal(sounds[0].samples, sounds[2].samples), 'each prompt has the next seed'
  for line, name in zip(lines, names, strict=True):
    assert line.startswith(f'{tmp_path}/W/samples/{name}: 0.02 s of sound in 4 chunks, real-time factor ')
    assert line.endswith(' µs a sample')


def test_a_file_or_a_folder_can_be_named_and_a_length(generate, tmp_path):
  generate('W', 'two radio', output=str(tmp_path / 'a.wav'), length=70, temperature=0.0)
  assert len(wav.decode((tmp_path / 'a.wav').read_bytes()).samples) == 70
  generate('W', 'two radio', output=str(tmp_path / 'more'), length=10)
  assert len(wav.decode((tmp_path / 'more' / 'two_radio.wav').read_bytes()).samples) == 10
  with pytest.raises(InputError, match=r'a\.wav is one file for 2 prompts; name a folder'):
    generate('W', 'two radio', 'one radio', output=str(tmp_path / 'a.wav'))
  (tmp_path / 'file').write_text('')
  with pytest.raises(InputError, match=r'--output=\S*/file cannot be written: \S*/file is a file$'):
    generate('W', 'two radio', output=str(tmp_path / 'file'), length=10)


def test_a_recogniser_hears_all_texts_and_speakers(generate, tmp_path):
  lines = generate('W', '*', recogniser=str(tmp_path / 'R'), length=100)
  assert len(list((tmp_path / 'W' / 'samples').iterdir())) == 40
  assert len(lines) == 81
  assert lines[40].startswith(f"{tmp_path}/W/samples/eight_copper.wav: heard '")
  assert lines[80].startswith('40 sounds: wer ')


def test_frames_are_made_audible(generate, writer, tmp_path):
  lines = generate('F', 'seven radio', 'ten radio', recogniser=str(tmp_path / 'R'))
  assert lines[0].startswith(f'{tmp_path}/F/samples/seven_radio.wav: 0.')
  assert ' s of sound in 1 chunks, real-time factor ' in lines[0]
  assert [line.partition(':')[0] for line in lines[2:]] == [*(line.partition(':')[0] for line in lines[:2]), '2 sounds']
  task = writer.task
  source = task.encode('ten radio')[None]
  (frames,) = task.write(writer.model, writer.params, source, source >= 0)
  sound = wav.decode((tmp_path / 'F' / 'samples' / 'ten_radio.wav').read_bytes())
  np.testing.assert_allclose(sound.samples, task.audible(frames), atol=1e-4)
  generate('F', 'two radio', output=str(tmp_path / 'a.wav'), length=30)
  assert len(wav.decode((tmp_path / 'a.wav').read_bytes()).samples) == 30


def test_a_recogniser_writes_the_texts_of_files(generate, recogniser, tmp_path, logged):
  paths = [tmp_path / 'one.wav', tmp_path / 'stereo.wav']
  samples = dial_tones.recording(1, 0, 0) / np.float32(32768)
  paths[0].write_bytes(wav.encode(samples, 8000))
  paths[1].write_bytes(wav.encode(wav.resampled(samples, 8000, 16_000), 16_000))
  lines = generate('R', *map(str, paths))
  batch = recogniser.task.sounds([wav.to_int16(samples)])
  assert lines[0] == f'{paths[0]}: {recogniser.task.transcribe(recogniser.model, recogniser.params, batch)[0]}'
  assert [line.partition(':')[0] for line in lines] == [str(path) for path in paths]
  assert logged.messages == [f'{paths[1]}: resampled from 16000 to 8000 Hz']


@pytest.mark.parametrize(
  ('workdir', 'prompt', 'flags', 'message'),
  [
    ('W', 'nought radio', {}, r"--prompt='nought radio': text='nought' is not known.*; \* stands for all"),
    ('W', 'two radio', {'beam': 2}, r'--beam=2 has no meaning with the task SpeechSynthesis'),
    ('W', 'two radio', {'stop': 'x'}, r'--stop=x has no meaning with the task SpeechSynthesis'),
    ('F', 'two radio', {'temperature': 0.5}, r'--temperature=0\.5 has no meaning with the task SpeechFrames'),
    ('F', 'two radoi', {}, r"--prompt='two radoi': speaker='radoi' is not known"),
    ('W', 'two radio', {'recogniser': 'W'}, r'must hold a model of speech_recognition at 8000 Hz'),
    ('R', 'no.wav', {}, r'--prompt=no\.wav must be a WAV file: No such file or directory'),
    ('R', __file__, {}, r'test_speak\.py is no WAV file'),
    ('R', 'a.wav', {'temperature': 0.0}, r'--temperature=0\.0 has no meaning with the task SpeechRecognition'),
    ('R', 'a.wav', {'output': 'a'}, r'--output=a has no meaning with the task SpeechRecognition'),
  ],
)
def test_what_makes_no_sense_is_one_line_and_writes_nothing(generate, tmp_path, workdir, prompt, flags, message):
  if 'recogniser' in flags:
    flags = {'recogniser': str(tmp_path / 'W')}
  with pytest.raises(InputError, match=message) as caught:
    generate(workdir, prompt, **flags)
  assert '\n' not in str(caught.value)
  assert not list(tmp_path.iterdir())


def test_a_task_of_text_writes_no_sounds(monkeypatch):
  loaded = load('language', length=16)
  monkeypatch.setattr(generation.rebuilding, 'without_data', lambda folder: None)
  monkeypatch.setattr(generation.workdirs, 'load', lambda workdir, step=None, rebuilt=None: loaded)
  with pytest.raises(InputError, match=r'--output=a has no meaning with the task Language'):
    generation.main('W', prompt=['The'], output='a')


def test_what_ends_at_once_has_no_factor():
  assert speak.about([], 0, 8000) == 'the model ends it at once: 0 samples'
