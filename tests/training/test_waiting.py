"""The limit of reading and writing: one line ends the process; what is in time, and errors, pass through."""

import pathlib
import subprocess
import sys

import pytest

from training import waiting

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import time
from training import waiting
waiting.start(1)
for _ in waiting.each('quick', range(3)):
  pass
time.sleep(1.5)
print('nothing is waited for', flush=True)
with waiting.within('outer'):
  with waiting.within('inner'):
    time.sleep(60)
"""


def test_what_takes_too_long_ends_the_process():
  done = subprocess.run([sys.executable, '-c', PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
  assert (done.returncode, done.stdout) == (1, 'nothing is waited for\n')
  assert done.stderr == 'error: --io_timeout=1: outer takes longer, here or in another process of this run\n'


def test_each_gives_all_and_passes_errors_on():
  assert list(waiting.each('a', [1, 2])) == [1, 2]
  with pytest.raises(ZeroDivisionError):
    list(waiting.each('a', (1 // n for n in (1, 0))))
