"""Imports that import-linter cannot see: the pages and verdicts are made without JAX."""

import subprocess
import sys


def test_records_claims_and_report_do_not_start_jax():
  code = (
    'import sys; from comparison import claims, records, report; '
    'print([m for m in ("jax", "flax", "grain") if m in sys.modules])'
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout.strip() == '[]'
