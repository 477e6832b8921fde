"""Whole models: `build(config, spec)` returns a `Model` of pure functions over parameters that the caller owns."""

from seqmodels.models.decoder import Decoder
from seqmodels.models.model import Model, build, count_parameters, solve_width

__all__ = ['Decoder', 'Model', 'build', 'count_parameters', 'solve_width']
