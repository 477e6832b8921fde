"""Fuzz the command line: random flags, values and configs by seed, mutated, with all cases that ever went wrong.

  python -m tests.fuzz_commands [lines] [seed]

Every line is run in this process first, as far as that is safe: flags and configs are parsed, runs are put together
without training, models are described, texts are generated from a small model. A line that ends with another exception
than InputError, takes more than 5 s, or makes this process grow by more than 1 GB is run again as a process of its own,
and counts if that shows it too: a traceback, more than 5 s of processor time, or more than 1 GB of memory. The exit
code is 0 when nothing counts.
"""

import contextlib
import io
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
SECONDS, BYTES = 5.0, 2**30
PATIENCE = 60.0  # seconds that a process may take on a busy machine
TINY = 'width=8,depth=1,length=8,batch_size=2,steps=1,unit=byte'

NUMBERS = (
  '', '0', '-1', '1', '3', '1e3', '1_000', '0x10', '1.5', '1e9', '1e12', '1e15', '1e18', '1e-39', '1e400', 'inf', 'nan',
  '-inf', 'None', 'true', 'abc', '2000000000', '4294967296', '99999999999999999999', '9' * 5000, '٣', ' 4 ',
)  # fmt: skip
WORDS = ('', 'x' * 300, 'None', 'gpu', 'λ', '\udcff', 'a b', "'", '{}', '[1', '../..', 'none', 'auto', 'float16', '1')
PATTERNS = (
  '', 'gla', 'lstm*2', 'lstm*999999999', 'lstm*0', 'conv+gru+lstm', 'attention:heads=abc', 'attention:kv_heads=0.5',
  'conv:kernel_size=1e9', 'performer:features=0', 'performer:features=1e9', 'conv:dilation', 'conv:dilation=1e12',
  'linformer', 'lstm:', ':', '*', '+', 'lstm*', "('lstm',", 'retention:expand=1e9', 'sliding_window:window=1e9',
  'sparse:stride=1e9', 'lru:state_size=1e9', 'gla:chunk=3', 'gla:gate_rank=1e9', 'slstm:temporal_width=1e9',
)  # fmt: skip
KEYS = (
  'width', 'depth', 'params', 'feedforward', 'heads', 'kv_heads', 'dropout', 'batch_size', 'steps', 'seed', 'segment',
  'memory', 'accumulate', 'fsdp', 'tensor', 'zero', 'learning_rate', 'warmup_steps', 'clip', 'length', 'lag', 'items',
  'symbols', 'pairs', 'vocabulary', 'lookback', 'horizon', 'patch', 'streams', 'keep', 'log_every', 'encoder_depth',
  'lr', 'chunk', 'kernel_size', 'features', 'window', 'stride', 'rank', 'expand', 'examples', 'evaluation_examples',
)  # fmt: skip
WORD_KEYS = (
  'block', 'norm', 'position', 'dtype', 'layers', 'optimizer', 'schedule', 'dataset', 'unit', 'objective', 'split',
  'tie_embeddings', 'remat', 'cross_attention', 'implementation', 'kernels', 'mixer', 'name', '', 'x' * 300,
)  # fmt: skip
FLAGS = (
  'mesh', 'step', 'length', 'top_k', 'beam', 'seed', 'temperature', 'top_p', 'length_penalty', 'claims', 'shard',
  'profile', 'topology', 'init_timeout', 'io_timeout', 'compile_timeout', 'process_count',
)  # fmt: skip
WORD_FLAGS = (
  'platform', 'downloads_dir', 'stop', 'scale', 'experiments', 'architectures', 'config', 'mode', 'tasks', 'topology',
  'init_from', 'recogniser', 'format', 'x',
)  # fmt: skip

# What went wrong once. {W}: the workdir of a small model of bytes.
CASES = (
  *(f'--mode=train --workdir=new --config=language.py:lstm,{key}' for key in (
    'width=1e9', 'params=1e15', 'feedforward=1e12', 'batch_size=1e9', 'batch_size=1e18', 'steps=1e12', 'width=1e18',
    'depth=1e5', 'depth=1e6', 'pattern=lstm*999999999', 'pattern=attention:heads=abc', 'width=8,width=9', 'lr=3',
    'pattern=attention:kv_heads=0.5', 'pattern=conv:kernel_size=1e9', 'pattern=performer:features=0', 'params=1e11',
    'cross_attention=False', 'streams=3', 'width=1048576', 'length=2e9', 'eval_every=1e12', 'batch_size=1e7',
    'vocabulary=1e9,unit=word',
    'pattern=attention,memory=2e9,segment=8', 'pattern=attention,segment=8,batch_size=1e6',
    'segment=2e9', 'memory=2e9,segment=8', 'warmup_steps=2e9', 'kv_heads=7',
  )),
  *(f'--mode=train --workdir=new --config=copying.py:gru,{key}' for key in (
    'lag=2e9', 'items=2e9', 'symbols=2e9', 'evaluation_examples=2e9,lag=2e9', 'examples=2e9',
  )),
  *(f'--mode=train --workdir=new --config={config}' for config in (
    'translation.py:transformer,length=2e9', 'translation.py:transformer,vocabulary=2e9',
    'translation.py:transformer,buckets=1e9', 'speech_recognition.py:gru,seconds=1e12',
    'speech_recognition.py:gru,rate=2e9', 'speech_recognition.py:gru,digits=1e9', 'speech_recognition.py:gru,mels=1e9',
    'speech_synthesis.py:gru,block=2e9', 'speech_frames.py:seq2seq_gru,frames=1e9', 'video.py:gru,size=1e9',
    'video.py:gru,frames=2e9', 'video.py:gru,digits=2e9', 'video_question.py:gru,patch=1e9',
  )),
  '--mode=train --workdir=new --config=recall.py:gru,pairs=2e9', '--mode=train --config= --workdir=new',
  '--mode=train --workdir=new --config=recall.py:gru,vocabulary=2e9,pairs=5e8',
  '--mode=train --workdir=new --config=adding.py:gru,length=2e9',
  '--mode=train --workdir=new --config=reversal.py:encoder_decoder,length=2e9',
  '--mode=train --workdir=new --config=forecasting.py:gru,lookback=2e9',
  '--mode=train --workdir=new --config=language.py:lstm --mesh=data:1000000',
  '--mode=train --workdir=new --config=language.py:lstm --mesh=data:-1,fsdp:-1',
  '--mode=train --workdir=new --config=language.py:lstm --config.mesh.tensor=3',
  '--mode=train --workdir=new --config=language.py:lstm --config.mesh.rules=(((=a:fsdp',
  '--mode=train --workdir=new --config=language.py:lstm --platform=cuda',
  '--mode=train --workdir=new --config=language.py:lstm --config.train.steps=1 --config.train.steps=2',
  '--mode=train --workdir=~nosuchuser/x --config=language.py:lstm',
  '--mode=train --workdir=gs://b/x --config=language.py:lstm',
  f'--mode=train --workdir={"x" * 300} --config=language.py:lstm', f'--mode=eval --workdir={"x/" * 3000}',
  f'--mode=describe --config={"x" * 9000}.py:lstm', f'--mode={"x" * 9000}', f'--{"x" * 9000}=3',
  '--flagfile=/proc/self/mem', '--flagfile',
  '--mode=compare --scale=smoke --workdir=new --claims=', '--mode=compare --scale=smoke --workdir=new --experiments=',
  f'--mode=compare --scale=smoke --workdir=new --claims={"9" * 5000}',
  '--mode=compare --scale=smoke --workdir=new --shard=0/0',
  '--mode=compare --scale=smoke --workdir=new --experiments=state_bytes --architectures=griffin',
  *(f'--mode=sweep --workdir=new --config=copying.py:gru --set=seed=0..1 {flag}' for flag in (
    '--set=learning_rate=log:1e-4:1e-2:2000000000', '--set=seed=0..9', '--set=width=0..2000000000', '--budget=0',
    '--set=learning_rate=loguniform:0:1 --budget=2', '--set=width=1e9,2e9', f'--set={"x" * 9000}=1',
    '--set=steps=1..9999 --set=lag=1..9999', '--set=learning_rate=uniform:1:2 --budget=2000000000',
  )),
  *(f'--mode=generate --workdir={{W}} --prompt=ab --length=3 {flag}' for flag in (
    '--beam=2000000000', '--temperature=inf', '--temperature=nan', '--temperature=1e-39', '--temperature=1e-5',
    '--top_p=1e-40', '--top_p=0', '--top_k=2147483647', '--seed=1 --seed=2', '--step=2147483647', '--stop=',
    '--beam=2 --length_penalty=inf', '--beam=2 --length_penalty=1e6', '--beam=1000', '--beam=257',
  )),
  '--mode=generate --workdir={W} --prompt=', '--mode=generate --workdir={W} --prompt=ab --beam=4 --length=2147483647',
)  # fmt: skip


class Line(NamedTuple):
  arguments: tuple[str, ...]

  def __str__(self) -> str:
    return ' '.join(a if len(a) < 100 else f'{a[:60]}… ({len(a)} characters)' for a in self.arguments)


def lines(count: int, seed: int, workdir: str) -> list[Line]:
  """Return the known cases and random lines, `count` in all."""
  found = [
    Line(tuple(case.replace('{W}', workdir).replace('--config=', f'--config={ROOT}/configs/').split(' ')))
    for case in CASES
  ]
  draws = random.Random(seed)
  draws.shuffle(found)
  while len(found) < count:
    found.append(mutated(draws, random_line(draws, workdir)))
  return found[:count]


def random_line(draws: random.Random, workdir: str) -> Line:
  mode = draws.choice(
    ['train', 'train', 'train', 'describe', 'describe', 'generate', 'eval', 'compare', 'list', 'report', 'plan']
  )
  arguments = [f'--mode={mode}']
  if mode in ('train', 'describe', 'plan'):
    arguments.append(f'--config={config(draws)}')
    for _ in range(draws.choice([0, 0, 0, 1])):
      section = draws.choice(['train', 'model', 'task', 'eval', 'mesh', 'model.mixer', 'x', ''])
      arguments.append(f'--config.{section}.{pair(draws)}')
  if mode in ('train', 'compare'):
    arguments.append('--workdir=new')
  if mode in ('generate', 'eval', 'report'):
    arguments.append(f'--workdir={draws.choice([workdir, workdir, "nowhere"])}')
  if mode == 'generate':
    arguments += [f'--prompt={draws.choice(["ab", "", *WORDS])}', '--length=3']
  if mode == 'compare':
    arguments.append('--scale=smoke')
  if mode == 'plan':
    arguments.append('--topology=h100:8')
  for _ in range(draws.choice([0, 0, 0, 1, 2])):
    if draws.random() < 0.7:
      arguments.append(f'--{draws.choice(FLAGS)}={draws.choice(NUMBERS)}')
    else:
      arguments.append(f'--{draws.choice(WORD_FLAGS)}={draws.choice(WORDS)}')
  return Line(tuple(arguments))


def config(draws: random.Random) -> str:
  from configs import architectures, catalogue

  task, name = draws.choice(catalogue.tasks()), draws.choice(architectures.names())
  options = list(catalogue.task_options(task))
  pairs = ','.join(pair(draws, options) for _ in range(draws.choice([0, 1, 1, 1, 2])))
  return f'{ROOT}/configs/{task}.py:{name},width=16,depth=4,{pairs}'


def pair(draws: random.Random, options: Sequence[str] = ()) -> str:
  """Return a field with a value; options: those of the task, which half of the fields are."""
  if options and draws.random() < 0.5:
    return f'{draws.choice(options)}={draws.choice((*NUMBERS, *WORDS))}'
  kind = draws.random()
  if kind < 0.6:
    return f'{draws.choice(KEYS)}={draws.choice(NUMBERS)}'
  if kind < 0.8:
    return f'{draws.choice(WORD_KEYS)}={draws.choice(WORDS)}'
  return f'{draws.choice(["pattern", "encoder_pattern"])}={draws.choice(PATTERNS)}'


def mutated(draws: random.Random, line: Line) -> Line:
  """Return the line, in a third of the cases with an argument repeated, cut, dropped or with characters changed."""
  arguments = list(line.arguments)
  place = draws.randrange(len(arguments))
  text = arguments[place]
  change = draws.randrange(20)
  if change == 0:
    arguments.append(text)
  elif change == 1:
    arguments[place] = text[: draws.randrange(1, len(text))]
  elif change == 2 and len(arguments) > 1:
    del arguments[place]
  elif change == 3:
    i = draws.randrange(len(text))
    arguments[place] = text[:i] + draws.choice('=-,:+*\n\t/λ\udcff') + text[i + 1 :]
  return Line(tuple(arguments))


class TooSlow(BaseException):
  """A line has taken more than its seconds."""


def attempt(line: Line) -> str:
  """Run a line in this process, without training and comparing; return what is wrong with it, or ''."""
  begun, before = time.process_time(), memory()

  def stop(*_: object) -> None:
    raise TooSlow

  previous = signal.signal(signal.SIGALRM, stop)
  signal.setitimer(signal.ITIMER_REAL, 10 * SECONDS)
  output = io.StringIO()
  try:
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
      _run(line)
  except TooSlow:
    return 'hang'
  except SystemExit:
    pass
  except BaseException as error:  # whatever it is, it would have been a traceback
    return f'traceback {type(error).__name__}: {str(error)[:200]}'
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)
  if memory() - before > BYTES:
    return 'allocation'
  return 'hang' if time.process_time() - begun > SECONDS else ''


def _run(line: Line) -> None:
  import main
  from seqmodels.errors import InputError

  with contextlib.suppress(InputError):
    mode, arguments = main.parse(['main.py', *line.arguments])
    if mode.function == 'report' or 'platform' in arguments:
      return
    if mode.module == 'train':
      from training import workdir
      from training.run import build_run

      run = build_run(workdir.plain(arguments['config']))
      if run.settings.batch_size * run.task.spec.length * run.model.config.width < 2**20:
        run.trace_step()
    elif mode.module == 'commands.sweep':
      from configs import space

      space.parse(arguments['config'], arguments['axes']).trials(arguments.get('budget'))
    elif mode.module in ('commands.describe', 'commands.generate', 'commands.list'):
      main.run(['main.py', *line.arguments])


def memory() -> int:
  """Return the most memory that this process has had."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# Started between this process and the one it judges: the most memory of a process counts from before its `exec`, so
# a child of a large process looks as large as its parent.
JUDGE = """
import json, resource, subprocess, sys
process = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
was_killed = False
try:
  process.wait(float(sys.argv[1]))
except subprocess.TimeoutExpired:
  process.kill()
  process.wait()
  was_killed = True
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([process.returncode, was_killed, used.ru_maxrss * 1024, used.ru_utime + used.ru_stime]))
"""


def confirm(line: Line, folder: str) -> str:
  """Run a line as a process of its own; return what is wrong with it, or ''."""
  command = [sys.executable, '-S', '-c', JUDGE, str(PATIENCE), sys.executable, str(ROOT / 'main.py'), *line.arguments]
  kept = os.environ | {'PYTHONPATH': str(ROOT)}
  try:
    judged = subprocess.run(command, cwd=folder, env=kept, capture_output=True, check=True)
  except ValueError:  # a zero byte: no shell can pass it
    return ''
  returncode, was_killed, memory, seconds = json.loads(judged.stdout)
  text = judged.stderr.decode(errors='replace')
  if was_killed:
    return f'hang beyond {PATIENCE:g} s'
  if 'Traceback' in text or returncode < 0:
    return f'traceback {returncode} {text[-300:]}'
  if memory > BYTES:
    return f'allocation {memory / 2**30:.1f} GiB'
  return f'hang {seconds:.1f} s' if seconds > SECONDS and returncode == 2 else ''


@contextlib.contextmanager
def small_model() -> Iterator[str]:
  """Train a model of bytes for one step; give its workdir, beside which the lines are run."""
  import main

  with tempfile.TemporaryDirectory() as folder:
    before = os.getcwd()
    os.chdir(folder)
    try:
      with contextlib.redirect_stderr(io.StringIO()):
        arguments = ['--mode=train', f'--config={ROOT}/configs/language.py:gru,{TINY}', '--workdir=small']
        assert main.main(['main.py', *arguments]) == 0
      yield f'{folder}/small'
    finally:
      os.chdir(before)


def fuzz(count: int, seed: int, say=print) -> dict[str, int]:
  """Run `count` lines; return how many end in tracebacks, hangs and allocations."""
  counts = {'traceback': 0, 'hang': 0, 'allocation': 0}
  with small_model() as workdir:
    for line in lines(count, seed, workdir):
      wrong = attempt(line)
      if not wrong:
        continue
      confirmed = confirm(line, str(pathlib.Path(workdir).parent))
      say(f'{"VIOLATION" if confirmed else "not confirmed"}: {line}\n  here: {wrong}\n  as a process: {confirmed}')
      if confirmed:
        counts[confirmed.partition(' ')[0]] += 1
  return counts


if __name__ == '__main__':
  number, seed = (
    (int(text) for text in [*sys.argv[1:], '300', '0'][:2])
    if len(sys.argv) > 2
    else (int([*sys.argv[1:], '300'][0]), 0)
  )
  sys.path.insert(0, str(ROOT))
  result = fuzz(number, seed)
  print(f'{number} lines, seed {seed}: ' + ', '.join(f'{value} {name}s' for name, value in result.items()))
  sys.exit(any(result.values()))
