"""Count the collectives of a compiled program, those inside of loops apart; find the sums that stay whole."""

import math
import re
from collections import Counter

from training.plan import hlo

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


def whole_sums(text: str, size: int) -> list[str]:
  """Return the types of arrays of `size` numbers or more that are all-reduced and then read whole.

  Of the others every reader cuts out a part first, so that a compiler can make a reduce-scatter of the sum.
  """
  computations, _ = hlo.parse(text)
  found = []
  for body in computations.values():
    for name, instruction in body.items():
      if instruction.opcode.removesuffix('-start') == 'all-reduce':
        arrays = hlo.ARRAY.findall(instruction.type)
        for place, (kind, shape) in enumerate(arrays):
          large = math.prod(int(n) for n in shape.split(',') if n) >= size
          if large and not _is_cut(computations, body, name, place if len(arrays) > 1 else None):
            found.append(f'{kind}[{shape}]')
  return sorted(found)


def group_sizes(text: str, size: int) -> dict[str, set[int]]:
  """Return types of arrays of `size` numbers or more that are all-reduced → over how many devices each time."""
  found: dict[str, set[int]] = {}
  for body in hlo.parse(text)[0].values():
    for instruction in body.values():
      if instruction.opcode.removesuffix('-start') == 'all-reduce':
        for kind, shape in hlo.ARRAY.findall(instruction.type):
          if math.prod(int(n) for n in shape.split(',') if n) >= size:
            found.setdefault(f'{kind}[{shape}]', set()).add(_group_size(instruction.text))
  return found


def _group_size(text: str) -> int:
  """Return how many devices a collective joins, in any of the three ways in which XLA writes it."""
  if match := re.search(r'replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}', text):
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", match[1]))
    return math.prod(int(sizes[name]) for name in re.findall(r"'([^']*)'", match[2]))
  if match := re.search(r'replica_groups=\[\d+,(\d+)\]', text):
    return int(match[1])
  match = re.search(r'replica_groups=\{\{([\d,]*)\}', text)
  assert match, text
  return len(match[1].split(','))


def _is_cut(computations: dict, body: dict, name: str, place: int | None = None) -> bool:
  """Return whether every reader of a value, or of the element of a tuple at `place`, cuts out a part first."""

  def cuts(reader: str, instruction: hlo.Instruction) -> bool:
    if instruction.opcode in ('bitcast', 'reshape', 'transpose', 'copy', 'get-tuple-element', 'all-reduce-done'):
      return _is_cut(computations, body, reader)
    if instruction.opcode in ('fusion', 'call'):
      inner = computations[hlo.called(instruction.text)[0]]
      given = [f' parameter({i})' for i, operand in enumerate(instruction.operands) if operand == name]
      return all(_is_cut(computations, inner, n) for n, i in inner.items() if any(text in i.text for text in given))
    return instruction.opcode == 'dynamic-slice'

  readers = [(reader, instruction) for reader, instruction in body.items() if name in instruction.operands]
  if place is not None:
    readers = [(r, i) for r, i in readers if re.search(rf'\bindex={place}\b', i.text)]
  return bool(readers) and all(cuts(*reader) for reader in readers)
