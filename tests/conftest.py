"""Strict JAX for every test: array types are checked, rank promotion and warnings are errors, two CPU devices."""

import gc
import importlib.metadata
import logging
import os
import pathlib
import signal
import sys

# A shell starts what runs in the background with SIGINT and SIGQUIT ignored, nohup with SIGHUP, and the processes of
# tests would inherit that.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
  if signal.getsignal(number) is signal.SIG_IGN:
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
CACHE = pathlib.Path.home() / '.cache' / 'seqmodels' / 'compilation'
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(CACHE))
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')  # on a GPU, which the processes of a run share
# Tests compile much and run little: without LLVM's optimisations compiling takes a third less, and with the older
# emitters of fused loops, which JAX 0.11 no longer has (an unknown flag ends the process), half of the rest.
FAST_COMPILATION = '--xla_backend_optimization_level=0'
if tuple(map(int, importlib.metadata.version('jaxlib').split('.')[:2])) < (0, 11):
  FAST_COMPILATION += ' --xla_cpu_use_fusion_emitters=false'
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), FAST_COMPILATION]).strip()
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import jax  # noqa: E402
import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

import tests.typecheck  # noqa: E402, F401  (the hook finds it as an attribute of `tests`)
from training import maps  # noqa: E402

jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
jax.config.update('jax_num_cpu_devices', int(os.environ.get('SEQMODELS_TEST_DEVICES', '2')))
if jax.default_backend() != 'cpu':
  jax.config.update('jax_default_matmul_precision', 'highest')  # the default of GPUs and TPUs is less

install_import_hook('seqmodels', 'tests.typecheck.check')

# The modules that take longest, by their time. They run first, so that none is left for one worker at the end; those
# whose processes have limits of time come after the ones that keep all cores busy.
LONGEST = (
  'training/test_meshes.py',
  'models/test_devices.py',
  'training/test_sequence.py',
  'comparison/experiments/test_grid.py',
  'kernels/test_devices.py',
  'comparison/report/test_written.py',
  'test_resume.py',
  'test_hosts.py',
  'commands/test_processes.py',
  'test_kill.py',
  'test_processes.py',
  'test_main.py',
)


def pytest_configure(config):
  """Keep the order of the modules: pytest-xdist would begin with those that have most tests."""
  config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
  ranks = {f'tests/{name}': rank for rank, name in enumerate(LONGEST)}
  items.sort(key=lambda item: ranks.get(item.nodeid.partition('::')[0], len(ranks)))


# Tracing makes many small objects that live on: a tenth of the suite's time went into looking for garbage among them.
gc.set_threshold(100_000, 50, 50)


@pytest.fixture
def logged(caplog, monkeypatch):
  """Return caplog with what the project logs, once: the program's log does not go on to the root's handlers."""
  log = logging.getLogger('seqmodels')
  monkeypatch.setattr(log, 'propagate', False)
  log.addHandler(caplog.handler)
  caplog.set_level(logging.INFO, logger='seqmodels')
  yield caplog
  log.removeHandler(caplog.handler)


@pytest.fixture(autouse=True, scope='module')
def free_maps():
  """Drop what earlier modules have compiled before it fills the memory maps of this process."""
  yield
  maps.let_programs_go(0.25)


@pytest.fixture(scope='module')
def frozen_garbage():
  """Leave what is there before a module out of its collections, which take seconds each in a process of many tests."""
  gc.collect()
  gc.freeze()
  yield
  gc.unfreeze()
