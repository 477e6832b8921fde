"""Make programs that stand for others: main.py, and the commands of a scheduler."""

import os
import pathlib
import stat
import subprocess
import sys
import time
from collections.abc import Mapping

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / 'launch'


def write(path: pathlib.Path, text: str) -> pathlib.Path:
  """Write an executable file; `#!` lines may say PYTHON for the interpreter of the tests."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text.replace('#!PYTHON', f'#!{sys.executable}', 1))
  path.chmod(path.stat().st_mode | stat.S_IXUSR)
  return path


def environment(commands: pathlib.Path, **variables: str) -> dict[str, str]:
  """Return the environment of the tests, without a scheduler's own or make's, with `commands` first in PATH."""
  theirs = ('SLURM_', 'TPU_', 'MAKE', 'MFLAGS')
  kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
  return {**kept, 'PATH': f'{commands}:{os.environ["PATH"]}', 'PYTHON': sys.executable, **variables}


def run(*command: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
  words = [str(word) for word in command]
  return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


def wait_until(condition, seconds: float = 20) -> None:
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.02)


def is_alive(pid: int) -> bool:
  """Whether a process runs; one that has ended and was not waited for does not."""
  try:
    os.kill(pid, 0)
    return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
  except (ProcessLookupError, FileNotFoundError):
    return False
