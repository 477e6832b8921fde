"""Records of the comparison with peers → a line each, a Markdown table and a plot."""

import pathlib
from collections.abc import Sequence

from benchmarks.work import OURS
from comparison import records
from comparison.records import Row
from comparison.report import canvas, markdown

TF32 = 'Both sides read float32 as TF32. Nothing is judged: the limits were set for CPUs.\n\n'
MISSED, MET, AIMED, REFERENCE = 'missed', 'met', 'aim reached', 'reference'


def judged(rows: Sequence[Row]) -> list[Row]:
  """Return the ratio of this project to the fastest peer, one row a work, in the order measured."""
  return [row for row in rows if row['metric'] == 'ratio' and row['side'] == OURS and row['fastest']]


def verdict(row: Row) -> str:
  if row['at_most'] is None:
    return REFERENCE
  return MISSED if row['value'] > row['at_most'] else MET if row['value'] > row['aim'] else AIMED


def seconds(rows: Sequence[Row], work: str, side: str) -> float:
  return next(r['value'] for r in rows if r['metric'] == 'seconds' and (r['work'], r['side']) == (work, side))


def line(rows: Sequence[Row]) -> str:
  """One work: the ratio to the fastest peer, then to the others and of other variants, and what was left out."""
  row = judged(rows)[0]
  ours, theirs = (seconds(rows, row['work'], side) for side in (OURS, row['peer']))
  text = f'{row["work"]}: {interval(row)} of {row["peer"]} ({ours * 1e3:.4g} ms, {theirs * 1e3:.4g} ms)'
  others = [r for r in rows if r['metric'] == 'ratio' and r is not row]
  more = [f'{r["side"]} ÷ {r["peer"]} {r["value"]:.2f}' for r in others]
  limits = verdict(row)
  if limits != REFERENCE:
    limits = f'at most {row["at_most"]:g}, aim {row["aim"]:g}: {limits}'
  return (
    f'{text}; {limits}' + ''.join(f'; {m}' for m in more) + f'; {row["rejected"]} of {row["rounds"]} rounds left out'
  )


def interval(row: Row) -> str:
  return f'{row["value"]:.2f} [{row["low"]:.2f}, {row["high"]:.2f}]'


def replace(path: pathlib.Path, work: str, rows: Sequence[Row]) -> None:
  """Put the rows of one work in the place of those that are there."""
  others = [row for row in records.read(path) if row['work'] != work]
  path.unlink(missing_ok=True)
  cells = dict.fromkeys(row['cell'] for row in others)
  for cell in cells:
    records.append(path, [row for row in others if row['cell'] == cell])
  records.append(path, rows)


def write(folder: pathlib.Path) -> None:
  """peers.md and peers.svg from records.jsonl."""
  rows = records.read(folder / 'records.jsonl')
  (folder / 'peers.md').write_text(table(rows))
  (folder / 'peers.svg').write_text(draw(judged(rows)))


def table(rows: Sequence[Row]) -> str:
  lines = []
  for row in judged(rows):
    ours, theirs = (f'{seconds(rows, row["work"], side) * 1e3:.4g}' for side in (OURS, row['peer']))
    limits = ('–' if row[name] is None else f'{row[name]:g}' for name in ('at_most', 'aim'))
    lines.append([row['work'], ours, row['peer'], theirs, interval(row), *limits, verdict(row)])
  first = rows[0]
  versions = ', '.join(f'{name} {version}' for name, version in first['versions'].items())
  head = ('work', 'here, ms', 'fastest peer', 'there, ms', 'ratio', 'at most', 'aim', '')
  left_out = sum(row['rejected'] for row in judged(rows))
  rounds = sum(row['rounds'] for row in judged(rows))
  return (
    f'# Beside peers on {first["device_kind"]}\n\n'
    'Ratio: time here ÷ time there, the median of pairs with its 95 % interval; forward and backward, float32, unless '
    f'the row says otherwise. {left_out} of {rounds} rounds were left out because other processes were at work.\n\n'
    f'{TF32 if first.get("device") == "gpu" else ""}{markdown.grid(head, lines)}\n\n'
    f'![ratios](peers.svg)\n\n{memory(rows)}'
    f'{versions}; malloc {first["malloc"]}; {first["threads"]} threads.\n\n'
    '```\npython -m benchmarks.peers --out=results/<device>/peers\n```\n'
  )


def memory(rows: Sequence[Row]) -> str:
  """Return the compiler's figures of temporary memory, forward and backward."""
  found = [row for row in rows if row['metric'] == 'temporary_bytes']
  if not found:
    return ''
  lines = [[row['work'], row['side'], f'{row["value"] / 1e6:,.1f}'] for row in found]
  return f'{markdown.grid(("work", "side", "temporaries, MB"), lines)}\n\n'


def draw(rows: Sequence[Row]) -> str:
  """Draw the ratios on a logarithmic axis, with their limits and aims, as an SVG file."""
  figure = canvas.Picture('peers', (7.2, 0.8 + 0.26 * len(rows)))
  with figure.styled():
    axes = figure.subplots()
    for place, row in enumerate(reversed(rows)):
      colour = '#D55E00' if verdict(row) == MISSED else '#0072B2'
      axes.plot([row['low'], row['high']], [place, place], '-', color=colour, linewidth=1.6)
      axes.plot([row['value']], [place], 'o', color=colour, markersize=4)
      if verdict(row) != REFERENCE:
        axes.plot([row['at_most']], [place], '|', color='#6f6f6f', markersize=11, markeredgewidth=1.6)
        axes.plot([row['aim']], [place], '|', color='#009E73', markersize=8)
    axes.axvline(1.0, color='#6f6f6f', linewidth=0.6)
    axes.set_xscale('log', base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
    axes.set_yticks(range(len(rows)), [f'{row["work"]} ÷ {row["peer"]}' for row in reversed(rows)])
    axes.set_xlabel('time here ÷ time there; grey: at most, green: aim')
    axes.grid(axis='x', alpha=0.25, linewidth=0.6)
    canvas.bare(axes)
  return canvas.on_paper(figure.svg())
