"""All independent checks: one module a family, each with its tuple `CHECKS`."""

from tests.independent import attention, diagonal, linear, positions, recurrent
from tests.independent.checks import Check

ALL: tuple[Check, ...] = (*recurrent.CHECKS, *diagonal.CHECKS, *attention.CHECKS, *linear.CHECKS, *positions.CHECKS)
