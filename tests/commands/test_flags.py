"""Each flag takes what its mode can use, and says in one line what is wrong with anything else."""

import os
import pathlib

import pytest

import main
from seqmodels.errors import InputError
from training import runtime

ROOT = pathlib.Path(main.__file__).parent
LSTM = f'--config={ROOT}/configs/language.py:lstm'
TRAIN = ['--mode=train', '--workdir=W', LSTM]
GENERATE = ['--mode=generate', '--workdir=W', '--prompt=a']
COMPARE = ['--mode=compare', '--scale=smoke', '--workdir=W']
DIGITS = '9' * 5000


def parse(*arguments: str):
  return main.parse(['main.py', *arguments])


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    (['--mode=train', '--workdir=W', '--config='], '--mode=train needs --config'),
    (['--mode=train', LSTM, '--workdir='], '--mode=train needs --workdir'),
    ([*TRAIN, '--config.train.steps=1', '--config.train.steps=2'], '--config.train.steps is given twice'),
    ([*TRAIN, '--workdir=V'], '--workdir=V: given twice, first as W'),
    ([*TRAIN, '--mode=eval'], '--mode=eval: given twice, first as train'),
    ([*GENERATE, '--seed=1', '--seed=1'], '--seed=1: given twice, first as 1'),
    ([*TRAIN, '--mesh=data:2000000'], 'mesh.data=2000000 must be at most 1048576'),
    ([*TRAIN, '--mesh=4'], "--mesh='4' must be <axis>:<size> with commas between, as in data:-1,fsdp:4"),
    ([*TRAIN, '--mesh=data:2,pipe:2'], "--mesh axis='pipe' is not known; allowed: data, fsdp, sequence, tensor"),
    ([*TRAIN, '--mesh=data:2,data:2'], "--mesh='data:2,data:2' gives data twice"),
    ([*TRAIN, '--mesh=data:two'], "mesh.data='two' must be a whole number"),
    ([*TRAIN, '--mesh=data:0'], 'mesh.data=0 must be at least 1, or -1 (as many devices as remain)'),
    ([*TRAIN, '--mesh=fsdp:-2'], 'mesh.fsdp=-2 must be at least 1, or -1 (as many devices as remain)'),
    ([*TRAIN, '--mesh=data:-1,fsdp:-1'], 'mesh.data=-1 and mesh.fsdp=-1: at most one size may be -1'),
    ([*TRAIN, '--mesh=data:2', '--config.mesh.fsdp=2'], '--mesh and --config.mesh.fsdp exclude each other'),
    ([*TRAIN, '--config.mesh.zero=2'], 'mesh.zero=2 must be 0 or 1'),
    ([*TRAIN, '--config.mesh.max_replicated=2'], 'mesh.max_replicated=2.0 must be in [0, 1]'),
    ([*TRAIN, '--config.mesh.rules=embed'], "mesh.rules entry 'embed' must be <regular expression>="),
    ([*TRAIN, '--config.mesh.rules=embed=vocab:rows'], "mesh axis='rows' is not known; allowed: data, fsdp, tensor"),
    ([*TRAIN, '--config.mesh.rules=(=vocab:fsdp'], "mesh.rules entry '(=vocab:fsdp' is not a regular expression"),
    ([*TRAIN, '--config.mesh.rules=x=a:fsdp,b:fsdp'], "mesh.rules entry 'x=a:fsdp,b:fsdp' names a mesh axis twice"),
    ([*TRAIN, '--devices=2'], "flag='devices' is not known; nearest: mesh; allowed"),
    ([*TRAIN, '--platform='], '--platform is empty; give it a value, or leave it out'),
    ([*TRAIN, '--config.train.steps'], '--config.train.steps needs a value'),
    ([*TRAIN, '--lr=3'], "flag='lr' is not known"),
    ([*TRAIN, '--wokdir=3'], "flag='wokdir' is not known; nearest: workdir"),
    ([*TRAIN, '-'], "'-' is not expected"),
    (['--mode=report', '--workdir=W', '--platform=cpu'], '--platform has no effect with --mode=report'),
    (['--mode=list', '--workdir=W'], '--workdir has no effect with --mode=list; allowed: --article'),
    (['--mode=eval', '--workdir=W', '--allow_schedule_change'], '--allow_schedule_change has no effect with'),
    (['--mode=eval', '--workdir=gs://bucket/run'], '--workdir=gs://bucket/run must be a local folder'),
    (['--mode=eval', f'--workdir={"x" * 300}'], 'cannot be used: File name too long'),
    (['--mode=eval', f'--workdir={"x/" * 3000}'], 'cannot be used: File name too long'),
    (['--mode=eval', '--workdir=~no such user/x'], 'there is no such home folder; write ./~no such user/x'),
    ([*TRAIN, f'--data_dir={"x" * 300}'], '--data_dir='),
    ([*GENERATE, '--temperature=inf'], '--temperature=inf'),
    ([*GENERATE, '--temperature=nan'], '--temperature=nan must be a finite number'),
    ([*GENERATE, '--temperature=1e-39'], '--temperature=1e-39 must be 0 (greedy), or from 1e-06 to 1e+06'),
    ([*GENERATE, '--top_p=nan'], '--top_p=nan must be a finite number'),
    ([*GENERATE, '--top_p=0'], '--top_p=0 must be a number from 1e-06 to 1'),
    ([*GENERATE, '--top_p=1e-40'], '--top_p=1e-40 must be a number from 1e-06 to 1'),
    ([*GENERATE, '--temperature=hot'], '--temperature=hot must be a number from 0 to 1e+06'),
    ([*GENERATE, '--step=abc'], '--step=abc must be a whole number from 0 to 2147483647'),
    ([*GENERATE, '--step=1.5'], '--step=1.5 must be a whole number from 0 to 2147483647'),
    ([*GENERATE, '--length=0: 1'], '--length=0: 1 must be a whole number from 1 to 2147483647'),
    (['--mode=eval', '--workdir=W', '--pictures=1001'], '--pictures=1001 must be a whole number from 1 to 1000'),
    (['--mode=eval', '--workdir=W', '--all_steps=maybe'], '--all_steps=maybe must be true or false'),
    ([*GENERATE, '--beam=2', '--length_penalty=inf'], '--length_penalty=inf'),
    ([*GENERATE, '--beam=3000000000'], '--beam=3000000000'),
    ([*COMPARE, '--claims='], '--claims= must name at least one'),
    ([*COMPARE, '--claims=1,,3'], '--claims=1,,3 must name at least one'),
    ([*COMPARE, '--experiments='], '--experiments= must name at least one'),
    ([*COMPARE, '--architectures='], '--architectures= must name at least one'),
    ([*COMPARE, f'--claims={DIGITS}'], 'must be numbers with commas between them'),
    ([*COMPARE, f'--shard={DIGITS}/{DIGITS}'], 'must be i/n with 0 <= i < n'),
    ([*COMPARE, '--shard=-1/2'], "--shard='-1/2' must be i/n"),
    ([f'--mode={"x" * 10_000}'], 'is not known; allowed: compare'),
    ([*TRAIN, f'--{"x" * 10_000}=3'], 'is not known; allowed: all_steps'),
    (['--mode=describe', f'--config={"x" * 10_000}'], 'is not known; allowed: configs/adding.py'),
    (['--mode=describe', f'{LSTM},{"x" * 10_000}=3'], 'is not known; allowed: accumulate'),
    ([*TRAIN, '--profile=3'], "--profile='3' must be first:last with 1 <= first <= last"),
    ([*TRAIN, '--profile=0:3'], "--profile='0:3' must be first:last"),
    ([*TRAIN, '--profile=5:3'], "--profile='5:3' must be first:last"),
    ([*TRAIN, '--init_from=a', '--config.train.init_from=b'], '--init_from and --config.train.init_from are the same'),
    (['--mode=export', '--workdir=W'], '--mode=export needs --output'),
    (['--mode=eval', '--workdir=W', '--profile=1:2'], '--profile has no effect with --mode=eval'),
    ([*TRAIN, '--config.train.writers=jsonl,wandbb'], "train.writers='wandbb' is not known; nearest: wandb"),
    ([*TRAIN, '--config.train.checkpoint_minutes=-1'], 'train.checkpoint_minutes=-1.0 must not be negative'),
    ([*TRAIN, '--config.train.skip_nonfinite=-1'], 'train.skip_nonfinite=-1 must not be negative'),
    (['--flagfile=/'], '--flagfile: '),
    (['--mode=describe', f'{LSTM},cross_attention=maybe'], "model.cross_attention='maybe' must be true or false"),
    (['--mode=describe', f'{LSTM},lr=1'], "--config key='lr' is not known; nearest: learning_rate; allowed"),
    (['--mode=describe', f'{LSTM},width=1e9'], 'model.width=1e+09 must be at most 1.04858e+06'),
    (['--mode=describe', f'{LSTM},params=1e15'], 'model.params=1e+15 must be at most 1e+13'),
    (['--mode=describe', f'{LSTM},feedforward=1e12'], 'model.feedforward=1e+12 must be at most 1024'),
    (['--mode=describe', f'{LSTM},depth=1e5'], 'model.depth=100000 must be at most 10000'),
    (['--mode=describe', f'{LSTM},streams=3'], 'eval.streams=3 has no effect with eval.segment=0'),
  ],
)  # fmt: skip
def test_what_is_wrong_is_one_short_line(arguments, expected):
  with pytest.raises(InputError) as caught:
    parse(*arguments)
  message = str(caught.value)
  assert expected in message
  assert len(message) < 1200
  assert '\n' not in message


def test_flags_that_are_right():
  mode, given = parse(*TRAIN, '--config.train.steps', '1e3', '--config.model.tie_embeddings', '--allow_schedule_change')
  assert mode.module == 'train'
  config = given.pop('config')
  assert (config.train.steps, config.model.tie_embeddings) == (1000, True)
  assert given == {'workdir': 'W', 'allow_schedule_change': True}
  assert parse(*GENERATE, '--prompt=b', '--temperature=1e-6')[1]['prompt'] == ['a', 'b']
  assert parse(*GENERATE, '--stop=')[1]['stop'] == ''  # an empty text is the mode's to judge
  given = parse(*COMPARE, '--claims=1,3', '--shard=0/4')[1]
  assert (given['claims'], given['shard']) == ([1, 3], (0, 4))


def test_a_flagfile_may_hold_overrides(tmp_path):
  (tmp_path / 'flags').write_text(f'--mode=describe\n{LSTM},width=16\n--config.model.width=24\n')
  assert parse(f'--flagfile={tmp_path}/flags')[1]['config'].model.width == 24


def test_a_tilde_is_the_home(monkeypatch):
  monkeypatch.setenv('HOME', '/home/someone')
  assert parse('--mode=eval', '--workdir=~/x')[1]['workdir'] == '/home/someone/x'
  assert parse('--mode=eval', '--workdir=./~/x')[1]['workdir'] == './~/x'
  monkeypatch.delenv('HOME')
  monkeypatch.setattr(os.path, 'expanduser', lambda path: path)  # a user without an entry in the password file
  with pytest.raises(InputError, match='no such home folder'):
    parse('--mode=eval', '--workdir=~/x')


def test_cuda_is_another_name_of_gpu():
  assert runtime.PLATFORMS['cuda'] == runtime.PLATFORMS['gpu']
  with pytest.raises(InputError, match=r"--platform='gup' is not known; nearest: gpu"):
    runtime.select('gup')


CONFIGS = {
  'raises': ('def get_config():\n  value = {}\n  return value["x"]\n', "line 3: KeyError: 'x'"),
  'raises below': ('import json\ndef get_config():\n  return json.loads("{")\n', 'line 3: JSONDecodeError: '),
  'does not parse': ('def get_config(:\n', 'line 1: SyntaxError: '),
  'lacks a package': ('import no_such_package\n', "line 1: ModuleNotFoundError: No module named 'no_such_package'"),
  'has no function': ('x = 1\n', 'the file has no function get_config'),
  'returns nothing': ('def get_config():\n  pass\n', 'get_config returns a NoneType; it must be a ConfigDict'),
  'takes no argument': ('def get_config():\n  return {}\n', 'TypeError: get_config() takes 0 positional arguments'),
}


@pytest.mark.parametrize('what', CONFIGS)
def test_a_config_file_that_fails_names_its_line(what, tmp_path):
  text, expected = CONFIGS[what]
  (tmp_path / 'mine.py').write_text(text)
  argument = ':x' if what == 'takes no argument' else ''
  with pytest.raises(InputError) as caught:
    parse('--mode=describe', f'--config={tmp_path}/mine.py{argument}')
  assert f'{tmp_path}/mine.py{argument}: {expected}' in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_config_file_may_be_a_program_of_its_own(tmp_path):
  text = (
    'import dataclasses\nfrom configs import copying\n'
    '@dataclasses.dataclass\nclass Mine:\n  width: "int" = 24\n'
    'def get_config(arg=None):\n  config = copying.get_config(arg or "gru")\n  config.model.width = Mine().width\n'
    '  config.train.learning_rate = 1\n  return config\n'
  )
  (tmp_path / 'mine.py').write_text(text)
  config = parse('--mode=describe', f'--config={tmp_path}/mine.py:lstm', '--config.train.learning_rate=0.5')[1][
    'config'
  ]
  assert config.model.pattern == ('lstm',)
  assert (config.model.width, config.train.learning_rate) == (24, 0.5)


def test_options_without_effect_are_refused():
  for arguments, expected in (
    (
      ['--mode=describe', f'{LSTM},cross_attention=False'],
      'model.cross_attention=False has no effect',
    ),
    (['--mode=describe', f'{LSTM}', '--config.eval.streams=4'], 'eval.streams=4 has no effect'),
  ):
    with pytest.raises(InputError, match='has no effect') as caught:
      main.run(['main.py', *arguments])
    assert expected in str(caught.value)
  config = f'--config={ROOT}/configs/reversal.py:seq2seq_lstm'
  main.run(['main.py', '--mode=describe', config])  # here it means something
