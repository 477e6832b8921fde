"""Numbers as tables write them."""

import pytest

from comparison.claims.tables import quantity


@pytest.mark.parametrize(
  ('value', 'unit', 'text'),
  [
    (1000 * 2**10, 'B', '0.977 MiB'),
    (1023 * 2**20, 'B', '0.999 GiB'),
    (999 * 2**10, 'B', '999 KiB'),
    (2**20, 'B', '1 MiB'),
    (12, 'B', '12 B'),
    (0, 'B', '0 B'),
    (0.9999e-3, 's', '1 ms'),
    (5.43e-4, 's', '543 µs'),
    (2e-9, 's', '2e-09 s'),
  ],
)
def test_a_quantity_has_three_digits_and_the_unit_that_shows_them(value, unit, text):
  assert quantity(value, unit) == text
