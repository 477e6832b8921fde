"""How a process ends while an evaluation that it has left alone is still at work."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import sys, time
from training import stop

class Left(Exception):
  pass

def leave():
  raise Left

try:
  stop.polled(lambda: time.sleep(600), leave)
except Left:
  pass
assert stop.is_compiling()
with stop.leaving():
  print('written', end='')
  sys.exit({code})
"""


@pytest.mark.parametrize(
  ('code', 'expected', 'said'),
  [('None', 0, ''), ('143', 143, ''), ("'error: the disk is full'", 1, 'error: the disk is full\n')],
)
def test_a_call_that_is_left_alone_holds_nothing_up(code, expected, said):
  program = PROGRAM.format(code=code)
  done = subprocess.run(
    [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
  )
  assert (done.returncode, done.stdout, done.stderr) == (expected, 'written', said)
