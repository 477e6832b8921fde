"""--mode=plan: bad input is one line; the child's numbers are those of the run; estimates are near the compiler's."""

import importlib.util
import sys

import jax
import pytest

import main
from commands import config_file, plan
from seqmodels.errors import InputError
from training import workdir as workdirs
from training.mesh_settings import mesh_settings, mesh_sizes
from training.plan import ask, child, figures
from training.plan.figures import Figures
from training.plan.topology import parse
from training.run import build_run

CONFIG = f'{config_file.ROOT}/configs/copying.py'
SMALL = 'width=32,depth=2,symbols=4,items=4,lag=8,batch_size=16,warmup_steps=0,kernels=xla'
HAS_LIBTPU = importlib.util.find_spec('libtpu') is not None


def run(capsys, *flags: str) -> tuple[int, str, str]:
  code = main.main(['main.py', '--mode=plan', *flags])
  return code, *capsys.readouterr()


def config(architecture: str, mesh: str) -> workdirs.Config:
  made = config_file.load(f'{CONFIG}:{architecture},{SMALL}', {'mesh.min_size': '64'}, mesh_settings(mesh_sizes(mesh)))
  return workdirs.plain(made)


@pytest.mark.parametrize(
  ('flags', 'expected'),
  [
    (['--config={}:gru'], '--mode=plan needs --topology'),
    (['--topology=v5e:4x4'], '--mode=plan needs --config'),
    (['--config={}:gru', '--topology=v5s:4x4'], "--topology='v5s' is not known; nearest: v5"),
    (['--config={}:gru', '--topology=v5e:3x5'], "--topology='v5e:3x5' does not exist; allowed: v5e: 1x1"),
    (['--config={}:gru', '--topology=h100:8', '--platform=cpu'], '--platform has no effect with --mode=plan'),
    (['--config={}:gru', '--topology=h100:8', '--compile_timeout=0'], '--compile_timeout=0'),
    (['--config={}:gru', '--topology=h100:8', '--mesh=fsdp:3'], 'mesh.fsdp=3: 3 must divide the 8 available devices'),
    (['--config={}:gru', '--topology=h100:8', '--mesh=data:1,fsdp:4'], 'a mesh of 4 devices leaves out some of the 8'),
    (['--config={}:gru,batch_size=9', '--topology=h100:8'], 'train.batch_size=9 must be a multiple of 8 devices'),
    (
      ['--config={}:transformer,heads=3,width=48', '--topology=h100:2', '--mesh=tensor:2'],
      'mesh.tensor=2 must divide heads=3',
    ),
  ],
)
def test_bad_input_is_one_line(capsys, tmp_path, monkeypatch, flags, expected):
  monkeypatch.chdir(tmp_path)
  code, out, err = run(capsys, *(flag.format(CONFIG) for flag in flags))
  lines = [line for line in err.splitlines() if 'what follows are estimates' not in line]
  assert (code, out) == (2, '')
  assert len(lines) == 1
  assert lines[0].startswith('error: ')
  assert expected in lines[0]
  assert not list(tmp_path.iterdir())


def test_gpus_are_estimated_and_every_line_says_so(capsys):
  code, out, err = run(capsys, f'--config={CONFIG}:lstm,{SMALL}', '--topology=h100:8', '--mesh=data:2,fsdp:4')
  assert code == 0
  assert err.startswith('no compiler for GPUs')
  assert len(out.splitlines()) >= 8
  assert all(line.endswith('(estimate)') for line in out.splitlines())
  assert 'fits: needs' in out
  assert 'of 80.00 GiB' in out


def test_the_largest_bucket_is_planned(capsys):
  """The text of 24 sub-words is one bucket of several; its batch is that of a task with one bucket alone."""
  made = f'--config={config_file.ROOT}/configs/translation.py:transformer,width=16,heads=2,depth=1,length=24'
  needed = []
  for buckets in (1, 3):
    code, out, _ = run(capsys, f'{made},buckets={buckets},batch_size=8', '--topology=h100:1')
    assert code == 0
    rows = dict(line.removesuffix('  (estimate)').split(maxsplit=1) for line in out.splitlines()[1:])
    needed.append((rows['peak'], rows['activations'], rows.get('batch')))
  assert needed[0][2] is None
  assert needed[1] == (*needed[0][:2], '24 tokens a row, the largest bucket; others: 6, 12')


@pytest.mark.skipif(HAS_LIBTPU, reason='libtpu is installed')
def test_without_libtpu_one_line_names_the_command(capsys):
  code, out, err = run(capsys, f'--config={CONFIG}:gru,{SMALL}', '--topology=v5e:2x2')
  assert code == 0
  assert err.count('\n') == 1
  assert '`make install EXTRA=tpu`' in err
  assert all(line.endswith('(estimate)') for line in out.splitlines())


@pytest.mark.skipif(not HAS_LIBTPU, reason='needs libtpu')
@pytest.mark.parametrize('topology', ['v5e:2x2', 'v4:2x2x1', 'tpu7x:2x2x1', 'v5e:2x2,slices:2'])
def test_tpus_are_compiled_for(capsys, topology):
  flags = [f'--config={CONFIG}:gru,{SMALL}', '--mesh=data:2,fsdp:-1', '--config.mesh.min_size=64']
  code, out, err = run(capsys, *flags, f'--topology={topology}')
  assert (code, err) == (0, '')
  assert 'compile time' in out
  assert 'all-gather' in out
  assert 'estimate' not in out


@pytest.mark.skipif(not HAS_LIBTPU, reason='needs libtpu')
def test_sums_of_gradients_are_reduce_scattered_on_tpus():
  """With 32 units arrays are too small for the compiler to scatter."""
  configs = [config(name, 'fsdp:4') for name in ('transformer', 'lstm')]
  for made in configs:
    made['model'] |= {'width': 128, 'depth': 1}
  for found in ask.ask(parse('v5e:2x2'), configs, compiles=True):
    assert found.collectives['reduce-scatter'] > 5 * found.collectives['all-reduce']


ARCHITECTURES = ('transformer,heads=4,remat=block,layers=scan', 'lstm')


@pytest.fixture(scope='module')
def answers() -> dict[str, tuple[list[Figures], list[Figures]]]:
  """Estimates and compiled figures of each architecture, by topology."""
  found = {}
  for topology, mesh in (('cpu:1', 'data:1'), ('cpu:8', 'data:2,fsdp:2,tensor:2')):
    configs = [config(name, mesh) for name in ARCHITECTURES]
    place = parse(topology)
    found[topology] = tuple(ask.ask(place, configs, compiles=compiles, timeout=900) for compiles in (False, True))
  return found


@pytest.mark.parametrize('topology', ['cpu:1', 'cpu:8'])
@pytest.mark.parametrize('i', range(len(ARCHITECTURES)))
def test_estimates_are_near_the_compilers_numbers(answers, topology, i):
  guess, truth = (found[i] for found in answers[topology])
  assert guess.is_estimate
  assert not truth.is_estimate
  assert (guess.params, guess.optimizer) == (truth.params, truth.optimizer)
  assert guess.flops == truth.flops
  assert abs(guess.other - truth.other) < 10_000  # the compiler counts the metrics too
  assert 0.5 < guess.activations / truth.activations < 2.5
  assert bool(guess.collectives) == bool(truth.collectives) == (topology == 'cpu:8')


def test_one_device_holds_what_the_run_holds(answers):
  """The figures of the child on one device are those of the step that is compiled in this process."""
  made = config(ARCHITECTURES[1], 'data:1')
  run_here = build_run(made)
  state = run_here.abstract_state()
  size = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
  truth = answers['cpu:1'][1][1]
  assert (truth.params, truth.optimizer) == (size(state.params), size(state.opt_state))
  arguments = run_here.trace_step().lower().compile().memory_analysis().argument_size_in_bytes
  assert 0 <= truth.params + truth.optimizer + truth.other - arguments < 10_000


@pytest.mark.parametrize(
  ('text', 'peak', 'memory', 'activations'),
  [
    ('RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm. Exceeded', 20.5, 15.75, 0),
    (
      'RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (125.13G) exceeds '
      'available HBM (15.75G).\nMore',
      3 + 125.13,
      15.75,
      125.13,
    ),
  ],
)
def test_what_the_compiler_says_is_needed(text, peak, memory, activations):
  known = Figures('', False, 2**30, 2**31, 0, 0, 0, 2**34, 1.0)
  found = child.refused(known, text, 1.0)
  assert not found.fits
  assert (found.peak, found.memory, found.activations) == pytest.approx(
    [n * 2**30 for n in (peak, memory, activations)]
  )
  shown = '\n'.join(figures.lines(found))
  assert f'does not fit: needs {peak:.2f} GiB of {memory:.2f} GiB' in shown
  assert 'More' not in shown


def test_the_exit_code_says_whether_it_fits(monkeypatch, capsys):
  place, made = parse('h100:8'), config('gru', 'data:8')
  needs = lambda peak: [Figures('data:8', True, 1, 1, 1, 1, peak, 80, 1.0)]
  monkeypatch.setattr(ask, 'ask', lambda *_, **__: needs(80))
  plan.main(made, topology=place)
  monkeypatch.setattr(ask, 'ask', lambda *_, **__: needs(81))
  with pytest.raises(SystemExit) as caught:
    plan.main(made, topology=place)
  assert caught.value.code == 1
  assert 'does not fit: needs 81 B of 80 B' in capsys.readouterr().out
  monkeypatch.setattr(plan.searching, 'search', lambda *_: None)
  with pytest.raises(SystemExit, match=r'^error: --search: nothing that was tried fits h100:8; use more devices'):
    plan.main(made, topology=place, search=True)  # a text is exit code 1


def test_search_prints_what_it_found(capsys):
  flags = [f'--config={CONFIG}:gru,{SMALL}', '--topology=h100:4', '--search']
  code, out, _ = run(capsys, *flags)
  assert code == 0
  assert 'found: --mesh=data:' in out


def test_a_child_that_dies_is_one_line(monkeypatch):
  monkeypatch.setattr(sys, 'executable', '/bin/false')
  with pytest.raises(InputError, match='the process that plans for it has failed: exit code 1'):
    ask.ask(parse('cpu:1'), [{}], compiles=True)


def test_a_compiler_that_takes_too_long_is_one_line():
  with pytest.raises(InputError, match=r'--compile_timeout=0\.1: the compiler has not ended'):
    ask.ask(parse('cpu:1'), [config('gru', 'data:1')], compiles=True, timeout=0.1)
