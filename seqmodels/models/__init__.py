"""Whole models: `build(config, spec)` returns a `Model` of pure functions over parameters that the caller owns."""

from seqmodels.models.model import (
  Model,
  Prepared,
  batch_axes,
  build,
  count_parameters,
  solve_width,
)

__all__ = ['Model', 'Prepared', 'batch_axes', 'build', 'count_parameters', 'solve_width']
