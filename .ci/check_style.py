"""Find words that the glossary replaces, and phrases that need a second reading; print file:line and what to write.

  python .ci/check_style.py [FILE …]     (default: every tracked Python, Markdown and C++ file)

Exit with 1 if there is any. docs/glossary.md and CONTRIBUTING.md say why.
"""

import io
import pathlib
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUFFIXES = ('.py', '.md', '.cc', '.h')
SKIPPED = ('results/', '.ci/check_style.py', 'tests/test_style.py', 'docs/glossary.md')

# In code, comments and prose. Pattern → what to write.
PHRASES: dict[str, str] = {
  r'\bwhom\b': 'a noun: variant, caller, model',
  r'\bnobody\b': 'the case: "If `state` is None, return None"',
  r'\bdearer\b': 'slower, costs more',
  r'\bof so many\b': 'the number or its name',
  r'\bthat which\b': 'a noun',
  r'\bwhat (it|they|one|each) (makes?|gives?|knows?|takes?|is given|remembers?|wants?)\b': 'a noun',
  r'\bis told of\b|\bare told of\b|\bit is told\b': 'reported, shown, passed',
  r'\bwhat is remembered\b|\bremembered tokens\b': 'cache, state',
  r'\b(all|fewer) bits\b': 'float32, bfloat16, full precision',
  r'\bblind rows?\b': 'fully masked row',
  r'"""(What|Whom?|Whose) ': 'a docstring that begins with an imperative verb',
}
# Names of variables, functions, arguments and attributes in Python.
IDENTIFIERS: dict[str, str] = {
  'told': 'a noun for what it holds',
  'lacking': 'missing',
  'wanted': 'is_…, has_… or a noun',
  'whom': 'variant',
  'dearer': 'slower',
  'subject': 'variant',
  'subjects': 'variants',
  'Subject': 'Variant',
}
# Dictionaries of arguments whose names hide what is passed.
PACKED = re.compile(r'\*\*(how|more|given|told|what)\b|\b(how|given|told): ?(dict|Mapping)\b')
# Earlier names of backends as values, outside of the kernels and of the reader of old records.
BACKENDS = re.compile(
  r"""(['"])(native|fused|blockwise|materialised|vendor)\1|=(native|fused|materialised)\b|\.native\b"""
)
BACKENDS_ALLOWED = ('seqmodels/kernels/', 'tests/kernels/', 'comparison/records.py', 'tests/comparison/test_records.py')


def main(names: list[str]) -> int:
  found = [line for path in sorted(files(names)) for line in check(path.relative_to(ROOT).as_posix(), path.read_text())]
  print('\n'.join(found) if found else 'Style: no rejected words.')
  return 1 if found else 0


def files(names: list[str]) -> Iterator[pathlib.Path]:
  listed = names or subprocess.check_output(['git', 'ls-files'], cwd=ROOT, text=True).splitlines()
  for name in listed:
    path = (ROOT / name).resolve()
    if path.suffix in SUFFIXES and path.exists() and not path.relative_to(ROOT).as_posix().startswith(SKIPPED):
      yield path


def check(name: str, text: str) -> Iterator[str]:
  """Yield `file:line: word; write: …` for one file."""
  python = name.endswith('.py')
  for i, line in enumerate(text.splitlines(), 1):
    for pattern, instead in PHRASES.items():
      if match := re.search(pattern, line, re.IGNORECASE if pattern[0] != '"' else 0):
        yield f'{name}:{i}: "{match.group().strip()}"; write: {instead}'
    if python and (match := PACKED.search(line)):
      yield f'{name}:{i}: "{match.group()}"; write: named arguments'
    if python and not name.startswith(BACKENDS_ALLOWED) and (match := BACKENDS.search(line)):
      yield f'{name}:{i}: "{match.group().strip()}"; write: reference, xla, cpu, pallas or cudnn'
  if python:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
      if token.type == tokenize.NAME and token.string in IDENTIFIERS:
        yield f'{name}:{token.start[0]}: name "{token.string}"; write: {IDENTIFIERS[token.string]}'


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
