"""Check the list of rejected words: every rule finds its case, and ordinary text passes."""

import importlib.util
import pathlib

import pytest

PATH = pathlib.Path(__file__).parent.parent / '.ci' / 'check_style.py'
SPEC = importlib.util.spec_from_file_location('check_style', PATH)
style = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(style)


@pytest.mark.parametrize(
  ('name', 'line'),
  [
    ('docs/x.md', 'Whom an experiment measures'),
    ('seqmodels/x.cc', '// and nobody waits for it'),
    ('README.md', 'the 100th token is dearer than the first'),
    ('tasks/x.py', '# one of so many rows'),
    ('tasks/x.py', '# what it gives to the next layer'),
    ('seqmodels/x.py', '"""What a mixer remembers."""'),
    ('seqmodels/x.py', 'told = 1'),
    ('seqmodels/x.py', 'def lacking(): pass'),
    ('seqmodels/x.py', 'f(**how)'),
    ('seqmodels/x.py', 'how: dict[str, int] = {}'),
    ('seqmodels/mixers/x.py', "implementation = 'native'"),
    ('configs/x.py', 'model.native = True'),
    ('comparison/x.py', "Rung('lstm', 'fused')"),
  ],
)
def test_every_rule_finds_its_case(name, line):
  (found,) = style.check(name, line + '\n')
  assert found.startswith(f'{name}:1: ')
  assert '; write: ' in found


@pytest.mark.parametrize(
  ('name', 'line'),
  [
    ('seqmodels/x.py', '# Materialised attention stores its scores; a fused kernel does not.'),
    ('seqmodels/kernels/cpu/x.py', "PLATFORM = 'native'"),
    ('docs/x.md', 'The server told the client what to do; more memory was given to native code.'),
    ('seqmodels/x.py', 'def f(more: dict[str, int]): return g(**more_rows)'),
    ('seqmodels/x.py', '"""Return what the model predicts."""'),
  ],
)
def test_ordinary_text_passes(name, line):
  assert list(style.check(name, line + '\n')) == []
