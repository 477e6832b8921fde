"""Check the documentation against the code: commands, links, names, sizes, and results that follow from the records."""

import pathlib
import re
import shlex
import subprocess

import pytest

import main
import seqmodels
from benchmarks import task_runs
from comparison.report import readme
from configs.architectures import ARCHITECTURES
from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS
from tasks import TASKS

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')])
README = (ROOT / 'README.md').read_text()
FENCE = re.compile(r'```(\w*)\n(.*?)```', re.DOTALL)
FOLDERS = [pathlib.Path('results') / name for name in ('amd-epyc-2-cores', 'intel-xeon-2-cores', 'nvidia-h200')]


def shell_lines():
  """Every line of a bash block, and every command in backquotes that is a program of this repository."""
  for page in PAGES:
    text = page.read_text()
    for language, block in FENCE.findall(text):
      if language == 'bash':
        yield from ((page.name, line) for line in block.splitlines() if line.strip())
    for line in re.findall(r'`((?:python main\.py|python -m|make) [^`…<]+)`', FENCE.sub('', text)):
      yield page.name, line


# ml_collections loads config files the old way.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')
COMMANDS = sorted(set(shell_lines()))


@pytest.mark.parametrize(('page', 'line'), COMMANDS)
def test_commands_run_as_typed(page, line, monkeypatch):
  """Shell syntax, flags, configs, targets of make and modules; nothing is started."""
  monkeypatch.chdir(ROOT)
  assert subprocess.run(['bash', '-n', '-c', line], check=False).returncode == 0
  for words in split_commands(line):
    if words[:2] == ['python', 'main.py']:
      check_flags(words[1:])
    elif words[:2] == ['python', '-m']:
      path = ROOT / words[2].replace('.', '/')
      assert words[2] == 'pytest' or path.with_suffix('.py').exists() or (path / '__main__.py').exists()
    elif words[0] == 'make':
      done = subprocess.run(['make', '-n', *words[1:]], cwd=ROOT, check=False, capture_output=True, text=True)
      assert done.returncode == 0 or 'NEXT_PYTHON' in done.stderr, done.stderr
    elif launchers := [word for word in words if word.startswith('launch/')]:
      check_launcher(launchers[0], words)
    else:
      assert words[0] in ('git', 'cd', 'source', 'pip', 'pytest', 'kubectl')


def check_flags(argv):
  """Parse the flags of main.py; only the run that an earlier command leaves in the workdir may be missing."""
  if '--help' in argv:
    return
  try:
    main.parse(argv)
  except InputError as error:
    assert 'holds no trained model' in str(error)  # noqa: PT017


def check_launcher(launcher, words):
  """Check that a file of launch/ exists, and parse the flags of main.py that stand behind its own."""
  path, rest = ROOT / launcher, words[words.index(launcher) + 1 :]
  assert path.exists()
  if launcher == 'launch/tpu_vm.sh':
    assert re.search(rf'^# {rest[0]} ', path.read_text(), re.MULTILINE)  # a command that its first lines explain
    rest = rest[rest.index('--') + 1 :] if '--' in rest else []
  elif launcher == 'launch/local.sh':
    assert rest.pop(0).isdecimal()
  if path.suffix != '.yaml' and rest:
    check_flags(['main.py', *rest])


def split_commands(line):
  words = shlex.split(line.replace("$'\\n\\n'", "'x'"), comments=True)
  joined = ' '.join('\0' if word == '&&' else shlex.quote(word) for word in words)
  return [shlex.split(part) for part in joined.split('\0') if part.strip()]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
  for target in re.findall(r'\]\(([^)\s]+)\)', FENCE.sub('', page.read_text())):
    if not target.startswith(('http', '#')):
      assert (page.parent / target.split('#')[0]).exists(), target


def test_the_readme_takes_five_minutes():
  assert len(FENCE.sub('', README).split()) <= 1200
  assert README.index('headline.svg') < README.index('## Start')
  assert 'equal FLOPs' not in README
  assert 'equal training FLOPs' not in README


def test_the_readme_names_what_there_is():
  assert 'Twenty-one token mixers' in README
  assert len(MIXERS) >= 21  # a mixer of the reader's own is one more
  table = README.split('## What there is')[1].split('## ')[0]
  names = set(re.findall(r'`([\w-]+)`', table))
  assert set(TASKS) <= names
  architectures = names & {*ARCHITECTURES, *MIXERS}
  assert set(ARCHITECTURES) - architectures <= {name for name in ARCHITECTURES if '_residual' in name} | {
    'transformer_to_lstm', 'lstm_to_transformer',
  }  # fmt: skip


def test_the_library_of_the_readme_runs():
  (block,) = [block for language, block in FENCE.findall(README) if 'models.build' in block]
  names: dict = {}
  exec(compile(block.replace('512', '16').replace('1e6', '1e5'), 'README.md', 'exec'), names)
  assert names['logits'].shape == (2, 16, 256)


def test_results_follow_from_the_records(monkeypatch):
  monkeypatch.chdir(ROOT)
  assert readme.with_results(README, FOLDERS) == README, readme.__doc__
  assert readme.details(FOLDERS) == readme.RESULTS.read_text(), readme.__doc__


def test_the_table_of_tasks_is_that_of_the_runs(monkeypatch):
  monkeypatch.chdir(ROOT)
  page = task_runs.PAGE.read_text()
  assert task_runs.with_table(page, FOLDERS[0] / 'tasks') == page, task_runs.__doc__


def test_one_version_everywhere():
  version = seqmodels.__version__
  assert f'\nversion: {version}\n' in (ROOT / 'CITATION.cff').read_text()
  assert f'\n## [{version}]' in (ROOT / 'CHANGELOG.md').read_text()
