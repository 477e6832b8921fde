"""Claims: pure functions from records to verdicts. Numbers are for good."""

from comparison.claims import (
  architecture,
  attention,
  decoding,
  latency,
  little_data,
  optimisation,
  real_tasks,
  scaling,
  systems,
  tasks,
  throughput,
  trained_grids,
  training_memory,
  winners,
)
from comparison.claims.base import Claim

_MODULES = (
  architecture,
  attention,
  decoding,
  latency,
  little_data,
  optimisation,
  real_tasks,
  scaling,
  systems,
  tasks,
  throughput,
  trained_grids,
  training_memory,
  winners,
)
_ALL = [claim for module in _MODULES for claim in module.CLAIMS]
CLAIMS: dict[int, Claim] = {claim.number: claim for claim in sorted(_ALL, key=lambda claim: claim.number)}
