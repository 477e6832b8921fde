"""Make telephone dial tones: each digit is a pair of tones (dual-tone multi-frequency, ITU-T Q.23), with noise."""

import numpy as np
from jaxtyping import Int16

from tasks import draws

RATE = 8000
LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477)  # Hz, of the rows and columns of the keypad
KEYPAD = ('123', '456', '789', '*0#')
SPEAKERS = ('copper', 'radio', 'satellite', 'tunnel')  # lines, of more and more noise
EACH = 20  # recordings of a digit and line
SHORTEST, LONGEST = 400, 800  # samples


def recording(digit: int, line: int, index: int) -> Int16[np.ndarray, ' n']:
  """Return a digit on a line. Length, loudness, the tones' offset (up to 1.5 %) and the noise are drawn by `index`."""
  draw = draws.words(draws.key('dial tones', digit, line), np.array([index]), 4 + LONGEST)
  chance = draws.uniforms(draw)[0]
  row, column = next((r, keys.index(str(digit))) for r, keys in enumerate(KEYPAD) if str(digit) in keys)
  length = SHORTEST + int(chance[0] * (LONGEST - SHORTEST))
  seconds = np.arange(length) / RATE
  offset = 1 + 0.03 * (chance[1] - 0.5)
  tones = sum(np.sin(2 * np.pi * (f * offset * seconds + chance[2])) for f in (LOW[row], HIGH[column]))
  fade = np.minimum(1, np.minimum(np.arange(length), length - 1 - np.arange(length)) / 80)
  noise = 0.02 * (1 + 2 * line) * (2 * chance[4 : 4 + length] - 1)
  level = 0.15 + 0.25 * chance[3]
  return np.round(32767 * (level * fade * tones + noise)).astype(np.int16)
