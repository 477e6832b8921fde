"""Run shellcheck on every shell file of the repository."""

import pathlib
import shutil
import subprocess
import sys

from tests.launch.programs import LAUNCH, ROOT, run

SHEBANGS = (b'#!/usr/bin/env bash', b'#!/bin/')


def shell_files():
  listed = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
  for name in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines():
    path = ROOT / name
    if path.is_file() and path.open('rb').readline().startswith(SHEBANGS):
      yield name


def test_shellcheck_finds_nothing():
  names = list(shell_files())
  assert {f'launch/{path.name}' for path in LAUNCH.iterdir()} - {'launch/gke.yaml'} <= set(names)
  # The environment need not be activated: the executable lies beside its Python.
  program = shutil.which('shellcheck', path=pathlib.Path(sys.executable).parent) or shutil.which('shellcheck')
  assert program, 'shellcheck is missing: run `make install`'
  done = run(program, *(ROOT / name for name in names))
  assert done.returncode == 0, done.stdout
