"""Names of topologies: what they mean, how much memory they have, and which do not exist."""

import math

import pytest

from seqmodels.errors import InputError
from training.plan import topology
from training.plan.topology import parse


@pytest.mark.parametrize(
  ('text', 'name', 'devices', 'gibibytes'),
  [
    ('v5e:4x4', 'v5e:4x4', 16, 16),
    ('V5E:4x2', 'v5e:2x4', 8, 16),
    ('v5p:8x8x8', 'v5p:8x8x8', 512, 95),
    ('v5p-64', 'v5p:2x4x4', 32, 95),  # 64 cores
    ('v5p-8', 'v5p:2x2x1', 4, 95),
    ('v4-4096', 'v4:8x16x16', 2048, 32),
    ('v5litepod-256', 'v5e:16x16', 256, 16),
    ('v6e-8', 'v6e:2x4', 8, 32),
    ('tpu7x-8', 'tpu7x:2x2x1', 8, 96),  # two devices a chip
    ('h100:8', 'h100:8', 8, 80),
    ('v5e:4x4,slices:2', 'v5e:4x4,slices:2', 32, 16),
    ('cpu:8', 'cpu:8', 8, 0),
  ],
)
def test_names(text, name, devices, gibibytes):
  found = parse(text)
  assert (found.name, found.devices, found.about.gibibytes) == (name, devices, gibibytes)
  assert parse(found.name) == found


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('v5q:4x4', "--topology='v5q' is not known; nearest: "),
    ('h10:8', 'nearest: h100'),
    ('v5e:3x5', "--topology='v5e:3x5' does not exist; allowed: v5e: 1x1, 2x2"),
    ('v5e:4x4x4', 'must be v5e:axb, as in v5e:4x4'),
    ('v5p:3x3x3', 'does not exist; allowed: 2x2x1 and shapes of 2s and multiples of 4, up to 16x20x28'),
    ('v5p:32x32x32', 'does not exist'),
    ('v5p-60', 'does not exist; nearest: v5p-16, v5p-32, v5p-64'),
    ('h100', 'must be h100:<number of devices>, as in h100:8'),
    ('h100-8', 'must be h100:<number of devices>'),
    ('h100:0', 'must have from 1 to'),
    ('h100:8,slices:2', 'slices are for TPUs'),
    ('v5e:4x4,slices:0', 'may end in ,slices:<1 to 64> and in nothing else'),
    ('v5p:8x16x16,slices:64', '131,072 devices; allowed: at most 16,384'),
    ('v5e', 'must be v5e:axb'),
    ('v5e:٤x4', 'must be v5e:axb'),
    (',', 'may end in'),
  ],
)
def test_what_does_not_exist_is_one_line(text, expected):
  with pytest.raises(InputError) as error:
    parse(text)
  assert expected in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('generation', [name for name, g in topology.GENERATIONS.items() if g.platform == topology.TPU])
def test_marketing_names_count_chips_or_cores(generation):
  """Every name translates to a shape that may also be written out, with so many chips."""
  about = topology.GENERATIONS[generation]
  for count, shape in topology._counts(generation).items():
    assert math.prod(shape) * about.cores == count
    assert parse(f'{generation}-{count}') == parse(f'{generation}:{"x".join(map(str, shape))}')
