"""Give all pictures one style: the ink whose colour a page replaces, axes without a frame; SVG, PDF and PNG."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK = '#010203'  # a colour that nothing else has: the page puts its own text colour in its place
INKED = ('text.color', 'axes.edgecolor', 'axes.labelcolor', 'xtick.color', 'ytick.color')
# What a kind of file says of its making, which would make two equal pictures differ.
UNDATED: dict[str, dict[str, None]] = {
  'svg': {'Date': None, 'Creator': None},
  'pdf': {'CreationDate': None, 'Creator': None, 'Producer': None},
  'png': {'Software': None},
}


class Picture(Figure):
  """A figure in the style of the pages, which is drawn `with picture.styled():`.

  Args:
    title: from which the ids in the SVG follow.
    size: width and height in inches.
    letters: their size in points.
  """

  def __init__(self, title: str, size: tuple[float, float], letters: float = 9) -> None:
    settings: dict[Any, Any] = {
      'svg.fonttype': 'none', 'svg.hashsalt': title, 'pdf.fonttype': 42, 'font.family': 'sans-serif',
      'font.size': letters,
    }  # fmt: skip
    self._settings = settings | dict.fromkeys(INKED, INK)
    with self.styled():
      super().__init__(figsize=size, layout='constrained')

  def styled(self) -> contextlib.AbstractContextManager[None]:
    return mpl.rc_context(self._settings)

  def svg(self) -> str:
    """Return it as an SVG element in the colour INK, without date and program."""
    text = self._saved('svg').decode()
    return text[text.index('<svg') :]

  def pdf(self) -> bytes:
    """Return it as a PDF with its letters as fonts, without date and program."""
    return self._saved('pdf')

  def png(self) -> bytes:
    """Return it as pixels on white."""
    return self._saved('png', transparent=False, facecolor='white', dpi=150)

  def _saved(self, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with self.styled():  # ticks are made when it is drawn
      self.savefig(buffer, format=kind, metadata=UNDATED[kind], **{'transparent': True, **options})
    return buffer.getvalue()


def bare(axes: Any, *sides: str) -> None:
  """Remove the frame at the top, at the right and at `sides`, and draw the grid below the data."""
  axes.set_axisbelow(True)
  for side in ('top', 'right', *sides):
    axes.spines[side].set_visible(False)


def name_points(axes: Any, points: Sequence[tuple[float, float, str]], letters: float = 7) -> None:
  """Write the name of each point (x, y, name) beside it, moved up or down where it would stand on another.

  Call it when all else is drawn: where names may stand follows from the limits of the axes.
  """
  axes.figure.draw_without_rendering()
  height, wide = 1.3 * letters, 0.62 * letters
  taken: list[tuple[float, float, float]] = []  # bottom, left and right of the names so far
  for x, y, name in sorted(points, key=lambda point: (point[1], point[0], point[2])):
    left, bottom = (axes.transData.transform((x, y)) * 72 / axes.figure.dpi).tolist()
    left, right = left + 4, left + 4 + wide * len(name)
    steps = (step * sign for step in range(len(points) + 1) for sign in (1, -1))
    free = lambda at, left=left, right=right: all(
      abs(at - other) >= height or right < start or end < left for other, start, end in taken
    )
    at = next((bottom + 3 + step * height for step in steps if free(bottom + 3 + step * height)), bottom + 3)
    taken.append((at, left, right))
    is_moved = abs(at - bottom - 3) > height
    line = {'arrowstyle': '-', 'color': INK, 'linewidth': 0.4, 'alpha': 0.5} if is_moved else None
    offset = 4, at - bottom
    axes.annotate(name, (x, y), offset, textcoords='offset points', fontsize=letters, arrowprops=line)


def on_paper(svg: str) -> str:
  """Return the figure for a file of its own: dark ink on white."""
  head, rest = svg.split('>', 1)
  return f'{head}><rect width="100%" height="100%" fill="#ffffff"/>{rest}'.replace(INK, '#1c2128')


def on_page(svg: str) -> str:
  """Return the figure in the text colour of the page around it."""
  return svg.replace(INK, 'currentColor')
