"""The user's own WAV files: what is read, what is said, and what is refused in one line."""

import logging

import numpy as np
import pytest
import scipy.io.wavfile

import tasks
from seqmodels.errors import InputError
from tasks.datasets import own_wavs

RANDOM = np.random.default_rng(0)


def save(path, seconds=0.1, rate=8000, channels=1):
  values = RANDOM.integers(-5000, 5000, (round(seconds * rate), channels)).astype(np.int16)
  path.parent.mkdir(parents=True, exist_ok=True)
  scipy.io.wavfile.write(path, rate, values[:, 0] if channels == 1 else values)
  return values


@pytest.fixture
def folder(tmp_path):
  """Twenty recordings of two texts by two speakers, and their table with a header."""
  lines = ['file\ttext\tspeaker']
  for i in range(20):
    save(tmp_path / f'{i}.wav', 0.1 + 0.01 * i)
    lines.append(f'{i}.wav\t{("yes", "no no")[i % 2]}\t{("ann", "bob")[i // 10]}')
  (tmp_path / 'transcripts.tsv').write_text('\n'.join(lines) + '\n')
  return tmp_path


def make(folder, **options):
  return tasks.make('speech_recognition', {'dataset': str(folder), 'hop': 80, **options})


def test_a_folder_is_cut_into_splits(folder):
  task = make(folder, split='60/20/20')
  assert [task.count(split) for split in task.splits] == [12, 4, 4]
  texts = [text for part in task.data.splits.values() for text in part.texts]
  assert sorted(texts) == ['no no'] * 10 + ['yes'] * 10
  assert task.prepared.labels.vocabulary == ('', '<unk>', ' ', 'e', 'n', 'o', 's', 'y')
  assert make(folder, split='80/20').splits == ('train', 'validation')
  assert make(folder, unit='word').prepared.labels.vocabulary == ('', '<unk>', 'no', 'yes')
  batch = task.arrays('test', np.arange(4))
  assert batch.inputs.shape == (4, task.spec.length, 40)
  for row, text in enumerate(task.data.splits['test'].texts):
    assert task.prepared.labels.decode(batch.targets[row][batch.weights[row] > 0]) == text


def test_names_of_tables_say_the_splits(folder):
  rows = (folder / 'transcripts.tsv').read_text().splitlines()
  (folder / 'transcripts.tsv').unlink()
  for name, part in (('train', rows[1:13]), ('dev', rows[13:17]), ('test', rows[17:])):
    (folder / f'{name}.tsv').write_text('\n'.join(part))
  task = make(folder)
  assert [task.count(split) for split in task.splits] == [12, 4, 4]
  with pytest.raises(InputError, match=r'task\.split=80/20 has no meaning here'):
    make(folder, split='80/20').count('train')


def test_stereo_and_other_rates_are_mixed_and_resampled_and_said(folder, logged):
  for i in range(3):
    save(folder / f'{i}.wav', 0.2, 44_100, 2)
  before, rate = scipy.io.wavfile.read(folder / '5.wav')[1], 8000
  found = own_wavs.load(str(folder), rate).recordings['full']
  assert len(found) == 20
  assert [len(recording.samples) for recording in found[:3]] == [1600] * 3
  np.testing.assert_allclose(found[5].samples, before, atol=1)
  assert found[5][:2] == ('no no', 'ann')
  said = [record.getMessage() for record in logged.records]
  assert said == [
    f'{folder}: 3 of 20 recordings are resampled from 44100 to 8000 Hz (task.rate)',
    f'{folder}: 3 of 20 recordings of 2 channels are mixed down to one',
  ]


def test_a_file_without_a_line_is_left_out_and_said(folder, logged):
  save(folder / 'more.wav')
  assert len(own_wavs.load(str(folder), 8000).recordings['full']) == 20
  (record,) = logged.records
  assert record.levelno == logging.WARNING
  assert record.getMessage() == f'{folder}: 1 WAV files have no transcript and are left out: {folder}/more.wav'


def test_marks_line_ends_spaces_and_empty_lines_of_a_table_do_not_matter(folder):
  plain = own_wavs.load(str(folder), 8000)
  text = (folder / 'transcripts.tsv').read_text()
  awkward = text.replace('no no', '  no   no ').replace('\n', '\r\n') + '\r\n\r\n'
  (folder / 'transcripts.tsv').write_bytes(b'\xef\xbb\xbf' + awkward.encode())
  assert own_wavs.load(str(folder), 8000).content == plain.content
  (folder / 'transcripts.tsv').write_text(text.partition('\n')[2])  # without a header
  assert own_wavs.load(str(folder), 8000).content == plain.content


def test_another_transcript_or_sample_is_other_data(folder):
  plain = own_wavs.load(str(folder), 8000).content
  text = (folder / 'transcripts.tsv').read_text()
  (folder / 'transcripts.tsv').write_text(text.replace('\tno no', '\tno', 1))
  assert own_wavs.load(str(folder), 8000).content != plain
  (folder / 'transcripts.tsv').write_text(text)
  save(folder / '7.wav')
  assert own_wavs.load(str(folder), 8000).content != plain


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('missing.wav\tyes', r'transcripts\.tsv:22: there is no file .*missing\.wav'),
    ('3.wav', r"transcripts\.tsv:22: '3\.wav' has no transcript; lines are file<TAB>text"),
    ('3.wav yes', r"transcripts\.tsv:22: '3\.wav yes' has no transcript"),
    ('extra.wav\t  ', r'transcripts\.tsv:22: the text is empty'),
    ('\tyes', r'transcripts\.tsv:22: the file is empty'),
    ('3.wav\tyes\tann\t0.1', r'transcripts\.tsv:22: 4 columns'),
    ('3.wav\tyes', r'transcripts\.tsv:22: .*/3\.wav is listed twice, first in .*transcripts\.tsv:5'),
    ('empty.wav\tyes', r'transcripts\.tsv:22: .*empty\.wav is empty: 0 bytes'),
    ('broken.wav\tyes', r'transcripts\.tsv:22: .*broken\.wav is cut short: 60 bytes'),
    ('notes.wav\tyes', r'transcripts\.tsv:22: .*notes\.wav is no WAV file'),
    ('latin\xe9', r'transcripts\.tsv is not UTF-8: byte 0xe9 in line 22'),
  ],
)
def test_a_bad_line_or_file_is_one_line_that_names_it(folder, line, message):
  (folder / 'empty.wav').write_bytes(b'')
  (folder / 'broken.wav').write_bytes((folder / '1.wav').read_bytes()[:60])
  (folder / 'notes.wav').write_text('a text')
  with (folder / 'transcripts.tsv').open('ab') as file:
    file.write(line.encode('latin1'))
  with pytest.raises(InputError, match=message) as caught:
    own_wavs.load(str(folder), 8000)
  assert '\n' not in str(caught.value)


def test_tables_that_are_missing_or_too_many_are_refused(folder):
  (folder / 'other.tsv').write_text('1.wav\tyes')
  with pytest.raises(InputError, match=r'holds 2 \.tsv files, .*other\.tsv, .*transcripts\.tsv; allowed: one'):
    own_wavs.load(str(folder), 8000)
  (folder / 'transcripts.tsv').unlink()
  (folder / 'other.tsv').write_text('file\ttext\n')
  with pytest.raises(InputError, match=r'other\.tsv lists no recording'):
    own_wavs.load(str(folder), 8000)
  (folder / 'other.tsv').unlink()
  with pytest.raises(InputError, match=r'holds no \.tsv file of transcripts; its lines are file<TAB>text'):
    own_wavs.load(str(folder), 8000)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'split': '98/1/1/1'}, r"task\.split='98/1/1/1' has no meaning .* percentages such as 90/5/5"),
    ({'split': 'speaker'}, r"task\.split='speaker' has no meaning"),
    ({'digits': 2}, r'task\.digits=2 has no meaning'),
    (
      {'hop': 1000},
      r"task\.loss=ctc: recording \d+ of \w+, \d steps, is too short for its text 'no no' of 5 labels; a smaller",
    ),
    ({'rate': 500}, r'task\.rate=500 must be from 1000 to 96000 Hz'),
  ],
)
def test_options_that_do_not_fit_the_recordings_are_refused(folder, options, message):
  with pytest.raises(InputError, match=message) as caught:
    make(folder, **{'unit': 'character', **options}).arrays('train', np.arange(2))
  assert '\n' not in str(caught.value)


def test_texts_and_speakers_that_training_lacks_are_refused(folder):
  rows = (folder / 'transcripts.tsv').read_text().splitlines()
  (folder / 'transcripts.tsv').unlink()
  (folder / 'train.tsv').write_text('\n'.join(row for row in rows[1:] if 'yes\tann' in row))
  (folder / 'valid.tsv').write_text('\n'.join(row for row in rows[1:] if 'no no\tann' in row))
  with pytest.raises(
    InputError, match=r"task\.loss=label: the text 'no no' of the validation split is that of no train"
  ):
    make(folder, loss='label').arrays('train', np.arange(2))
  with pytest.raises(InputError, match=r"the text 'no no' of the validation split is in no training recording"):
    tasks.make('speech_synthesis', {'dataset': str(folder)}).arrays('train', np.arange(2))
  batch = make(folder, unit='character').arrays('validation', np.arange(2))
  assert (batch.targets[batch.weights > 0] == 1).all(), 'characters that were not in training are unknown'


def test_a_changed_file_is_read_anew(folder):
  one = make(folder).identity()
  save(folder / '3.wav', 0.5)
  assert make(folder).identity() != one
