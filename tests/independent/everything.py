"""All independent checks: one module a family, each with its tuple `CHECKS`."""

from tests.independent import Check, attention, diagonal, linear, positions, recurrent

ALL: tuple[Check, ...] = (*recurrent.CHECKS, *diagonal.CHECKS, *attention.CHECKS, *linear.CHECKS, *positions.CHECKS)
