"""Read the collectives of a compiled program from its text: how often each runs, and how many bytes it moves.

The compilers say neither. A collective in the body of a loop counts as often as the loop runs, where its condition
compares a counter with a constant. TPU programs need two rules more: the parts of an asynchronous collective stand in
several fusions, with one channel; and a fusion named all-reduce-scatter is a reduce-scatter.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ('all-gather', 'all-reduce', 'reduce-scatter', 'collective-permute', 'all-to-all')
BITS = {'pred': 8, 'bf16': 16}
COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{$')
INSTRUCTION = re.compile(r'^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$')
OPCODE = re.compile(r' ([a-z][\w\-]*)\(')
ARRAY = re.compile(r'\b(pred|bf16|[suf]\d+|f8\w+|c\d+)\[([\d,]*)\]')
CALLED = re.compile(r'(?:body|condition|calls|to_apply|branch_computations)=(?:\{([^}]*)\}|(%?[\w.\-]+))')
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
NUMBER = re.compile(r' constant\((\d+)\)')
CHANNEL = re.compile(r'channel_id=(\d+)')


class Collective(NamedTuple):
  """A collective of a program: how often it runs a step, and the bytes it moves each time.

  bytes: of the whole array on one device: what is gathered, reduced, scattered or sent.
  """

  kind: str
  runs: int
  bytes: int


class Instruction(NamedTuple):
  type: str
  opcode: str
  operands: list[str]
  text: str


def bytes_by_kind(text: str) -> dict[str, int]:
  """Return the bytes that the collectives of a compiled program move in a run, by kind."""
  found = dict.fromkeys(KINDS, 0)
  for collective in collectives(text):
    found[collective.kind] += collective.runs * collective.bytes
  return {kind: count for kind, count in found.items() if count}


def collectives(text: str) -> list[Collective]:
  """Return the collectives of a compiled program (`Compiled.as_text()`) that run at least once."""
  computations, entry = parse(text)
  fused = {
    name
    for body in computations.values()
    for instruction in body.values()
    if instruction.opcode == 'fusion'
    for name in called(instruction.text)
  }
  single: list[Collective] = []
  shared: dict[str, Collective] = {}
  for name, runs in _runs(computations, entry).items():
    for instruction in computations[name].values():
      kind = instruction.opcode.removesuffix('-start')
      if kind not in KINDS or not runs:
        continue
      size = _moved(instruction, kind, computations[name])
      kind = 'reduce-scatter' if kind == 'all-reduce' and name.startswith('all-reduce-scatter') else kind
      one = Collective(kind, runs, size)
      channel = CHANNEL.search(instruction.text)
      if name in fused and channel:
        shared[channel[1]] = max(shared.get(channel[1], one), one, key=lambda c: c.runs * c.bytes)
      else:
        single.append(one)
  return single + list(shared.values())


def parse(text: str) -> tuple[dict[str, dict[str, Instruction]], str]:
  """Return the instructions of every computation by their names, and the name of the entry."""
  found: dict[str, dict[str, Instruction]] = {}
  here: dict[str, Instruction] = {}
  entry = ''
  for line in text.splitlines():
    if match := COMPUTATION.match(line):
      found[match[2]] = here = {}
      entry = match[2] if match[1] else entry
    elif (match := INSTRUCTION.match(line)) and (opcode := OPCODE.search(f' {match[2]}')):
      kind, rest = match[2][: opcode.start()], match[2][opcode.end() - 1 :]
      here[match[1]] = Instruction(kind, opcode[1], re.findall(r'%([\w.\-]+)', rest.partition(')')[0]), match[2])
  return found, entry


def _runs(computations: dict[str, dict[str, Instruction]], entry: str) -> dict[str, int]:
  """Return how often each computation runs; every branch of a conditional counts as taken."""
  runs = dict.fromkeys(computations, 0)
  runs[entry] = 1
  for name in _callers_first(computations, entry):
    for instruction in computations[name].values():
      for callee, times in _calls(instruction, computations):
        if callee in runs:
          runs[callee] += runs[name] * times
  return runs


def _callers_first(computations: dict[str, dict[str, Instruction]], entry: str) -> list[str]:
  """Return the computations that are reached, each after all that call it."""
  done: list[str] = []
  seen = {entry}
  stack: list[tuple[str, Iterator[str]]] = [(entry, iter(_callees(computations[entry])))]
  while stack:
    name, rest = stack[-1]
    following = next((callee for callee in rest if callee in computations and callee not in seen), None)
    if following is None:
      done.append(name)
      stack.pop()
    else:
      seen.add(following)
      stack.append((following, iter(_callees(computations[following]))))
  return done[::-1]


def _callees(body: dict[str, Instruction]) -> list[str]:
  return [name for instruction in body.values() for name in called(instruction.text)]


def called(text: str) -> list[str]:
  """Return the names of the computations that an instruction calls."""
  return [part.strip('% ') for match in CALLED.finditer(text) for part in (match[1] or match[2]).split(',')]


def _calls(instruction: Instruction, computations: dict[str, dict[str, Instruction]]) -> list[tuple[str, int]]:
  """Return what an instruction calls, and how often."""
  if instruction.opcode in ('async-update', 'async-done'):  # they name again what async-start calls
    return []
  times = _trips(instruction, computations) if instruction.opcode == 'while' else 1
  return [(name, times) for name in called(instruction.text)]


def _trips(loop: Instruction, computations: dict[str, dict[str, Instruction]]) -> int:
  """Return how often a loop runs: as the compiler says, or the one constant that its condition has; else 1."""
  if match := TRIPS.search(loop.text):
    return int(match[1])
  condition = re.search(r'condition=%?([\w.\-]+)', loop.text)
  body = computations.get(condition[1], {}) if condition else {}
  numbers = [int(m[1]) for i in body.values() if i.type.startswith('s32[]') and (m := NUMBER.search(i.text))]
  return numbers[0] if len(numbers) == 1 else 1


def _moved(instruction: Instruction, kind: str, body: dict[str, Instruction]) -> int:
  operands = sum(_bytes(body[name].type) for name in instruction.operands if name in body)
  if kind != 'all-gather':
    return operands
  result = _bytes(instruction.type)
  return result - operands if instruction.opcode.endswith('-start') else result


def _bytes(kind: str) -> int:
  """Return the bytes of an array type, or of the arrays of a tuple."""
  total = 0
  for name, shape in ARRAY.findall(kind):
    bits = BITS.get(name) or int(re.sub(r'^(f8).*|\D*(\d+).*', lambda m: '8' if m[1] else m[2], name))
    total += math.prod(int(n) for n in shape.split(',') if n) * bits // 8
  return total
