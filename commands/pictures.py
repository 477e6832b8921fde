"""Draw what a model predicts of the first examples of an evaluation, into the folder `pictures` of its workdir."""

import itertools
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from comparison.report.canvas import INK, Picture, bare
from tasks.shown import Attention, Classes, Film, Forecast, Shown, Spectrograms, Text
from training.metrics import log

FOLDER = 'pictures'
MOST_VARIABLES, MOST_FRAMES = 4, 20  # of a picture
MOST_CLASSES, MOST_LINES = 10, 16  # beside an example; of a text
MOST_LAYERS, MOST_HEADS, MOST_NAMED = 8, 4, 40  # of attention; tokens up to which they are named
TRUE, OWN = '#009E73', '#0072B2'  # of Okabe & Ito's palette


def write(
  workdir: pathlib.Path, step: int, split: str, shown: Sequence[Shown], attention: Sequence[Sequence[Attention]] = ()
) -> list[pathlib.Path]:
  """Write `pictures/step-<step>/<split>-<number>.png`, and all texts to `<split>.txt`; return the files.

  attention: of each example, for `<split>-<number>-attention.png`. Where they cannot be written (in another's workdir)
  that is logged.
  """
  folder = workdir / FOLDER / f'step-{step}'
  paths = []
  try:
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(shown, 1):
      if not isinstance(one, Text):
        path = folder / f'{split}-{number}.png'
        path.write_bytes(draw(one).png())
        paths.append(path)
    for number, maps in enumerate(attention, 1):
      path = folder / f'{split}-{number}-attention.png'
      path.write_bytes(attended(maps).png())
      paths.append(path)
    if texts := [one for one in shown if isinstance(one, Text)]:
      path = folder / f'{split}.txt'
      path.write_text('\n\n'.join(map(lines, texts)) + '\n', encoding='utf-8')
      paths.append(path)
  except OSError as error:
    log.warning('%s cannot be written (%s): no pictures', folder, error.strerror)
  return paths


def lines(text: Text) -> str:
  """Return the parts of a text, each under its name."""
  parts = (('given', text.given), ('true', text.truth), ('written', text.written))
  return '\n'.join(f'{name}:\n{part}' for name, part in parts if part or name != 'given')


def draw(one: Forecast | Film | Spectrograms | Classes) -> Picture:
  if isinstance(one, Forecast):
    return forecast(one)
  if isinstance(one, Classes):
    return classes(one)
  return film(one) if isinstance(one, Film) else spectrograms(one)


def forecast(one: Forecast) -> Picture:
  """Draw the first variables over time: the past, what came and what was forecast, with its outer quantiles."""
  past, count = len(one.past), min(MOST_VARIABLES, one.past.shape[1])
  before, after = np.arange(-past + 1, 1), np.arange(1, len(one.truth) + 1)
  picture = Picture('forecast', (7.2, 0.9 + 1.4 * count))
  with picture.styled():
    for variable, axes in enumerate(picture.subplots(count, sharex=True, squeeze=False)[:, 0]):
      axes.plot(before, one.past[:, variable], color=INK, linewidth=1)
      axes.plot(after, one.truth[:, variable], color=TRUE, linewidth=1.2, label='true')
      axes.plot(after, one.forecast[:, variable], color=OWN, linewidth=1.2, linestyle='--', label='forecast')
      if one.low is not None and one.high is not None:
        ends = one.low[:, variable], one.high[:, variable]
        axes.fill_between(after, *ends, color=OWN, alpha=0.2, linewidth=0, label='between its outer quantiles')
      axes.axvline(0.5, color=INK, linewidth=0.6, linestyle=':')
      axes.set_ylabel(f'variable {variable + 1}')
      axes.grid(alpha=0.25, linewidth=0.6)
      bare(axes)
    axes.set_xlabel('steps after the last one that is seen')
    picture.legend(*axes.get_legend_handles_labels(), loc='outside upper center', ncols=3, frameon=False, fontsize=8)
  return picture


def film(one: Film) -> Picture:
  """Draw the frames side by side: above those given and the true ones, below those that are predicted."""
  given, after = one.given[-(MOST_FRAMES // 2) :], spread(len(one.truth), MOST_FRAMES // 2)
  columns = len(given) + len(after)
  picture = Picture('film', (0.55 * columns + 0.9, 1.9))
  with picture.styled():
    rows = picture.subplots(2, columns, squeeze=False)
    top = [*given, *one.truth[after]]
    bottom = [None] * len(given) + list(one.predicted[after])
    for axes, frame in zip(rows.ravel(), [*top, *bottom], strict=True):
      axes.set_axis_off()
      if frame is not None:
        axes.imshow(frame, cmap='gray', vmin=0.0, vmax=1.0)
    for place, number in zip(rows[0][len(given) :], after, strict=True):
      place.set_title(f'+{number + 1}', fontsize=7)
    rows[0][0].set_title('given', fontsize=8, loc='left')
    rows[1][max(0, len(given) - 2)].text(0.5, 0.5, 'predicted', fontsize=8, ha='center', va='center')
  return picture


def attended(maps: Sequence[Attention]) -> Picture:
  """Draw a row for each layer: the mean over its heads, then its first heads, from white (0) to dark (1)."""
  maps = [maps[i] for i in spread(len(maps), MOST_LAYERS)]
  heads = min(MOST_HEADS, max(len(one.weights) for one in maps))
  columns = 1 + (heads if heads > 1 else 0)
  longest = max(max(one.weights.shape[1:]) for one in maps)
  side = min(3.6, max(1.5, 0.11 * longest if longest <= MOST_NAMED else 0.0))
  picture = Picture('attention', (0.6 + side * columns, 0.3 + (side + 0.45) * len(maps)))
  with picture.styled():
    rows = picture.subplots(len(maps), columns, squeeze=False)
    for one, row in zip(maps, rows, strict=True):
      panels = [one.weights.mean(axis=0), *one.weights[: columns - 1]]
      for number, (axes, weights) in enumerate(itertools.zip_longest(row, panels)):
        if weights is None:
          axes.set_axis_off()
          continue
        axes.imshow(weights, cmap='Greys', vmin=0.0, vmax=1.0, interpolation='nearest', aspect='auto')
        axes.set_title(f'head {number}' if number else layer_title(one), fontsize=7, loc='left')
        name_ticks(axes, one, with_rows=number == 0)
  return picture


def layer_title(one: Attention) -> str:
  """Return `decoder, layer 2, to the source` of `decoder/block_01/cross`, and of how many heads it is the mean."""
  *part, block, kind = one.layer.split('/')
  title = ', '.join((*part, f'layer {int(block.rpartition("_")[2]) + 1}', *(['to the source'] * (kind == 'cross'))))
  return f'{title}\nmean of {len(one.weights)} heads' if len(one.weights) > 1 else title


def name_ticks(axes: Any, one: Attention, *, with_rows: bool) -> None:
  """Write the tokens at the sides of a map, or the numbers of the first and the last where there is no room."""
  sides = (axes.yaxis, one.reads, one.weights.shape[1]), (axes.xaxis, one.over, one.weights.shape[2])
  for axis, names, count in sides:
    has_names = names is not None and count <= MOST_NAMED
    axis.set_ticks(range(count) if has_names else sorted({0, count - 1}))
    if axis is axes.yaxis and not with_rows:
      axis.set_ticklabels([])
    elif has_names:
      axis.set_ticklabels([visible(name) for name in names or ()])
    axis.set_tick_params(labelsize=5, length=0, pad=1, labelrotation=90 if axis is axes.xaxis else 0)


def visible(token: str) -> str:
  """Return a token as letters that are seen and that matplotlib takes as they are."""
  return token.strip(' ▁').replace('\n', '⏎').replace('$', r'\$') or '␣'


def spread(count: int, most: int) -> np.ndarray:
  """Return at most `most` of the numbers below `count`, evenly spread, the first and the last among them."""
  return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def classes(one: Classes) -> Picture:
  """Draw what was read, and beside it the likeliest classes with their probabilities, the true one in its colour."""
  order = np.argsort(-one.probabilities, kind='stable')
  chosen = [int(label) for label in order[:MOST_CLASSES]]
  if one.truth not in chosen:
    chosen[-1] = one.truth
  picture = Picture('classes', (7.2, max(2.2, 0.5 + 0.22 * len(chosen))))
  with picture.styled():
    left, right = picture.subplots(1, 2, width_ratios=(2, 1))
    if isinstance(one.given, str):
      left.set_axis_off()
      text = '\n'.join(textwrap.wrap(one.given, 60)[:MOST_LINES]).replace('$', r'\$')
      left.text(0.0, 1.0, text, fontsize=7, va='top', ha='left', transform=left.transAxes)
    elif one.is_image:
      left.set_axis_off()
      left.imshow(one.given, cmap='gray', vmin=0.0, vmax=1.0)
    else:
      left.plot(one.given, linewidth=1)
      left.set_xlabel('steps')
      bare(left)
    places = np.arange(len(chosen))
    right.barh(places, one.probabilities[chosen], color=[TRUE if label == one.truth else OWN for label in chosen])
    right.set_yticks(places, [visible(one.names[label])[:24] for label in chosen])
    right.invert_yaxis()
    right.set_xlim(0, 1)
    right.set_xlabel('probability')
    right.set_title(f'true: {visible(one.names[one.truth])[:24]}', fontsize=8, loc='left', color=TRUE)
    bare(right)
  return picture


def spectrograms(one: Spectrograms) -> Picture:
  """Draw sounds one below the other, on one scale of time and loudness."""
  longest = max(len(bands) for _, bands in one.parts)
  loud: dict[str, Any] = {
    'vmin': min(bands.min() for _, bands in one.parts),
    'vmax': max(bands.max() for _, bands in one.parts),
  }
  picture = Picture('spectrograms', (7.2, 0.6 + 1.7 * len(one.parts)))
  with picture.styled():
    for axes, (title, bands) in zip(
      picture.subplots(len(one.parts), sharex=True, squeeze=False)[:, 0], one.parts, strict=True
    ):
      axes.imshow(bands.T, origin='lower', aspect='auto', cmap='magma', interpolation='nearest', **loud)
      axes.set_xlim(-0.5, longest - 0.5)
      axes.set_title(title if len(title) <= 90 else f'{title[:89]}…', fontsize=9, loc='left')
      axes.set_ylabel('mel band')
      bare(axes)
    axes.set_xlabel('frames')
  return picture
