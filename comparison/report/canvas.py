"""Give all pictures one style: their SVG, the ink whose colour a page replaces, axes without a frame."""

import io
from typing import Any

from matplotlib.figure import Figure

INK = '#010203'  # a colour that nothing else has: the page puts its own text colour in its place
INKED = ('text.color', 'axes.edgecolor', 'axes.labelcolor', 'xtick.color', 'ytick.color')


def style(salt: str, size: float = 9) -> dict[Any, Any]:
  """Return settings for `mpl.rc_context`. salt: of the ids in the SVG; size: of letters, in points."""
  common: dict[Any, Any] = {
    'svg.fonttype': 'none', 'svg.hashsalt': salt, 'font.family': 'sans-serif', 'font.size': size,
  }  # fmt: skip
  return common | dict.fromkeys(INKED, INK)


def svg(figure: Figure) -> str:
  """Return the figure as an SVG element, without date and program."""
  buffer = io.StringIO()
  figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None, 'Creator': None})
  text = buffer.getvalue()
  return text[text.index('<svg') :]


def bare(axes: Any, *sides: str) -> None:
  """Remove the frame at the top, at the right and at `sides`, and draw the grid below the data."""
  axes.set_axisbelow(True)
  for side in ('top', 'right', *sides):
    axes.spines[side].set_visible(False)


def on_paper(svg: str) -> str:
  """Return the figure for a file of its own: dark ink on white."""
  head, rest = svg.split('>', 1)
  return f'{head}><rect width="100%" height="100%" fill="#ffffff"/>{rest}'.replace(INK, '#1c2128')


def on_page(svg: str) -> str:
  """Return the figure in the text colour of the page around it."""
  return svg.replace(INK, 'currentColor')
