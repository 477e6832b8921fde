"""Count the collectives of a compiled program, those inside of loops apart."""

import re
from collections import Counter

COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.\-]+) \(.*\{$')
COLLECTIVE = re.compile(r' (all-gather|all-reduce|reduce-scatter|collective-permute|all-to-all)(?:-start)?\(')
CALLED = re.compile(r'(?:body|condition|calls|to_apply|branch_computations)=\{?((?:%?[\w.\-]+(?:, )?)+)\}?')
LOOP = re.compile(r'body=%?([\w.\-]+)')


def count(text: str) -> dict[str, int]:
  """Return the number of each collective in the text of a compiled program; `loop …`: those in bodies of loops."""
  lines: dict[str, list[str]] = {}
  for line in text.splitlines():
    if match := COMPUTATION.match(line):
      lines[match[1]] = here = []
    elif line.startswith('  '):
      here.append(line)
  loops = {match[1] for body in lines.values() for line in body for match in LOOP.finditer(line)}
  inside: set[str] = set()
  while loops:
    name = loops.pop()
    if name in inside or name not in lines:
      continue
    inside.add(name)
    for line in lines[name]:
      for match in CALLED.finditer(line):
        loops.update(part.strip('% ') for part in match[1].split(','))
  found: Counter[str] = Counter()
  for name, body in lines.items():
    for line in body:
      if match := COLLECTIVE.search(line):
        found[('loop ' if name in inside else '') + match[1]] += 1
  return dict(sorted(found.items()))
